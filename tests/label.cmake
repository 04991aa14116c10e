# From a folder of pictures to a reviewed set of labels, by a run that the test trains.
add_test(NAME label COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/label.sh $<TARGET_FILE:fmnist>
  ${CMAKE_SOURCE_DIR}/data/tiny)
set_tests_properties(label PROPERTIES LABELS tool TIMEOUT 120 PROCESSORS 2
  ENVIRONMENT "OMP_WAIT_POLICY=passive")
