// What every writer of a network expects of it.
#ifndef FM_NET_FORMATS_CHECK_H
#define FM_NET_FORMATS_CHECK_H

#include "net/formats/formats.h"

// The network classifies images, its layers follow each other as both PyTorch and Keras have them
// (convolutions and pooling before the first layer that flattens, paddings of none or of the same
// size), and the file has every tensor in its size. `path` is what is not written, for the message.
enum fm_status fm_format_check(const char *path, const struct fm_format_model *model);

// The tensor of this name, which fm_format_check() has found to be there.
const struct fm_tensor *fm_format_param(const struct fm_format_model *model, int param);
const struct fm_tensor *fm_format_running(const struct fm_format_model *model, int running);

// Values of the input's channels as they count: mean 0 and deviation 1 without standardising.
float fm_format_mean(const struct fm_net *net, int channel);
float fm_format_deviation(const struct fm_net *net, int channel);

// Whether records are resized.
bool fm_format_resizes(const struct fm_net *net);

// The decimal number of fewest digits that is this fp32: 0.3 and not 0.300000011920929.
double fm_format_decimal(float value);

#endif
