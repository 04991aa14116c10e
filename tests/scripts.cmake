# Tests that are scripts: of the sources, of scripts/, and those that build fmnist once more in
# another way.
function(fm_script_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT;PROCESSORS" "COMMAND" ${ARGN})
  add_test(NAME ${name} COMMAND ${ARG_COMMAND} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS scripts TIMEOUT ${ARG_TIMEOUT}
    PROCESSORS ${ARG_PROCESSORS} SKIP_RETURN_CODE 77)
endfunction()

fm_script_test(format TIMEOUT 60 PROCESSORS 1 COMMAND scripts/format --check)
fm_script_test(imports TIMEOUT 30 PROCESSORS 1 COMMAND sh tests/check_imports.sh)
fm_script_test(imports_finds TIMEOUT 30 PROCESSORS 1 COMMAND sh tests/check_imports_finds.sh)

# What follows works on build/ and makes further build folders: registered in build/ alone, so
# that those have none of it.
if(NOT CMAKE_BINARY_DIR STREQUAL "${CMAKE_SOURCE_DIR}/build")
  return()
endif()

fm_script_test(wrapper TIMEOUT 60 PROCESSORS 2 COMMAND sh tests/check_wrapper.sh)

# A selection that fits CI: all code is run, but finite differences and trainings, which run it again
# and again, are left out, and a page of 69,888 pictures. `scripts/sanitize asan` runs everything.
fm_script_test(asan TIMEOUT 1200 PROCESSORS 2
  COMMAND scripts/sanitize asan -t tests_unit -t tests_backend
    -L "^(unit|backend)$" -E "^(test_plain|test_models|test_train_cpu|test_resume|test_labelling)$")
if(TARGET fm_kernels)
  fm_script_test(onednn3 TIMEOUT 600 PROCESSORS 2 COMMAND sh tests/onednn3.sh $<TARGET_FILE:fm_kernels>)
endif()

# A bundle of this build without CUDA, accepted on the CPU.
fm_script_test(gpu_scripts TIMEOUT 300 PROCESSORS 2
  COMMAND sh tests/gpu_scripts.sh ${CMAKE_BINARY_DIR} ${FMNIST_REFERENCE_PYTHON})
fm_script_test(bench_vs TIMEOUT 400 PROCESSORS 2
  COMMAND sh tests/bench_vs.sh $<TARGET_FILE:fmnist> ${FMNIST_REFERENCE_PYTHON})
