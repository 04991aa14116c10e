// A convolution of 3x3 in bf16 by the processor's matrix unit, forward and backward: own kernels
// (isa/amx_convolve.c, isa/amx_gradient.c) in place of oneDNN's. In inference a max-pool behind it
// is done on the way, before its output is written.
//
// Filters in the order of tiles are kept where weights stay. Those of weights that are trained, and
// so change all the time, are made in scratch, also for a batch that is evaluated.
#include "backend/cpu/op.h"

#include <stdio.h>

struct amx {
    struct fm_op op;
    struct fm_amx forward, data;
    struct fm_copy *filters; // kept ones; NULL where every pass makes them
    struct fm_copy *scale; // where a pass makes them and a norm is folded in: what the weights are
                           // multiplied by
    struct fm_copy *bias;
    char plan[64];
};

static const struct fm_amx_kernels *kernels_of(const struct amx *x)
{
    return fm_op_device(&x->op)->amx;
}

static const struct fm_amx *convolution_of(const struct amx *x, enum fm_op_pass pass)
{
    return pass == FM_PASS_DATA ? &x->data : &x->forward;
}

// Of the filters that a pass makes at the beginning of its scratch; 0 where they are kept.
static size_t filter_bytes(const struct amx *x, enum fm_op_pass pass)
{
    const struct fm_amx *a = convolution_of(x, pass);
    return pass == FM_PASS_FORWARD && x->filters ? 0 : fm_amx_filter_bytes(a->out.c, a->in.c);
}

// The filters that a pass takes.
static enum fm_status bring_filters(struct amx *x, enum fm_op_pass pass, const void **filters)
{
    if (filter_bytes(x, pass) == 0) {
        FM_TRY(fm_copy_refresh(x->filters));
        *filters = fm_copy_values(x->filters);
        return FM_OK;
    }
    if (x->scale)
        FM_TRY(fm_copy_refresh(x->scale));
    const struct fm_layer *layer = fm_op_layer(&x->op);
    const struct fm_amx_filters given = {
        .out_c = layer->out.c,
        .in_c = layer->in.c,
        .values = fm_op_param(&x->op, layer->weight),
        .scale = x->scale ? fm_copy_values(x->scale) : NULL,
        .rotated = pass == FM_PASS_DATA,
        .threads = x->forward.threads,
    };
    kernels_of(x)->pack(&given, x->op.scratch[pass]);
    *filters = x->op.scratch[pass];
    return FM_OK;
}

static void convolve(struct amx *x, enum fm_op_pass pass, const struct fm_amx_run *run)
{
    void *scratch = (char *)x->op.scratch[pass] + filter_bytes(x, pass);
    kernels_of(x)->convolve(convolution_of(x, pass), run, scratch);
}

static enum fm_status amx_forward(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct amx *x = (struct amx *)op;
    if (x->bias)
        FM_TRY(fm_copy_refresh(x->bias));
    struct fm_amx_run run = {
        .x = op->in->activation.data,
        .pending = op->in->pending,
        .bias = x->bias ? fm_copy_values(x->bias) : NULL,
        .relu = op->fusion.relu,
        .pool = op->fusion.pool,
        .y = op->out->activation.data,
    };
    FM_TRY(bring_filters(x, FM_PASS_FORWARD, &run.filters));
    convolve(x, FM_PASS_FORWARD, &run);
    return FM_OK;
}

static enum fm_status amx_weights(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct amx *x = (struct amx *)op;
    const struct fm_layer *layer = fm_op_layer(op);
    kernels_of(x)->gradient(&x->forward, op->in->activation.data, op->in->pending,
        op->out->gradient.data, fm_op_param_gradient(op, layer->weight),
        op->scratch[FM_PASS_WEIGHTS]);
    fm_op_bias_gradient(op);
    return FM_OK;
}

static enum fm_status amx_data(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct amx *x = (struct amx *)op;
    struct fm_amx_run run = {.x = op->out->gradient.data, .y = op->in->gradient.data};
    FM_TRY(bring_filters(x, FM_PASS_DATA, &run.filters));
    convolve(x, FM_PASS_DATA, &run);
    return FM_OK;
}

