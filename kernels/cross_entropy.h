// Softmax cross-entropy of one row of logits, and its gradient, with label smoothing (Szegedy et
// al. 2016, arXiv:1512.00567, section 7), a second label (mix.h) and soft targets (Hinton, Vinyals,
// Dean 2015, arXiv:1503.02531, at a temperature of 1).
//
// hard_k   = (1 - s) ((1 - w) [k = label] + w [k = other]) + s / K
// soft_k   = (1 - w) q_k + w r_k
// target_k = (1 - a) hard_k + a soft_k
// loss     = -sum_k target_k log p_k,  p = softmax(z)
//          = log sum_j exp(z_j - m) + m - sum_k target_k z_k,  m = max z
// d loss / d z_k = p_k - target_k
//
// The targets sum up to 1, as q and r do.
#ifndef FM_KERNELS_CROSS_ENTROPY_H
#define FM_KERNELS_CROSS_ENTROPY_H

#include "portable.h"

struct fm_target {
    int label, other;
    float weight;    // w, of `other`: below 1/2
    float smoothing; // s
    // Soft targets, one for each class: q of the sample, r of the one that it is mixed with. Not
    // looked at where their share, a, is 0.
    float soft_share;
    const float *soft, *other_soft;
};

// Neither smoothed, mixed nor soft.
FM_SHARED_FN struct fm_target fm_target_plain(int label)
{
    struct fm_target target = {label, label, 0.0f, 0.0f, 0.0f, NULL, NULL};
    return target;
}

// a soft_k of the formulas above; 0 without soft targets.
FM_SHARED_FN float fm_target_soft(const struct fm_target *target, int k)
{
    if (target->soft_share == 0.0f)
        return 0.0f;
    float own = target->soft_share * (1.0f - target->weight);
    return own * target->soft[k] + target->soft_share * target->weight * target->other_soft[k];
}

// Writes gradient[k] = scale * (p_k - target_k) unless `gradient` is NULL, and *correct = 1 when
// the first largest logit is `label`'s. Returns the loss, unscaled.
FM_SHARED_FN float fm_cross_entropy_row(const float *logits, int classes, struct fm_target target,
    float scale, float *gradient, int *correct)
{
    int best = 0;
    float max = logits[0], sum_logits = 0.0f;
    for (int k = 0; k < classes; k++) {
        if (logits[k] > max) {
            best = k;
            max = logits[k];
        }
        sum_logits += logits[k];
    }
    float sum = 0.0f;
    for (int k = 0; k < classes; k++)
        sum += expf(logits[k] - max);
    *correct = best == target.label;
    float hard_share = 1.0f - target.soft_share;
    float even = hard_share * target.smoothing / (float)classes;
    float other_weight = hard_share * (1.0f - target.smoothing) * target.weight;
    float own_weight = hard_share * (1.0f - target.smoothing) - other_weight;
    float inverse = 1.0f / sum;
    float soft_logits = 0.0f;
    for (int k = 0; k < classes; k++) {
        float soft = fm_target_soft(&target, k);
        soft_logits += soft * logits[k];
        if (!gradient)
            continue;
        float wanted = even + (k == target.label ? own_weight : 0.0f);
        if (k == target.other)
            wanted += other_weight;
        gradient[k] = scale * (expf(logits[k] - max) * inverse - (wanted + soft));
    }
    return logf(sum) + max - own_weight * logits[target.label] -
           other_weight * logits[target.other] - even * sum_logits - soft_logits;
}

#endif
