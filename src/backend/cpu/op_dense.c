// A dense layer in training: three products of plain matrices in fp32. oneDNN's dense layers want
// the weights and their gradient in a layout of their own, a pass over them in each of the three;
// its products of matrices take them as the model has them. In bf16 the inputs are widened:
// processors without a matrix unit multiply bf16 at best twice as fast, and some at half the rate
// of fp32.
#include "backend/cpu/bridge.h"
#include "backend/cpu/op.h"

// A layer's three matrices; each product multiplies two of them and writes the third.
enum matrix {
    INPUT,  // x, or its gradient: [batch][in]
    WEIGHT, // w, or its gradient: [out][in], the model's
    OUTPUT, // y, or its gradient: [batch][out]
    MATRICES,
};

static const struct {
    enum matrix left, right, to;
    bool transposes_left, transposes_right;
    bool input_gradient, output_gradient; // whether INPUT and OUTPUT are gradients
} products[FM_PASS_COUNT] = {
    [FM_PASS_FORWARD] = {INPUT, WEIGHT, OUTPUT, false, true, false, false},
    [FM_PASS_WEIGHTS] = {OUTPUT, INPUT, WEIGHT, true, false, false, true},
    [FM_PASS_DATA] = {OUTPUT, WEIGHT, INPUT, false, false, true, true},
};

struct dense_pass {
    struct fm_primitive product;
    struct fm_bridge input, output; // to and from plain fp32
    struct fm_tensor_mem left, right, to;
    double *sums; // of the bias's gradient
};

struct dense {
    struct fm_op op;
    struct fm_linear_fusion fusion;
    struct fm_view out;        // of the plain output
    struct fm_tensor_mem bias; // the model's, as [1][out]
    struct dense_pass passes[FM_PASS_COUNT];
};

static const struct fm_device *device_of(const struct dense *d)
{
    return d->op.executor->model->device;
}

// Where a parameter of the layer begins among all of the model's.
static size_t offset_of(const struct dense *d, int param)
{
    return d->op.executor->model->net.params[param].offset;
}

// ---- running

static enum fm_status multiply(struct dense *d, struct dense_pass *p, bool bias)
{
    dnnl_exec_arg_t args[5] = {
        {DNNL_ARG_SRC, p->left.memory},
        {DNNL_ARG_WEIGHTS, p->right.memory},
        {DNNL_ARG_DST, p->to.memory},
    };
    int count = 3;
    if (bias)
        args[count++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, d->bias.memory};
    return fm_primitive_run(d->op.executor, &p->product, args, count, d->op.name);
}

static enum fm_status dense_forward(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct dense *d = (struct dense *)op;
    struct dense_pass *p = &d->passes[FM_PASS_FORWARD];
    FM_TRY(fm_bridge_in(&p->input, device_of(d)));
    FM_TRY(multiply(d, p, d->fusion.bias));
    return fm_bridge_out(&p->output, device_of(d));
}

static enum fm_status dense_prepare(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    fm_op_gate_gradient(op, &((struct dense *)op)->fusion);
    return FM_OK;
}

static enum fm_status dense_weights(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct dense *d = (struct dense *)op;
    struct dense_pass *p = &d->passes[FM_PASS_WEIGHTS];
    FM_TRY(fm_bridge_in(&p->input, device_of(d)));
    FM_TRY(fm_bridge_in(&p->output, device_of(d)));
    FM_TRY(multiply(d, p, false));
    if (d->fusion.bias)
        device_of(d)->kernels->on[FM_ELEMENT_F32]->bias_backward(&d->out, p->output.wanted.data,
            p->sums, op->executor->model->grads + offset_of(d, fm_op_layer(op)->bias));
    return FM_OK;
}

static enum fm_status dense_data(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct dense *d = (struct dense *)op;
    struct dense_pass *p = &d->passes[FM_PASS_DATA];
    FM_TRY(fm_bridge_in(&p->output, device_of(d)));
    FM_TRY(multiply(d, p, false));
    return fm_bridge_out(&p->input, device_of(d));
}

static void dense_destroy(struct fm_op *op)
{
    struct dense *d = (struct dense *)op;
    for (int i = 0; i < FM_PASS_COUNT; i++) {
        struct dense_pass *p = &d->passes[i];
        fm_primitive_free(&p->product);
        fm_bridge_free(&p->input);
        fm_bridge_free(&p->output);
        fm_tensor_mem_free(&p->left);
        fm_tensor_mem_free(&p->right);
        fm_tensor_mem_free(&p->to);
    }
    fm_tensor_mem_free(&d->bias);
}

