// A convolution of 3x3 by Winograd's minimal filtering, forward and backward: own kernels
// (isa/winograd.c) in place of oneDNN's direct ones, with a quarter of the products, or, where few
// tiles share the filters or larger ones would be half empty, in smaller tiles with about half.
//
// In inference a max-pool behind it is done on the way, before its output is written.
//
// Filters are four times as large when transformed, or, for smaller tiles, 16/9. They are kept
// where weights stay; where single images are predicted, from a second one on: for a first they are
// made part by part on the way, or in scratch, to the same bits. Those of weights that are trained,
// and so change all the time, are made in scratch, also for a batch that is evaluated.
#include "backend/cpu/op.h"

#include <stdio.h>

struct winograd {
    struct fm_op op;
    struct fm_winograd forward, data;
    struct fm_copy *filters; // kept ones; NULL where every pass makes them
    struct fm_copy *scale;   // where a pass may make them and a norm is folded in: what the weights
                             // are multiplied by
    struct fm_copy *bias;
    uint64_t first_seen; // fm_op_sees_first()'s
    char plan[64];
};

// What a pass convolves.
static const struct fm_winograd *convolution_of(const struct winograd *w, enum fm_op_pass pass)
{
    return pass == FM_PASS_DATA ? &w->data : &w->forward;
}

// Whether a first image is computed without kept filters: by an executor that predicts single ones.
static bool begins_without_kept(const struct winograd *w)
{
    const struct fm_executor *e = w->op.executor;
    return e->options.batch == 1 && !fm_executor_trains(e);
}

// Whether a pass takes kept filters alone.
static bool always_kept(const struct winograd *w, enum fm_op_pass pass)
{
    return pass == FM_PASS_FORWARD && w->filters && !begins_without_kept(w);
}

// Whether those of a first image are made part by part on the way.
static bool makes_parts(const struct winograd *w, enum fm_op_pass pass)
{
    const struct fm_winograd_units *units = fm_op_device(&w->op)->kernels->winograd_units;
    return pass == FM_PASS_FORWARD && w->filters && begins_without_kept(w) &&
           fm_winograd_has_parts(units, &w->forward);
}

// Of all filters, which a pass makes at the beginning of its scratch; 0 where it never does.
static size_t filter_bytes(const struct winograd *w, enum fm_op_pass pass)
{
    const struct fm_winograd *convolution = convolution_of(w, pass);
    return always_kept(w, pass) || makes_parts(w, pass)
               ? 0
               : fm_winograd_filter_bytes(
                     convolution->tiling, convolution->out.c, convolution->in.c);
}

// Behind them.
static float *kernel_scratch(const struct winograd *w, enum fm_op_pass pass)
{
    return (float *)((char *)w->op.scratch[pass] + filter_bytes(w, pass));
}

// The weights as they are; rotated for the gradient of the data.
static struct fm_winograd_filters filters_of(const struct winograd *w, enum fm_op_pass pass)
{
    const struct fm_layer *layer = fm_op_layer(&w->op);
    return (struct fm_winograd_filters){
        .out_c = layer->out.c,
        .in_c = layer->in.c,
        .values = fm_op_param(&w->op, layer->weight),
        .scale = w->scale ? fm_copy_values(w->scale) : NULL,
        .element = w->op.executor->model->element,
        .rotated = pass == FM_PASS_DATA,
    };
}

// All of them, transformed in scratch; NULL where that is done part by part on the way.
static const float *make_filters(
    const struct winograd *w, enum fm_op_pass pass, const struct fm_winograd_filters *filters)
{
    if (makes_parts(w, pass))
        return NULL;
    float *transformed = w->op.scratch[pass];
    fm_op_device(&w->op)->kernels->winograd_transform[convolution_of(w, pass)->tiling](
        filters, transformed);
    return transformed;
}

