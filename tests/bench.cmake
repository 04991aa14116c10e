# What a network costs: the statistics, the rounds, and the tool.
fm_test(test_spread LABEL unit TIMEOUT 10 LINKS fm_eval m)
fm_test(test_bench LABEL unit TIMEOUT 30 LINKS fm_app m)
target_link_options(test_bench PRIVATE -Wl,--wrap=fm_clock_seconds) # the test's own clock
if(FMNIST_BACKEND_CPU)
  add_test(NAME bench COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/bench.sh
    $<TARGET_FILE:fmnist> ${CMAKE_SOURCE_DIR}/data/tiny)
  set_tests_properties(bench PROPERTIES LABELS tool TIMEOUT 120 PROCESSORS 2)
endif()
