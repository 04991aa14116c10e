// Bias and ReLU on their own (where they are not fused), and dropout.
#include "backend/cpu/op.h"

#include "dropout.h"

// ---- bias: in place on the output of a linear operation without one

struct bias {
    struct fm_op op;
    float *padded; // [c]: the bias, and its gradient, with zeros for padding channels
};

static enum fm_status bias_forward(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct bias *b = (struct bias *)op;
    const struct fm_layer *layer = fm_op_layer(op);
    const float *bias = fm_op_param(op, layer->bias);
    for (int c = 0; c < layer->out.c; c++)
        b->padded[c] = bias[c];
    fm_op_device(op)->kernels->on[op->out->element]->bias_forward(
        &op->out->view, b->padded, op->out->activation.data);
    return FM_OK;
}

static enum fm_status bias_weights(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct bias *b = (struct bias *)op;
    const struct fm_layer *layer = fm_op_layer(op);
    float *gradient = fm_op_param_gradient(op, layer->bias);
    fm_op_kernels(op)->bias_backward(
        &op->out->view, op->out->gradient.data, op->scratch[FM_PASS_WEIGHTS], b->padded);
    for (int c = 0; c < layer->out.c; c++)
        gradient[c] = b->padded[c];
    return FM_OK;
}

static enum fm_status bias_connect(struct fm_op *op)
{
    struct bias *b = (struct bias *)op;
    const struct fm_view *v = &op->out->view;
    void *data = NULL;
    if (op->trains)
        fm_op_scratch(op, FM_PASS_WEIGHTS, fm_op_image_sums(v));
    FM_TRY(fm_op_buffer(op, (size_t)v->c * sizeof *b->padded, &data));
    b->padded = data;
    return FM_OK;
}

static const struct fm_op_class bias_class = {
    .name = "bias",
    .run = {[FM_PASS_FORWARD] = bias_forward, [FM_PASS_WEIGHTS] = bias_weights},
    .connect = bias_connect,
};

enum fm_status fm_op_bias(const struct fm_op_place *place, struct fm_op **op)
{
    FM_TRY(fm_op_new(place, &bias_class, sizeof(struct bias), op));
    (*op)->in_place = true;
    fm_op_moves(*op, FM_PASS_FORWARD, 1, 1);
    fm_op_moves(*op, FM_PASS_WEIGHTS, 0, 1);
    return fm_op_same_layout(*op, place->in->shape);
}

// ---- ReLU

static enum fm_status relu_forward(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    fm_op_kernels(op)->relu_forward(
        fm_view_size(&op->in->view), op->in->activation.data, op->out->activation.data);
    return FM_OK;
}

static enum fm_status relu_data(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    fm_op_kernels(op)->relu_backward(fm_view_size(&op->in->view), op->out->activation.data,
        op->out->gradient.data, op->in->gradient.data);
    return FM_OK;
}

static const struct fm_op_class relu_class = {
    .name = "relu",
    .run = {[FM_PASS_FORWARD] = relu_forward, [FM_PASS_DATA] = relu_data},
};

enum fm_status fm_op_relu(const struct fm_op_place *place, struct fm_op **op)
{
    FM_TRY(fm_op_new(place, &relu_class, sizeof **op, op));
    (*op)->reads_out = FM_IN_DATA;
    (*op)->gradient_in_place = true;
    fm_op_moves(*op, FM_PASS_FORWARD, 1, 1);
    fm_op_moves(*op, FM_PASS_DATA, 1, 2);
    return fm_op_same_layout(*op, place->in->shape);
}

// ---- dropout. Where operations are fused it works in place: nothing behind it needs what it
// dropped (a ReLU or pool in front gates its gradient by what is left, which is zero just where it
// was dropped).

struct dropout {
    struct fm_op op;
    uint8_t *mask; // [elements], in memory order
};

static enum fm_status dropout_forward(struct fm_op *op, const struct fm_pass *pass)
{
    struct dropout *d = (struct dropout *)op;
    const struct fm_layer *layer = fm_op_layer(op);
    struct fm_dropout_work work = {
        .ids = pass->slot->ids,
        .seed = pass->step->seed,
        .epoch = pass->step->epoch,
        .stream = FM_STREAM_DROPOUT + layer->stream,
        .channels = layer->in.c,
        .rate = layer->rate,
    };
    fm_op_device(op)->kernels->dropout_mask(&op->in->view, &work, d->mask);
    fm_op_kernels(op)->dropout_apply(fm_view_size(&op->in->view), d->mask,
        fm_dropout_scale(layer->rate), op->in->activation.data, op->out->activation.data);
    return FM_OK;
}

static enum fm_status dropout_data(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct dropout *d = (struct dropout *)op;
    const struct fm_layer *layer = fm_op_layer(op);
    fm_op_kernels(op)->dropout_apply(fm_view_size(&op->in->view), d->mask,
        fm_dropout_scale(layer->rate), op->out->gradient.data, op->in->gradient.data);
    return FM_OK;
}

static enum fm_status dropout_connect(struct fm_op *op)
{
    struct dropout *d = (struct dropout *)op;
    void *data = NULL;
    FM_TRY(fm_op_buffer(op, fm_view_size(&op->in->view), &data));
    d->mask = data;
    return FM_OK;
}

static const struct fm_op_class dropout_class = {
    .name = "dropout",
    .run = {[FM_PASS_FORWARD] = dropout_forward, [FM_PASS_DATA] = dropout_data},
    .connect = dropout_connect,
};

enum fm_status fm_op_dropout(const struct fm_op_place *place, struct fm_op **op)
{
    FM_TRY(fm_op_new(place, &dropout_class, sizeof(struct dropout), op));
    (*op)->in_place = fm_executor_fuses(place->executor);
    (*op)->gradient_in_place = true;
    fm_op_moves(*op, FM_PASS_FORWARD, 1, 1);
    fm_op_moves(*op, FM_PASS_DATA, 1, 1);
    return fm_op_same_layout(*op, place->in->shape);
}
