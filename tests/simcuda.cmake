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
set(sim_tests test_simcuda_runtime test_simcuda_kernels test_simcuda_asan test_simcuda_tsan)

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
add_subdirectory(simcuda)

# Its own tests: kernels with and without planted bugs, and the runtime.
sim_kernels(simcuda_test_kernels SOURCES simcuda_kernels.cu)
foreach(test test_simcuda_kernels test_simcuda_runtime)
  fm_test(${test} LABEL simcuda TIMEOUT 60 SOURCES ${test}.c
    LINKS fm_options simcuda simcuda_test_kernels)
  set_tests_properties(${test} PROPERTIES PROCESSORS 1)
endforeach()
