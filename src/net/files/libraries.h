// The libraries that files of tensors are read and written with, for `fmnist info`.
#ifndef FM_NET_FILES_LIBRARIES_H
#define FM_NET_FILES_LIBRARIES_H

#include "base/library.h"

enum {
    FM_TENSORS_LIBRARIES = 2
};
void fm_tensors_libraries(struct fm_library libraries[FM_TENSORS_LIBRARIES]);

// Of each what its reader's file says.
void fm_onnx_library(struct fm_library *library);

#endif
