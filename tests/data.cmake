fm_test(test_idx LABEL unit TIMEOUT 60 LINKS fm_data)
fm_test(test_dataset LABEL unit TIMEOUT 120 LINKS fm_data m)
fm_test(test_split LABEL unit TIMEOUT 60 LINKS fm_data m)
fm_test(test_loader LABEL unit TIMEOUT 60 LINKS fm_data)

# data/dataset.c once more, with a place of its own instead of that of Debian's package.
fm_test(test_dataset_places LABEL unit TIMEOUT 20
  SOURCES test_dataset_places.c ${CMAKE_SOURCE_DIR}/src/data/dataset.c LINKS fm_data)
target_compile_definitions(test_dataset_places PRIVATE
  FM_DATA_SYSTEM_DIR="/nonexistent/datasets/fashion-mnist")

# ThreadSanitizer is part of the ordinary suite. It cannot be combined with AddressSanitizer, so
# this test compiles what it needs itself, without fm_options, whatever FMNIST_SANITIZE says.
add_executable(test_loader_tsan test_loader.c
  ${CMAKE_SOURCE_DIR}/src/data/loader.c
  ${CMAKE_SOURCE_DIR}/src/base/status.c ${CMAKE_SOURCE_DIR}/src/base/clock.c
  ${CMAKE_SOURCE_DIR}/src/base/trace.c ${CMAKE_SOURCE_DIR}/src/base/log.c
  ${CMAKE_SOURCE_DIR}/src/base/text.c)
target_include_directories(test_loader_tsan PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/kernels)
target_compile_definitions(test_loader_tsan PRIVATE _GNU_SOURCE
  FM_TEST_BINARY_DIR="${CMAKE_BINARY_DIR}")
target_compile_options(test_loader_tsan PRIVATE -fsanitize=thread -g -O1)
target_link_options(test_loader_tsan PRIVATE -fsanitize=thread)
target_link_libraries(test_loader_tsan PRIVATE Threads::Threads PkgConfig::CMOCKA m)
set_target_properties(test_loader_tsan PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_dependencies(tests_unit test_loader_tsan)
# gcc 12's sanitizer does not know the address layouts of newer kernels: without randomisation they
# do no harm. Where a container forbids that, it has to do as it is.
add_test(NAME test_loader_tsan COMMAND sh -c
  "if setarch -R true 2>/dev/null; then exec setarch -R \"$0\"; else exec \"$0\"; fi"
  $<TARGET_FILE:test_loader_tsan>)
set_tests_properties(test_loader_tsan PROPERTIES LABELS unit TIMEOUT 120
  ENVIRONMENT "TSAN_OPTIONS=halt_on_error=1 second_deadlock_stack=1")

fm_test(test_folders LABEL unit TIMEOUT 60 LINKS fm_data)
