// One softmax for predictions, for the mean with mirror images and for what teachers say.
#include "eval/softmax.h"

#include <math.h>

enum fm_status fm_softmax(const float *logits, int classes, double *out)
{
    double largest = -INFINITY, sum = 0;
    for (int k = 0; k < classes; k++) {
        if (!isfinite(logits[k]))
            return fm_fail(
                FM_NUMERIC, "logit %d is %f: the weights have diverged", k, (double)logits[k]);
        largest = fmax(largest, (double)logits[k]);
    }
    for (int k = 0; k < classes; k++)
        sum += out[k] = exp((double)logits[k] - largest);
    for (int k = 0; k < classes; k++)
        out[k] /= sum;
    return FM_OK;
}
