# The simulated cuDNN alone, and held against the real one's verdicts on the same graphs.
set(cudnn_tests test_simcuda_cudnn cudnn_shadow
  cudnn_verdicts_h100 cudnn_verdicts_a100 cudnn_verdicts_t4
  cudnn_graphs_h100 cudnn_graphs_t4 cudnn_graphs_undriven
  cudnn_graphs_transfer_short_h100 cudnn_graphs_transfer_short_t4)
set(cudnn_missing "${SIM_CUDNN_MISSING}")
if(NOT TARGET simcuda)
  set(cudnn_missing "there is no simulated device")
endif()
if(cudnn_missing)
  foreach(test IN LISTS cudnn_tests)
    add_test(NAME ${test} COMMAND sh -c "echo 'SKIP: ${cudnn_missing}'; exit 77")
    set(label simcuda)
    if(test MATCHES "^cudnn_graphs_")
      set(label cuda)
    endif()
    set_tests_properties(${test} PROPERTIES LABELS ${label} SKIP_RETURN_CODE 77)
  endforeach()
  return()
endif()

# Compiled once: what is linked with one library is what is linked with the other.
add_library(cudnn_graphs OBJECT cudnn/graph.c)
add_library(cudnn_verdict_list OBJECT cudnn/verdicts.c)
foreach(objects cudnn_graphs cudnn_verdict_list)
  target_link_libraries(${objects} PRIVATE fm_options)
  target_include_directories(${objects} SYSTEM PRIVATE
    ${CUDNN_INCLUDE_DIR} ${CUDAToolkit_INCLUDE_DIRS})
endforeach()

fm_test(test_simcuda_cudnn LABEL simcuda TIMEOUT 120
  SOURCES test_simcuda_cudnn.c $<TARGET_OBJECTS:cudnn_graphs> LINKS fm_options simcuda m)

add_executable(verdicts_simulated
  $<TARGET_OBJECTS:cudnn_verdict_list> $<TARGET_OBJECTS:cudnn_graphs>)
target_link_libraries(verdicts_simulated PRIVATE simcuda)
if(CUDNN_LIBRARY)
  add_executable(verdicts_real
    $<TARGET_OBJECTS:cudnn_verdict_list> $<TARGET_OBJECTS:cudnn_graphs>)
  target_link_libraries(verdicts_real PRIVATE ${CUDNN_LIBRARY})
  add_dependencies(verdicts_real nodev)
  set(verdict_real $<TARGET_FILE:verdicts_real>)
endif()

# Every runtime-compiled engine takes seconds. The A100's verdicts are the H100's, so they are asked
# for where time does not matter (`scripts/test -L long`).
foreach(device h100 a100 t4)
  set(when)
  if(device STREQUAL "a100")
    set(when CONFIGURATIONS long)
  endif()
  add_test(NAME cudnn_verdicts_${device} ${when}
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cudnn_verdicts.sh
      $<TARGET_FILE:verdicts_simulated> "${verdict_real}"
      ${CMAKE_CURRENT_SOURCE_DIR}/simcuda/devices/${device}.json $<TARGET_FILE_DIR:nodev>)
  set_tests_properties(cudnn_verdicts_${device} PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77
    LABELS simcuda)
endforeach()
set_tests_properties(cudnn_verdicts_a100 PROPERTIES LABELS long)

if(CUDNN_LIBRARY)
  add_executable(cudnn_shadowed cudnn/shadowed.c $<TARGET_OBJECTS:cudnn_graphs>)
  target_link_libraries(cudnn_shadowed PRIVATE fm_options simcuda)
  add_test(NAME cudnn_shadow COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cudnn_shadow.sh
    $<TARGET_FILE:cudnn_shadowed> ${CMAKE_CURRENT_SOURCE_DIR}/simcuda/devices)
else()
  add_test(NAME cudnn_shadow COMMAND sh -c "echo 'SKIP: the library cuDNN was not found'; exit 77")
endif()
set_tests_properties(cudnn_shadow PROPERTIES LABELS simcuda TIMEOUT 120 SKIP_RETURN_CODE 77)

# What the backend itself asks NVIDIA's library for: every graph of every model.
if(TARGET fmnist-cuda)
  add_executable(model_graphs cudnn/model_graphs.c cudnn/wanted.c cudnn/survey.c)
  set_target_properties(model_graphs PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(model_graphs PRIVATE
    fm_options fm_cuda_host fm_cuda_kernels CUDA::cudart CUDA::cublasLt fm_cudnn PkgConfig::JANSSON)
  add_dependencies(model_graphs nodev)
  set(model_graphs $<TARGET_FILE:model_graphs>)
endif()

function(fm_cudnn_graphs name set device label)
  set(when)
  if(label STREQUAL "long")
    set(when CONFIGURATIONS long)
  endif()
  add_test(NAME cudnn_graphs_${name} ${when}
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cudnn_model_graphs.sh "${model_graphs}" ${set}
      ${CMAKE_CURRENT_SOURCE_DIR}/simcuda/devices/${device}.json $<TARGET_FILE_DIR:nodev>)
  set_tests_properties(cudnn_graphs_${name} PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 77
    LABELS ${label})
endfunction()

fm_cudnn_graphs(h100 short h100 cuda)
fm_cudnn_graphs(t4 short t4 cuda)
fm_cudnn_graphs(undriven undriven t4 cuda)
# VGG16 at the larger sizes of its input. Some 1,800 graphs a GPU take a minute, a few take seconds.
fm_cudnn_graphs(transfer_short_h100 transfer-short h100 cuda)
fm_cudnn_graphs(transfer_short_t4 transfer-short t4 cuda)
foreach(device h100 a100 t4)
  fm_cudnn_graphs(transfer_${device} transfer ${device} long)
endforeach()
# Engines for batch norm are compiled for each graph, and the A100's are like the H100's.
fm_cudnn_graphs(h100_rest rest h100 long)
fm_cudnn_graphs(a100 all a100 long)
