# Numeric tests: a double-precision reference, itself tested, and the backends held to it and to
# PyTorch's golden files.
add_library(fm_reference STATIC reference/plain.c reference/cases.c reference/golden.c)
target_include_directories(fm_reference PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(fm_reference PUBLIC fm_net fm_data PkgConfig::CMOCKA m)
target_compile_definitions(fm_reference PRIVATE FM_TEST_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
if(FMNIST_SANITIZE) # It would be what takes longest, and is there for its numbers (test_plain).
  set_source_files_properties(reference/plain.c PROPERTIES
    COMPILE_OPTIONS "-O2;-fno-sanitize=${FMNIST_SANITIZE}")
endif()

fm_test(test_plain LABEL unit TIMEOUT 120 LINKS fm_reference)

fm_test(test_memory_plan LABEL unit TIMEOUT 60 LINKS fm_backend_common)

# Folders of modules that compute nothing: with a GPU, without one, and without a processor either.
set(registry_modules ${CMAKE_BINARY_DIR}/tests/registry)
fm_test(test_registry LABEL unit TIMEOUT 30 LINKS fm_registry)
target_compile_definitions(test_registry PRIVATE FM_TEST_MODULES="${registry_modules}")
fm_test(test_module LABEL unit TIMEOUT 30 LINKS fm_registry)
target_compile_definitions(test_module PRIVATE FM_TEST_MODULES="${registry_modules}")
function(registry_module folder name threads usable)
  set(target registry_${folder}_${name})
  add_library(${target} MODULE registry_module.c)
  target_link_libraries(${target} PRIVATE fm_net fm_base)
  target_compile_definitions(${target} PRIVATE
    MODULE_NAME="${name}" MODULE_THREADS=${threads} MODULE_USABLE=${usable})
  set_target_properties(${target} PROPERTIES PREFIX "" OUTPUT_NAME fmnist-${name}
    LIBRARY_OUTPUT_DIRECTORY ${registry_modules}/${folder})
  add_dependencies(test_registry ${target})
  add_dependencies(test_module ${target})
endfunction()
registry_module(gpu cuda 0 1)
registry_module(gpu cpu 2 1)
registry_module(no-gpu cuda 0 0)
registry_module(no-gpu cpu 2 1)
registry_module(old-gpu cuda 0 -1)
registry_module(old-gpu cpu 2 1)
registry_module(none cuda 0 0)

if(FMNIST_BACKEND_CPU)
  add_library(fm_rig STATIC reference/rig.c)
  target_link_libraries(fm_rig PUBLIC fm_reference fm_registry)
  target_compile_definitions(fm_rig PRIVATE FM_TEST_BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_dependencies(fm_rig fmnist-cpu)

  fm_test(test_ops LABEL backend TIMEOUT 300 LINKS fm_rig)
  fm_test(test_models LABEL backend TIMEOUT 360 LINKS fm_rig)
  fm_test(test_features LABEL backend TIMEOUT 240 LINKS fm_rig)
  fm_test(test_update LABEL backend TIMEOUT 120 LINKS fm_rig)
  fm_test(test_augment LABEL backend TIMEOUT 60 LINKS fm_rig)
  fm_test(test_precision LABEL backend TIMEOUT 240 LINKS fm_rig)
  fm_test(test_golden LABEL backend TIMEOUT 360 LINKS fm_rig)
endif()
