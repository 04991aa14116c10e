// The first convolution of a network, forward: own kernels (isa/direct.c) that sum by definition.
// Its few channels are not worth transforms, nor the time that oneDNN generates code in.
#include "backend/cpu/op.h"

#include <stdio.h>

struct direct {
    struct fm_op op;
    struct fm_direct shape;
    struct fm_copy *rows, *bias;
    char plan[64];
};

static enum fm_status direct_forward(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct direct *d = (struct direct *)op;
    FM_TRY(fm_copy_refresh(d->rows));
    if (d->bias)
        FM_TRY(fm_copy_refresh(d->bias));
    const struct fm_direct_run run = {
        .x = op->in->activation.data,
        .rows = fm_copy_values(d->rows),
        .bias = d->bias ? fm_copy_values(d->bias) : NULL,
        .relu = op->fusion.relu,
        .y = op->out->activation.data,
    };
    fm_op_kernels(op)->direct(&d->shape, &run, op->scratch[FM_PASS_FORWARD]);
    return FM_OK;
}

static enum fm_status direct_connect(struct fm_op *op)
{
    struct direct *d = (struct direct *)op;
    struct fm_copies *copies = op->executor->model->copies;
    const struct fm_copy_source source = fm_op_copy_source(op);
    FM_TRY(fm_copies_want_rows(copies, &source, &d->rows));
    FM_TRY(fm_op_want_bias(op, &d->bias));
    fm_op_scratch(op, FM_PASS_FORWARD, fm_op_kernels(op)->direct_scratch(&d->shape));
    op->plans[FM_PASS_FORWARD] = d->plan;
    return FM_OK;
}

static const struct fm_op_class direct_class = {
    .name = "direct",
    .run = {[FM_PASS_FORWARD] = direct_forward},
    .connect = direct_connect,
};

static struct fm_direct shape_of(const struct fm_op_place *place)
{
    const struct fm_executor *e = place->executor;
    const struct fm_layer *layer = &e->model->net.layers[place->layer];
    return (struct fm_direct){
        .in = place->in->view,
        .out = {e->options.batch, layer->out.c, layer->out.h, layer->out.w, layer->out.c},
        .padding = layer->padding,
        .threads = e->model->device->threads,
    };
}

// Where it is frozen it is computed in training as in inference, to the same bits: features of a
// frozen base may be kept (tests/test_features.c).
bool fm_op_direct_suits(const struct fm_op_place *place)
{
    if (!fm_op_place_is_first(place) || fm_op_place_trains(place))
        return false;
    const struct fm_direct shape = shape_of(place);
    return place->in->shape.c == shape.in.c && fm_direct_suits(&shape);
}

enum fm_status fm_op_direct(
    const struct fm_op_place *place, const struct fm_linear_fusion *fusion, struct fm_op **op)
{
    FM_TRY(fm_op_new_linear(place, &direct_class, sizeof(struct direct), fusion, op));
    struct direct *d = (struct direct *)*op;
    d->shape = shape_of(place);
    snprintf(d->plan, sizeof d->plan, "direct:%s", fm_op_device(*op)->kernels->name);
    const struct fm_view *out = &d->shape.out;
    int dims[4] = {out->n, out->c, out->h, out->w};
    return fm_md_create(&place->out->md, 4, dims, fm_element_type(fm_op_element(*op)), dnnl_nhwc);
}
