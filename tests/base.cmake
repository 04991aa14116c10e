fm_test(test_text LABEL unit TIMEOUT 20 LINKS fm_base)
fm_test(test_file LABEL unit TIMEOUT 20 LINKS fm_base)
fm_test(test_machine LABEL unit TIMEOUT 20 LINKS fm_base)
fm_test(test_trace LABEL unit TIMEOUT 20 LINKS fm_base PkgConfig::JANSSON)
