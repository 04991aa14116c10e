// The loss and what is summed of it. A batch of rows is too little work to share among threads.
#include "backend/cpu/isa/kernels.h"
#include "cross_entropy.h"

void FM_KERNEL(loss)(const float *logits, const uint8_t *labels, int count, int classes,
    float smoothing, float loss_scale, float *gradient, double *loss_sum, uint64_t *correct)
{
    float scale = loss_scale / (float)count;
    double sum = 0.0;
    uint64_t right = 0;
    for (int n = 0; n < count; n++) {
        size_t row = (size_t)n * (size_t)classes;
        int hit;
        sum += (double)fm_cross_entropy_row(logits + row, classes, labels[n], smoothing, scale,
            gradient ? gradient + row : NULL, &hit);
        right += (uint64_t)hit;
    }
    *loss_sum = sum;
    *correct = right;
}
