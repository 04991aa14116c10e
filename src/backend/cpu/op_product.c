// A dense layer in training by own products of matrices (isa/matrix.c), in fp32 on processors
// without AVX-512: there oneDNN's reach a third to two thirds of the rate, and want the activations
// in the order of the weights.
#include "backend/cpu/op.h"

#include <stdio.h>

struct product {
    struct fm_op op;
    char plan[64];
};

static const enum fm_matrix_pass matrix_passes[FM_PASS_COUNT] = {
    [FM_PASS_FORWARD] = FM_MATRIX_FORWARD,
    [FM_PASS_WEIGHTS] = FM_MATRIX_WEIGHTS,
    [FM_PASS_DATA] = FM_MATRIX_DATA,
};

static struct fm_matrix_product matrix_product(const struct fm_op *op, enum fm_op_pass pass)
{
    const struct fm_view *in = &op->in->view;
    return (struct fm_matrix_product){
        .pass = matrix_passes[pass],
        .batch = op->executor->options.batch,
        .in = in->c * in->h * in->w,
        .out = fm_op_layer(op)->out.c,
        .pixels = in->h * in->w,
        .block = in->block,
        .threads = fm_op_device(op)->threads,
    };
}

static void multiply(struct fm_op *op, enum fm_op_pass pass, const struct fm_matrix_run *run)
{
    const struct fm_matrix_product p = matrix_product(op, pass);
    fm_op_device(op)->kernels->matrix_multiply(&p, run, op->scratch[pass]);
}

static enum fm_status product_forward(struct fm_op *op, const struct fm_pass *pass)
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
    multiply(op, FM_PASS_FORWARD, &run);
    return FM_OK;
}

static enum fm_status product_weights(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    const struct fm_layer *layer = fm_op_layer(op);
    const struct fm_matrix_run run = {
        .left = op->out->gradient.data,
        .right = op->in->activation.data,
        .to = fm_op_param_gradient(op, layer->weight),
    };
    multiply(op, FM_PASS_WEIGHTS, &run);
    if (op->fusion.bias)
        fm_op_kernels(op)->bias_backward(&op->out->view, op->out->gradient.data,
            op->scratch[FM_PASS_WEIGHTS], fm_op_param_gradient(op, layer->bias));
    return FM_OK;
}

static enum fm_status product_data(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    const struct fm_matrix_run run = {
        .left = op->out->gradient.data,
        .right = fm_op_param(op, fm_op_layer(op)->weight),
        .to = op->in->gradient.data,
    };
    multiply(op, FM_PASS_DATA, &run);
    return FM_OK;
}

static enum fm_status product_connect(struct fm_op *op)
{
    struct product *d = (struct product *)op;
    for (int i = 0; i < FM_PASS_COUNT; i++) {
        enum fm_op_pass pass = (enum fm_op_pass)i;
        bool runs = pass == FM_PASS_FORWARD || fm_op_runs(op, pass);
        if (pass == FM_PASS_PREPARE || !runs)
            continue;
        const struct fm_matrix_product p = matrix_product(op, pass);
        fm_op_scratch(op, pass, fm_op_device(op)->kernels->matrix_scratch(&p));
        op->plans[pass] = d->plan;
    }
    if (op->trains && op->fusion.bias) // after the product, in its memory
        fm_op_scratch(op, FM_PASS_WEIGHTS, fm_op_image_sums(&op->out->view));
    return FM_OK;
}

static const struct fm_op_class product_class = {
    .name = "product",
    .run = {product_forward, fm_op_linear_prepare, product_weights, product_data},
    .connect = product_connect,
};

// Whether a step computes the gradient of the layer's input: layers in front of it are trained.
static bool wants_input_gradient(const struct fm_op_place *place)
{
    const struct fm_net *net = &place->executor->model->net;
    for (int i = 0; i < place->layer; i++)
        if (fm_layer_trains(net, &net->layers[i]))
            return fm_executor_trains(place->executor);
    return false;
}

// Sums are made in the order of the activation, where kept features lie in that of the weights: so
// not where a head may be given either (tests/test_features.c).
bool fm_op_product_suits(const struct fm_op_place *place)
{
    const struct fm_model *m = place->executor->model;
    const struct fm_layer *layer = &m->net.layers[place->layer];
    const struct fm_view *in = &place->in->view;
    bool padded = (size_t)(in->c * in->h * in->w) != fm_shape_size(layer->in);
    return layer->kind == FM_LAYER_DENSE && !m->device->kernels->avx512 &&
           wants_input_gradient(place) && !padded && m->element == FM_ELEMENT_F32 &&
           m->rounding == FM_ROUNDING_NONE;
}

enum fm_status fm_op_product(
    const struct fm_op_place *place, const struct fm_linear_fusion *fusion, struct fm_op **op)
{
    FM_TRY(fm_op_new_linear(place, &product_class, sizeof(struct product), fusion, op));
    struct product *d = (struct product *)*op;
    snprintf(d->plan, sizeof d->plan, "product:%s", fm_op_device(*op)->kernels->name);
    int dims[2] = {place->executor->options.batch, place->out->shape.c};
    return fm_md_create(&place->out->md, 2, dims, fm_element_type(FM_ELEMENT_F32), dnnl_ab);
}