// ---- creation

// A matrix as it lies in memory, or, the same bytes, transposed.
static enum fm_status matrix_md(
    const struct dense *d, enum matrix matrix, bool transposed, struct fm_md *md)
{
    int in = (int)fm_shape_size(fm_op_layer(&d->op)->in);
    int rows = matrix == WEIGHT ? d->out.c : d->out.n;
    int columns = matrix == OUTPUT ? d->out.c : in;
    int dims[2] = {transposed ? columns : rows, transposed ? rows : columns};
    return fm_md_create(md, 2, dims, dnnl_f32, transposed ? dnnl_ba : dnnl_ab);
}

static enum fm_status connect_matrix(
    const struct dense *d, enum matrix matrix, bool transposed, struct fm_tensor_mem *t)
{
    struct fm_md md = {0};
    enum fm_status status = matrix_md(d, matrix, transposed, &md);
    if (status == FM_OK)
        status = fm_tensor_mem_create(t, device_of(d), &md, NULL);
    fm_md_free(&md);
    return status;
}

static enum fm_status connect_input(struct dense *d, enum fm_op_pass pass)
{
    struct fm_value *in = d->op.in;
    struct fm_shape shape = fm_op_layer(&d->op)->in;
    const int flattened[4] = {d->out.n, shape.c, shape.h, shape.w};
    bool gradient = products[pass].input_gradient;
    struct fm_md md = {0};
    enum fm_status status = matrix_md(d, INPUT, false, &md);
    if (status == FM_OK)
        status = fm_bridge_create(&d->passes[pass].input, device_of(d),
            gradient ? &in->gradient : &in->activation, &md, flattened,
            gradient ? FM_BRIDGE_OUTWARD : FM_BRIDGE_INWARD);
    fm_md_free(&md);
    return status;
}

static enum fm_status connect_output(struct dense *d, enum fm_op_pass pass)
{
    struct fm_value *out = d->op.out;
    bool gradient = products[pass].output_gradient;
    struct fm_md md = {0};
    enum fm_status status = matrix_md(d, OUTPUT, false, &md);
    if (status == FM_OK)
        status = fm_bridge_create(&d->passes[pass].output, device_of(d),
            gradient ? &out->gradient : &out->activation, &md, NULL,
            gradient ? FM_BRIDGE_INWARD : FM_BRIDGE_OUTWARD);
    fm_md_free(&md);
    return status;
}

static enum fm_status create_product(struct dense *d, struct dense_pass *p, bool forward)
{
    const char *name = d->op.name;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    enum fm_status status = fm_attr_create(&attr, forward && d->fusion.relu);
    if (status == FM_OK)
        status = fm_pd_product(&pd, device_of(d)->engine, &p->left.md, &p->right.md,
            forward && d->fusion.bias ? &d->bias.md : NULL, &p->to.md, attr, name);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return status == FM_OK ? fm_primitive_create(&p->product, pd, name) : status;
}

// What a pass has in its scratch, one behind the other: what its primitive needs, its bridges, its
// sums. Sets where each begins (may be NULL); returns the bytes of all.
enum part {
    PART_PRIMITIVE,
    PART_INPUT,
    PART_OUTPUT,
    PART_SUMS,
    PARTS,
};

static size_t lay_out(const struct dense *d, enum fm_op_pass pass, size_t at[PARTS])
{
    const struct dense_pass *p = &d->passes[pass];
    bool sums = pass == FM_PASS_WEIGHTS && d->fusion.bias;
    const size_t bytes[PARTS] = {
        [PART_PRIMITIVE] = fm_md_bytes(&p->product.scratch_md),
        [PART_INPUT] = p->input.bytes,
        [PART_OUTPUT] = p->output.bytes,
        [PART_SUMS] = sums ? fm_op_image_sums(&d->out) : 0,
    };
    return fm_op_lay_out(bytes, PARTS, at);
}

static enum fm_status connect_pass(struct dense *d, enum fm_op_pass pass)
{
    struct dense_pass *p = &d->passes[pass];
    FM_TRY(connect_input(d, pass));
    FM_TRY(connect_output(d, pass));
    FM_TRY(connect_matrix(d, products[pass].left, products[pass].transposes_left, &p->left));
    FM_TRY(connect_matrix(d, products[pass].right, products[pass].transposes_right, &p->right));
    FM_TRY(connect_matrix(d, products[pass].to, false, &p->to));
    FM_TRY(create_product(d, p, pass == FM_PASS_FORWARD));
    fm_op_scratch(&d->op, pass, lay_out(d, pass, NULL));
    d->op.plans[pass] = p->product.plan;
    return FM_OK;
}

