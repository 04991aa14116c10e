// A dense layer in training: three products of plain matrices in fp32. oneDNN's dense layers want
// the weights and their gradient in a layout of their own, a pass over them in each of the three;
// its products of matrices take them as the model has them. In bf16 the inputs are widened:
// processors without a matrix unit multiply bf16 at best twice as fast, and some at half the rate
// of fp32.
#include "backend/cpu/bridge.h"
#include "backend/cpu/op.h"

// A layer's three matrices, or their gradients; each product multiplies two of them and writes the
// third. The sides lie between layers, and a bridge leads to each.
enum matrix {
    INPUT,          // [batch][in]
    OUTPUT,         // [batch][out]
    SIDES,          // how many they are
    WEIGHT = SIDES, // [out][in], the model's
    MATRICES,
};

static const struct {
    enum matrix left, right, to;
    bool transposes_left, transposes_right;
    bool gradient[MATRICES]; // which of them are gradients
} products[FM_PASS_COUNT] = {
    [FM_PASS_FORWARD] = {INPUT, WEIGHT, OUTPUT, .transposes_right = true},
    [FM_PASS_WEIGHTS] = {OUTPUT, INPUT, WEIGHT, .transposes_left = true,
        .gradient = {[OUTPUT] = true, [WEIGHT] = true}},
    [FM_PASS_DATA] = {OUTPUT, WEIGHT, INPUT, .gradient = {[OUTPUT] = true, [INPUT] = true}},
};

struct dense_pass {
    struct fm_primitive product;
    struct fm_bridge sides[SIDES]; // to and from plain fp32
    struct fm_tensor_mem left, right, to;
    double *sums; // of the bias's gradient
};

struct dense {
    struct fm_op op;
    struct fm_view out;        // of the plain output
    struct fm_tensor_mem bias; // the model's, as [1][out]
    struct dense_pass passes[FM_PASS_COUNT];
};

// ---- running

static enum fm_status run_product(struct dense *d, enum fm_op_pass pass)
{
    struct dense_pass *p = &d->passes[pass];
    const struct fm_device *device = fm_op_device(&d->op);
    for (int side = 0; side < SIDES; side++)
        if (side != (int)products[pass].to)
            FM_TRY(fm_bridge_in(&p->sides[side], device));
    dnnl_exec_arg_t args[5] = {
        {DNNL_ARG_SRC, p->left.memory},
        {DNNL_ARG_WEIGHTS, p->right.memory},
        {DNNL_ARG_DST, p->to.memory},
    };
    int count = 3;
    if (pass == FM_PASS_FORWARD && d->op.fusion.bias)
        args[count++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, d->bias.memory};
    FM_TRY(fm_primitive_run(d->op.executor, &p->product, args, count, d->op.name));
    return products[pass].to < SIDES ? fm_bridge_out(&p->sides[products[pass].to], device) : FM_OK;
}

static enum fm_status dense_forward(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    FM_TRY(run_product((struct dense *)op, FM_PASS_FORWARD));
    if (op->fusion.relu)
        fm_op_relu_in_place(op); // oneDNN's would make 0 of NaN
    return FM_OK;
}

static enum fm_status dense_weights(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct dense *d = (struct dense *)op;
    struct dense_pass *p = &d->passes[FM_PASS_WEIGHTS];
    FM_TRY(run_product(d, FM_PASS_WEIGHTS));
    if (op->fusion.bias)
        fm_op_device(op)->kernels->on[FM_ELEMENT_F32]->bias_backward(&d->out,
            p->sides[OUTPUT].wanted.data, p->sums, fm_op_param_gradient(op, fm_op_layer(op)->bias));
    return FM_OK;
}

static enum fm_status dense_data(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    return run_product((struct dense *)op, FM_PASS_DATA);
}

