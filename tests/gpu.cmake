# What scripts/gpu-acceptance runs on a real device, built wherever it can be so that it never rots:
# `measure`, which works with every backend; and tests that otherwise run on the simulated device,
# linked with NVIDIA's libraries in its place. None is a ctest of its own: CI has no GPU. Comes after
# cuda.cmake.
add_executable(measure gpu/measure.c gpu/parity.c)
target_include_directories(measure PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(measure PRIVATE fm_eval)
set_target_properties(measure PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_custom_target(gpu_programs DEPENDS measure)

if(NOT FMNIST_CUDNN)
  fm_cuda_skip(gpu_performance "the CUDA toolkit or cuDNN is missing")
  return()
endif()

# The test in `source` for a real device, as gpu_<name>. It is run from the root of a bundle, whose data
# lies as that of the sources does.
function(fm_device_test source)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  cmake_path(GET source STEM name)
  set(program gpu_${name})
  add_executable(${program} ${source} gpu/on_device.c ${ARG_SOURCES})
  target_include_directories(${program} PRIVATE
    ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/simcuda)
  target_include_directories(${program} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  target_compile_definitions(${program} PRIVATE FM_TEST_SOURCE_DIR="." FM_TEST_BINARY_DIR=".")
  target_link_libraries(${program} PRIVATE ${ARG_LINKS} fm_options fm_cudnn CUDA::cublasLt
    CUDA::cudart PkgConfig::CMOCKA m)
  set_target_properties(${program} PROPERTIES LINKER_LANGUAGE CUDA
    CUDA_RUNTIME_LIBRARY Shared RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_dependencies(gpu_programs ${program})
endfunction()

foreach(test test_cuda_kernels test_cuda_kernels_sums test_cuda_kernels_step)
  fm_device_test(${test}.c SOURCES cuda/rig.c LINKS fm_cuda_kernels)
endforeach()
foreach(test test_cuda_graph test_cuda_dense)
  fm_device_test(${test}.c SOURCES cuda/rig.c LINKS fm_cuda_host fm_cuda_kernels)
endforeach()
# The backends are given to them by the folder of their modules.
# Without CONFIGURE_DEPENDS, which makes `ninja -n`, and so scripts/setup, see work on every call.
file(GLOB parity_sources ${CMAKE_CURRENT_SOURCE_DIR}/parity/parity_*.c)
foreach(test IN LISTS parity_sources)
  fm_device_test(${test} SOURCES parity/parity.c parity/compare.c parity/steps.c LINKS fm_registry)
endforeach()

# The tables of docs/gpu-performance.md, which must be what this program prints.
add_executable(roofline cuda/roofline.c)
target_include_directories(roofline SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
target_link_libraries(roofline PRIVATE
  fm_options fm_cuda_host fm_cuda_kernels fm_cudnn CUDA::cublasLt CUDA::cudart m)
set_target_properties(roofline PROPERTIES LINKER_LANGUAGE CUDA
  CUDA_RUNTIME_LIBRARY Shared RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_test(NAME gpu_performance COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/gpu_performance.sh
  $<TARGET_FILE:roofline> ${CMAKE_SOURCE_DIR}/docs/gpu-performance.md)
set_tests_properties(gpu_performance PROPERTIES LABELS cuda TIMEOUT 30)
