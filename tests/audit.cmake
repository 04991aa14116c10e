fm_test(test_folds LABEL unit TIMEOUT 30 LINKS fm_data m)
fm_test(test_confident LABEL unit TIMEOUT 30 LINKS fm_eval m)
fm_test(test_near LABEL unit TIMEOUT 120 LINKS fm_eval m)
fm_test(test_audit LABEL unit TIMEOUT 30 LINKS fm_app)

if(FMNIST_BACKEND_CPU)
  add_test(NAME audit COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/audit.sh $<TARGET_FILE:fmnist>
    ${CMAKE_SOURCE_DIR}/data/tiny)
  set_tests_properties(audit PROPERTIES LABELS tool TIMEOUT 300)
endif()
