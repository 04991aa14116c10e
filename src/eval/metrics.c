// Metrics are computed here from logits and labels alone, in double and away from any backend, so
// that a figure means the same whatever computed the logits.
#include "eval/metrics.h"

#include <math.h>
#include <stdlib.h>

enum fm_status fm_metrics_begin(struct fm_metrics *metrics, int classes)
{
    *metrics = (struct fm_metrics){0};
    if (classes < 2 || classes > FM_CLASSES_MAX)
        return fm_fail(
            FM_DATA, "metrics over %d classes: expected 2 to %d", classes, FM_CLASSES_MAX);
    size_t n = (size_t)classes;
    metrics->classes = classes;
    metrics->confusion = calloc(n * n, sizeof *metrics->confusion);
    metrics->per_class = calloc(n, sizeof *metrics->per_class);
    if (!metrics->confusion || !metrics->per_class) {
        fm_metrics_free(metrics);
        return fm_fail_memory("the confusion matrix", n * n * sizeof *metrics->confusion);
    }
    return FM_OK;
}

// Guo et al.'s bins are open below and closed above: ((b-1)/B, b/B].
static int confidence_bin(double confidence)
{
    int bin = (int)ceil(confidence * FM_ECE_BINS) - 1;
    return bin < 0 ? 0 : bin >= FM_ECE_BINS ? FM_ECE_BINS - 1 : bin;
}

static enum fm_status add_sample(struct fm_metrics *metrics, const float *logits, int label)
{
    int classes = metrics->classes, best = 0;
    for (int k = 0; k < classes; k++) {
        if (!isfinite(logits[k]))
            return fm_fail(FM_NUMERIC,
                "logit %d of sample %llu is %f: the weights have diverged, or the backend is wrong",
                k, (unsigned long long)metrics->count, (double)logits[k]);
        if (logits[k] > logits[best])
            best = k;
    }
    if (label >= classes)
        return fm_fail(FM_DATA, "label %d of sample %llu: expected 0 to %d", label,
            (unsigned long long)metrics->count, classes - 1);

    double sum = 0; // of exp(logit - largest), at least 1
    for (int k = 0; k < classes; k++)
        sum += exp((double)logits[k] - (double)logits[best]);
    double confidence = 1 / sum;
    int bin = confidence_bin(confidence);
    metrics->nll_sum += log(sum) - ((double)logits[label] - (double)logits[best]);
    metrics->bins[bin].count++;
    metrics->bins[bin].correct += best == label;
    metrics->bins[bin].confidence += confidence;
    metrics->confusion[(size_t)label * (size_t)classes + (size_t)best]++;
    metrics->correct += best == label;
    metrics->count++;
    return FM_OK;
}

enum fm_status fm_metrics_add(
    struct fm_metrics *metrics, const float *logits, const uint8_t *labels, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        FM_TRY(add_sample(metrics, logits + (size_t)i * (size_t)metrics->classes, labels[i]));
    return FM_OK;
}

enum fm_status fm_metrics_set_totals(struct fm_metrics *metrics, double loss)
{
    size_t n = (size_t)metrics->classes;
    metrics->count = metrics->correct = 0;
    for (size_t i = 0; i < n * n; i++)
        metrics->count += metrics->confusion[i];
    for (size_t k = 0; k < n; k++)
        metrics->correct += metrics->confusion[k * n + k];
    if (!isfinite(loss))
        return fm_fail(FM_NUMERIC,
            "the loss of %llu samples is %f: the weights have diverged, or the backend is wrong",
            (unsigned long long)metrics->count, loss);
    metrics->nll_sum = loss;
    metrics->uncalibrated = true;
    return FM_OK;
}

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

static void finish_class(struct fm_metrics *metrics, int k)
{
    struct fm_class_metrics *m = &metrics->per_class[k];
    size_t n = (size_t)metrics->classes;
    *m = (struct fm_class_metrics){0};
    for (size_t j = 0; j < n; j++) {
        m->support += metrics->confusion[(size_t)k * n + j];
        m->predicted += metrics->confusion[j * n + (size_t)k];
    }
    double hits = (double)metrics->confusion[(size_t)k * n + (size_t)k];
    m->precision = ratio(hits, (double)m->predicted);
    m->recall = ratio(hits, (double)m->support);
    m->f1 = ratio(2 * m->precision * m->recall, m->precision + m->recall);
}

void fm_metrics_finish(struct fm_metrics *metrics)
{
    double count = (double)metrics->count;
    metrics->accuracy = ratio((double)metrics->correct, count);
    metrics->nll = ratio(metrics->nll_sum, count);
    metrics->ece = metrics->uncalibrated ? NAN : 0;
    for (int b = 0; b < FM_ECE_BINS; b++)
        metrics->ece += ratio(
            fabs((double)metrics->bins[b].correct - metrics->bins[b].confidence), count);

    // Means over the classes that occur, as label or as prediction: a class that a small sample
    // happens not to hold says nothing about the model.
    double precision = 0, recall = 0, f1 = 0, present = 0;
    for (int k = 0; k < metrics->classes; k++) {
        finish_class(metrics, k);
        const struct fm_class_metrics *m = &metrics->per_class[k];
        precision += m->precision;
        recall += m->recall;
        f1 += m->f1;
        present += m->support > 0 || m->predicted > 0;
    }
    metrics->macro_precision = ratio(precision, present);
    metrics->macro_recall = ratio(recall, present);
    metrics->macro_f1 = ratio(f1, present);
}

void fm_metrics_free(struct fm_metrics *metrics)
{
    free(metrics->confusion);
    free(metrics->per_class);
    *metrics = (struct fm_metrics){0};
}

int fm_metrics_confused(const struct fm_metrics *metrics, struct fm_confused *out, int capacity)
{
    int count = 0;
    for (int a = 0; a < metrics->classes; a++) {
        for (int p = 0; p < metrics->classes; p++) {
            uint64_t n = metrics->confusion[(size_t)a * (size_t)metrics->classes + (size_t)p];
            if (a == p || n == 0)
                continue;
            // Insertion keeps the largest `capacity`; equals stay in the order they are met in.
            int at = count;
            while (at > 0 && out[at - 1].count < n)
                at--;
            if (at >= capacity)
                continue;
            if (count < capacity)
                count++;
            for (int i = count - 1; i > at; i--)
                out[i] = out[i - 1];
            out[at] = (struct fm_confused){a, p, n};
        }
    }
    return count;
}
