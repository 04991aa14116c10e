// A first convolution's views as its gradient's kernel takes them.
#include "backend/cpu/own_gradient.h"

static struct fm_direct direct_of(const struct fm_op *op)
{
    return (struct fm_direct){
        .in = op->in->view,
        .out = op->out->view,
        .padding = fm_op_layer(op)->padding,
        .threads = fm_op_device(op)->threads,
    };
}

bool fm_own_gradient_suits(const struct fm_op *op)
{
    const struct fm_op_place place = {op->executor, op->layer, op->in, op->out};
    const struct fm_layer *layer = fm_op_layer(op);
    const struct fm_kernels *kernels = fm_op_device(op)->kernels;
    const struct fm_direct d = direct_of(op);
    bool padded = d.in.c != layer->in.c || d.out.c != layer->out.c;
    return fm_op_place_is_first(&place) && op->trains && !kernels->avx512 && !padded &&
           op->executor->model->element == FM_ELEMENT_F32 &&
           fm_direct_gradient_suits(&d, kernels->lanes);
}

void fm_own_gradient_connect(struct fm_op *op)
{
    const struct fm_direct d = direct_of(op);
    const struct fm_kernels *kernels = fm_op_device(op)->kernels;
    op->reads_out = fm_op_gates(op) ? FM_IN_WEIGHTS : 0;
    op->plans[FM_PASS_WEIGHTS] = kernels->direct_gradient_name;
    fm_op_scratch(op, FM_PASS_WEIGHTS, kernels->direct_gradient_scratch(&d));
}

void fm_own_gradient_run(struct fm_op *op)
{
    const struct fm_direct d = direct_of(op);
    const struct fm_layer *layer = fm_op_layer(op);
    const struct fm_direct_gradient gradient = {
        .x = op->in->activation.data,
        .dy = op->out->gradient.data,
        .gate = fm_op_gates(op) ? op->out->activation.data : NULL,
        .dw = fm_op_param_gradient(op, layer->weight),
        .db = op->fusion.bias ? fm_op_param_gradient(op, layer->bias) : NULL,
    };
    fm_op_device(op)->kernels->direct_gradient(&d, &gradient, op->scratch[FM_PASS_WEIGHTS]);
}
