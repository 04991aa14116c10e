# The style and the scripts of pages, which become part of the library. A script of one kind of page
# is added here by name. Included by the folder above, whose library the file made here is part of.
set(assets page.css page.js page_confusion.js page_look.js page_review.js)
list(TRANSFORM assets PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
set(embed ${CMAKE_SOURCE_DIR}/cmake/embed.cmake)
set(embedded ${CMAKE_BINARY_DIR}/generated/report/assets.c)
add_custom_command(
  OUTPUT ${embedded}
  COMMAND ${CMAKE_COMMAND} -D OUT=${embedded} -D "FILES=${assets}" -P ${embed}
  DEPENDS ${assets} ${embed}
  COMMENT "Embedding the style and scripts of pages"
  VERBATIM)
target_sources(fm_report PRIVATE ${embedded})
