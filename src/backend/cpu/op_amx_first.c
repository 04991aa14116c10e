// The first convolution of a network in bf16 by the processor's matrix unit, forward and the
// gradient of its filters: own kernels (isa/amx_first.c), in training as in inference of batches,
// to the same bits.
#include "backend/cpu/op.h"

#include <stdio.h>

struct amx_first {
    struct fm_op op;
    struct fm_amx shape;
    struct fm_copy *scale; // what a norm that is folded in multiplies the weights by
    struct fm_copy *bias;
    char plan[64];
};

static enum fm_status first_forward(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct amx_first *f = (struct amx_first *)op;
    if (f->scale)
        FM_TRY(fm_copy_refresh(f->scale));
    if (f->bias)
        FM_TRY(fm_copy_refresh(f->bias));
    const struct fm_amx_first_run run = {
        .x = op->in->activation.data,
        .filters = fm_op_param(op, fm_op_layer(op)->weight),
        .scale = f->scale ? fm_copy_values(f->scale) : NULL,
        .bias = f->bias ? fm_copy_values(f->bias) : NULL,
        .relu = op->fusion.relu,
        .y = op->out->activation.data,
    };
    fm_op_device(op)->amx->first(&f->shape, &run, op->scratch[FM_PASS_FORWARD]);
    return FM_OK;
}

static enum fm_status first_weights(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct amx_first *f = (struct amx_first *)op;
    const struct fm_layer *layer = fm_op_layer(op);
    const struct fm_amx_first_gradient gradient = {
        .x = op->in->activation.data,
        .dy = op->out->gradient.data,
        .gate = fm_op_gates(op) ? op->out->activation.data : NULL,
        .dw = fm_op_param_gradient(op, layer->weight),
        .db = op->fusion.bias ? fm_op_param_gradient(op, layer->bias) : NULL,
    };
    fm_op_device(op)->amx->first_gradient(&f->shape, &gradient, op->scratch[FM_PASS_WEIGHTS]);
    return FM_OK;
}

static enum fm_status first_connect(struct fm_op *op)
{
    struct amx_first *f = (struct amx_first *)op;
    const struct fm_amx_kernels *kernels = fm_op_device(op)->amx;
    const struct fm_copy_source source = fm_op_copy_source(op);
    if (op->fusion.norm_layer >= 0)
        FM_TRY(fm_copies_want_scale(op->executor->model->copies, &source, &f->scale));
    FM_TRY(fm_op_want_bias(op, &f->bias));
    fm_op_scratch(op, FM_PASS_FORWARD, kernels->first_scratch(&f->shape));
    op->plans[FM_PASS_FORWARD] = op->plans[FM_PASS_WEIGHTS] = f->plan;
    if (op->trains) {
        fm_op_scratch(op, FM_PASS_WEIGHTS, kernels->first_gradient_scratch(&f->shape));
        op->reads_out = fm_op_gates(op) ? FM_IN_WEIGHTS : 0;
    }
    return FM_OK;
}

static const struct fm_op_class first_class = {
    .name = "amx_first",
    .run = {[FM_PASS_FORWARD] = first_forward, [FM_PASS_WEIGHTS] = first_weights},
    .connect = first_connect,
};

// Threads share images, so a single one is op_direct.c's in inference.
bool fm_op_amx_first_suits(const struct fm_op_place *place)
{
    const struct fm_executor *e = place->executor;
    const struct fm_model *m = e->model;
    if (m->element != FM_ELEMENT_BF16 || !m->device->amx || !fm_op_place_is_first(place) ||
        (e->options.batch == 1 && !fm_op_place_trains(place)))
        return false;
    const struct fm_amx shape = fm_op_amx_shape(place);
    return place->in->shape.c == shape.in.c && fm_amx_first_suits(&shape);
}

enum fm_status fm_op_amx_first(
    const struct fm_op_place *place, const struct fm_linear_fusion *fusion, struct fm_op **op)
{
    FM_TRY(fm_op_new_linear(place, &first_class, sizeof(struct amx_first), fusion, op));
    struct amx_first *f = (struct amx_first *)*op;
    f->shape = fm_op_amx_shape(place);
    snprintf(f->plan, sizeof f->plan, "matrix_unit_first:%s", fm_op_device(*op)->amx->name);
    const struct fm_view *out = &f->shape.out;
    int dims[4] = {out->n, out->c, out->h, out->w};
    return fm_md_create(&place->out->md, 4, dims, dnnl_bf16, dnnl_nChw16c);
}
