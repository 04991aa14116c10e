fm_test(test_args LABEL unit TIMEOUT 10 LINKS fm_cli)
fm_test(test_manual LABEL unit TIMEOUT 10 LINKS fm_cli)

# The tool as a user calls it, and a whole round of training, evaluation and comparison.
add_test(NAME cli COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/cli_test.sh $<TARGET_FILE:fmnist>)
set_tests_properties(cli PROPERTIES LABELS tool TIMEOUT 60)

# Man pages and completion scripts, as they are installed. Each test needs the program that it is
# about, and says so where there is none; bash there always is.
set(script ${CMAKE_CURRENT_SOURCE_DIR}/completion)
set(written ${CMAKE_BINARY_DIR}/completion)
add_test(NAME manual COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/manual_test.sh $<TARGET_FILE:fmnist>
  $<TARGET_FILE:fmnist-documents> ${CMAKE_BINARY_DIR}/man ${CMAKE_SOURCE_DIR})
add_test(NAME manual_lint
  COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/manual_lint.sh ${CMAKE_BINARY_DIR}/man)
add_test(NAME completion_bash COMMAND bash ${script}/bash.sh $<TARGET_FILE:fmnist>
  ${written}/fmnist.bash ${CMAKE_SOURCE_DIR})
add_test(NAME completion_zsh COMMAND sh ${script}/zsh.sh $<TARGET_FILE:fmnist>
  ${written}/_fmnist ${CMAKE_SOURCE_DIR})
add_test(NAME completion_fish COMMAND sh ${script}/fish.sh $<TARGET_FILE:fmnist>
  ${written}/fmnist.fish ${CMAKE_SOURCE_DIR})
set_tests_properties(manual manual_lint completion_bash completion_zsh completion_fish
  PROPERTIES LABELS tool TIMEOUT 60 SKIP_RETURN_CODE 77)

add_test(NAME smoke
  COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/smoke.sh $<TARGET_FILE:fmnist> ${CMAKE_SOURCE_DIR}/data/tiny)
set_tests_properties(smoke PROPERTIES LABELS smoke TIMEOUT 60 PROCESSORS 2)

# Killed, stopped, starved and gone on with. Those of the configuration "long" take many minutes:
# scripts/test -L long asks for them.
set(kill ${CMAKE_CURRENT_SOURCE_DIR}/kill_test.sh $<TARGET_FILE:fmnist> ${CMAKE_SOURCE_DIR}/data/tiny)
add_test(NAME kill COMMAND sh ${kill} 30 simple --precision fp32)
add_test(NAME stop COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/stop_test.sh $<TARGET_FILE:fmnist>
  ${CMAKE_SOURCE_DIR}/data/tiny)
set_tests_properties(kill stop PROPERTIES LABELS resume TIMEOUT 900)
add_test(NAME kill_often COMMAND sh ${kill} 200 simple CONFIGURATIONS long)
add_test(NAME kill_deeper COMMAND sh ${kill} 60 deeper --precision fp16 CONFIGURATIONS long)
add_test(NAME kill_vgg16 COMMAND sh ${kill} 30 vgg16 CONFIGURATIONS long)
set_tests_properties(kill_often kill_deeper kill_vgg16 PROPERTIES LABELS long TIMEOUT 7200 PROCESSORS 2)

# TensorBoard reads what --tensorboard writes. FMNIST_REFERENCE_PYTHON (net.cmake) is asked first:
# tests/reference/requirements.txt names the package.
add_test(NAME tensorboard COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/tensorboard.sh $<TARGET_FILE:fmnist>
  ${CMAKE_SOURCE_DIR}/data/tiny ${FMNIST_REFERENCE_PYTHON})
set_tests_properties(tensorboard PROPERTIES LABELS "tool;references" TIMEOUT 120 PROCESSORS 2 SKIP_RETURN_CODE 77)

# Folders of pictures in place of IDX files.
add_executable(make_pictures make_pictures.c)
target_link_libraries(make_pictures PRIVATE fm_data)
set_target_properties(make_pictures PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_test(NAME own_pictures COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/own_pictures.sh $<TARGET_FILE:fmnist>
  $<TARGET_FILE:make_pictures> ${CMAKE_SOURCE_DIR}/data/tiny)
set_tests_properties(own_pictures PROPERTIES LABELS tool TIMEOUT 240)

# From a folder of photographs to labels, by the commands that README.md gives.
add_test(NAME readme COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/readme.sh $<TARGET_FILE:fmnist>
  ${CMAKE_SOURCE_DIR})
set_tests_properties(readme PROPERTIES LABELS tool TIMEOUT 300 PROCESSORS 2 SKIP_RETURN_CODE 77)

# VGG16 with weights of others: modes, kept features, going on.
add_executable(weights_tool weights_tool.c)
target_link_libraries(weights_tool PRIVATE fm_net m)
set_target_properties(weights_tool PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_test(NAME transfer COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/transfer.sh $<TARGET_FILE:fmnist>
  $<TARGET_FILE:weights_tool> ${CMAKE_SOURCE_DIR}/data/tiny cpu)
set_tests_properties(transfer PROPERTIES LABELS tool TIMEOUT 600)

# A training that finished runs teach.
add_test(NAME teacher COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/teacher.sh $<TARGET_FILE:fmnist>
  ${CMAKE_SOURCE_DIR}/data/tiny cpu)
set_tests_properties(teacher PROPERTIES LABELS tool TIMEOUT 600)

add_test(NAME force COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/force.sh $<TARGET_FILE:fmnist>
  ${CMAKE_SOURCE_DIR}/data/tiny)
set_tests_properties(force PROPERTIES LABELS tool TIMEOUT 240)
