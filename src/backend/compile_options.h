// What no backend compiles, whatever computes.
#ifndef FM_BACKEND_COMPILE_OPTIONS_H
#define FM_BACKEND_COMPILE_OPTIONS_H

#include "backend/backend.h"

// FM_USAGE for options that contradict one another or the network. `averages`: the model keeps its
// averaged weights.
enum fm_status fm_compile_check(
    const struct fm_net *net, const struct fm_compile_options *options, bool averages);

#endif
