// The loss and what is summed of it. A batch of rows is too little work to share among threads.
#include "backend/cpu/isa/kernels.h"
#include "cross_entropy.h"

static struct fm_target target_of(const struct fm_loss_work *work, int n)
{
    uint32_t other = fm_mix_other((uint32_t)n, (uint32_t)work->count);
    struct fm_target target = {
        .label = work->labels[n],
        .other = work->labels[other],
        .weight = fm_mix_draw(work->seed, work->epoch, work->ids[n], &work->mix).weight,
        .smoothing = work->smoothing,
        .soft_share = work->soft_share,
    };
    if (work->soft_share != 0.0f) {
        target.soft = work->soft_targets + (size_t)n * (size_t)work->classes;
        target.other_soft = work->soft_targets + (size_t)other * (size_t)work->classes;
    }
    return target;
}

void FM_KERNEL(loss)(const struct fm_loss_work *work, double *loss_sum, uint64_t *correct)
{
    float scale = work->loss_scale / (float)work->count;
    double sum = 0.0;
    uint64_t right = 0;
    for (int n = 0; n < work->count; n++) {
        size_t row = (size_t)n * (size_t)work->classes;
        int hit;
        sum += (double)fm_cross_entropy_row(work->logits + row, work->classes, target_of(work, n),
            scale, work->gradient ? work->gradient + row : NULL, &hit);
        right += (uint64_t)hit;
    }
    *loss_sum = sum;
    *correct = right;
}
