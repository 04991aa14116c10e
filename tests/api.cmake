# The library: its functions, what it exports, and an installation used by a program from outside.
add_test(NAME exports COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/exports.sh
  $<TARGET_FILE:libfmnist> ${CMAKE_SOURCE_DIR}/include/fmnist/fmnist.h)
set_tests_properties(exports PROPERTIES LABELS tool TIMEOUT 10)

if(NOT FMNIST_BACKEND_CPU)
  return()
endif()
fm_test(test_api LABEL backend TIMEOUT 240 LINKS fm_api)

# In build/ alone: the further builds (scripts.cmake) need not repeat it.
if(NOT CMAKE_BINARY_DIR STREQUAL "${CMAKE_SOURCE_DIR}/build")
  return()
endif()
add_test(NAME install COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/install.sh
  ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
set_tests_properties(install PROPERTIES LABELS tool TIMEOUT 240)
