fm_test(test_claims LABEL unit TIMEOUT 30 LINKS fm_app)
