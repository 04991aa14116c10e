# What reads pictures, and what is done with them. Their pictures are made by the libraries that read
# them, which a build may be without.
fm_test(test_picture_none LABEL unit TIMEOUT 20
  SOURCES test_picture_none.c ${CMAKE_SOURCE_DIR}/src/data/pictures/picture_jpeg_none.c
    ${CMAKE_SOURCE_DIR}/src/data/pictures/picture_exif_none.c LINKS fm_data)
fm_test(test_picture_convert LABEL unit TIMEOUT 60 LINKS fm_data m)
if(FM_HAVE_JPEG AND FM_HAVE_EXIF)
  add_library(fm_test_pictures STATIC pictures.c)
  target_link_libraries(fm_test_pictures PUBLIC fm_base PkgConfig::PNG PkgConfig::JPEG)
  fm_test(test_picture LABEL unit TIMEOUT 60 LINKS fm_test_pictures fm_data m)

  # Photographs in every kind, and what is none, given to the tool.
  add_executable(make_photographs make_photographs.c)
  target_link_libraries(make_photographs PRIVATE fm_test_pictures fm_data)
  set_target_properties(make_photographs PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  if(FMNIST_BACKEND_CPU)
    add_test(NAME predict COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/predict.sh $<TARGET_FILE:fmnist>
      ${CMAKE_SOURCE_DIR}/data/tiny $<TARGET_FILE:make_photographs>)
    set_tests_properties(predict PROPERTIES LABELS tool TIMEOUT 240)
  endif()
endif()
fm_test(test_source LABEL unit TIMEOUT 60 LINKS fm_data)
fm_test(test_prediction LABEL unit TIMEOUT 30 LINKS fm_app)
