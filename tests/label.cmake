fm_test(test_labelling LABEL unit TIMEOUT 240 LINKS fm_app)

# From a folder of pictures to a reviewed set of labels, by a run that the test trains; and the
# reviewer's page in a browser where there is one.
if(FMNIST_BACKEND_CPU)
  set(labels ${CMAKE_BINARY_DIR}/tests/label)
  add_test(NAME label COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/label.sh $<TARGET_FILE:fmnist>
    ${CMAKE_SOURCE_DIR}/data/tiny ${labels})
  add_test(NAME label_browser COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/label_browser.sh
    $<TARGET_FILE:fmnist> ${labels})
  set_tests_properties(label PROPERTIES LABELS tool TIMEOUT 180 FIXTURES_SETUP labels)
  set_tests_properties(label_browser PROPERTIES LABELS tool TIMEOUT 180 SKIP_RETURN_CODE 77
    FIXTURES_REQUIRED labels)
endif()
