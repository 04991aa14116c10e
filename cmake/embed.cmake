# Files as a table of C arrays, with their SHA-256, so that the tool needs none of them beside it:
#
#   cmake -D OUT=assets.c -D "FILES=page.css;page.js" -P embed.cmake
set(text "// Written by cmake/embed.cmake.\n#include \"report/pages/asset.h\"\n\n#include <stddef.h>\n\n")
set(table "")
set(index 0)
foreach(file IN LISTS FILES)
  file(READ "${file}" bytes HEX)
  file(SHA256 "${file}" hash)
  get_filename_component(name "${file}" NAME)
  string(LENGTH "${bytes}" digits)
  math(EXPR size "${digits} / 2")
  if(size EQUAL 0)
    message(FATAL_ERROR "${file} is empty")
  endif()
  string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(APPEND text "static const unsigned char bytes_${index}[] = {\n${bytes}\n};\n")
  string(APPEND table "    {\"${name}\", bytes_${index}, ${size}, \"${hash}\"},\n")
  math(EXPR index "${index} + 1")
endforeach()
string(APPEND text
  "const struct fm_asset fm_assets[] = {\n${table}    {NULL, NULL, 0, NULL},\n};\n")
file(WRITE "${OUT}" "${text}")
