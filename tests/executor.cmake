if(NOT FMNIST_BACKEND_CPU)
  return()
endif()

# With more threads than processors, which would wait for each other by spinning for as long as
# others have the processors.
foreach(test test_kernels test_winograd test_gathered test_direct test_matrix)
  fm_test(${test} LABEL backend TIMEOUT 60 LINKS fm_kernels)
  set_tests_properties(${test} PROPERTIES ENVIRONMENT OMP_WAIT_POLICY=passive)
endforeach()
fm_test(test_rounding LABEL backend TIMEOUT 60 LINKS fm_kernels)
fm_test(test_executor LABEL backend TIMEOUT 60 LINKS fm_registry)
# Its malloc must be the one that the module's libraries call, to count what a step allocates.
set_target_properties(test_executor PROPERTIES ENABLE_EXPORTS ON C_VISIBILITY_PRESET default)

# Once more with oneDNN held to what a processor without AVX-512 has: other kernels, other layouts.
# In build/ alone: the further builds (scripts.cmake) need not repeat it, nor a processor that has no
# more.
file(STRINGS /proc/cpuinfo wider REGEX "avx512f" LIMIT_COUNT 1)
if(NOT wider OR NOT CMAKE_BINARY_DIR STREQUAL "${CMAKE_SOURCE_DIR}/build")
  return()
endif()
foreach(test test_executor test_features test_ops test_precision test_golden)
  add_test(NAME ${test}_avx2 COMMAND ${test})
  set_tests_properties(${test}_avx2 PROPERTIES LABELS backend TIMEOUT 300 PROCESSORS 2
    ENVIRONMENT "DNNL_MAX_CPU_ISA=AVX2;OMP_WAIT_POLICY=passive")
endforeach()
