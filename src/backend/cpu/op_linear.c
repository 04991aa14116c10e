// Convolution and dense layers, both oneDNN's: forward with bias and ReLU fused, gradients of data
// and weights (but see op_dense.c, op_matrix.c and own_gradient.c). oneDNN chooses the layouts;
// where one differs from what is there, a reorder stands between.
#include "backend/cpu/bridge.h"
#include "backend/cpu/op.h"
#include "backend/cpu/own_gradient.h"

// A pass of it: its primitive and what lies between that and the layer's input, output and weight,
// or their gradients where the pass takes or puts out those.
struct linear_pass {
    struct fm_primitive primitive;
    struct fm_bridge input, output, weight;
    struct fm_copy *copy; // in place of the weight's bridge: kept from step to step
};

struct linear {
    struct fm_op op;
    dnnl_primitive_desc_t described; // of the forward, from creation until it is connected
    struct linear_pass passes[FM_PASS_COUNT];
    struct fm_copy *bias;
    struct fm_tensor_mem weight, weight_gradient, bias_gradient; // the model's
    bool own_gradient; // the weights' gradient, with the ReLU's gate, is own_gradient.c's
};

// ---- running

// The weight as a pass takes it.
static enum fm_status bring_weight(const struct linear *l, struct linear_pass *p)
{
    return p->copy ? fm_copy_refresh(p->copy) : fm_bridge_in(&p->weight, fm_op_device(&l->op));
}

static dnnl_memory_t weight_memory(const struct linear_pass *p)
{
    return p->copy ? fm_copy_memory(p->copy) : p->weight.wanted.memory;
}

// oneDNN's ReLU makes 0 of NaN, and nobody would notice that weights have diverged: an own one,
// which keeps NaN, follows the primitive where that is no long way through memory. It would be
// behind a first convolution, to which no NaN comes but from its weights, and behind those in the
// matrix unit.
static bool primitive_has_relu(const struct linear *l)
{
    const struct fm_model *m = l->op.executor->model;
    bool first = l->op.in == &l->op.executor->values[0];
    bool matrix_unit = m->element == FM_ELEMENT_BF16 && m->device->amx;
    return l->op.fusion.relu && fm_op_layer(&l->op)->kind == FM_LAYER_CONV &&
           (first || matrix_unit);
}

static enum fm_status linear_forward(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct linear *l = (struct linear *)op;
    struct linear_pass *p = &l->passes[FM_PASS_FORWARD];
    FM_TRY(bring_weight(l, p));
    if (l->bias)
        FM_TRY(fm_copy_refresh(l->bias));
    FM_TRY(fm_bridge_in(&p->input, fm_op_device(&l->op)));
    dnnl_exec_arg_t args[5] = {
        {DNNL_ARG_SRC, p->input.wanted.memory},
        {DNNL_ARG_WEIGHTS, weight_memory(p)},
        {DNNL_ARG_DST, p->output.wanted.memory},
    };
    int count = 3;
    if (l->bias)
        args[count++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, fm_copy_memory(l->bias)};
    FM_TRY(fm_primitive_run(op->executor, &p->primitive, args, count, op->name));
    FM_TRY(fm_bridge_out(&p->output, fm_op_device(&l->op)));
    if (op->fusion.relu && !primitive_has_relu(l))
        fm_op_relu_in_place(op);
    return FM_OK;
}

static enum fm_status linear_prepare(struct fm_op *op, const struct fm_pass *pass)
{
    return ((struct linear *)op)->own_gradient ? FM_OK : fm_op_linear_prepare(op, pass);
}

