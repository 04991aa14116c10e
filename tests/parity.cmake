# The CUDA backend held to the CPU's through the waist: the same model, state and data on both. The
# module under test and the test's knobs are on one simulated device. Comes after cuda_backend.cmake.
set(parity_tests parity_step parity_run parity_bits parity_skip parity_transfer)

if(NOT TARGET simcuda OR NOT TARGET fmnist-cuda-sim OR NOT FMNIST_BACKEND_CPU)
  foreach(test IN LISTS parity_tests ITEMS parity_without_nvrtc parity_shadow)
    fm_cuda_skip(${test} "the CUDA toolkit, the simulated device or the CPU backend is missing")
  endforeach()
  return()
endif()

add_library(fm_parity OBJECT parity/parity.c parity/compare.c parity/steps.c)
target_include_directories(fm_parity PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(fm_parity PUBLIC fm_registry simcuda PkgConfig::CMOCKA m)
target_compile_definitions(fm_parity PRIVATE
  FM_TEST_SOURCE_DIR="${CMAKE_SOURCE_DIR}" FM_TEST_BINARY_DIR="${CMAKE_BINARY_DIR}")

foreach(test IN LISTS parity_tests)
  fm_test(${test} LABEL parity TIMEOUT 600 SOURCES parity/${test}.c LINKS fm_parity)
  add_dependencies(${test} fmnist-cuda-sim)
  add_test(NAME ${test}_long COMMAND ${test} --long CONFIGURATIONS long)
  set_tests_properties(${test}_long PROPERTIES LABELS long TIMEOUT 3600
    ENVIRONMENT OMP_WAIT_POLICY=passive)
endforeach()

# Where cuDNN cannot compile its engines for batch norm, the own kernels do it.
add_test(NAME parity_without_nvrtc COMMAND parity_step --only "deeper*16")
set_tests_properties(parity_without_nvrtc PROPERTIES LABELS parity TIMEOUT 300
  ENVIRONMENT "OMP_WAIT_POLICY=passive;SIM_NVRTC=0")

# The same step with every cuDNN descriptor handed to NVIDIA's library, too: numbers and its verdict in
# one run. A run in which that library finds no driver fails (tests/simcuda/cudnn_shadow.cc).
if(NOT CUDNN_LIBRARY)
  fm_cuda_skip(parity_shadow "the library cuDNN was not found")
else()
  add_test(NAME parity_shadow COMMAND parity_step --only "deeper fp16")
  set_tests_properties(parity_shadow PROPERTIES LABELS parity TIMEOUT 300
    ENVIRONMENT "OMP_WAIT_POLICY=passive;SIM_SHADOW=1")
endif()

# Faults planted in a copy of the sources: each must make one of the tests fail.
find_program(FMNIST_PYTHON python3)
if(FMNIST_PYTHON)
  add_test(NAME planted_faults COMMAND ${FMNIST_PYTHON}
    ${CMAKE_CURRENT_SOURCE_DIR}/cuda/plant_faults.py --build ${CMAKE_BINARY_DIR}/faults
    CONFIGURATIONS long)
  set_tests_properties(planted_faults PROPERTIES LABELS long TIMEOUT 7200 PROCESSORS 2)
endif()
