// Taught training, or distillation: a part of every target is what trained networks say of each
// image of the step as its draws move, mirror and erase it, before it is mixed; the loss mixes the
// answers as it mixes labels (kernels/cross_entropy.h). A teacher that is asked of the same view
// teaches better than one that is asked once (Beyer et al. 2022, arXiv:2106.05237).
//
// A teacher is an inference executor on the slot that is about to be submitted: the draws depend on
// the step's seed and epoch and the samples' ids alone, so both see the same. The host waits for
// each answer: on a processor that costs nothing more, a GPU is idle meanwhile.
#include "train/trainer.h"

#include "base/trace.h"
#include "eval/softmax.h"
#include "run/run.h"

#include <stdlib.h>

static enum fm_status check_teacher(const struct trainer *t, const struct fm_teacher *teacher)
{
    const struct fm_net *net = teacher->net, *taught = t->net;
    const struct fm_input *given = &net->input, *taken = &taught->input;
    if (net->classes != taught->classes)
        return fm_fail(FM_DATA, "teacher %s: knows %d classes, network %s %d", teacher->name,
            net->classes, taught->name, taught->classes);
    if (given->rows != taken->rows || given->cols != taken->cols ||
        given->features != taken->features)
        return fm_fail(FM_DATA, "teacher %s: takes other records than network %s: %dx%d, not %dx%d",
            teacher->name, taught->name, given->rows, given->cols, taken->rows, taken->cols);
    return FM_OK;
}

static enum fm_status open_teacher(struct trainer *t, int index)
{
    const struct fm_teacher *teacher = &t->options->teachers[index];
    const struct fm_compile_options options = {
        .batch = (int)t->batch, .mode = FM_MODE_INFER, .augment = fm_recipe_augment(t->recipe)};
    FM_TRY(check_teacher(t, teacher));
    enum fm_status status = t->api->compile(teacher->model, &options, &t->teachers[index]);
    return status == FM_OK ? FM_OK : fm_context(status, "teacher %s", teacher->name);
}

enum fm_status fm_trainer_open_teachers(struct trainer *t)
{
    size_t count = (size_t)t->options->teacher_count;
    if (count == 0)
        return FM_OK;
    if (count > FM_TEACHERS_MAX)
        return fm_fail(FM_USAGE, "%zu teachers, expected at most %d", count, FM_TEACHERS_MAX);
    size_t logits = (size_t)t->batch * (size_t)t->net->classes;
    t->teachers = calloc(count, sizeof(*t->teachers));
    t->teacher_logits = malloc(logits * sizeof *t->teacher_logits);
    if (!t->teachers || !t->teacher_logits)
        return fm_fail_memory("the teachers' answers", logits * sizeof *t->teacher_logits);
    for (int i = 0; i < t->options->teacher_count; i++)
        FM_TRY(open_teacher(t, i));
    return FM_OK;
}

void fm_trainer_close_teachers(struct trainer *t)
{
    for (int i = 0; t->teachers && i < t->options->teacher_count; i++)
        t->api->executor_destroy(t->teachers[i]);
    free(t->teachers);
    free(t->teacher_logits);
}

// Adds its part of the mean to the targets; the first one's replace what was there.
static enum fm_status add_answers(
    const struct trainer *t, int index, uint32_t count, float *soft_targets)
{
    int classes = t->net->classes;
    double probabilities[FM_CLASSES_MAX], part = 1.0 / t->options->teacher_count;
    for (uint32_t n = 0; n < count; n++) {
        size_t row = (size_t)n * (size_t)classes;
        enum fm_status status = fm_softmax(t->teacher_logits + row, classes, probabilities);
        if (status != FM_OK)
            return fm_context(status, "teacher %s", t->options->teachers[index].name);
        for (int k = 0; k < classes; k++) {
            float *target = &soft_targets[row + (size_t)k];
            *target = (index > 0 ? *target : 0.0f) + (float)(part * probabilities[k]);
        }
    }
    return FM_OK;
}

enum fm_status fm_trainer_teach(struct trainer *t, struct fm_staging *staging, int slot)
{
    const struct fm_slot *s = t->api->staging_slot(staging, slot);
    if (t->options->teacher_count == 0)
        return FM_OK;
    double begin = fm_trace_begin();
    for (int i = 0; i < t->options->teacher_count; i++) {
        FM_TRY(t->api->predict(t->teachers[i], staging, slot, t->teacher_logits));
        FM_TRY(add_answers(t, i, s->step->count, s->soft_targets));
    }
    fm_trace_end(begin, "teach", (int64_t)t->step);
    return FM_OK;
}