static enum fm_status linear_weights(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct linear *l = (struct linear *)op;
    if (l->own_gradient) {
        fm_own_gradient_run(op);
        return FM_OK;
    }
    struct linear_pass *p = &l->passes[FM_PASS_WEIGHTS];
    FM_TRY(fm_bridge_in(&p->input, fm_op_device(&l->op)));
    FM_TRY(fm_bridge_in(&p->output, fm_op_device(&l->op)));
    dnnl_exec_arg_t args[5] = {
        {DNNL_ARG_SRC, p->input.wanted.memory},
        {DNNL_ARG_DIFF_DST, p->output.wanted.memory},
        {DNNL_ARG_DIFF_WEIGHTS, p->weight.wanted.memory},
    };
    int count = 3;
    if (l->bias_gradient.memory)
        args[count++] = (dnnl_exec_arg_t){DNNL_ARG_DIFF_BIAS, l->bias_gradient.memory};
    FM_TRY(fm_primitive_run(op->executor, &p->primitive, args, count, op->name));
    FM_TRY(fm_bridge_out(&p->weight, fm_op_device(&l->op)));
    const struct fm_model *m = op->executor->model;
    fm_cpu_model_round(m, m->net.params[fm_op_layer(op)->weight].count, l->weight_gradient.data);
    return FM_OK;
}

static enum fm_status linear_data(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct linear *l = (struct linear *)op;
    struct linear_pass *p = &l->passes[FM_PASS_DATA];
    FM_TRY(bring_weight(l, p));
    FM_TRY(fm_bridge_in(&p->output, fm_op_device(&l->op)));
    dnnl_exec_arg_t args[4] = {
        {DNNL_ARG_DIFF_DST, p->output.wanted.memory},
        {DNNL_ARG_WEIGHTS, weight_memory(p)},
        {DNNL_ARG_DIFF_SRC, p->input.wanted.memory},
    };
    FM_TRY(fm_primitive_run(op->executor, &p->primitive, args, 3, op->name));
    return fm_bridge_out(&p->input, fm_op_device(&l->op));
}

static void linear_destroy(struct fm_op *op)
{
    struct linear *l = (struct linear *)op;
    if (l->described)
        dnnl_primitive_desc_destroy(l->described);
    for (int i = 0; i < FM_PASS_COUNT; i++) {
        struct linear_pass *p = &l->passes[i];
        fm_bridge_free(&p->input);
        fm_bridge_free(&p->output);
        fm_bridge_free(&p->weight);
        fm_primitive_free(&p->primitive);
    }
    fm_tensor_mem_free(&l->weight);
    fm_tensor_mem_free(&l->weight_gradient);
    fm_tensor_mem_free(&l->bias_gradient);
}

// ---- creation

// The descriptors that primitive descriptors are asked for with: `any`, so that oneDNN chooses,
// except a dense layer's inputs and outputs, which are plain vectors: its fastest kernels want
// those.
struct wishes {
    struct fm_md src, weights, bias, dst, diff_dst;
    struct fm_md weights_src, weights_diff_dst, diff_weights; // of the weights' gradient
};

static void wishes_free(struct wishes *w)
{
    fm_md_free(&w->src);
    fm_md_free(&w->weights);
    fm_md_free(&w->diff_weights);
    fm_md_free(&w->bias);
    fm_md_free(&w->dst);
    fm_md_free(&w->diff_dst);
    fm_md_free(&w->weights_src);
    fm_md_free(&w->weights_diff_dst);
}

static bool is_dense(const struct linear *l)
{
    return fm_op_layer(&l->op)->kind == FM_LAYER_DENSE;
}

// What the weights' gradient is computed from. oneDNN 2.6.3's bf16 kernel is several times slower
// than its fp32 one where channels are many and pixels few, as in the last layers of vgg16 where
// those are convolved directly, which costs more than widening the two inputs, without loss.
static enum fm_element weights_element(const struct linear *l)
{
    const struct fm_layer *layer = fm_op_layer(&l->op);
    bool many = (int64_t)layer->in.c * layer->out.c >= 512 * 512;
    bool few = layer->out.h * layer->out.w <= 16;
    bool matrix_unit = fm_op_device(&l->op)->amx; // has another kernel
    if (layer->kind == FM_LAYER_CONV && many && few && !matrix_unit)
        return FM_ELEMENT_F32;
    return l->op.executor->model->element;
}