static enum fm_status connect_bias(struct dense *d)
{
    if (!d->fusion.bias)
        return FM_OK;
    int dims[2] = {1, d->out.c};
    float *bias = d->op.executor->weights->params + offset_of(d, fm_op_layer(&d->op)->bias);
    struct fm_md md = {0};
    enum fm_status status = fm_md_create(&md, 2, dims, dnnl_f32, dnnl_ab);
    if (status == FM_OK)
        status = fm_tensor_mem_create(&d->bias, device_of(d), &md, bias);
    fm_md_free(&md);
    return status;
}

static enum fm_status dense_connect(struct fm_op *op)
{
    struct dense *d = (struct dense *)op;
    FM_TRY(connect_bias(d));
    FM_TRY(connect_pass(d, FM_PASS_FORWARD));
    FM_TRY(connect_pass(d, FM_PASS_WEIGHTS));
    return op->input_gradient ? connect_pass(d, FM_PASS_DATA) : FM_OK;
}

// A product's matrices begin where its bridges put them, the weight and its gradient in the model.
static enum fm_status bind_product(struct dense *d, enum fm_op_pass pass)
{
    const struct fm_executor *e = d->op.executor;
    struct dense_pass *p = &d->passes[pass];
    size_t weight = offset_of(d, fm_op_layer(&d->op)->weight);
    bool gradient = pass == FM_PASS_WEIGHTS;
    void *data[MATRICES] = {
        [INPUT] = p->input.wanted.data,
        [WEIGHT] = gradient ? e->model->grads + weight : e->weights->params + weight,
        [OUTPUT] = p->output.wanted.data,
    };
    FM_TRY(fm_tensor_mem_move(&p->left, data[products[pass].left]));
    FM_TRY(fm_tensor_mem_move(&p->right, data[products[pass].right]));
    return fm_tensor_mem_move(&p->to, data[products[pass].to]);
}

static enum fm_status dense_bind(struct fm_op *op)
{
    struct dense *d = (struct dense *)op;
    for (int i = 0; i < FM_PASS_COUNT; i++) {
        struct dense_pass *p = &d->passes[i];
        size_t at[PARTS];
        char *parts[PARTS] = {NULL};
        if (!p->product.primitive)
            continue;
        if (lay_out(d, (enum fm_op_pass)i, at) > 0)
            for (int k = 0; k < PARTS; k++)
                parts[k] = (char *)op->scratch[i] + at[k];
        FM_TRY(fm_primitive_bind(&p->product, device_of(d), parts[PART_PRIMITIVE]));
        FM_TRY(fm_bridge_bind(&p->input, parts[PART_INPUT]));
        FM_TRY(fm_bridge_bind(&p->output, parts[PART_OUTPUT]));
        FM_TRY(bind_product(d, (enum fm_op_pass)i));
        p->sums = (double *)(void *)parts[PART_SUMS];
    }
    return FM_OK;
}

static const struct fm_op_class dense_class = {
    .name = "dense",
    .run = {dense_forward, dense_prepare, dense_weights, dense_data},
    .connect = dense_connect,
    .bind = dense_bind,
    .destroy = dense_destroy,
};

bool fm_op_dense_suits(const struct fm_op_place *place)
{
    const struct fm_model *m = place->executor->model;
    const struct fm_layer *layer = &m->net.layers[place->layer];
    // For other processors oneDNN's dense layers are such products, and want no layout of their
    // own.
    bool layouts = m->device->kernels->avx512;
    bool matrix_unit = m->element == FM_ELEMENT_BF16 && m->device->amx;
    return layer->kind == FM_LAYER_DENSE && fm_op_place_trains(place) && layouts && !matrix_unit &&
           m->rounding == FM_ROUNDING_NONE;
}

enum fm_status fm_op_dense(
    const struct fm_op_place *place, const struct fm_linear_fusion *fusion, struct fm_op **op)
{
    FM_TRY(fm_op_new(place, &dense_class, sizeof(struct dense), op));
    struct dense *d = (struct dense *)*op;
    const struct fm_layer *layer = fm_op_layer(*op);
    int dims[2] = {place->executor->options.batch, layer->out.c};
    d->fusion = *fusion;
    d->out = (struct fm_view){dims[0], dims[1], 1, 1, dims[1]};
    place->out->shape = layer->out;
    fm_op_reads_linear(*op, fusion);
    fm_op_counts_products(*op);
    return fm_md_create(&place->out->md, 2, dims, fm_element_type(fm_op_element(*op)), dnnl_ab);
}
