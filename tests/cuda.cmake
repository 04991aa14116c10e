# The CUDA kernels: what nvcc says of them; and each alone on the simulated device, plain, under
# AddressSanitizer with bounds checks, and under ThreadSanitizer, which finds races within a block or
# (SIM_TSAN_GRID) between blocks. Comes after simcuda.cmake.
set(cuda_kernel_tests test_cuda_kernels test_cuda_kernels_sums test_cuda_kernels_step)

function(fm_cuda_skip name reason)
  add_test(NAME ${name} COMMAND sh -c "echo 'SKIP: ${reason}'; exit 77")
  set_tests_properties(${name} PROPERTIES LABELS cuda SKIP_RETURN_CODE 77)
endfunction()

if(FMNIST_CUDA)
  add_test(NAME cuda_compile COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cuda_compile.sh
    ${CMAKE_SOURCE_DIR}/kernels ${CMAKE_BINARY_DIR}/kernels/CMakeFiles/fm_cuda_kernels.dir
    ${FMNIST_CUDA_ARCHITECTURES})
  set_tests_properties(cuda_compile PROPERTIES LABELS cuda)
else()
  fm_cuda_skip(cuda_compile "the CUDA toolkit was not found, or nvcc does not work")
endif()

if(NOT FMNIST_CUDA OR NOT TARGET simcuda)
  foreach(test IN LISTS cuda_kernel_tests ITEMS test_simcuda_cublaslt)
    fm_cuda_skip(${test} "the CUDA toolkit or the simulated device is missing")
  endforeach()
  return()
endif()

fm_test(test_simcuda_cublaslt LABEL cuda TIMEOUT 120
  SOURCES test_simcuda_cublaslt.c cuda/rig.c LINKS fm_options simcuda m)
target_include_directories(test_simcuda_cublaslt PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})

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
endfunction()

# For whatever runs on the simulated device: the backend's module, too.
sim_kernels(fm_cuda_kernels_sim SOURCES ${FMNIST_CUDA_KERNEL_SOURCES})
if(SIM_SANITIZERS)
  sim_kernels(fm_cuda_kernels_asan SANITIZE address SOURCES ${FMNIST_CUDA_KERNEL_SOURCES})
  sim_kernels(fm_cuda_kernels_tsan SANITIZE thread SOURCES ${FMNIST_CUDA_KERNEL_SOURCES})
endif()
foreach(test IN LISTS cuda_kernel_tests)
  fm_cuda_kernel_test(${test} "" sim)
  if(NOT SIM_SANITIZERS)
    foreach(kind asan tsan tsan_grid)
      fm_cuda_skip(${test}_${kind} "${sim_unsanitized}")
    endforeach()
    continue()
  endif()
  fm_cuda_kernel_test(${test} _asan asan)
  fm_cuda_kernel_test(${test} _tsan tsan)
  add_test(NAME ${test}_tsan_grid COMMAND ${test}_tsan)
  set_tests_properties(${test}_tsan_grid PROPERTIES LABELS cuda TIMEOUT 300
    ENVIRONMENT SIM_TSAN_GRID=1)
endforeach()
