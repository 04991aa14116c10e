fm_test(test_run LABEL unit TIMEOUT 60 LINKS fm_run)
fm_test(test_run_transfer LABEL unit TIMEOUT 30 LINKS fm_run)
fm_test(test_reopen LABEL unit TIMEOUT 30 LINKS fm_run)

# The test makes each of these calls fail, and end the process.
fm_test(test_checkpoint LABEL unit TIMEOUT 120 LINKS fm_run)
target_link_options(test_checkpoint PRIVATE
  -Wl,--wrap=write,--wrap=fsync,--wrap=open,--wrap=rename,--wrap=link,--wrap=unlink)
fm_test(test_events LABEL unit TIMEOUT 20 LINKS fm_run m)