static void dense_destroy(struct fm_op *op)
{
    struct dense *d = (struct dense *)op;
    for (int i = 0; i < FM_PASS_COUNT; i++) {
        struct dense_pass *p = &d->passes[i];
        fm_primitive_free(&p->product);
        for (int side = 0; side < SIDES; side++)
            fm_bridge_free(&p->sides[side]);
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
        status = fm_tensor_mem_create(t, fm_op_device(&d->op), &md, NULL);
    fm_md_free(&md);
    return status;
}

static enum fm_status connect_side(struct dense *d, enum fm_op_pass pass, enum matrix side)
{
    struct fm_value *value = side == INPUT ? d->op.in : d->op.out;
    struct fm_shape in = fm_op_layer(&d->op)->in;
    const int flattened[4] = {d->out.n, in.c, in.h, in.w};
    struct fm_md md = {0};
    enum fm_status status = matrix_md(d, side, false, &md);
    if (status == FM_OK)
        status = fm_bridge_create(&d->passes[pass].sides[side], fm_op_device(&d->op),
            products[pass].gradient[side] ? &value->gradient : &value->activation, &md,
            side == INPUT ? flattened : NULL,
            products[pass].to == side ? FM_BRIDGE_OUTWARD : FM_BRIDGE_INWARD);
    fm_md_free(&md);
    return status;
}

static enum fm_status create_product(struct dense *d, enum fm_op_pass pass)
{
    struct dense_pass *p = &d->passes[pass];
    bool biased = pass == FM_PASS_FORWARD && d->op.fusion.bias;
    const char *name = d->op.name;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    enum fm_status status = fm_attr_create(&attr, false);
    if (status == FM_OK)
        status = fm_pd_product(&pd, fm_op_device(&d->op)->engine, &p->left.md, &p->right.md,
            biased ? &d->bias.md : NULL, &p->to.md, attr, name);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return status == FM_OK ? fm_primitive_create(&p->product, pd, name) : status;
}

// What a pass has in its scratch: what its primitive needs, its bridges, its sums.
enum part {
    PART_PRIMITIVE,
    PART_INPUT,
    PART_OUTPUT,
    PART_SUMS,
    PARTS,
};

static void part_bytes(const struct dense *d, enum fm_op_pass pass, size_t bytes[PARTS])
{
    const struct dense_pass *p = &d->passes[pass];
    bool sums = pass == FM_PASS_WEIGHTS && d->op.fusion.bias;
    bytes[PART_PRIMITIVE] = fm_md_bytes(&p->product.scratch_md);
    bytes[PART_INPUT] = p->sides[INPUT].bytes;
    bytes[PART_OUTPUT] = p->sides[OUTPUT].bytes;
    bytes[PART_SUMS] = sums ? fm_op_image_sums(&d->out) : 0;
}

static enum fm_status connect_pass(struct dense *d, enum fm_op_pass pass)
{
    struct dense_pass *p = &d->passes[pass];
    size_t bytes[PARTS];
    for (int side = 0; side < SIDES; side++)
        FM_TRY(connect_side(d, pass, (enum matrix)side));
    FM_TRY(connect_matrix(d, products[pass].left, products[pass].transposes_left, &p->left));
    FM_TRY(connect_matrix(d, products[pass].right, products[pass].transposes_right, &p->right));
    FM_TRY(connect_matrix(d, products[pass].to, false, &p->to));
    FM_TRY(create_product(d, pass));
    part_bytes(d, pass, bytes);
    fm_op_scratch_parts(&d->op, pass, bytes, PARTS);
    d->op.plans[pass] = p->product.plan;
    return FM_OK;
}

static enum fm_status connect_bias(struct dense *d)
{
    if (!d->op.fusion.bias)
        return FM_OK;
    int dims[2] = {1, d->out.c};
    float *bias = fm_op_param(&d->op, fm_op_layer(&d->op)->bias);
    struct fm_md md = {0};
    enum fm_status status = fm_md_create(&md, 2, dims, dnnl_f32, dnnl_ab);
    if (status == FM_OK)
        status = fm_tensor_mem_create(&d->bias, fm_op_device(&d->op), &md, bias);
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
    struct dense_pass *p = &d->passes[pass];
    int weight = fm_op_layer(&d->op)->weight;
    void *data[MATRICES] = {
        [INPUT] = p->sides[INPUT].wanted.data,
        [OUTPUT] = p->sides[OUTPUT].wanted.data,
        [WEIGHT] = products[pass].gradient[WEIGHT] ? fm_op_param_gradient(&d->op, weight)
                                                   : fm_op_param(&d->op, weight),
    };
    FM_TRY(fm_tensor_mem_move(&p->left, data[products[pass].left]));
    FM_TRY(fm_tensor_mem_move(&p->right, data[products[pass].right]));
    return fm_tensor_mem_move(&p->to, data[products[pass].to]);
}

static enum fm_status dense_bind(struct fm_op *op)
{
    struct dense *d = (struct dense *)op;
    for (int i = 0; i < FM_PASS_COUNT; i++) {
        enum fm_op_pass pass = (enum fm_op_pass)i;
        struct dense_pass *p = &d->passes[pass];
        size_t bytes[PARTS];
        void *parts[PARTS];
        if (!p->product.primitive)
            continue;
        part_bytes(d, pass, bytes);
        fm_op_find_parts(op, pass, bytes, PARTS, parts);
        FM_TRY(fm_primitive_bind(&p->product, fm_op_device(op), parts[PART_PRIMITIVE]));
        FM_TRY(fm_bridge_bind(&p->sides[INPUT], parts[PART_INPUT]));
        FM_TRY(fm_bridge_bind(&p->sides[OUTPUT], parts[PART_OUTPUT]));
        FM_TRY(bind_product(d, pass));
        p->sums = parts[PART_SUMS];
    }
    return FM_OK;
}

static const struct fm_op_class dense_class = {
    .name = "dense",
    .run = {dense_forward, fm_op_linear_prepare, dense_weights, dense_data},
    .connect = dense_connect,
    .bind = dense_bind,
    .destroy = dense_destroy,
};

bool fm_op_dense_suits(const struct fm_op_place *place)
{
    const struct fm_model *m = place->executor->model;
    const struct fm_layer *layer = &m->net.layers[place->layer];
    // Without AVX-512 op_matrix.c has those behind trained layers; the others are oneDNN's dense
    // layers, which want no layout of the weights there.
    bool layouts = m->device->kernels->avx512;
    bool matrix_unit = m->element == FM_ELEMENT_BF16 && m->device->amx;
    return layer->kind == FM_LAYER_DENSE && fm_op_place_trains(place) && layouts && !matrix_unit &&
           m->rounding == FM_ROUNDING_NONE;
}

enum fm_status fm_op_dense(
    const struct fm_op_place *place, const struct fm_linear_fusion *fusion, struct fm_op **op)
{
    FM_TRY(fm_op_new_linear(place, &dense_class, sizeof(struct dense), fusion, op));
    struct dense *d = (struct dense *)*op;
    int dims[2] = {place->executor->options.batch, place->out->shape.c};
    d->out = (struct fm_view){dims[0], dims[1], 1, 1, dims[1]};
    return fm_md_create(&place->out->md, 2, dims, fm_element_type(fm_op_element(*op)), dnnl_ab);
}
