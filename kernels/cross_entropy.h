// Softmax cross-entropy of one row of logits, and its gradient, with label smoothing (Szegedy et
// al. 2016, arXiv:1512.00567, section 7) and a second label (mix.h).
//
// target_k = (1 - s) ((1 - w) [k = label] + w [k = other]) + s / K
// loss     = -sum_k target_k log p_k,  p = softmax(z)
//          = log sum_j exp(z_j - m) + m - (1 - s) ((1 - w) z_label + w z_other)
//            - (s / K) sum_k z_k,  m = max z
// d loss / d z_k = p_k - target_k
#ifndef FM_KERNELS_CROSS_ENTROPY_H
#define FM_KERNELS_CROSS_ENTROPY_H

#include "portable.h"

struct fm_target {
    int label, other;
    float weight;    // w, of `other`: below 1/2
    float smoothing; // s
};

// Neither smoothed nor mixed.
FM_SHARED_FN struct fm_target fm_target_plain(int label)
{
    struct fm_target target = {label, label, 0.0f, 0.0f};
    return target;
}

// Writes gradient[k] = scale * (p_k - target_k) unless `gradient` is NULL, and *correct = 1 when
// the first largest logit is `label`'s. Returns the loss, unscaled.
FM_SHARED_FN float fm_cross_entropy_row(const float *logits, int classes, struct fm_target target,
    float scale, float *gradient, int *correct)
{
    int best = 0;
    float sum_logits = 0.0f;
    for (int k = 0; k < classes; k++) {
        if (logits[k] > logits[best])
            best = k;
        sum_logits += logits[k];
    }
    float max = logits[best];
    float sum = 0.0f;
    for (int k = 0; k < classes; k++)
        sum += expf(logits[k] - max);
    *correct = best == target.label;
    float share = target.smoothing / (float)classes;
    float other_weight = (1.0f - target.smoothing) * target.weight;
    float own_weight = 1.0f - target.smoothing - other_weight;
    if (gradient) {
        float inverse = 1.0f / sum;
        for (int k = 0; k < classes; k++) {
            float wanted = share + (k == target.label ? own_weight : 0.0f);
            if (k == target.other)
                wanted += other_weight;
            gradient[k] = scale * (expf(logits[k] - max) * inverse - wanted);
        }
    }
    return logf(sum) + max - own_weight * logits[target.label] -
           other_weight * logits[target.other] - share * sum_logits;
}

#endif
