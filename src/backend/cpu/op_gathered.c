// A dense layer of a single image, forward: own kernels (isa/gathered.c), which read the weights of
// those inputs alone that are not zero; a first image is computed before such rows are made, with
// the weights as the model has them, to the same bits. Batches share their weights' bytes, and are
// oneDNN's.
#include "backend/cpu/op.h"

#include <stdio.h>

struct gathered {
    struct fm_op op;
    struct fm_copy *rows, *bias;
    const float *plain;  // the weights in the model, where rows are made of just those
    uint64_t first_seen; // fm_op_sees_first()'s
    char plan[64];
};

static enum fm_status gathered_forward(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct gathered *g = (struct gathered *)op;
    bool first = fm_op_sees_first(op, &g->first_seen);
    bool rows = !g->plain || !first || fm_copy_is_fresh(g->rows);
    if (rows)
        FM_TRY(fm_copy_refresh(g->rows));
    if (g->bias)
        FM_TRY(fm_copy_refresh(g->bias));
    const struct fm_gathered_run run = {
        .x = op->in->activation.data,
        .inputs = (int)fm_shape_size(fm_op_layer(op)->in),
        .weights = rows ? fm_copy_values(g->rows) : NULL,
        .plain = g->plain,
        .all = rows && !fm_copy_rows_finite(g->rows),
        .bias = g->bias ? fm_copy_values(g->bias) : NULL,
        .relu = op->fusion.relu,
        .wide = fm_op_element(op) == FM_ELEMENT_F32,
        .out = fm_op_layer(op)->out.c,
        .y = op->out->activation.data,
    };
    fm_op_kernels(op)->gathered(
        &op->in->view, &run, fm_op_device(op)->threads, op->scratch[FM_PASS_FORWARD]);
    return FM_OK;
}

static enum fm_status gathered_connect(struct fm_op *op)
{
    struct gathered *g = (struct gathered *)op;
    const struct fm_model *m = op->executor->model;
    const struct fm_copy_source source = fm_op_copy_source(op);
    FM_TRY(fm_copies_want_rows(m->copies, &source, &g->rows));
    if (op->fusion.norm_layer < 0 && m->rounding == FM_ROUNDING_NONE)
        g->plain = fm_op_param(op, fm_op_layer(op)->weight);
    FM_TRY(fm_op_want_bias(op, &g->bias));
    fm_op_scratch(op, FM_PASS_FORWARD,
        fm_op_kernels(op)->gathered_scratch(
            &op->in->view, fm_op_layer(op)->out.c, m->device->threads));
    op->plans[FM_PASS_FORWARD] = g->plan;
    return FM_OK;
}

static const struct fm_op_class gathered_class = {
    .name = "gathered",
    .run = {[FM_PASS_FORWARD] = gathered_forward},
    .connect = gathered_connect,
};

bool fm_op_gathered_suits(const struct fm_op_place *place)
{
    const struct fm_executor *e = place->executor;
    const struct fm_layer *layer = &e->model->net.layers[place->layer];
    return layer->kind == FM_LAYER_DENSE && e->options.batch == 1 && !fm_executor_trains(e) &&
           fm_executor_fuses(e);
}

enum fm_status fm_op_gathered(
    const struct fm_op_place *place, const struct fm_linear_fusion *fusion, struct fm_op **op)
{
    FM_TRY(fm_op_new_linear(place, &gathered_class, sizeof(struct gathered), fusion, op));
    struct gathered *g = (struct gathered *)*op;
    snprintf(g->plan, sizeof g->plan, "gathered:%s", fm_op_device(*op)->kernels->name);
    int dims[2] = {1, fm_op_layer(*op)->out.c};
    return fm_md_create(&place->out->md, 2, dims, fm_element_type(fm_op_element(*op)), dnnl_ab);
}
