// What all operations share: creation with a layout, memory, and oneDNN primitives; and what those
// of convolutions and dense layers do.
#include "backend/cpu/op.h"

#include "base/round.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum fm_status fm_op_new(const struct fm_op_place *place, const struct fm_op_class *class,
    size_t size, struct fm_op **out)
{
    struct fm_op *op = calloc(1, size);
    if (!op)
        return fm_fail_memory("operation", size);
    const struct fm_net *net = &place->executor->model->net;
    op->class = class;
    op->executor = place->executor;
    op->layer = place->layer;
    op->in = place->in;
    op->out = place->out;
    snprintf(op->name, sizeof op->name, "%s",
        place->layer >= 0 ? net->layers[place->layer].name : "input");
    *out = op;
    return FM_OK;
}

// Of the layouts with blocks (oneDNN's), the widest has 16.
int fm_op_same_block(const struct fm_view *view, int channels)
{
    return view->block <= 16 ? view->block : channels;
}

enum fm_status fm_op_same_layout(struct fm_op *op, struct fm_shape shape)
{
    op->out->shape = shape;
    const struct fm_view *v = &op->in->view;
    const struct fm_shape *in = &op->in->shape;
    if (shape.c == in->c && shape.h == in->h && shape.w == in->w)
        return fm_md_copy(&op->out->md, &op->in->md);
    int block = fm_op_same_block(v, shape.c);
    dnnl_format_tag_t tag = block == 1    ? dnnl_nchw
                            : block == 4  ? dnnl_nChw4c
                            : block == 8  ? dnnl_nChw8c
                            : block == 16 ? dnnl_nChw16c
                                          : dnnl_nhwc;
    int dims[4] = {v->n, shape.c, shape.h, shape.w};
    return fm_md_create(&op->out->md, 4, dims, fm_element_type(fm_op_element(op)), tag);
}

enum fm_status fm_op_buffer(struct fm_op *op, size_t bytes, void **data)
{
    return fm_buffers_add(&op->executor->buffers, bytes, op->name, data);
}

void fm_op_scratch(struct fm_op *op, enum fm_op_pass pass, size_t bytes)
{
    if (bytes > op->scratch_bytes[pass])
        op->scratch_bytes[pass] = bytes;
}

void fm_op_scratch_parts(struct fm_op *op, enum fm_op_pass pass, const size_t *bytes, int count)
{
    size_t all = 0;
    for (int i = 0; i < count; i++)
        all += fm_round_up(bytes[i], FM_CPU_LINE);
    fm_op_scratch(op, pass, all);
}

void fm_op_find_parts(
    const struct fm_op *op, enum fm_op_pass pass, const size_t *bytes, int count, void **parts)
{
    char *next = op->scratch[pass];
    for (int i = 0; i < count; i++) {
        parts[i] = next;
        if (next)
            next += fm_round_up(bytes[i], FM_CPU_LINE);
    }
}

void fm_op_moves(struct fm_op *op, enum fm_op_pass pass, double inputs, double outputs)
{
    const struct fm_net *net = &op->executor->model->net;
    double in = (double)fm_shape_size(net->layers[op->layer].in);
    double out = (double)fm_shape_size(net->layers[op->layer].out);
    double size = (double)fm_element_size(op->executor->model->element);
    op->bytes[pass] = size * op->executor->options.batch * (inputs * in + outputs * out);
}

enum fm_status fm_primitive_create(
    struct fm_primitive *p, dnnl_primitive_desc_t pd, const char *where)
{
    snprintf(p->plan, sizeof p->plan, "%s", fm_pd_implementation(pd));
    enum fm_status status = fm_pd_md(pd, dnnl_query_scratchpad_md, &p->scratch_md);
    if (status == FM_OK)
        status = fm_dnnl_check(
            dnnl_primitive_create(&p->primitive, pd), "dnnl_primitive_create", where);
    dnnl_primitive_desc_destroy(pd);
    return status;
}

enum fm_status fm_primitive_bind(struct fm_primitive *p, const struct fm_device *device, void *data)
{
    if (!p->primitive || fm_md_bytes(&p->scratch_md) == 0)
        return FM_OK;
    return fm_memory_create(&p->scratchpad, &p->scratch_md, device->engine, data);
}

enum fm_status fm_primitive_run(const struct fm_executor *e, const struct fm_primitive *p,
    dnnl_exec_arg_t *args, int count, const char *where)
{
    if (p->scratchpad)
        args[count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, p->scratchpad};
    FM_DNNL(dnnl_primitive_execute(p->primitive, e->model->device->stream, count, args), where);
    return FM_OK;
}

void fm_primitive_free(struct fm_primitive *p)
{
    if (p->scratchpad)
        dnnl_memory_destroy(p->scratchpad);
    if (p->primitive)
        dnnl_primitive_destroy(p->primitive);
    fm_md_free(&p->scratch_md);
    memset(p, 0, sizeof *p);
}

// ---- convolutions and dense layers

static void count_products(struct fm_op *op)
{
    const struct fm_layer *layer = fm_op_layer(op);
    const struct fm_model *m = op->executor->model;
    double flops = 2.0 * (double)layer->macs * op->executor->options.batch;
    double in = (double)fm_shape_size(layer->in), out = (double)fm_shape_size(layer->out);
    double weights = (double)m->net.params[layer->weight].count;
    double size = (double)fm_element_size(m->element);
    double bytes = size * (weights + (in + out) * op->executor->options.batch);
    for (int pass = 0; pass < FM_PASS_COUNT; pass++) {
        if (pass == FM_PASS_PREPARE)
            continue;
        op->flops[pass] = flops;
        op->bytes[pass] = bytes;
    }
}

enum fm_status fm_op_new_linear(const struct fm_op_place *place, const struct fm_op_class *class,
    size_t size, const struct fm_linear_fusion *fusion, struct fm_op **out)
{
    FM_TRY(fm_op_new(place, class, size, out));
    struct fm_op *op = *out;
    op->fusion = *fusion;
    op->reads_in = FM_IN_WEIGHTS;
    op->reads_out = fm_op_gates(op) ? FM_IN_PREPARE : 0;
    place->out->shape = fm_op_layer(op)->out;
    count_products(op);
    return FM_OK;
}

struct fm_copy_source fm_op_copy_source(const struct fm_op *op)
{
    return (struct fm_copy_source){op->layer, op->fusion.norm_layer, op->executor->weights};
}

enum fm_status fm_op_want_bias(const struct fm_op *op, struct fm_copy **bias)
{
    const struct fm_copy_source source = fm_op_copy_source(op);
    if (!fm_fusion_adds(&op->fusion))
        return FM_OK;
    return fm_copies_want(op->executor->model->copies, &source, NULL, bias);
}

enum fm_status fm_op_linear_prepare(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    if (fm_op_gates(op))
        fm_op_kernels(op)->relu_backward(fm_view_size(&op->out->view), op->out->activation.data,
            op->out->gradient.data, op->out->gradient.data);
    return FM_OK;
}

void fm_op_bias_gradient(struct fm_op *op)
{
    if (op->fusion.bias)
        fm_op_kernels(op)->bias_backward(&op->out->view, op->out->gradient.data,
            op->scratch[FM_PASS_WEIGHTS], fm_op_param_gradient(op, fm_op_layer(op)->bias));
}

void fm_op_plan_bias_gradient(struct fm_op *op)
{
    if (op->fusion.bias)
        fm_op_scratch(op, FM_PASS_WEIGHTS, fm_op_image_sums(&op->out->view));
}
