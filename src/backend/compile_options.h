// What the options of an executor come to, whatever computes.
#ifndef FM_BACKEND_COMPILE_OPTIONS_H
#define FM_BACKEND_COMPILE_OPTIONS_H

#include "backend/backend.h"
#include "mix.h"

// FM_USAGE for options that contradict one another or the network. `averages`: the model keeps its
// averaged weights.
enum fm_status fm_compile_check(
    const struct fm_net *net, const struct fm_compile_options *options, bool averages);

// How far the draws of augmentation and of mixing may go.
struct fm_augment_ranges fm_compile_augment_ranges(
    const struct fm_compile_options *options, const struct fm_input *input);
struct fm_mix_ranges fm_compile_mix_ranges(
    const struct fm_compile_options *options, const struct fm_input *input);

#endif
