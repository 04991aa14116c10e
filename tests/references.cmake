# The round trips with the programs that files are written for and come from, which take their real
# packages: `scripts/test --references` installs these and sets FMNIST_REFERENCE_PYTHON. A Python that was
# named when this was configured (net.cmake) counts before.
if(NOT FMNIST_BACKEND_CPU)
  return()
endif()

add_library(fm_drawn STATIC reference/drawn.c reference/python.c)
target_link_libraries(fm_drawn PUBLIC fm_rig fm_data fm_net)
target_include_directories(fm_drawn PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_compile_definitions(fm_drawn PRIVATE
  FM_TEST_SOURCE_DIR="${CMAKE_SOURCE_DIR}" FM_TEST_BINARY_DIR="${CMAKE_BINARY_DIR}")

fm_test(test_exports LABEL references TIMEOUT 300 LINKS fm_drawn)
fm_test(test_vgg16_weights LABEL references TIMEOUT 600 LINKS fm_drawn)
set(reference_tests test_exports test_vgg16_weights)

set_tests_properties(${reference_tests} PROPERTIES ENVIRONMENT "OMP_WAIT_POLICY=passive")
if(FMNIST_REFERENCE_PYTHON)
  set_property(TEST ${reference_tests} APPEND PROPERTY
    ENVIRONMENT "FMNIST_REFERENCE_PYTHON=${FMNIST_REFERENCE_PYTHON}")
endif()