static bool pools(const struct amx *x, enum fm_op_pass pass)
{
    return pass == FM_PASS_FORWARD && x->op.fusion.pool;
}

static void plan_convolution(struct amx *x, enum fm_op_pass pass)
{
    fm_op_scratch(&x->op, pass,
        filter_bytes(x, pass) +
            kernels_of(x)->convolve_scratch(convolution_of(x, pass), pools(x, pass)));
    x->op.plans[pass] = x->plan;
}

static void plan_gradient(struct amx *x)
{
    fm_op_scratch(&x->op, FM_PASS_WEIGHTS, kernels_of(x)->gradient_scratch(&x->forward));
    fm_op_plan_bias_gradient(&x->op);
    x->op.plans[FM_PASS_WEIGHTS] = x->plan;
}

static enum fm_status amx_connect(struct fm_op *op)
{
    struct amx *x = (struct amx *)op;
    struct fm_copies *copies = op->executor->model->copies;
    const struct fm_copy_source source = fm_op_copy_source(op);
    if (!fm_op_weight_changes(op, op->fusion.norm_layer))
        FM_TRY(fm_copies_want_tiles(copies, &source, &x->filters));
    else if (op->fusion.norm_layer >= 0)
        FM_TRY(fm_copies_want_scale(copies, &source, &x->scale));
    FM_TRY(fm_op_want_bias(op, &x->bias));
    plan_convolution(x, FM_PASS_FORWARD);
    if (op->trains)
        plan_gradient(x);
    if (op->input_gradient)
        plan_convolution(x, FM_PASS_DATA);
    return FM_OK;
}

static const struct fm_op_class amx_class = {
    .name = "amx",
    .run = {amx_forward, fm_op_linear_prepare, amx_weights, amx_data},
    .connect = amx_connect,
    .applies_norm = true,
};

struct fm_amx fm_op_amx_shape(const struct fm_op_place *place)
{
    const struct fm_executor *e = place->executor;
    const struct fm_layer *layer = &e->model->net.layers[place->layer];
    return (struct fm_amx){
        .in = place->in->view,
        .out = {e->options.batch, layer->out.c, layer->out.h, layer->out.w, FM_AMX_BLOCK},
        .padding = layer->padding,
        .threads = e->model->device->threads,
    };
}

bool fm_op_amx_suits(const struct fm_op_place *place)
{
    const struct fm_executor *e = place->executor;
    const struct fm_layer *layer = &e->model->net.layers[place->layer];
    if (e->model->element != FM_ELEMENT_BF16 || !e->model->device->amx || !fm_executor_fuses(e) ||
        layer->kind != FM_LAYER_CONV || layer->kernel != 3)
        return false;
    const struct fm_amx shape = fm_op_amx_shape(place);
    return place->in->shape.c == shape.in.c && fm_amx_suits(&shape);
}

enum fm_status fm_op_amx(
    const struct fm_op_place *place, const struct fm_linear_fusion *fusion, struct fm_op **op)
{
    FM_TRY(fm_op_new_linear(place, &amx_class, sizeof(struct amx), fusion, op));
    struct amx *x = (struct amx *)*op;
    x->forward = x->data = fm_op_amx_shape(place);
    x->data.in = x->forward.out;
    x->data.out = x->forward.in;
    x->data.padding = 2 - x->forward.padding;
    (*op)->gradient_in_place = fm_amx_fits_in_place(&x->data);
    snprintf(x->plan, sizeof x->plan, "matrix_unit%s:%s", fusion->pool ? "+maxpool" : "",
        kernels_of(x)->name);
    const struct fm_view out = fusion->pool ? fm_view_pooled(&x->forward.out) : x->forward.out;
    size_t spared = fm_view_size(&x->forward.out) - fm_view_size(&out);
    (*op)->bytes[FM_PASS_FORWARD] -= (double)(spared * sizeof(uint16_t));
    (*op)->out->shape = (struct fm_shape){out.c, out.h, out.w};
    int dims[4] = {out.n, out.c, out.h, out.w};
    return fm_md_create(&place->out->md, 4, dims, dnnl_bf16, dnnl_nChw16c);
}
