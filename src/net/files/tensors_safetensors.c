// safetensors files, their headers first.
#include "net/files/tensors.h"
