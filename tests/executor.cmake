if(NOT FMNIST_BACKEND_CPU)
  return()
endif()

# A build that takes another's kernels (FMNIST_KERNELS) need not test them again.
if(NOT FMNIST_KERNELS)
  foreach(test test_kernels test_winograd test_amx test_gathered test_direct test_matrix)
    fm_test(${test} LABEL backend TIMEOUT 120 LINKS fm_kernels)
  endforeach()
  fm_test(test_rounding LABEL backend TIMEOUT 120 LINKS fm_kernels)
endif()
fm_test(test_executor LABEL backend TIMEOUT 120 LINKS fm_registry)
# Its malloc must be the one that the module's libraries call, to count what a step allocates.
set_target_properties(test_executor PROPERTIES ENABLE_EXPORTS ON C_VISIBILITY_PRESET default)

# Once more with the matrix unit's kernels spelled out, whatever the processor has, where bf16 is native.
if(CMAKE_BINARY_DIR STREQUAL "${CMAKE_SOURCE_DIR}/build" AND FMNIST_HERE_AVX512)
  foreach(test test_features test_precision)
    add_test(NAME ${test}_matrix_unit COMMAND ${test})
    set_tests_properties(${test}_matrix_unit PROPERTIES LABELS backend TIMEOUT 600
      ENVIRONMENT "FMNIST_MATRIX_UNIT=portable;OMP_WAIT_POLICY=passive")
  endforeach()
endif()

# Once more with oneDNN held to what a processor without AVX-512 has: other kernels, other layouts.
# Only in build/, which the further builds (scripts.cmake) need not repeat, and only where there is
# AVX-512: elsewhere the tests above already run so.
if(NOT CMAKE_BINARY_DIR STREQUAL "${CMAKE_SOURCE_DIR}/build")
  return()
endif()
if(NOT FMNIST_HERE_AVX512)
  message(STATUS "no _avx2 tests: this processor has no AVX-512, the others run so")
  return()
endif()
foreach(test test_executor test_features test_ops test_precision test_golden)
  add_test(NAME ${test}_avx2 COMMAND ${test})
  set_tests_properties(${test}_avx2 PROPERTIES LABELS backend TIMEOUT 600
    ENVIRONMENT "DNNL_MAX_CPU_ISA=AVX2;OMP_WAIT_POLICY=passive")
endforeach()
