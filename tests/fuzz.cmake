# Hostile files. A target (fuzz/fuzz.h) is built with libFuzzer where FMNIST_FUZZ is on, which is what
# scripts/fuzz does, with clang; else with replay.c, and a test runs the committed files through it.
option(FMNIST_FUZZ "Build the fuzz targets with libFuzzer (needs clang)" OFF)

# FUZZER: a file for libFuzzer's build alone, as one that knows the format's lengths and checksums, and
# WRAP: the functions of libc that it replaces. CUTS: at so many places a test cuts off each file, too
# (every byte of most).
function(fm_fuzz name)
  cmake_parse_arguments(ARG "" "CUTS" "SOURCES;LINKS;DEFINES;FUZZER;WRAP" ${ARGN})
  list(TRANSFORM ARG_SOURCES PREPEND fuzz/)
  add_executable(fuzz_${name} ${ARG_SOURCES} fuzz/fuzz.c)
  target_link_libraries(fuzz_${name} PRIVATE ${ARG_LINKS})
  target_compile_definitions(fuzz_${name} PRIVATE ${ARG_DEFINES})
  set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(FMNIST_FUZZ)
    target_sources(fuzz_${name} PRIVATE ${ARG_FUZZER})
    list(TRANSFORM ARG_WRAP PREPEND LINKER:--wrap=)
    target_link_options(fuzz_${name} PRIVATE ${ARG_WRAP})
    target_link_libraries(fuzz_${name} PRIVATE ZLIB::ZLIB)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(fuzz_${name} PRIVATE fuzz/replay.c)
    if(NOT FMNIST_SANITIZE)
      target_sources(fuzz_${name} PRIVATE fuzz/allocations.c)
    endif()
    add_test(NAME fuzz_${name}
      COMMAND fuzz_${name} --cuts ${ARG_CUTS} ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${name})
    set_tests_properties(fuzz_${name} PROPERTIES LABELS unit TIMEOUT 120)
    add_dependencies(tests_unit fuzz_${name})
  endif()
endfunction()

if(FMNIST_FUZZ)
  target_compile_options(fm_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
set(tensors tensors.c tensors_read.c)
fm_fuzz(safetensors SOURCES ${tensors} LINKS fm_app DEFINES FORMAT=fm_tensors_safetensors
  FUZZER fuzz/mutate_safetensors.c CUTS 1000)
if(FM_HAVE_HDF5)
  fm_fuzz(hdf5 SOURCES ${tensors} hdf5_linked.c LINKS "fm_hdf5;fm_app" DEFINES FORMAT=fm_tensors_hdf5
    FUZZER fuzz/child_coverage.c WRAP fork write waitpid CUTS 10) # a process each
  fm_fuzz(hdf5_said SOURCES said.c tensors_read.c LINKS fm_net CUTS 1000)
endif()
if(FM_HAVE_ONNX)
  fm_fuzz(onnx SOURCES ${tensors} LINKS fm_app DEFINES FORMAT=fm_tensors_onnx CUTS 1000)
endif()
fm_fuzz(idx SOURCES idx.c LINKS fm_data FUZZER fuzz/mutate_gzip.c CUTS 1000)
if(FM_HAVE_JPEG AND FM_HAVE_EXIF)
  fm_fuzz(picture SOURCES picture.c LINKS fm_data FUZZER fuzz/mutate_png.c CUTS 1000)
endif()
fm_fuzz(recipe SOURCES recipe.c LINKS fm_train CUTS 100)
fm_fuzz(planted SOURCES planted.c LINKS fm_base CUTS 1000)

# That findings show: in every replay, and with libFuzzer where there is time to build for it.
if(NOT FMNIST_FUZZ)
  set(sanitizers none)
  if(FMNIST_SANITIZE MATCHES address)
    set(sanitizers address)
  endif()
  add_test(NAME fuzz_finds
    COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/finds.sh $<TARGET_FILE:fuzz_planted> ${sanitizers})
  set_tests_properties(fuzz_finds PROPERTIES LABELS unit TIMEOUT 60)
endif()
