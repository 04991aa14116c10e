# The man pages and the completion scripts: written by a program that has the tables of the command
# line in it, installed where man and the shells look.
add_executable(fmnist-documents documents_main.c)
target_link_libraries(fmnist-documents PRIVATE fm_cli)
set_target_properties(fmnist-documents PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})

set(man_folder ${CMAKE_BINARY_DIR}/man)
set(completion_folder ${CMAKE_BINARY_DIR}/completion)
set(recipe_folder ${CMAKE_SOURCE_DIR}/data/recipes)
# By name: a glob that the build checks makes ninja say that there is work whenever it is asked.
set(recipes ${recipe_folder}/best.json ${recipe_folder}/quick.json ${recipe_folder}/reference.json
            ${recipe_folder}/speedrun.json)

# There is a page for each command, too: only the tables say which. The folders are emptied first,
# lest the page of a command that is gone be installed.
add_custom_command(
  OUTPUT ${man_folder}/fmnist.1 ${completion_folder}/fmnist.bash ${completion_folder}/_fmnist
    ${completion_folder}/fmnist.fish
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${man_folder} ${completion_folder}
  COMMAND fmnist-documents ${man_folder} ${completion_folder} ${recipe_folder}
  DEPENDS fmnist-documents ${recipes}
  COMMENT "Writing man pages and completion scripts"
  VERBATIM)
add_custom_target(documents ALL DEPENDS ${man_folder}/fmnist.1)

install(DIRECTORY ${man_folder}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1
  FILES_MATCHING PATTERN "*.1")
install(FILES ${completion_folder}/fmnist.bash
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME fmnist)
install(FILES ${completion_folder}/_fmnist DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${completion_folder}/fmnist.fish
  DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
