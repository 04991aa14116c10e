// What inference is worth, summed where it is computed: an evaluation that wants only that never
// sees a logit. The loss is the training's own (cross_entropy.h), without smoothing, so that every
// backend sums the same.
#include "backend/cpu/executor.h"

#include <string.h>

static size_t confusion_size(const struct fm_executor *e)
{
    return (size_t)e->model->net.classes * (size_t)e->model->net.classes;
}

enum fm_status fm_cpu_scores_allocate(struct fm_executor *e)
{
    void *data = NULL;
    FM_TRY(fm_buffers_add(
        &e->buffers, confusion_size(e) * sizeof *e->confusion, "confusion matrix", &data));
    e->confusion = data;
    memset(e->confusion, 0, confusion_size(e) * sizeof *e->confusion);
    return FM_OK;
}

// The first largest, as fm_cross_entropy_row() has it.
static int predicted(const float *logits, int classes)
{
    int best = 0;
    for (int k = 1; k < classes; k++)
        if (logits[k] > logits[best])
            best = k;
    return best;
}

enum fm_status fm_cpu_score(struct fm_executor *e, struct fm_staging *staging, int slot)
{
    const struct fm_slot *s = &staging->slots[slot];
    const struct fm_value *output = NULL;
    double loss = 0;
    uint64_t correct = 0;
    int classes = e->model->net.classes, count = (int)s->step->count;
    if (classes == 0)
        return fm_fail(FM_USAGE,
            "score: network '%s' ends in features, not in classes: it can only predict",
            e->model->net.name);
    FM_TRY(fm_cpu_infer(e, staging, slot, &output));
    FM_TRY(fm_cpu_check_labels(e, s));
    const float *logits = output->activation.data;
    const struct fm_loss_work work = {
        .logits = logits,
        .labels = s->labels,
        .ids = s->ids,
        .count = count,
        .classes = classes,
        .loss_scale = 1.0f,
    };
    e->model->device->kernels->loss(&work, &loss, &correct);
    for (int i = 0; i < count; i++)
        e->confusion[s->labels[i] * classes +
                     predicted(logits + (size_t)i * (size_t)classes, classes)]++;
    e->scores.loss += loss;
    e->scores.correct += correct;
    e->scores.count += s->step->count;
    return FM_OK;
}

enum fm_status fm_cpu_scores_take(
    struct fm_executor *e, struct fm_sums *scores, uint64_t *confusion)
{
    if (e->options.mode != FM_MODE_INFER)
        return fm_fail(FM_USAGE, "scores_take: this executor was compiled for training");
    *scores = e->scores;
    memcpy(confusion, e->confusion, confusion_size(e) * sizeof *confusion);
    e->scores = (struct fm_sums){0};
    memset(e->confusion, 0, confusion_size(e) * sizeof *e->confusion);
    return FM_OK;
}
