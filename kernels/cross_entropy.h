// Softmax cross-entropy with label smoothing of one row of logits, and its gradient.
//
// target_k = (1 - s) [k = label] + s / K
// loss     = -sum_k target_k log p_k,  p = softmax(z)
//          = log sum_j exp(z_j - m) + m - (1 - s) z_label - (s / K) sum_k z_k,  m = max z
// d loss / d z_k = p_k - target_k
// Szegedy et al. 2016, arXiv:1512.00567, section 7 (label smoothing).
#ifndef FM_KERNELS_CROSS_ENTROPY_H
#define FM_KERNELS_CROSS_ENTROPY_H

#include "portable.h"

// Writes gradient[k] = scale * (p_k - target_k) unless `gradient` is NULL, and *correct = 1 when
// the first largest logit is the label's. Returns the loss, unscaled.
FM_SHARED_FN float fm_cross_entropy_row(const float *logits, int classes, int label,
    float smoothing, float scale, float *gradient, int *correct)
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
    *correct = best == label;
    float share = smoothing / (float)classes;
    if (gradient) {
        float inverse = 1.0f / sum;
        for (int k = 0; k < classes; k++) {
            float target = share + (k == label ? 1.0f - smoothing : 0.0f);
            gradient[k] = scale * (expf(logits[k] - max) * inverse - target);
        }
    }
    return logf(sum) + max - (1.0f - smoothing) * logits[label] - share * sum_logits;
}

#endif