static enum fm_status winograd_forward(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct winograd *w = (struct winograd *)op;
    bool first = fm_op_sees_first(op, &w->first_seen);
    bool kept = w->filters && (!begins_without_kept(w) || !first || fm_copy_is_fresh(w->filters));
    if (kept)
        FM_TRY(fm_copy_refresh(w->filters));
    else if (w->scale)
        FM_TRY(fm_copy_refresh(w->scale));
    if (w->bias)
        FM_TRY(fm_copy_refresh(w->bias));
    const struct fm_winograd_filters filters = filters_of(w, FM_PASS_FORWARD);
    const struct fm_winograd_run run = {
        .x = op->in->activation.data,
        .pending = op->in->pending,
        .transformed = kept ? fm_copy_values(w->filters)
                            : make_filters(w, FM_PASS_FORWARD, &filters),
        .filters = &filters,
        .bias = w->bias ? fm_copy_values(w->bias) : NULL,
        .relu = w->op.fusion.relu,
        .pool = w->op.fusion.pool,
        .y = op->out->activation.data,
    };
    fm_op_kernels(op)->winograd_convolve[w->forward.tiling](
        &w->forward, &run, kernel_scratch(w, FM_PASS_FORWARD));
    return FM_OK;
}

static enum fm_status winograd_weights(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct winograd *w = (struct winograd *)op;
    const struct fm_layer *layer = fm_op_layer(op);
    fm_op_kernels(op)->winograd_gradient[w->forward.tiling](&w->forward, op->in->activation.data,
        op->in->pending, op->out->gradient.data, fm_op_param_gradient(op, layer->weight),
        op->scratch[FM_PASS_WEIGHTS]);
    fm_op_bias_gradient(op);
    return FM_OK;
}

static enum fm_status winograd_data(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct winograd *w = (struct winograd *)op;
    const struct fm_winograd_filters filters = filters_of(w, FM_PASS_DATA);
    const struct fm_winograd_run run = {
        .x = op->out->gradient.data,
        .transformed = make_filters(w, FM_PASS_DATA, &filters),
        .y = op->in->gradient.data,
    };
    fm_op_kernels(op)->winograd_convolve[w->data.tiling](
        &w->data, &run, kernel_scratch(w, FM_PASS_DATA));
    return FM_OK;
}

static void plan_convolution(struct winograd *w, enum fm_op_pass pass)
{
    const struct fm_winograd *shape = convolution_of(w, pass);
    fm_op_scratch(&w->op, pass,
        filter_bytes(w, pass) +
            fm_op_kernels(&w->op)->winograd_scratch[shape->tiling](shape, makes_parts(w, pass)));
    w->op.plans[pass] = w->plan;
}

static void plan_gradient(struct winograd *w)
{
    fm_op_scratch(&w->op, FM_PASS_WEIGHTS,
        fm_op_kernels(&w->op)->winograd_gradient_scratch[w->forward.tiling](&w->forward));
    fm_op_plan_bias_gradient(&w->op);
    w->op.plans[FM_PASS_WEIGHTS] = w->plan;
}

static enum fm_status want_filters(struct winograd *w)
{
    struct fm_executor *e = w->op.executor;
    const struct fm_copy_source source = fm_op_copy_source(&w->op);
    bool keeps = !fm_op_weight_changes(&w->op, w->op.fusion.norm_layer);
    if (keeps)
        FM_TRY(fm_copies_want_filters(e->model->copies, &source, w->forward.tiling, &w->filters));
    if (w->op.fusion.norm_layer >= 0 && (!keeps || begins_without_kept(w)))
        FM_TRY(fm_copies_want_scale(e->model->copies, &source, &w->scale));
    return FM_OK;
}

static enum fm_status winograd_connect(struct fm_op *op)
{
    struct winograd *w = (struct winograd *)op;
    FM_TRY(want_filters(w));
    FM_TRY(fm_op_want_bias(op, &w->bias));
    plan_convolution(w, FM_PASS_FORWARD);
    if (op->trains)
        plan_gradient(w);
    if (op->input_gradient)
        plan_convolution(w, FM_PASS_DATA);
    return FM_OK;
}

static const struct fm_op_class winograd_class = {
    .name = "winograd",
    .run = {winograd_forward, fm_op_linear_prepare, winograd_weights, winograd_data},
    .connect = winograd_connect,
    .applies_norm = true,
};

