# `fmnist` itself on the simulated device. Comes after cuda_backend.cmake and gpu.cmake.
#
# tests/simulated/ in the build folder is laid out as an installation is, so that the program finds
# there what it finds in one: its library, its modules (the CUDA backend's is that on the simulated
# device) and the recipes; and, in a folder that the loader searches, a driver, without which the
# backend is not tried where none was named: any library of that name.
if(NOT TARGET fmnist-cuda-sim OR NOT TARGET fmnist-cpu)
  foreach(case train bits moved refusals profile bench results transfer teacher)
    fm_cuda_skip(cuda_tool_${case}
      "the CUDA toolkit, cuDNN, the simulated device or the CPU backend is missing")
  endforeach()
  return()
endif()

set(simulated ${CMAKE_BINARY_DIR}/tests/simulated)
set(simulated_lib ${simulated}/${CMAKE_INSTALL_LIBDIR})
file(RELATIVE_PATH from_bin ${simulated}/bin ${simulated_lib})
add_executable(fmnist_simulated ${CMAKE_SOURCE_DIR}/src/main.c)
target_link_libraries(fmnist_simulated PRIVATE fm_options libfmnist)
set_target_properties(fmnist_simulated PROPERTIES
  OUTPUT_NAME fmnist RUNTIME_OUTPUT_DIRECTORY ${simulated}/bin
  BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN/${from_bin}")

# The library looks for modules beside the file that it is, so it is a copy.
get_filename_component(simulated_recipes ${simulated_lib}/${recipes_installed} ABSOLUTE)
get_filename_component(simulated_share ${simulated_recipes} DIRECTORY)
set(simulated_modules)
get_property(modules GLOBAL PROPERTY FM_MODULES)
list(REMOVE_ITEM modules fmnist-cuda)
foreach(module ${modules})
  list(APPEND simulated_modules COMMAND ${CMAKE_COMMAND} -E create_symlink $<TARGET_FILE:${module}>
    ${simulated_lib}/fmnist/${module}${CMAKE_SHARED_MODULE_SUFFIX})
endforeach()
add_custom_command(OUTPUT ${simulated}/made
  COMMAND ${CMAKE_COMMAND} -E make_directory
    ${simulated_lib}/fmnist ${simulated_share} ${simulated}/driver
  COMMAND ${CMAKE_COMMAND} -E copy $<TARGET_FILE:libfmnist>
    ${simulated_lib}/$<TARGET_SONAME_FILE_NAME:libfmnist>
  COMMAND ${CMAKE_COMMAND} -E create_symlink
    $<TARGET_FILE:fmnist-cuda-sim> ${simulated_lib}/fmnist/fmnist-cuda${CMAKE_SHARED_MODULE_SUFFIX}
  ${simulated_modules}
  COMMAND ${CMAKE_COMMAND} -E create_symlink
    $<TARGET_FILE:fmnist-cuda-sim> ${simulated}/driver/libcuda.so.1
  COMMAND ${CMAKE_COMMAND} -E create_symlink ${CMAKE_SOURCE_DIR}/data/recipes ${simulated_recipes}
  COMMAND ${CMAKE_COMMAND} -E touch ${simulated}/made
  DEPENDS libfmnist fmnist-cuda-sim ${modules} VERBATIM)
add_custom_target(simulated ALL DEPENDS ${simulated}/made)
add_dependencies(simulated fmnist_simulated measure)
add_dependencies(tests_cuda simulated weights_tool)

foreach(case train bits moved refusals profile bench results)
  add_test(NAME cuda_tool_${case} COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/cuda_tool.sh
    $<TARGET_FILE:fmnist_simulated> $<TARGET_FILE:measure> ${simulated_lib}/fmnist
    ${CMAKE_SOURCE_DIR}/data/tiny ${case})
  set_tests_properties(cuda_tool_${case} PROPERTIES LABELS cuda TIMEOUT 300)
endforeach()

add_test(NAME cuda_tool_transfer COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/transfer.sh
  $<TARGET_FILE:fmnist_simulated> $<TARGET_FILE:weights_tool> ${CMAKE_SOURCE_DIR}/data/tiny cuda)
set_tests_properties(cuda_tool_transfer PROPERTIES LABELS cuda TIMEOUT 600)
add_test(NAME cuda_tool_teacher COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/teacher.sh
  $<TARGET_FILE:fmnist_simulated> ${CMAKE_SOURCE_DIR}/data/tiny cuda)
set_tests_properties(cuda_tool_teacher PROPERTIES LABELS cuda TIMEOUT 300)
set_property(TEST cuda_tool_train cuda_tool_bits cuda_tool_moved cuda_tool_refusals cuda_tool_profile
  cuda_tool_bench cuda_tool_results cuda_tool_transfer cuda_tool_teacher
  APPEND PROPERTY ENVIRONMENT "LD_LIBRARY_PATH=${simulated}/driver:$ENV{LD_LIBRARY_PATH}")