static enum fm_status wishes_make(const struct linear *l, struct wishes *w)
{
    const struct fm_layer *layer = fm_op_layer(&l->op);
    int batch = l->op.executor->options.batch;
    dnnl_data_type_t type = fm_element_type(l->op.executor->model->element);
    dnnl_data_type_t weights_type = fm_element_type(weights_element(l));
    dnnl_data_type_t dst_type = fm_element_type(fm_op_element(&l->op));
    FM_TRY(fm_weight_md(layer, type, dnnl_format_tag_any, &w->weights));
    FM_TRY(fm_weight_md(layer, dnnl_f32, dnnl_format_tag_any, &w->diff_weights));
    FM_TRY(fm_md_create(&w->bias, 1, &layer->out.c, dnnl_f32, dnnl_a));
    if (is_dense(l)) {
        int src[2] = {batch, (int)fm_shape_size(layer->in)}, dst[2] = {batch, layer->out.c};
        FM_TRY(fm_md_create(&w->src, 2, src, type, dnnl_ab));
        FM_TRY(fm_md_create(&w->diff_dst, 2, dst, type, dnnl_ab));
        FM_TRY(fm_md_create(&w->weights_src, 2, src, weights_type, dnnl_ab));
        FM_TRY(fm_md_create(&w->weights_diff_dst, 2, dst, weights_type, dnnl_ab));
        return fm_md_create(&w->dst, 2, dst, dst_type, dnnl_ab);
    }
    int src[4] = {batch, layer->in.c, layer->in.h, layer->in.w};
    int dst[4] = {batch, layer->out.c, layer->out.h, layer->out.w};
    FM_TRY(fm_md_create(&w->src, 4, src, type, dnnl_format_tag_any));
    FM_TRY(fm_md_create(&w->diff_dst, 4, dst, type, dnnl_format_tag_any));
    FM_TRY(fm_md_create(&w->weights_src, 4, src, weights_type, dnnl_format_tag_any));
    FM_TRY(fm_md_create(&w->weights_diff_dst, 4, dst, weights_type, dnnl_format_tag_any));
    return fm_md_create(&w->dst, 4, dst, dst_type, dnnl_format_tag_any);
}

// What a pass's primitive takes. Gradients of parameters are fp32, as the masters are.
static struct fm_linear_desc linear_desc(
    const struct linear *l, const struct wishes *w, enum fm_op_pass pass, bool bias)
{
    const struct fm_layer *layer = fm_op_layer(&l->op);
    bool weights = pass == FM_PASS_WEIGHTS;
    return (struct fm_linear_desc){
        .conv = layer->kind == FM_LAYER_CONV,
        .padding = layer->padding,
        .src = weights ? &w->weights_src : &w->src,
        .weights = weights ? &w->diff_weights : &w->weights,
        .bias = bias ? &w->bias : NULL,
        .dst = weights                   ? &w->weights_diff_dst
               : pass == FM_PASS_FORWARD ? &w->dst
                                         : &w->diff_dst,
    };
}

static enum fm_status create_forward_pd(
    struct linear *l, const struct wishes *w, dnnl_primitive_desc_t *pd)
{
    struct fm_linear_desc desc = linear_desc(l, w, FM_PASS_FORWARD, fm_fusion_adds(&l->op.fusion));
    dnnl_primitive_attr_t attr = NULL;
    enum fm_status status = fm_attr_create(&attr, primitive_has_relu(l));
    if (status == FM_OK)
        status = fm_pd_linear_forward(pd, fm_op_device(&l->op)->engine, &desc,
            fm_executor_trains(l->op.executor), attr, l->op.name);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return status;
}

