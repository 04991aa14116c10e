fm_test(test_args LABEL unit TIMEOUT 10 LINKS fm_cli)

# The tool as a user calls it, and a whole round of training, evaluation and comparison.
add_test(NAME cli COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/cli_test.sh $<TARGET_FILE:fmnist>)
set_tests_properties(cli PROPERTIES LABELS tool TIMEOUT 60)
add_test(NAME smoke
  COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/smoke.sh $<TARGET_FILE:fmnist> ${CMAKE_SOURCE_DIR}/data/tiny)
set_tests_properties(smoke PROPERTIES LABELS smoke TIMEOUT 60 PROCESSORS 2)
