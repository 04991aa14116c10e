fm_test(test_net LABEL unit TIMEOUT 30 LINKS fm_net)
fm_test(test_init LABEL unit TIMEOUT 30 LINKS fm_net)
fm_test(test_safetensors LABEL unit TIMEOUT 30 LINKS fm_net)
fm_test(test_tensors LABEL unit TIMEOUT 60 LINKS fm_net)
fm_test(test_pretrained LABEL unit TIMEOUT 30 LINKS fm_net)
fm_test(test_child LABEL unit TIMEOUT 90 LINKS fm_net)
fm_test(test_hdf5_none LABEL unit TIMEOUT 30 LINKS fm_net)
if(FM_HAVE_HDF5)
  foreach(name test_hdf5 test_hdf5_hostile test_keras)
    fm_test(${name} LABEL unit TIMEOUT 120 LINKS "fm_net;PkgConfig::HDF5")
  endforeach()
endif()
fm_test(test_pytorch LABEL unit TIMEOUT 30 LINKS fm_net)
if(FM_HAVE_ONNX)
  fm_test(test_onnx LABEL unit TIMEOUT 30 LINKS fm_net)
endif()

# A Python that has the safetensors package (tests/reference/requirements.txt): the format is then also
# held against its own implementation.
set(FMNIST_REFERENCE_PYTHON "" CACHE FILEPATH "Python with tests/reference/requirements.txt")
fm_test(test_safetensors_python LABEL unit TIMEOUT 120
  SOURCES test_safetensors_python.c LINKS fm_net)
set_tests_properties(test_safetensors_python PROPERTIES LABELS "unit;references")
if(FMNIST_REFERENCE_PYTHON)
  set_tests_properties(test_safetensors_python PROPERTIES
    ENVIRONMENT "FMNIST_REFERENCE_PYTHON=${FMNIST_REFERENCE_PYTHON}")
endif()
