fm_test(test_run LABEL unit TIMEOUT 60 LINKS fm_run)
