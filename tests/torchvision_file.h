// A weights file for VGG16's base as torchvision's are laid out, of drawn values: trained ones
// cannot be had everywhere.
#ifndef FM_TESTS_TORCHVISION_FILE_H
#define FM_TESTS_TORCHVISION_FILE_H

#include "net/safetensors.h"
#include "net/zoo.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    TORCHVISION_CONVOLUTIONS = 13
};

// Evenly drawn, and of a size that activations keep through thirteen layers.
static inline void torchvision_draw(const struct fm_param *param, uint32_t seed, float *values)
{
    double bound = param->fan_in > 0 ? sqrt(6.0 / param->fan_in) : 0.05; // of biases
    for (size_t i = 0; i < param->count; i++) {
        seed = seed * 1664525 + 1013904223; // Numerical Recipes' generator
        values[i] = (float)(bound * ((double)seed / 0x1p31 - 1));
    }
}

static inline enum fm_status torchvision_write(const char *path, uint32_t seed)
{
    static const int layers[TORCHVISION_CONVOLUTIONS] = {
        0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28};
    static struct fm_net net;
    static struct fm_tensor tensors[2 * TORCHVISION_CONVOLUTIONS];
    FM_TRY(fm_zoo_build("vgg16", 10, &net));
    float *values = malloc(net.param_elements * sizeof *values);
    if (!values)
        return fm_fail_memory("weights", net.param_elements * sizeof *values);
    for (int p = 0; p < 2 * TORCHVISION_CONVOLUTIONS; p++) {
        const struct fm_param *param = &net.params[p];
        struct fm_tensor *tensor = &tensors[p];
        snprintf(tensor->name, sizeof tensor->name, "features.%d.%s", layers[p / 2],
            p % 2 ? "bias" : "weight");
        tensor->ndims = param->ndims;
        tensor->count = param->count;
        for (int d = 0; d < param->ndims; d++)
            tensor->dims[d] = param->dims[d];
        tensor->data = values + param->offset;
        torchvision_draw(param, seed + (uint32_t)p, tensor->data);
    }
    enum fm_status status = fm_safetensors_write(path, tensors, 2 * TORCHVISION_CONVOLUTIONS, NULL);
    free(values);
    return status;
}

#endif
