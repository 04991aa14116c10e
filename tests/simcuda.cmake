# The simulated CUDA device and its tests. Without the CUDA toolkit, clang++ or an x86-64 processor they
# are skipped with that reason; nothing else of the project depends on them.
find_package(CUDAToolkit QUIET)
find_program(FMNIST_CLANGXX NAMES clang++ clang++-14 clang++-15 clang++-16 clang++-17 clang++-18
  clang++-19 DOC "Compiles kernels for the simulated device")
set(sim_missing)
if(NOT CUDAToolkit_FOUND)
  set(sim_missing "the CUDA toolkit was not found")
elseif(NOT FMNIST_CLANGXX)
  set(sim_missing "clang++ was not found")
elseif(CMAKE_CXX_COMPILER_ID AND NOT CMAKE_CXX_COMPILER_ID MATCHES Clang)
  set(sim_missing "C++ is compiled by another compiler than clang++")
elseif(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|amd64|AMD64")
  set(sim_missing "the simulated device runs on x86-64 alone")
endif()
set(sim_tests test_simcuda_runtime test_simcuda_kernels simcuda_asan simcuda_tsan simcuda_link)

if(sim_missing)
  message(STATUS "No simulated CUDA device: ${sim_missing}")
  foreach(test IN LISTS sim_tests)
    add_test(NAME ${test} COMMAND sh -c "echo 'SKIP: ${sim_missing}'; exit 77")
    set_tests_properties(${test} PROPERTIES LABELS simcuda SKIP_RETURN_CODE 77)
  endforeach()
  return()
endif()

if(NOT CMAKE_CXX_COMPILER)
  set(CMAKE_CXX_COMPILER ${FMNIST_CLANGXX})
endif()
enable_language(CXX)

# Kernels are also built with clang's sanitizers, where it has them (Debian: libclang-rt-dev), and unless
# everything is built with the C compiler's own: two do not go together in one program.
set(SIM_SANITIZERS OFF)
if(FMNIST_SANITIZE)
  set(sim_unsanitized "this build has sanitizers of its own (FMNIST_SANITIZE)")
else()
  include(CheckCXXSourceCompiles)
  foreach(sanitizer address thread)
    set(CMAKE_REQUIRED_FLAGS -fsanitize=${sanitizer})
    check_cxx_source_compiles("int main() { return 0; }" SIM_HAS_${sanitizer})
    unset(CMAKE_REQUIRED_FLAGS)
  endforeach()
  if(SIM_HAS_address AND SIM_HAS_thread)
    set(SIM_SANITIZERS ON)
  else()
    set(sim_unsanitized "clang++ has no sanitizers (Debian: libclang-rt-dev)")
  endif()
endif()

add_subdirectory(simcuda)

# Its own tests: kernels with and without planted bugs, and the runtime.
sim_kernels(simcuda_test_kernels SOURCES simcuda_kernels.cu)
foreach(test test_simcuda_kernels test_simcuda_runtime)
  fm_test(${test} LABEL simcuda TIMEOUT 60 SOURCES ${test}.c
    LINKS fm_options simcuda simcuda_test_kernels)
endforeach()

foreach(sanitizer address thread)
  string(REPLACE address asan short ${sanitizer})
  string(REPLACE thread tsan short ${short})
  if(NOT SIM_SANITIZERS)
    add_test(NAME simcuda_${short} COMMAND sh -c "echo 'SKIP: ${sim_unsanitized}'; exit 77")
    continue()
  endif()
  sim_kernels(simcuda_test_kernels_${short} SANITIZE ${sanitizer} SOURCES simcuda_kernels.cu)
  add_executable(simcuda_planted_${short} simcuda_planted.c)
  target_link_libraries(simcuda_planted_${short} PRIVATE
    fm_options simcuda_${short} simcuda_test_kernels_${short})
  set_target_properties(simcuda_planted_${short} PROPERTIES LINKER_LANGUAGE CXX
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME simcuda_${short} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/simcuda_sanitizers.sh
    ${sanitizer} $<TARGET_FILE:simcuda_planted_${short}>)
endforeach()
list(TRANSFORM CUDAToolkit_INCLUDE_DIRS PREPEND -I OUTPUT_VARIABLE includes)
add_test(NAME simcuda_link COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/simcuda_link.sh
  ${CMAKE_C_COMPILER} $<TARGET_FILE:simcuda> ${includes})
set_tests_properties(simcuda_asan simcuda_tsan simcuda_link PROPERTIES
  LABELS simcuda TIMEOUT 120 SKIP_RETURN_CODE 77)
