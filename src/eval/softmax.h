// Probabilities of one row of logits.
#ifndef FM_EVAL_SOFTMAX_H
#define FM_EVAL_SOFTMAX_H

#include "base/status.h"

// logits [classes] -> out [classes], in double, the largest logit taken off first, so that no
// exponential overflows. A logit that is not finite fails with FM_NUMERIC and its class.
enum fm_status fm_softmax(const float *logits, int classes, double *out);

#endif
