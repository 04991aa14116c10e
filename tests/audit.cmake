fm_test(test_folds LABEL unit TIMEOUT 30 LINKS fm_data m)
fm_test(test_confident LABEL unit TIMEOUT 30 LINKS fm_eval m)
fm_test(test_near LABEL unit TIMEOUT 60 LINKS fm_eval m)
