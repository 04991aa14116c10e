fm_test(test_table LABEL unit TIMEOUT 30 LINKS fm_report)
fm_test(test_chart LABEL unit TIMEOUT 60 LINKS fm_report)
