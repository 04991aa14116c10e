fm_test(test_executor LABEL backend TIMEOUT 60 LINKS fm_registry)
# Its malloc must be the one that the module's libraries call, to count what a step allocates.
set_target_properties(test_executor PROPERTIES ENABLE_EXPORTS ON C_VISIBILITY_PRESET default)
