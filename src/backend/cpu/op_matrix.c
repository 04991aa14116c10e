// A dense layer in training by own products (isa/matrix.c), in fp32 on processors without AVX-512:
// with AVX2, where it was measured, oneDNN's took half as long again, and want the activations in
// the order of the weights.
#include "backend/cpu/op.h"

#include <stdio.h>

struct matrix {
    struct fm_op op;
    char plan[64];
};

static struct fm_matrix_product product_of(const struct fm_op *op, enum fm_matrix_pass pass)
{
    const struct fm_view *in = &op->in->view;
    return (struct fm_matrix_product){
        .pass = pass,
        .batch = op->executor->options.batch,
        .in = in->c * in->h * in->w,
        .out = fm_op_layer(op)->out.c,
        .pixels = in->h * in->w,
        .block = in->block,
        .threads = fm_op_device(op)->threads,
    };
}

// ---- running

static void multiply(
    struct fm_op *op, enum fm_matrix_pass pass, const struct fm_matrix_run *run, void *scratch)
{
    const struct fm_matrix_product p = product_of(op, pass);
    fm_op_device(op)->kernels->matrix_multiply(&p, run, scratch);
}

static enum fm_status matrix_forward(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    const struct fm_layer *layer = fm_op_layer(op);
    const struct fm_matrix_run run = {
        .left = op->in->activation.data,
        .right = fm_op_param(op, layer->weight),
        .to = op->out->activation.data,
        .bias = op->fusion.bias ? fm_op_param(op, layer->bias) : NULL,
        .relu = op->fusion.relu,
    };
    multiply(op, FM_MATRIX_FORWARD, &run, op->scratch[FM_PASS_FORWARD]);
    return FM_OK;
}

static enum fm_status matrix_weights(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    const struct fm_layer *layer = fm_op_layer(op);
    const struct fm_matrix_run run = {
        .left = op->out->gradient.data,
        .right = op->in->activation.data,
        .to = fm_op_param_gradient(op, layer->weight),
    };
    multiply(op, FM_MATRIX_WEIGHTS, &run, op->scratch[FM_PASS_WEIGHTS]);
    if (op->fusion.bias)
        fm_op_kernels(op)->bias_backward(&op->out->view, op->out->gradient.data,
            op->scratch[FM_PASS_WEIGHTS], fm_op_param_gradient(op, layer->bias));
    return FM_OK;
}

static enum fm_status matrix_data(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    const struct fm_matrix_run run = {
        .left = op->out->gradient.data,
        .right = fm_op_param(op, fm_op_layer(op)->weight),
        .to = op->in->gradient.data,
    };
    multiply(op, FM_MATRIX_DATA, &run, op->scratch[FM_PASS_DATA]);
    return FM_OK;
}

// ---- creation

static void plan_pass(struct matrix *m, enum fm_op_pass pass, enum fm_matrix_pass product)
{
    const struct fm_matrix_product p = product_of(&m->op, product);
    fm_op_scratch(&m->op, pass, fm_op_device(&m->op)->kernels->matrix_scratch(&p));
    m->op.plans[pass] = m->plan;
}

static enum fm_status matrix_connect(struct fm_op *op)
{
    struct matrix *m = (struct matrix *)op;
    plan_pass(m, FM_PASS_FORWARD, FM_MATRIX_FORWARD);
    if (op->trains)
        plan_pass(m, FM_PASS_WEIGHTS, FM_MATRIX_WEIGHTS);
    if (op->trains && op->fusion.bias) // after the product, in its memory
        fm_op_scratch(op, FM_PASS_WEIGHTS, fm_op_image_sums(&op->out->view));
    if (op->input_gradient)
        plan_pass(m, FM_PASS_DATA, FM_MATRIX_DATA);
    return FM_OK;
}

static const struct fm_op_class matrix_class = {
    .name = "matrix",
    .run = {matrix_forward, fm_op_linear_prepare, matrix_weights, matrix_data},
    .connect = matrix_connect,
};

// Whether no kept features can be given in place of the layer's input: then a trained layer in
// front is dense, as may be a head's own, or sees several pixels, as a head's never do. Features
// lie in the weights' order, while an activation is summed in its own: the bits would differ
// (tests/test_features.c).
static bool never_behind_features(const struct fm_op_place *place)
{
    const struct fm_net *net = &place->executor->model->net;
    for (int i = 0; i < place->layer; i++) {
        const struct fm_layer *layer = &net->layers[i];
        bool several = layer->in.h * layer->in.w > 1;
        if (fm_layer_trains(net, layer) && (layer->kind == FM_LAYER_DENSE || several))
            return true;
    }
    return false;
}

bool fm_op_matrix_suits(const struct fm_op_place *place)
{
    const struct fm_executor *e = place->executor;
    const struct fm_model *m = e->model;
    const struct fm_layer *layer = &m->net.layers[place->layer];
    const struct fm_view *in = &place->in->view;
    bool padded = (size_t)(in->c * in->h * in->w) != fm_shape_size(layer->in);
    return layer->kind == FM_LAYER_DENSE && !m->device->kernels->avx512 && fm_executor_fuses(e) &&
           fm_executor_trains(e) && never_behind_features(place) && !padded &&
           m->element == FM_ELEMENT_F32 && m->rounding == FM_ROUNDING_NONE;
}

enum fm_status fm_op_matrix(
    const struct fm_op_place *place, const struct fm_linear_fusion *fusion, struct fm_op **op)
{
    FM_TRY(fm_op_new_linear(place, &matrix_class, sizeof(struct matrix), fusion, op));
    struct matrix *m = (struct matrix *)*op;
    snprintf(m->plan, sizeof m->plan, "matrix:%s", fm_op_device(*op)->kernels->name);
    int dims[2] = {place->executor->options.batch, place->out->shape.c};
    return fm_md_create(&place->out->md, 2, dims, fm_element_type(FM_ELEMENT_F32), dnnl_ab);
}
