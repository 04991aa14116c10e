// A dense layer of a single image, forward: own kernels (isa/dense.c), which read the weights of
// those inputs alone that are not zero. Batches share their weights' bytes, and are oneDNN's.
#include "backend/cpu/copies.h"
#include "backend/cpu/op.h"

#include <stdio.h>

struct dense {
    struct fm_op op;
    struct fm_linear_fusion fusion;
    struct fm_copy *rows, *bias;
    char plan[64];
};

static enum fm_status dense_forward(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct dense *d = (struct dense *)op;
    FM_TRY(fm_copy_refresh(d->rows));
    if (d->bias)
        FM_TRY(fm_copy_refresh(d->bias));
    const struct fm_dense run = {
        .x = op->in->activation.data,
        .inputs = (int)fm_shape_size(fm_op_layer(op)->in),
        .weights = fm_copy_values(d->rows),
        .all = !fm_copy_finite(d->rows),
        .bias = d->bias ? fm_copy_values(d->bias) : NULL,
        .relu = d->fusion.relu,
        .wide = fm_op_element(op) == FM_ELEMENT_F32,
        .out = fm_op_layer(op)->out.c,
        .y = op->out->activation.data,
    };
    fm_op_kernels(op)->dense_single(
        &op->in->view, &run, op->executor->model->device->threads, op->executor->scratch);
    return FM_OK;
}

static enum fm_status dense_connect(struct fm_op *op)
{
    struct dense *d = (struct dense *)op;
    const struct fm_model *m = op->executor->model;
    const struct fm_copy_source source = {op->layer, d->fusion.norm_layer, op->executor->weights};
    FM_TRY(fm_copies_want_rows(m->copies, &source, &d->rows));
    if (d->fusion.bias || d->fusion.norm_layer >= 0)
        FM_TRY(fm_copies_want(m->copies, &source, NULL, &d->bias));
    fm_op_scratch(op, fm_op_kernels(op)->dense_scratch(
                          &op->in->view, fm_op_layer(op)->out.c, m->device->threads));
    op->plans[FM_PASS_FORWARD] = d->plan;
    return FM_OK;
}

static const struct fm_op_class dense_class = {
    .name = "dense",
    .run = {[FM_PASS_FORWARD] = dense_forward},
    .connect = dense_connect,
};

enum {
    WIDEST_BF16 = 256 // outputs: oneDNN multiplies bf16 in pairs, and is faster where rows are long
};

bool fm_op_dense_suits(const struct fm_op_place *place)
{
    const struct fm_executor *e = place->executor;
    const struct fm_layer *layer = &e->model->net.layers[place->layer];
    return layer->kind == FM_LAYER_DENSE && e->options.batch == 1 && !fm_executor_trains(e) &&
           fm_executor_fuses(e) &&
           (e->model->element == FM_ELEMENT_F32 || layer->out.c <= WIDEST_BF16);
}

enum fm_status fm_op_dense(
    const struct fm_op_place *place, const struct fm_linear_fusion *fusion, struct fm_op **op)
{
    FM_TRY(fm_op_new(place, &dense_class, sizeof(struct dense), op));
    struct dense *d = (struct dense *)*op;
    d->fusion = *fusion;
    snprintf(d->plan, sizeof d->plan, "gathered:%s", (*op)->executor->model->device->kernels->name);
    fm_op_counts_products(*op);
    int dims[2] = {1, fm_op_layer(*op)->out.c};
    place->out->shape = fm_op_layer(*op)->out;
    return fm_md_create(&place->out->md, 2, dims, fm_element_type(fm_op_element(*op)), dnnl_ab);
}
