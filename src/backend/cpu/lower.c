// Lowering: from the network's layers to operations, deciding what is fused.
//
//   training:  conv or dense with ReLU, batch norm with ReLU, both into the convolution or pool
//              behind them where that takes them, a ReLU's backward into the max-pool behind it;
//              dense layers as products of matrices, oneDNN's or own, where that is faster
//   inference: conv with batch norm (folded into the weights) and ReLU, and by Winograd with the
//              max-pool behind it, unless probed; dense with ReLU; dropout vanishes; dense layers
//              of a single image gathered
//   both:      3x3 convolutions by Winograd's minimal filtering, where that is faster, or in bf16
//              by the matrix unit of a processor that has one, which then has the first, too;
//              else that by own kernels, where it is not trained
//   unfused:   one operation a layer, the bias on its own; with probing, also nothing in place
#include "backend/cpu/executor.h"

#include <string.h>

struct lowering {
    struct fm_executor *executor;
    const struct fm_net *net;
    int next;                 // the layer to lower
    struct fm_value *present; // output of the operation made last
    bool relu_fused;          // that operation is linear with a fused ReLU
};

// Where the operation of layers [first, last] goes; registers it as the end of `last`.
static struct fm_op_place place_next(struct lowering *low, int first, int last)
{
    struct fm_executor *e = low->executor;
    struct fm_op_place place = {e, first, low->present, &e->values[e->op_count]};
    if (last >= 0)
        e->layer_op[last] = e->op_count;
    return place;
}

static enum fm_status placed(struct lowering *low, struct fm_op *op, enum fm_status status)
{
    struct fm_executor *e = low->executor;
    if (!op)
        return status;
    e->ops[e->op_count++] = op; // also when it failed: destroyed with the executor
    if (status != FM_OK)
        return status;
    if (op->in && op->in->norm_pending && !op->class->applies_norm)
        return fm_fail(FM_BACKEND, "%s: the batch norm in front of it was left to it", op->name);
    FM_TRY(fm_view_of(
        &op->out->md, e->options.batch, op->out->shape, &op->out->view, &op->out->element));
    op->out->logits = fm_op_makes_logits(op);
    low->present = op->out;
    low->relu_fused = false;
    return FM_OK;
}

static bool is_kind(const struct lowering *low, int layer, enum fm_layer_kind kind)
{
    return layer < low->net->layer_count && low->net->layers[layer].kind == kind;
}

// Whether own kernels convolve it that apply a batch norm as they read and, in inference, take a
// max-pool before they write.
static bool by_own_convolution(const struct lowering *low, int layer)
{
    const struct fm_op_place place = {low->executor, layer, low->present, NULL};
    return fm_op_winograd_suits(&place) || fm_op_amx_suits(&place);
}

static enum fm_status lower_linear(struct lowering *low)
{
    struct fm_executor *e = low->executor;
    int first = low->next, last = first;
    const struct fm_layer *layer = &low->net->layers[first];
    struct fm_linear_fusion fusion = {.norm_layer = -1};
    if (fm_executor_fuses(e)) {
        fusion.bias = layer->bias >= 0;
        if (!fm_executor_trains(e) && is_kind(low, last + 1, FM_LAYER_BATCHNORM))
            fusion.norm_layer = ++last;
        if (is_kind(low, last + 1, FM_LAYER_RELU)) {
            fusion.relu = true;
            last++;
        }
        fusion.relu_gated = fusion.relu && is_kind(low, last + 1, FM_LAYER_MAXPOOL);
        fusion.pool = !fm_executor_trains(e) && is_kind(low, last + 1, FM_LAYER_MAXPOOL) &&
                      by_own_convolution(low, first);
        last += fusion.pool;
    }
    struct fm_op *op = NULL;
    struct fm_op_place place = place_next(low, first, last);
    enum fm_status status = fm_op_winograd_suits(&place)    ? fm_op_winograd(&place, &fusion, &op)
                            : fm_op_amx_suits(&place)       ? fm_op_amx(&place, &fusion, &op)
                            : fm_op_amx_first_suits(&place) ? fm_op_amx_first(&place, &fusion, &op)
                            : fm_op_direct_suits(&place)    ? fm_op_direct(&place, &fusion, &op)
                            : fm_op_gathered_suits(&place)  ? fm_op_gathered(&place, &fusion, &op)
                            : fm_op_matrix_suits(&place)    ? fm_op_matrix(&place, &fusion, &op)
                            : fm_op_dense_suits(&place)     ? fm_op_dense(&place, &fusion, &op)
                                                            : fm_op_linear(&place, &fusion, &op);
    FM_TRY(placed(low, op, status));
    low->relu_fused = fusion.relu && !fusion.pool;
    low->next = last + 1;
    if (layer->bias < 0 || fusion.bias)
        return FM_OK;
    op = NULL;
    place = place_next(low, first, last);
    status = fm_op_bias(&place, &op);
    return placed(low, op, status);
}

