# Pages, and what they are made of, which becomes part of the library. A script of one kind of page
# is added here by name.
set(assets page.css page.js page_confusion.js page_look.js page_review.js)
list(TRANSFORM assets PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
set(embed ${CMAKE_SOURCE_DIR}/cmake/embed.cmake)
set(embedded ${CMAKE_BINARY_DIR}/generated/report/assets.c)
add_custom_command(
  OUTPUT ${embedded}
  COMMAND ${CMAKE_COMMAND} -D OUT=${embedded} -D "FILES=${assets}" -P ${embed}
  DEPENDS ${assets} ${embed}
  COMMENT "Embedding the style and scripts of pages"
  VERBATIM)
target_sources(fm_report PRIVATE page.c atlas.c markup.c ${embedded})
