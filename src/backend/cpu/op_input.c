// The first operation: from the slot's records, images in u8 or features in fp32, to the network's
// input.
#include "backend/compile_options.h"
#include "backend/cpu/op.h"

static enum fm_status input_forward(struct fm_op *op, const struct fm_pass *pass)
{
    const struct fm_executor *e = op->executor;
    const struct fm_input *input = &e->model->net.input;
    struct fm_input_work work = {
        .input = input,
        .records = pass->slot->records,
        .ids = pass->slot->ids,
        .count = (int)pass->step->count,
        .augment = fm_augment_any(&e->options.augment),
        .mirror = e->options.mirror,
        .ranges = fm_compile_augment_ranges(&e->options, input),
        .mix = fm_compile_mix_ranges(&e->options, input),
        .seed = pass->step->seed,
        .epoch = pass->step->epoch,
    };
    fm_op_kernels(op)->input(&work, op->out->activation.data);
    return FM_OK;
}

static const struct fm_op_class input_class = {
    .name = "input",
    .run = {[FM_PASS_FORWARD] = input_forward},
};

enum fm_status fm_op_input(const struct fm_op_place *place, struct fm_op **op)
{
    const struct fm_input *input = &place->executor->model->net.input;
    struct fm_shape shape = input->shape;
    int dims[4] = {place->executor->options.batch, shape.c, shape.h, shape.w};
    if (fm_input_record_size(input) > FM_RECORD_MAX)
        return fm_fail(FM_UNSUPPORTED,
            "backend 'cpu': records of %zu bytes, expected at most %d (64x64 pixels or 1024 "
            "features)",
            fm_input_record_size(input), FM_RECORD_MAX);
    FM_TRY(fm_op_new(place, &input_class, sizeof **op, op));
    place->out->shape = shape;
    return fm_md_create(&place->out->md, 4, dims, fm_element_type(fm_op_element(*op)), dnnl_nchw);
}
