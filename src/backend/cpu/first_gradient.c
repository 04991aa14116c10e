#include "backend/cpu/first_gradient.h"

static struct fm_direct direct_of(const struct fm_op *op)
{
    return (struct fm_direct){
        .in = op->in->view,
        .out = op->out->view,
        .padding = fm_op_layer(op)->padding,
        .threads = fm_op_device(op)->threads,
    };
}

bool fm_first_gradient_suits(const struct fm_op *op)
{
    const struct fm_executor *e = op->executor;
    const struct fm_layer *layer = fm_op_layer(op);
    const struct fm_kernels *kernels = fm_op_device(op)->kernels;
    const struct fm_direct d = direct_of(op);
    bool first = op->in == &e->values[0], padded = d.in.c != layer->in.c || d.out.c != layer->out.c;
    return layer->kind == FM_LAYER_CONV && layer->kernel == 3 && first && op->trains && !padded &&
           !kernels->avx512 && e->model->rounding == FM_ROUNDING_NONE && fm_executor_fuses(e) &&
           fm_direct_gradient_suits(&d, kernels->winograd_units->lanes);
}

void fm_first_gradient_connect(struct fm_op *op)
{
    const struct fm_direct d = direct_of(op);
    op->reads_out = fm_op_gates(op) ? FM_IN_WEIGHTS : 0;
    fm_op_scratch(op, FM_PASS_WEIGHTS, fm_op_kernels(op)->direct_gradient_scratch(&d));
}

void fm_first_gradient_run(struct fm_op *op)
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
    fm_op_kernels(op)->direct_gradient(&d, &gradient, op->scratch[FM_PASS_WEIGHTS]);
}
