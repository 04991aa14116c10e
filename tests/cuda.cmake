# The CUDA kernels, each alone on the simulated device: plain, under AddressSanitizer with bounds
# checks, and under ThreadSanitizer, which finds races within a block or (SIM_TSAN_GRID) between
# blocks. Comes after simcuda.cmake.
set(cuda_kernel_tests test_cuda_kernels test_cuda_kernels_sums test_cuda_kernels_step)

if(NOT FMNIST_CUDA OR NOT TARGET simcuda)
  foreach(test IN LISTS cuda_kernel_tests ITEMS cuda_compile test_simcuda_cublaslt)
    add_test(NAME ${test} COMMAND sh -c
      "echo 'SKIP: the CUDA toolkit or the simulated device is missing (cmake says why)'; exit 77")
    set_tests_properties(${test} PROPERTIES LABELS cuda SKIP_RETURN_CODE 77)
  endforeach()
  return()
endif()

# What nvcc said when it compiled the kernels for every architecture.
add_test(NAME cuda_compile COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cuda_compile.sh
  ${CMAKE_SOURCE_DIR}/kernels ${CMAKE_BINARY_DIR}/kernels/CMakeFiles/fm_cuda_kernels.dir
  ${FMNIST_CUDA_ARCHITECTURES})
set_tests_properties(cuda_compile PROPERTIES LABELS cuda)

sim_kernels(fm_cuda_kernels_sim SOURCES ${FMNIST_CUDA_KERNEL_SOURCES})
if(SIM_SANITIZERS)
  sim_kernels(fm_cuda_kernels_asan SANITIZE address SOURCES ${FMNIST_CUDA_KERNEL_SOURCES})
  sim_kernels(fm_cuda_kernels_tsan SANITIZE thread SOURCES ${FMNIST_CUDA_KERNEL_SOURCES})
endif()

# Test `name` on kernels and device of one kind: "" as they are, "_asan", "_tsan".
function(fm_cuda_kernel_test name suffix device)
  fm_test(${name}${suffix} LABEL cuda TIMEOUT 300
    SOURCES ${name}.c cuda/rig.c $<TARGET_OBJECTS:fm_cuda_kernels_${device}>
    LINKS fm_options simcuda${suffix} m)
  target_include_directories(${name}${suffix} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_include_directories(${name}${suffix} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  if(suffix)
    target_compile_definitions(${name}${suffix} PRIVATE RIG_SANITIZED)
  endif()
  set_target_properties(${name}${suffix} PROPERTIES LINKER_LANGUAGE CXX)
  set_tests_properties(${name}${suffix} PROPERTIES PROCESSORS 1)
endfunction()

foreach(test IN LISTS cuda_kernel_tests)
  fm_cuda_kernel_test(${test} "" sim)
  if(NOT SIM_SANITIZERS)
    continue() # simcuda_asan and simcuda_tsan say why
  endif()
  fm_cuda_kernel_test(${test} _asan asan)
  fm_cuda_kernel_test(${test} _tsan tsan)
  add_test(NAME ${test}_tsan_grid COMMAND ${test}_tsan)
  set_tests_properties(${test}_tsan_grid PROPERTIES LABELS cuda TIMEOUT 300
    ENVIRONMENT SIM_TSAN_GRID=1)
endforeach()

fm_test(test_simcuda_cublaslt LABEL cuda TIMEOUT 120
  SOURCES test_simcuda_cublaslt.c cuda/rig.c LINKS fm_options simcuda m)
target_include_directories(test_simcuda_cublaslt PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
set_tests_properties(test_simcuda_cublaslt PROPERTIES PROCESSORS 1)