// What a primitive descriptor decided, as tensors or bridges.
static enum fm_status wanted(
    dnnl_primitive_desc_t pd, dnnl_query_t what, struct fm_md *md, const char *name)
{
    FM_TRY(fm_pd_md(pd, what, md));
    if (fm_md_bytes(md) == 0)
        return fm_fail(FM_BACKEND, "%s: the primitive has no descriptor %d", name, (int)what);
    return FM_OK;
}

// The output keeps the layout that the primitive chose unless own kernels cannot walk it.
static enum fm_status keep_output(struct linear *l, dnnl_primitive_desc_t pd)
{
    struct fm_md md = {0};
    enum fm_status status = wanted(pd, dnnl_query_dst_md, &md, l->op.name);
    int block; // the layout has channel blocks
    if (status == FM_OK && fm_md_channel_block(&md, &block))
        status = fm_md_copy(&l->op.out->md, &md);
    else if (status == FM_OK) {
        const struct fm_shape s = l->op.out->shape;
        int dims[4] = {l->op.executor->options.batch, s.c, s.h, s.w};
        status = fm_md_create(
            &l->op.out->md, 4, dims, fm_element_type(fm_op_element(&l->op)), dnnl_nchw);
    }
    fm_md_free(&md);
    return status;
}

// A bridge between `given` and what `pd` wants for `what`.
static enum fm_status connect_bridge(struct linear *l, struct fm_bridge *bridge,
    const struct fm_tensor_mem *given, dnnl_primitive_desc_t pd, dnnl_query_t what,
    enum fm_bridge_direction direction)
{
    struct fm_shape in = fm_op_layer(&l->op)->in;
    int sizes[4] = {l->op.executor->options.batch, in.c, in.h, in.w};
    bool input = what == dnnl_query_src_md || what == dnnl_query_diff_src_md;
    struct fm_md md = {0};
    enum fm_status status = wanted(pd, what, &md, l->op.name);
    if (status == FM_OK)
        status = fm_bridge_create(bridge, fm_op_device(&l->op), given, &md,
            input && is_dense(l) ? sizes : NULL, direction);
    fm_md_free(&md);
    return status;
}

// A weight that is trained is brought into the layout wanted in scratch; one that stays, or is
// computed (folded, rounded), has a copy.
static enum fm_status connect_weight(
    struct linear *l, struct linear_pass *p, int norm_layer, dnnl_primitive_desc_t pd)
{
    const struct fm_executor *e = l->op.executor;
    if (fm_op_weight_changes(&l->op, norm_layer) && norm_layer < 0 &&
        e->model->rounding == FM_ROUNDING_NONE)
        return connect_bridge(
            l, &p->weight, &l->weight, pd, dnnl_query_weights_md, FM_BRIDGE_INWARD);
    const struct fm_copy_source source = {l->op.layer, norm_layer, e->weights};
    struct fm_md md = {0};
    enum fm_status status = wanted(pd, dnnl_query_weights_md, &md, l->op.name);
    if (status == FM_OK)
        status = fm_copies_want(e->model->copies, &source, &md, &p->copy);
    fm_md_free(&md);
    return status;
}

// The model's ranges, as tensors.
static enum fm_status connect_ranges(struct linear *l)
{
    const struct fm_device *device = fm_op_device(&l->op);
    const struct fm_layer *layer = fm_op_layer(&l->op);
    float *weight = fm_op_param(&l->op, layer->weight);
    float *gradient = fm_op_param_gradient(&l->op, layer->weight);
    struct fm_md md = {0};
    enum fm_status status = fm_weight_md(layer, dnnl_f32, dnnl_format_tag_undef, &md);
    if (status == FM_OK)
        status = fm_tensor_mem_create(&l->weight, device, &md, weight);
    if (status == FM_OK)
        status = fm_tensor_mem_create(&l->weight_gradient, device, &md, gradient);
    if (status == FM_OK && l->op.fusion.bias)
        status = fm_md_create(&md, 1, &layer->out.c, dnnl_f32, dnnl_a);
    if (status == FM_OK && l->op.fusion.bias)
        status = fm_tensor_mem_create(
            &l->bias_gradient, device, &md, fm_op_param_gradient(&l->op, layer->bias));
    fm_md_free(&md);
    return status;
}

