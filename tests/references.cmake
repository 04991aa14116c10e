# The round trips with the programs that files are written for and come from, which take their real
# packages: `scripts/test --references` installs these and sets FMNIST_REFERENCE_PYTHON. A Python that was
# named when this was configured (net.cmake) counts before. A build without one of the libraries has no
# whole round.
if(NOT (FMNIST_BACKEND_CPU AND FM_HAVE_HDF5 AND FM_HAVE_ONNX))
  return()
endif()

add_library(fm_drawn STATIC reference/drawn.c reference/python.c)
target_link_libraries(fm_drawn PUBLIC fm_rig fm_data fm_net)
target_include_directories(fm_drawn PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_compile_definitions(fm_drawn PRIVATE
  FM_TEST_SOURCE_DIR="${CMAKE_SOURCE_DIR}" FM_TEST_BINARY_DIR="${CMAKE_BINARY_DIR}")

fm_test(test_exported LABEL references TIMEOUT 300 LINKS fm_drawn)
fm_test(test_vgg16_weights LABEL references TIMEOUT 600 LINKS fm_drawn)
fm_test(test_tensor_types LABEL references TIMEOUT 120 LINKS fm_drawn)
set(reference_tests test_exported test_vgg16_weights test_tensor_types)

# What goes through the tool.
function(fm_reference_script name packages)
  add_test(NAME ${name} COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/reference/run.sh "${packages}" ${ARGN})
  set_tests_properties(${name} PROPERTIES LABELS references TIMEOUT 300 SKIP_RETURN_CODE 77)
  list(APPEND reference_tests ${name})
  set(reference_tests ${reference_tests} PARENT_SCOPE)
endfunction()
set(tool $<TARGET_FILE:fmnist> ${CMAKE_SOURCE_DIR}/data/tiny)
fm_reference_script(torch_simple "numpy torch safetensors" torch_train.py ${tool} simple)
fm_reference_script(torch_deeper "numpy torch safetensors" torch_train.py ${tool} deeper)
fm_reference_script(keras_through "numpy torch safetensors keras h5py onnxruntime"
  keras_through.py ${tool})

add_executable(reference_logits reference/logits.c)
target_link_libraries(reference_logits PRIVATE fm_rig fm_eval fm_data)
target_compile_definitions(reference_logits PRIVATE FM_TEST_BINARY_DIR="${CMAKE_BINARY_DIR}")
add_dependencies(reference_logits fmnist-cpu)
fm_reference_script(onnx_all "numpy safetensors onnx onnxruntime"
  onnx_all.py ${tool} $<TARGET_FILE:reference_logits>)

# Others' libraries have threads of their own.
set_tests_properties(${reference_tests} PROPERTIES PROCESSORS 2
  ENVIRONMENT "OMP_WAIT_POLICY=passive")
if(FMNIST_REFERENCE_PYTHON)
  set_property(TEST ${reference_tests} APPEND PROPERTY
    ENVIRONMENT "FMNIST_REFERENCE_PYTHON=${FMNIST_REFERENCE_PYTHON}")
endif()
