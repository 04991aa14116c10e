// What a model computes in: from a name and what the device has, to a precision, native or
// emulated.
#ifndef FM_BACKEND_PRECISION_H
#define FM_BACKEND_PRECISION_H

#include "backend/registry.h"

// "auto", "fp32", "bf16" or "fp16"; what the device does not train in fails with FM_UNSUPPORTED.
// "auto" is what the device prefers (struct fm_device_info), never emulated. *emulated: whether a
// model must emulate it, which `emulate` asks for and fp16 takes by itself where the device has it
// in no other way.
enum fm_status fm_precision_choose(const char *name, const struct fm_engine *engine, bool emulate,
    enum fm_precision *precision, bool *emulated);
const char *fm_precision_name(enum fm_precision precision);

#endif