// What a pass has in its scratch: what its primitive needs, and its bridges.
enum part {
    PART_PRIMITIVE,
    PART_INPUT,
    PART_OUTPUT,
    PART_WEIGHT,
    PARTS,
};

static void part_bytes(const struct linear_pass *p, size_t bytes[PARTS])
{
    bytes[PART_PRIMITIVE] = fm_md_bytes(&p->primitive.scratch_md);
    bytes[PART_INPUT] = p->input.bytes;
    bytes[PART_OUTPUT] = p->output.bytes;
    bytes[PART_WEIGHT] = p->weight.bytes;
}

// Makes the primitive of `pd`, destroying it whatever `status` says.
static enum fm_status finish_pass(
    struct linear *l, enum fm_op_pass pass, dnnl_primitive_desc_t pd, enum fm_status status)
{
    struct linear_pass *p = &l->passes[pass];
    if (status != FM_OK) {
        dnnl_primitive_desc_destroy(pd);
        return status;
    }
    status = fm_primitive_create(&p->primitive, pd, l->op.name);
    l->op.plans[pass] = p->primitive.plan;
    size_t bytes[PARTS];
    part_bytes(p, bytes);
    fm_op_scratch_parts(&l->op, pass, bytes, PARTS);
    return status;
}

static enum fm_status connect_weights_pass(
    struct linear *l, struct linear_pass *p, dnnl_primitive_desc_t pd)
{
    FM_TRY(connect_bridge(
        l, &p->input, &l->op.in->activation, pd, dnnl_query_src_md, FM_BRIDGE_INWARD));
    FM_TRY(connect_bridge(
        l, &p->output, &l->op.out->gradient, pd, dnnl_query_diff_dst_md, FM_BRIDGE_INWARD));
    return connect_bridge(
        l, &p->weight, &l->weight_gradient, pd, dnnl_query_diff_weights_md, FM_BRIDGE_OUTWARD);
}

static enum fm_status create_weights(struct linear *l, const struct wishes *w,
    const_dnnl_primitive_attr_t attr, dnnl_primitive_desc_t hint)
{
    struct fm_linear_desc desc = linear_desc(l, w, FM_PASS_WEIGHTS, l->op.fusion.bias);
    struct linear_pass *p = &l->passes[FM_PASS_WEIGHTS];
    dnnl_primitive_desc_t pd = NULL;
    FM_TRY(fm_pd_linear_backward_weights(
        &pd, fm_op_device(&l->op)->engine, &desc, attr, hint, l->op.name));
    return finish_pass(l, FM_PASS_WEIGHTS, pd, connect_weights_pass(l, p, pd));
}

static enum fm_status connect_data_pass(
    struct linear *l, struct linear_pass *p, dnnl_primitive_desc_t pd)
{
    FM_TRY(connect_weight(l, p, -1, pd));
    FM_TRY(connect_bridge(
        l, &p->output, &l->op.out->gradient, pd, dnnl_query_diff_dst_md, FM_BRIDGE_INWARD));
    return connect_bridge(
        l, &p->input, &l->op.in->gradient, pd, dnnl_query_diff_src_md, FM_BRIDGE_OUTWARD);
}

static enum fm_status create_data(struct linear *l, const struct wishes *w,
    const_dnnl_primitive_attr_t attr, dnnl_primitive_desc_t hint)
{
    struct fm_linear_desc desc = linear_desc(l, w, FM_PASS_DATA, false);
    struct linear_pass *p = &l->passes[FM_PASS_DATA];
    dnnl_primitive_desc_t pd = NULL;
    FM_TRY(fm_pd_linear_backward_data(
        &pd, fm_op_device(&l->op)->engine, &desc, attr, hint, l->op.name));
    return finish_pass(l, FM_PASS_DATA, pd, connect_data_pass(l, p, pd));
}

