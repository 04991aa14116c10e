# The simulated cuDNN's part of the simulated device: needs cuDNN's headers, and for shadow mode the
# real library at run time. Sets SIM_CUDNN_MISSING to a reason, or adds to SIMCUDA_SOURCES.
find_path(CUDNN_INCLUDE_DIR cudnn_backend.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
find_library(CUDNN_LIBRARY cudnn HINTS ${CUDAToolkit_LIBRARY_DIR})
set(SIM_CUDNN_MISSING "" CACHE INTERNAL "")

function(sim_cudnn target)
  if(SIM_CUDNN_MISSING)
    return()
  endif()
  target_include_directories(${target} SYSTEM PUBLIC ${CUDNN_INCLUDE_DIR})
  target_compile_definitions(${target} PRIVATE SIMCUDA_NODEV="$<TARGET_FILE:nodev>")
  if(CUDNN_LIBRARY)
    target_compile_definitions(${target} PRIVATE SIMCUDA_CUDNN="${CUDNN_LIBRARY}")
  endif()
  add_dependencies(${target} nodev)
endfunction()

if(NOT CUDNN_INCLUDE_DIR)
  set(SIM_CUDNN_MISSING "the headers of cuDNN were not found" CACHE INTERNAL "")
  message(STATUS "No cuDNN in the simulated device: ${SIM_CUDNN_MISSING}")
  return()
endif()

set(SIM_CUDNN_SOURCES cudnn_handle.cc cudnn_descriptor.cc cudnn_tensor.cc cudnn_gemm.cc
  cudnn_conv.cc cudnn_pointwise.cc cudnn_norm.cc cudnn_graph.cc cudnn_engine.cc cudnn_plan.cc
  cudnn_execute.cc cudnn_shadow.cc)
list(APPEND SIMCUDA_SOURCES ${SIM_CUDNN_SOURCES})
# The one place where multiplications and additions may be contracted: what it computes is compared
# with tolerances, and it takes most of the time.
set_source_files_properties(cudnn_gemm.cc PROPERTIES COMPILE_OPTIONS "-O3;-ffp-contract=fast")

# A driver that knows no device, for the real library.
add_library(nodev SHARED ${CMAKE_CURRENT_LIST_DIR}/../cudnn/nodev.c)
set_target_properties(nodev PROPERTIES OUTPUT_NAME cuda SUFFIX .so.1 NO_SONAME ON
  C_VISIBILITY_PRESET default LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/nodev)
target_link_options(nodev PRIVATE -Wl,-soname,libcuda.so.1)
