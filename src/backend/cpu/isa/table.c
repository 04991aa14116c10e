// The table of one instruction set's kernels.
#include "backend/cpu/isa/kernels.h"

extern const struct fm_kernels FM_KERNEL(kernels);

const struct fm_kernels FM_KERNEL(kernels) = {
    .name = FM_ISA_STRING(FM_ISA),
    .input = FM_KERNEL(input),
    .bias_forward = FM_KERNEL(bias_forward),
    .bias_backward = FM_KERNEL(bias_backward),
    .relu_forward = FM_KERNEL(relu_forward),
    .relu_backward = FM_KERNEL(relu_backward),
    .maxpool_forward = FM_KERNEL(maxpool_forward),
    .maxpool_backward = FM_KERNEL(maxpool_backward),
    .meanpool_forward = FM_KERNEL(meanpool_forward),
    .meanpool_backward = FM_KERNEL(meanpool_backward),
    .norm_statistics = FM_KERNEL(norm_statistics),
    .norm_apply = FM_KERNEL(norm_apply),
    .norm_backward_sums = FM_KERNEL(norm_backward_sums),
    .norm_backward_apply = FM_KERNEL(norm_backward_apply),
    .dropout_mask = FM_KERNEL(dropout_mask),
    .dropout_apply = FM_KERNEL(dropout_apply),
    .loss = FM_KERNEL(loss),
    .all_finite = FM_KERNEL(all_finite),
    .adam = FM_KERNEL(adam),
    .sgd = FM_KERNEL(sgd),
    .average = FM_KERNEL(average),
    .round = FM_KERNEL(round),
};