static enum fm_status create_backward(
    struct linear *l, const struct wishes *w, dnnl_primitive_desc_t forward)
{
    if (!l->op.trains && !l->op.input_gradient)
        return FM_OK;
    dnnl_primitive_attr_t attr = NULL;
    enum fm_status status = fm_attr_create(&attr, false);
    if (status == FM_OK && l->op.trains && !l->own_gradient)
        status = create_weights(l, w, attr, forward);
    if (status == FM_OK && l->op.input_gradient)
        status = create_data(l, w, attr, forward);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return status;
}

static enum fm_status connect_forward_pass(
    struct linear *l, struct linear_pass *p, dnnl_primitive_desc_t pd)
{
    FM_TRY(connect_weight(l, p, l->op.fusion.norm_layer, pd));
    FM_TRY(connect_bridge(
        l, &p->input, &l->op.in->activation, pd, dnnl_query_src_md, FM_BRIDGE_INWARD));
    return connect_bridge(
        l, &p->output, &l->op.out->activation, pd, dnnl_query_dst_md, FM_BRIDGE_OUTWARD);
}

static enum fm_status connect_with(struct linear *l, const struct wishes *w)
{
    FM_TRY(connect_ranges(l));
    FM_TRY(fm_op_want_bias(&l->op, &l->bias));
    dnnl_primitive_desc_t pd = l->described;
    l->described = NULL;
    enum fm_status status = connect_forward_pass(l, &l->passes[FM_PASS_FORWARD], pd);
    if (status == FM_OK)
        status = create_backward(l, w, pd);
    return finish_pass(l, FM_PASS_FORWARD, pd, status);
}

static enum fm_status linear_connect(struct fm_op *op)
{
    struct linear *l = (struct linear *)op;
    struct wishes w = {0};
    l->own_gradient = fm_own_gradient_suits(op);
    if (l->own_gradient)
        fm_own_gradient_connect(op);
    enum fm_status status = wishes_make(l, &w);
    if (status == FM_OK)
        status = connect_with(l, &w);
    wishes_free(&w);
    return status;
}

static enum fm_status linear_bind(struct fm_op *op)
{
    struct linear *l = (struct linear *)op;
    for (int i = 0; i < FM_PASS_COUNT; i++) {
        struct linear_pass *p = &l->passes[i];
        size_t bytes[PARTS];
        void *parts[PARTS];
        part_bytes(p, bytes);
        fm_op_find_parts(op, (enum fm_op_pass)i, bytes, PARTS, parts);
        FM_TRY(fm_primitive_bind(&p->primitive, fm_op_device(&l->op), parts[PART_PRIMITIVE]));
        FM_TRY(fm_bridge_bind(&p->input, parts[PART_INPUT]));
        FM_TRY(fm_bridge_bind(&p->output, parts[PART_OUTPUT]));
        FM_TRY(fm_bridge_bind(&p->weight, parts[PART_WEIGHT]));
    }
    return FM_OK;
}

static const struct fm_op_class linear_class = {
    .name = "linear",
    .run = {linear_forward, linear_prepare, linear_weights, linear_data},
    .connect = linear_connect,
    .bind = linear_bind,
    .destroy = linear_destroy,
};

enum fm_status fm_op_linear(
    const struct fm_op_place *place, const struct fm_linear_fusion *fusion, struct fm_op **op)
{
    FM_TRY(fm_op_new_linear(place, &linear_class, sizeof(struct linear), fusion, op));
    struct linear *l = (struct linear *)*op;
    struct wishes w = {0};
    enum fm_status status = wishes_make(l, &w);
    if (status == FM_OK)
        status = create_forward_pd(l, &w, &l->described);
    if (status == FM_OK)
        status = keep_output(l, l->described);
    wishes_free(&w);
    return status;
}