// How many tiles of the batch, below which smaller ones or a direct convolution are faster, are to
// share the filters, which are larger than direct ones; more where the executor trains these, and
// so transforms them in every step (docs/cpu-performance.md).
static int least_tiles(enum fm_winograd_tiling tiling, bool trained)
{
    if (!trained)
        return 8;
    return tiling == FM_WINOGRAD_4X4 ? 48 : 16;
}

// And half of the tiles' pixels at least are to be the image's.
static bool pays(const struct fm_winograd *w, bool trained)
{
    int size = fm_winograd_tile_size(w->tiling), tiles = fm_winograd_image_tiles(w);
    return tiles * w->out.n >= least_tiles(w->tiling, trained) &&
           2 * w->out.h * w->out.w >= tiles * size * size;
}

// Views of the input as it is, and of an output in the same layout; tiles of 2x2 where larger ones
// do not pay.
static struct fm_winograd shape_of(const struct fm_op_place *place)
{
    const struct fm_executor *e = place->executor;
    const struct fm_layer *layer = &e->model->net.layers[place->layer];
    struct fm_winograd w = {
        .in = place->in->view, .padding = layer->padding, .threads = e->model->device->threads};
    int block = fm_op_same_block(&w.in, layer->out.c);
    w.out = (struct fm_view){w.in.n, layer->out.c, layer->out.h, layer->out.w, block};
    if (!pays(&w, fm_op_place_trains(place)))
        w.tiling = FM_WINOGRAD_2X2;
    return w;
}

// Not where images are taken as they are, black as 0: what a direct convolution makes of a black
// background is then the bias alone, often exactly the zero at which a ReLU passes no gradient, and
// Winograd's rounding would let half of it pass.
bool fm_op_winograd_suits(const struct fm_op_place *place)
{
    const struct fm_executor *e = place->executor;
    const struct fm_layer *layer = &e->model->net.layers[place->layer];
    const struct fm_input *input = &e->model->net.input;
    if (input->features == 0 && !input->standardise)
        return false;
    if (e->model->element == FM_ELEMENT_BF16 && e->model->device->amx)
        return false; // a matrix unit has more than four times the products
    if (!fm_executor_fuses(e) || layer->kind != FM_LAYER_CONV || layer->kernel != 3 ||
        e->model->rounding != FM_ROUNDING_NONE)
        return false;
    struct fm_winograd w = shape_of(place);
    if (place->in->shape.c != w.in.c || layer->out.c % w.out.block != 0)
        return false; // padding channels
    return fm_winograd_suits(e->model->device->kernels->winograd_units, &w) &&
           pays(&w, fm_op_place_trains(place));
}

enum fm_status fm_op_winograd(
    const struct fm_op_place *place, const struct fm_linear_fusion *fusion, struct fm_op **op)
{
    FM_TRY(fm_op_new_linear(place, &winograd_class, sizeof(struct winograd), fusion, op));
    struct winograd *w = (struct winograd *)*op;
    w->forward = w->data = shape_of(place);
    w->data.in = w->forward.out;
    w->data.out = w->forward.in;
    w->data.padding = 2 - w->forward.padding;
    w->data.in_place = fm_winograd_fits_in_place(&w->data);
    (*op)->gradient_in_place = w->data.in_place;
    snprintf(w->plan, sizeof w->plan, "winograd%s%s:%s",
        w->forward.tiling == FM_WINOGRAD_2X2 ? "_2x2" : "", fusion->pool ? "+maxpool" : "",
        fm_op_device(*op)->kernels->name);
    const struct fm_view y = fusion->pool ? fm_view_pooled(&w->forward.out) : w->forward.out;
    size_t spared = fm_view_size(&w->forward.out) - fm_view_size(&y);
    (*op)->bytes[FM_PASS_FORWARD] -= (double)(spared * fm_element_size(fm_op_element(*op)));
    return fm_op_same_layout(*op, (struct fm_shape){y.c, y.h, y.w});
}