// Whether the operation of `layer`, which reads what the present one puts out, applies a batch norm
// as it reads. An emulated precision rounds what is stored between the two.
static bool applies_norm(const struct lowering *low, int layer)
{
    struct fm_executor *e = low->executor;
    if (e->model->rounding != FM_ROUNDING_NONE || layer >= low->net->layer_count)
        return false;
    return is_kind(low, layer, FM_LAYER_MAXPOOL) || by_own_convolution(low, layer);
}

static enum fm_status lower_norm(struct lowering *low)
{
    int first = low->next;
    bool relu = fm_executor_fuses(low->executor) && is_kind(low, first + 1, FM_LAYER_RELU);
    bool deferred = relu && applies_norm(low, first + 2);
    struct fm_op *op = NULL;
    struct fm_op_place place = place_next(low, first, relu ? first + 1 : first);
    enum fm_status status = fm_op_norm(&place, relu, deferred, &op);
    low->next += relu ? 2 : 1;
    return placed(low, op, status);
}

static enum fm_status lower_single(struct lowering *low)
{
    const struct fm_layer *layer = &low->net->layers[low->next];
    bool gated = low->relu_fused;
    if (layer->kind == FM_LAYER_DROPOUT &&
        (!fm_executor_trains(low->executor) || layer->rate == 0.0f)) {
        low->executor->layer_op[low->next++] = low->executor->op_count - 1; // the identity
        return FM_OK;
    }
    struct fm_op *op = NULL;
    struct fm_op_place place = place_next(low, low->next, low->next);
    enum fm_status status;
    switch (layer->kind) {
    case FM_LAYER_RELU:
        status = fm_op_relu(&place, &op);
        break;
    case FM_LAYER_MAXPOOL:
        status = fm_op_maxpool(&place, gated, &op);
        break;
    case FM_LAYER_MEANPOOL:
        status = fm_op_meanpool(&place, &op);
        break;
    case FM_LAYER_DROPOUT:
        status = fm_op_dropout(&place, &op);
        break;
    default:
        status = fm_fail(FM_UNSUPPORTED, "backend 'cpu': layer %s of kind %s", layer->name,
            fm_layer_kind_name(layer->kind));
        break;
    }
    low->next++;
    return placed(low, op, status);
}

enum fm_status fm_lower(struct fm_executor *executor)
{
    struct lowering low = {.executor = executor, .net = &executor->model->net};
    for (int i = 0; i < FM_LAYERS_MAX; i++)
        executor->layer_op[i] = -1;
    struct fm_op *op = NULL;
    struct fm_op_place place = place_next(&low, -1, -1);
    enum fm_status status = fm_op_input(&place, &op);
    FM_TRY(placed(&low, op, status));
    while (low.next < low.net->layer_count) {
        switch (low.net->layers[low.next].kind) {
        case FM_LAYER_CONV:
        case FM_LAYER_DENSE:
            FM_TRY(lower_linear(&low));
            break;
        case FM_LAYER_BATCHNORM:
            FM_TRY(lower_norm(&low));
            break;
        default:
            FM_TRY(lower_single(&low));
            break;
        }
    }
    return FM_OK;
}
