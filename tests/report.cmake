fm_test(test_table LABEL unit TIMEOUT 30 LINKS fm_report)
foreach(name test_chart test_chart_kinds test_axis)
  fm_test(${name} LABEL unit TIMEOUT 60 LINKS fm_charts)
endforeach()
fm_test(test_page LABEL unit TIMEOUT 30 LINKS fm_report)

# Reports of small runs, and one of their pages in a browser where there is one.
if(FMNIST_BACKEND_CPU)
  set(reports ${CMAKE_BINARY_DIR}/tests/report)
  add_test(NAME report COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/report.sh $<TARGET_FILE:fmnist>
    ${CMAKE_SOURCE_DIR}/data/tiny ${reports})
  add_test(NAME report_browser
    COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/report_browser.sh ${reports})
  set_tests_properties(report PROPERTIES LABELS tool TIMEOUT 180 FIXTURES_SETUP reports)
  set_tests_properties(report_browser PROPERTIES LABELS tool TIMEOUT 180 SKIP_RETURN_CODE 77
    FIXTURES_REQUIRED reports)
endif()
