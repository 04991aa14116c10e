// The table of one instruction set's kernels on one type of elements.
#include "backend/cpu/isa/element.h"

extern const struct fm_element_kernels FM_ELEMENT_KERNEL(element_kernels);

const struct fm_element_kernels FM_ELEMENT_KERNEL(element_kernels) = {
    .input = FM_ELEMENT_KERNEL(input),
    .bias_forward = FM_ELEMENT_KERNEL(bias_forward),
    .bias_backward = FM_ELEMENT_KERNEL(bias_backward),
    .relu_forward = FM_ELEMENT_KERNEL(relu_forward),
    .relu_backward = FM_ELEMENT_KERNEL(relu_backward),
    .maxpool_forward = FM_ELEMENT_KERNEL(maxpool_forward),
    .maxpool_backward = FM_ELEMENT_KERNEL(maxpool_backward),
    .meanpool_forward = FM_ELEMENT_KERNEL(meanpool_forward),
    .meanpool_backward = FM_ELEMENT_KERNEL(meanpool_backward),
    .norm_statistics = FM_ELEMENT_KERNEL(norm_statistics),
    .norm_apply = FM_ELEMENT_KERNEL(norm_apply),
    .norm_backward_sums = FM_ELEMENT_KERNEL(norm_backward_sums),
    .norm_backward_apply = FM_ELEMENT_KERNEL(norm_backward_apply),
    .winograd_scratch =
        {
            [FM_WINOGRAD_4X4] = FM_TILED(FM_ELEMENT_KERNEL(winograd_scratch), 4),
            [FM_WINOGRAD_2X2] = FM_TILED(FM_ELEMENT_KERNEL(winograd_scratch), 2),
        },
    .winograd_convolve =
        {
            [FM_WINOGRAD_4X4] = FM_TILED(FM_ELEMENT_KERNEL(winograd_convolve), 4),
            [FM_WINOGRAD_2X2] = FM_TILED(FM_ELEMENT_KERNEL(winograd_convolve), 2),
        },
    .winograd_gradient_scratch =
        {
            [FM_WINOGRAD_4X4] = FM_TILED(FM_ELEMENT_KERNEL(winograd_gradient_scratch), 4),
            [FM_WINOGRAD_2X2] = FM_TILED(FM_ELEMENT_KERNEL(winograd_gradient_scratch), 2),
        },
    .winograd_gradient =
        {
            [FM_WINOGRAD_4X4] = FM_TILED(FM_ELEMENT_KERNEL(winograd_gradient), 4),
            [FM_WINOGRAD_2X2] = FM_TILED(FM_ELEMENT_KERNEL(winograd_gradient), 2),
        },
    .direct_scratch = FM_ELEMENT_KERNEL(direct_scratch),
    .direct = FM_ELEMENT_KERNEL(direct),
    .rows = FM_ELEMENT_KERNEL(rows),
    .gathered_scratch = FM_ELEMENT_KERNEL(gathered_scratch),
    .gathered = FM_ELEMENT_KERNEL(gathered),
    .dropout_apply = FM_ELEMENT_KERNEL(dropout_apply),
};
