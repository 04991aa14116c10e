fm_test(test_metrics LABEL unit TIMEOUT 30 LINKS fm_eval)
fm_test(test_binomial LABEL unit TIMEOUT 30 LINKS fm_eval m)
fm_test(test_selective LABEL unit TIMEOUT 60 LINKS fm_eval m)
fm_test(test_evaluate LABEL unit TIMEOUT 60 LINKS fm_eval)
