// Pooling: 2x2 maximum, and the global mean.
#include "backend/cpu/op.h"

struct maxpool {
    struct fm_op op;
    bool gated; // does the backward of the ReLU in front
};

static enum fm_status maxpool_forward(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    fm_op_kernels(op)->maxpool_forward(&op->in->view, op->in->activation.data, op->in->pending,
        op->out->activation.data, op->noted);
    return FM_OK;
}

static enum fm_status maxpool_data(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct maxpool *p = (struct maxpool *)op;
    fm_op_kernels(op)->maxpool_backward(&op->in->view, op->out->gradient.data,
        p->gated ? op->out->activation.data : NULL, op->noted, op->in->gradient.data);
    return FM_OK;
}

// Notes which of a window's four it was, a byte an output.
static enum fm_status maxpool_connect(struct fm_op *op)
{
    if (op->input_gradient)
        op->noted_bytes = fm_view_size(&op->out->view);
    return FM_OK;
}

static const struct fm_op_class maxpool_class = {
    .name = "maxpool",
    .run = {[FM_PASS_FORWARD] = maxpool_forward, [FM_PASS_DATA] = maxpool_data},
    .connect = maxpool_connect,
    .applies_norm = true,
};

enum fm_status fm_op_maxpool(const struct fm_op_place *place, bool gated, struct fm_op **op)
{
    FM_TRY(fm_op_new(place, &maxpool_class, sizeof(struct maxpool), op));
    ((struct maxpool *)*op)->gated = gated;
    (*op)->reads_out = gated ? FM_IN_DATA : 0;
    fm_op_moves(*op, FM_PASS_FORWARD, 1, 1.25);
    fm_op_moves(*op, FM_PASS_DATA, 1, gated ? 2.25 : 1.25);
    return fm_op_same_layout(*op, place->executor->model->net.layers[place->layer].out);
}

static enum fm_status meanpool_forward(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    fm_op_kernels(op)->meanpool_forward(
        &op->in->view, op->in->activation.data, op->out->activation.data);
    return FM_OK;
}

static enum fm_status meanpool_data(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    fm_op_kernels(op)->meanpool_backward(
        &op->in->view, op->out->gradient.data, op->in->gradient.data);
    return FM_OK;
}

static const struct fm_op_class meanpool_class = {
    .name = "meanpool",
    .run = {[FM_PASS_FORWARD] = meanpool_forward, [FM_PASS_DATA] = meanpool_data},
};

enum fm_status fm_op_meanpool(const struct fm_op_place *place, struct fm_op **op)
{
    FM_TRY(fm_op_new(place, &meanpool_class, sizeof **op, op));
    fm_op_moves(*op, FM_PASS_FORWARD, 1, 1);
    fm_op_moves(*op, FM_PASS_DATA, 1, 1);
    return fm_op_same_layout(*op, place->executor->model->net.layers[place->layer].out);
}
