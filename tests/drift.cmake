fm_test(test_twosample LABEL unit TIMEOUT 30 LINKS fm_eval m)
fm_test(test_drift LABEL unit TIMEOUT 30 LINKS fm_app m)

# Drift that is known, by a run that the test trains.
if(FMNIST_BACKEND_CPU)
  add_executable(drift_cases drift_cases.c)
  target_link_libraries(drift_cases PRIVATE fm_app m)
  target_compile_definitions(drift_cases PRIVATE FM_TEST_BINARY_DIR="${CMAKE_BINARY_DIR}")
  set_target_properties(drift_cases PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_dependencies(drift_cases fmnist-cpu)
  add_test(NAME drift COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/drift.sh $<TARGET_FILE:fmnist>
    $<TARGET_FILE:drift_cases> ${CMAKE_SOURCE_DIR}/data/tiny)
  set_tests_properties(drift PROPERTIES LABELS tool TIMEOUT 300)
endif()
