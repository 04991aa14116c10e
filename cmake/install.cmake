# What `cmake --install` puts in place: the program, libfmnist with what it takes to build against
# it, and the recipes. (fm_module() installs the modules.) Every path from one installed file to
# another is relative, so that an installation can be moved as a whole.
include(CMakePackageConfigHelpers)

file(RELATIVE_PATH bin_to_lib ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
set_target_properties(fmnist PROPERTIES
  BUILD_RPATH_USE_ORIGIN ON INSTALL_RPATH "$ORIGIN/${bin_to_lib}")
install(TARGETS fmnist)
install(TARGETS libfmnist EXPORT fmnistTargets LIBRARY)
install(DIRECTORY include/fmnist DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY data/recipes DESTINATION ${CMAKE_INSTALL_DATADIR}/fmnist
  FILES_MATCHING PATTERN "*.json")
install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/fmnist)
configure_package_config_file(cmake/fmnistConfig.cmake.in
  ${CMAKE_BINARY_DIR}/generated/fmnistConfig.cmake INSTALL_DESTINATION ${package}
  NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(
  ${CMAKE_BINARY_DIR}/generated/fmnistConfigVersion.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_BINARY_DIR}/generated/fmnistConfig.cmake
  ${CMAKE_BINARY_DIR}/generated/fmnistConfigVersion.cmake DESTINATION ${package})
install(EXPORT fmnistTargets NAMESPACE fmnist:: DESTINATION ${package})

set(pkgconfig ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH pc_to_prefix ${pkgconfig} ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" pc_to_prefix ${pc_to_prefix})
file(RELATIVE_PATH pc_to_include ${pkgconfig} ${CMAKE_INSTALL_FULL_INCLUDEDIR})
configure_file(cmake/fmnist.pc.in generated/fmnist.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/generated/fmnist.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
