# The CUDA backend's host code on the simulated device. Comes after cuda.cmake.

# The backend's module on the simulated device, as fmnist-cuda.so in a folder of its own.
if(TARGET simcuda AND TARGET fm_cuda_host)
  add_library(fmnist-cuda-sim MODULE
    ${CMAKE_SOURCE_DIR}/src/backend/cuda/module.c $<TARGET_OBJECTS:fm_cuda_kernels_sim>)
  set_target_properties(fmnist-cuda-sim PROPERTIES PREFIX "" OUTPUT_NAME fmnist-cuda
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/modules-sim LINKER_LANGUAGE CXX
    BUILD_RPATH ${SIM_NVML_DIR})
  target_link_libraries(fmnist-cuda-sim PRIVATE fm_cuda_host simcuda)
  target_link_options(fmnist-cuda-sim PRIVATE -Wl,--no-undefined)
endif()

# A test of host code: name, timeout in seconds, and whatever else it is made of or links.
function(fm_cuda_backend_test name timeout)
  if(NOT TARGET simcuda OR NOT TARGET fm_cuda_host)
    fm_cuda_skip(${name} "the CUDA toolkit, cuDNN or the simulated device is missing")
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  fm_test(${name} LABEL cuda TIMEOUT ${timeout}
    SOURCES ${name}.c cuda/rig.c ${ARG_SOURCES} $<TARGET_OBJECTS:fm_cuda_kernels_sim>
    LINKS fm_cuda_host simcuda ${ARG_LINKS} m)
  target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX)
endfunction()

fm_cuda_backend_test(test_cuda_graph 30)
fm_cuda_backend_test(test_cuda_plans 60)
# With NVIDIA's library, for a GPU that is described.
if(FMNIST_SANITIZE)
  fm_cuda_skip(test_cuda_plans_real "the libraries of NVIDIA leave memory behind, as the sanitizers see it")
elseif(TARGET simcuda AND TARGET fm_cuda_host)
  fm_test(test_cuda_plans_real LABEL cuda TIMEOUT 60
    LINKS fm_cuda_host fm_cudnn CUDA::cudart CUDA::cublasLt)
  add_dependencies(test_cuda_plans_real nodev)
  set_tests_properties(test_cuda_plans_real PROPERTIES
    ENVIRONMENT "LD_LIBRARY_PATH=$<TARGET_FILE_DIR:nodev>:$ENV{LD_LIBRARY_PATH}")
else()
  fm_cuda_skip(test_cuda_plans_real "the CUDA toolkit, cuDNN or the simulated device is missing")
endif()
fm_cuda_backend_test(test_cuda_dense 30)
fm_cuda_backend_test(test_cuda_program 60)
fm_cuda_backend_test(test_cuda_device 30 LINKS fm_reference)
fm_cuda_backend_test(test_cuda_state 60 LINKS fm_reference)
fm_cuda_backend_test(test_cuda_staging 30 LINKS fm_reference)
fm_cuda_backend_test(test_cuda_memory 30)
fm_cuda_backend_test(test_cuda_energy 30 LINKS fm_reference)
if(TARGET test_cuda_energy)
  set_target_properties(test_cuda_energy PROPERTIES BUILD_RPATH ${SIM_NVML_DIR})
endif()

# Through the waist: the module and the test count on one simulated device.
if(TARGET fmnist-cuda-sim)
  fm_test(test_cuda_calls LABEL cuda TIMEOUT 60 LINKS fm_reference fm_train simcuda)
  add_dependencies(test_cuda_calls fmnist-cuda-sim)
else()
  fm_cuda_skip(test_cuda_calls "the CUDA toolkit, cuDNN or the simulated device is missing")
endif()
