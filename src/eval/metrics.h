// What a set of predictions is worth: plain data, computed from logits and labels.
#ifndef FM_EVAL_METRICS_H
#define FM_EVAL_METRICS_H

#include "base/status.h"
#include "data/dataset.h"

#include <stdint.h>

enum {
    FM_ECE_BINS = 15
}; // equal-width, Guo et al. 2017, arXiv:1706.04599

struct fm_class_metrics {
    uint64_t support;             // samples of the class
    uint64_t predicted;           // samples given the class
    double precision, recall, f1; // 0 where undefined
};

// Ordered pair: `count` samples of class `actual` were given class `predicted`.
struct fm_confused {
    int actual, predicted;
    uint64_t count;
};

struct fm_metrics {
    int classes;
    uint64_t count, correct;
    double accuracy;
    double nll;                         // mean of -ln p(label), nats
    double ece;                         // sum over bins of |accuracy - confidence| * share
    uint64_t *confusion;                // [actual][predicted], owned
    struct fm_class_metrics *per_class; // [classes], owned
    double macro_precision, macro_recall, macro_f1;
    // accumulators
    double nll_sum;
    bool uncalibrated; // there are no confidences
    struct {
        uint64_t count, correct;
        double confidence;
    } bins[FM_ECE_BINS];
};

enum fm_status fm_metrics_begin(struct fm_metrics *metrics, int classes);
// Adds samples: logits [count][classes], softmax in double. The prediction is the first largest
// logit. A logit that is not finite fails with FM_NUMERIC and the sample's position.
enum fm_status fm_metrics_add(
    struct fm_metrics *metrics, const float *logits, const uint8_t *labels, uint32_t count);
// In place of adding samples: metrics->confusion has been filled with counts of them, whose losses
// sum up to `loss`. Nothing is known of calibration then, so that metrics->ece becomes NaN. A loss
// that is not finite fails with FM_NUMERIC.
enum fm_status fm_metrics_set_totals(struct fm_metrics *metrics, double loss);
void fm_metrics_finish(struct fm_metrics *metrics);
void fm_metrics_free(struct fm_metrics *metrics);

// The most frequent off-diagonal entries, most first (ties: lower actual, then predicted); returns
// how many were written.
int fm_metrics_confused(const struct fm_metrics *metrics, struct fm_confused *out, int capacity);

#endif
