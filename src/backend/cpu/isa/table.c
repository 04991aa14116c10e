// The table of one instruction set's kernels.
#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/isa/product.h"

extern const struct fm_kernels FM_KERNEL(kernels);
#define ELEMENT_TABLE(element) FM_ISA_CAT(FM_KERNEL(element_kernels), element)
extern const struct fm_element_kernels ELEMENT_TABLE(f32), ELEMENT_TABLE(bf16);

static const struct fm_winograd_units winograd_units = {LANES, PANEL};

const struct fm_kernels FM_KERNEL(kernels) = {
    .name = FM_ISA_STRING(FM_ISA),
#if defined(__AVX512F__)
    .avx512 = true,
#endif
    .lanes = LANES,
    .on = {[FM_ELEMENT_F32] = &ELEMENT_TABLE(f32), [FM_ELEMENT_BF16] = &ELEMENT_TABLE(bf16)},
    .winograd_transform =
        {
            [FM_WINOGRAD_4X4] = FM_TILED(FM_KERNEL(winograd_transform), 4),
            [FM_WINOGRAD_2X2] = FM_TILED(FM_KERNEL(winograd_transform), 2),
        },
    .winograd_units = &winograd_units,
    .direct_gradient_name = "direct_gradient:" FM_ISA_STRING(FM_ISA),
    .direct_gradient_scratch = FM_KERNEL(direct_gradient_scratch),
    .direct_gradient = FM_KERNEL(direct_gradient),
    .matrix_scratch = FM_KERNEL(matrix_scratch),
    .matrix_multiply = FM_KERNEL(matrix_multiply),
    .dropout_mask = FM_KERNEL(dropout_mask),
    .loss = FM_KERNEL(loss),
    .all_finite = FM_KERNEL(all_finite),
    .adam = FM_KERNEL(adam),
    .sgd = FM_KERNEL(sgd),
    .average = FM_KERNEL(average),
    .round = FM_KERNEL(round),
    .narrow = FM_KERNEL(narrow),
};
