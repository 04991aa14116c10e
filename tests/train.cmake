fm_test(test_recipe LABEL unit TIMEOUT 60 LINKS fm_train)

# The test counts allocations made by the project's own code, and is the kernel that resets a peak.
fm_test(test_train LABEL unit TIMEOUT 60 LINKS fm_train)
target_link_options(test_train PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc
  -Wl,--wrap=fm_machine_reset_peak_memory)

if(FMNIST_BACKEND_CPU)
  fm_test(test_train_cpu LABEL backend TIMEOUT 300 LINKS fm_train)
  add_dependencies(test_train_cpu fmnist-cpu)
  fm_test(test_resume LABEL backend TIMEOUT 300 LINKS fm_train)
endif()
