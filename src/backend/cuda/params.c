// Where parameters and running statistics lie on the device.
#include "backend/cuda/params.h"

#include "backend/cuda/memory.h"

#include <string.h>

static uint64_t round_up(uint64_t count)
{
    return fm_cuda_round_up(count, FM_CUDA_VECTOR);
}

// How the canonical tensor is read: [outer][rows][columns] that becomes [outer][columns][rows].
static void shape_weight(const struct fm_layer *layer, struct fm_cuda_place *place)
{
    place->outer = layer->out.c;
    place->rows = layer->in.c; // OIHW to KRSC, and C, H, W to H, W, C
    place->columns = layer->kind == FM_LAYER_CONV ? layer->kernel * layer->kernel
                                                  : layer->in.h * layer->in.w;
}

static void place_param(const struct fm_net *net, const struct fm_layer *layer, int index,
    struct fm_cuda_params *params)
{
    const struct fm_param *param = &net->params[index];
    struct fm_cuda_place *place = &params->places[index];
    if (param->kind == FM_PARAM_WEIGHT) {
        shape_weight(layer, place);
    } else {
        place->outer = (int)param->count;
        place->rows = place->columns = 1;
    }
    bool head = net->classes > 0 && layer == &net->layers[net->layer_count - 1];
    place->outer_to = head ? (int)round_up((uint64_t)place->outer) : place->outer;
    place->count = (uint32_t)place->outer_to * (uint32_t)place->rows * (uint32_t)place->columns;
    place->offset = params->elements;
    params->elements += round_up(place->count);
    place->gradient_f32 = params->type == FM_CUDA_F32 || param->kind == FM_PARAM_SCALE ||
                          param->kind == FM_PARAM_SHIFT;
    place->has_gradient = param->trainable || param->kind == FM_PARAM_SCALE ||
                          param->kind == FM_PARAM_SHIFT;
    if (!place->has_gradient)
        return;
    uint64_t *range = place->gradient_f32 ? &params->f32_elements : &params->low_elements;
    place->gradient_offset = *range;
    *range += round_up(place->count);
}

void fm_cuda_params_place(
    const struct fm_net *net, enum fm_cuda_type type, struct fm_cuda_params *params)
{
    memset(params, 0, sizeof *params);
    params->type = type;
    for (int i = 0; i < net->layer_count; i++) {
        const struct fm_layer *layer = &net->layers[i];
        if (layer->weight >= 0)
            place_param(net, layer, layer->weight, params);
        if (layer->bias >= 0)
            place_param(net, layer, layer->bias, params);
    }
    for (int i = 0; i < net->running_count; i++) {
        params->running_offsets[i] = params->running_elements;
        params->running_elements += round_up(net->running[i].count);
    }
    params->classes = net->classes;
    params->pitch = (int)round_up((uint64_t)net->classes);
}
