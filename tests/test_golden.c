// Each model against PyTorch (tests/reference/golden): ten steps' losses, every parameter's
// gradient of the first, and for `deeper` an epoch with a smaller tail, its running statistics and
// the logits after it. Tolerances are the files' own.
//
// Winograd's convolutions round otherwise than direct ones. That moves values by a millionth, but a
// gradient by all that a unit passes on where its activation is so close to a ReLU's zero that it
// falls on the other side, as one of many thousands does. So executors that have such convolutions
// are held to the losses, with some slack; the gradients to PyTorch's without, and to plain loops,
// on values without such edges, in test_winograd.c and test_ops.c.
#include "reference/golden.h"
#include "reference/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    STEPS = 10,
    TAIL_BATCHES = 3,
    CAPACITY = 16
};

static const double WINOGRAD_SLACK = 1e-3; // of a loss

struct trial {
    struct fm_golden golden;
    struct fm_rig rig;
    bool unfused;
    bool winograd;   // the executor compiled last has such convolutions
    float *found;    // room for all parameters
    double *widened; // the same in double
};

static void set_up(struct trial *t, const char *model, bool unfused)
{
    fm_golden_open(&t->golden, model);
    fm_rig_open(&t->rig, "cpu", &t->golden.net, &t->golden.optimiser, CAPACITY);
    fm_rig_set(&t->rig, FM_STATE_PARAM, t->golden.params);
    t->unfused = unfused;
    t->found = calloc(t->golden.net.param_elements, sizeof *t->found);
    t->widened = calloc(t->golden.net.param_elements, sizeof *t->widened);
    assert_true(t->found != NULL && t->widened != NULL);
}

static void tear_down(struct trial *t)
{
    free(t->found);
    free(t->widened);
    fm_rig_close(&t->rig);
    fm_golden_close(&t->golden);
}

static void note_winograd(void *context, const char *line)
{
    struct trial *t = context;
    t->winograd = t->winograd || strstr(line, ": winograd") != NULL;
}

static struct fm_executor *compile(struct trial *t, enum fm_mode mode, uint32_t batch)
{
    const struct fm_compile_options options = {
        .batch = (int)batch, .mode = mode, .unfused = t->unfused};
    struct fm_executor *executor = fm_rig_compile(&t->rig, &options);
    t->winograd = false;
    t->rig.api->executor_plans(executor, note_winograd, t);
    return executor;
}

// A step on samples [first, first + count) of the training part; returns the mean loss.
static double step(
    struct trial *t, struct fm_executor *executor, int slot, uint32_t first, uint32_t count)
{
    const struct fm_samples *train = &t->golden.data.train;
    uint32_t ids[CAPACITY];
    assert_true(count <= CAPACITY && first + count <= train->count);
    for (uint32_t i = 0; i < count; i++)
        ids[i] = first + i;
    struct fm_step given = t->golden.step;
    given.count = count;
    struct fm_plain_batch batch = {.records = train->records + (size_t)first * train->record_size,
        .labels = train->labels + first,
        .ids = ids,
        .step = &given};
    struct fm_sums sums = fm_rig_step(&t->rig, executor, slot, &batch);
    assert_int_equal(sums.count, count);
    return sums.loss / count;
}

static bool check_gradients(struct trial *t, const char *model)
{
    const struct fm_net *net = &t->golden.net;
    const json_t *gradients = fm_golden_member(t->golden.root, "gradients");
    bool close = true;
    char what[160];
    fm_rig_get(&t->rig, FM_STATE_GRAD, t->found);
    for (size_t i = 0; i < net->param_elements; i++)
        t->widened[i] = (double)t->found[i];
    assert_int_equal(json_object_size(gradients), net->param_count);
    for (int p = 0; p < net->param_count; p++) {
        const struct fm_param *param = &net->params[p];
        snprintf(what, sizeof what, "%s %s, gradient of %s", model,
            t->unfused ? "unfused" : "fused", param->name);
        close &= fm_golden_check_tensor(what, fm_golden_member(gradients, param->name),
            t->widened + param->offset, param->count);
    }
    return close;
}

static void check_steps(const char *model, bool unfused)
{
    struct trial *t = calloc(1, sizeof *t);
    bool close = true;
    char what[160];
    assert_non_null(t);
    set_up(t, model, unfused);
    struct fm_executor *executor = compile(t, FM_MODE_TRAIN, t->golden.batch);
    const json_t *losses = fm_golden_member(t->golden.root, "losses");
    assert_int_equal(json_array_size(fm_golden_member(losses, "values")), STEPS);
    snprintf(what, sizeof what, "%s %s, losses", model, unfused ? "unfused" : "fused");
    for (uint32_t s = 0; s < STEPS; s++) {
        double loss = step(t, executor, (int)(s % FM_SLOTS), s * t->golden.batch, t->golden.batch);
        close &= fm_golden_check_series(what, losses, s, loss, t->winograd ? WINOGRAD_SLACK : 0.0);
        if (s == 0 && !t->winograd)
            close &= check_gradients(t, model);
    }
#if defined(__x86_64__)
    // Elsewhere, and held to older instructions, oneDNN's layouts may be plain ones.
    if (__builtin_cpu_supports("avx2") && !getenv("DNNL_MAX_CPU_ISA"))
        assert_int_equal(t->winograd, !unfused && t->golden.net.input.standardise);
#endif
    t->rig.api->executor_destroy(executor);
    tear_down(t);
    free(t);
    assert_true(close);
}

static bool check_running(struct trial *t, const json_t *tail)
{
    const struct fm_net *net = &t->golden.net;
    const json_t *running = fm_golden_member(tail, "running");
    bool close = true;
    char what[160];
    fm_rig_get(&t->rig, FM_STATE_RUNNING, t->found);
    assert_int_equal(json_object_size(running), net->running_count);
    for (int r = 0; r < net->running_count; r++) {
        const struct fm_running *statistic = &net->running[r];
        for (size_t i = 0; i < statistic->count; i++)
            t->widened[i] = (double)t->found[statistic->offset + i];
        snprintf(
            what, sizeof what, "tail %s, %s", t->unfused ? "unfused" : "fused", statistic->name);
        close &= fm_golden_check_tensor(
            what, fm_golden_member(running, statistic->name), t->widened, statistic->count);
    }
    return close;
}

static bool check_logits(struct trial *t, const json_t *tail)
{
    const struct fm_samples *train = &t->golden.data.train;
    uint32_t first = (uint32_t)fm_golden_number(tail, "logits_first");
    uint32_t count = (uint32_t)fm_golden_number(tail, "logits_count");
    size_t values = count * (size_t)t->golden.net.classes;
    struct fm_executor *executor = compile(t, FM_MODE_INFER, count);
    fm_rig_predict(
        &t->rig, executor, 0, train->records + (size_t)first * train->record_size, count, t->found);
    t->rig.api->executor_destroy(executor);
    for (size_t i = 0; i < values; i++)
        t->widened[i] = (double)t->found[i];
    return fm_golden_check_values(t->unfused ? "tail unfused, logits" : "tail fused, logits",
        fm_golden_member(tail, "logits"), t->widened, values);
}

// 40 samples in batches of 16: two executors on one model, the second for the 8 that remain.
static void check_tail(bool unfused)
{
    struct trial *t = calloc(1, sizeof *t);
    bool close = true;
    uint32_t first = 0;
    assert_non_null(t);
    set_up(t, "deeper", unfused);
    const json_t *tail = fm_golden_member(t->golden.root, "tail");
    const json_t *counts = fm_golden_member(tail, "counts"),
                 *losses = fm_golden_member(tail, "losses");
    uint32_t full = (uint32_t)fm_golden_element(counts, 0);
    uint32_t rest = (uint32_t)fm_golden_element(counts, TAIL_BATCHES - 1);
    assert_true(rest < full);
    struct fm_executor *whole = compile(t, FM_MODE_TRAIN, full);
    struct fm_executor *partial = compile(t, FM_MODE_TRAIN, rest);
    for (int s = 0; s < TAIL_BATCHES; s++) {
        uint32_t count = (uint32_t)fm_golden_element(counts, (size_t)s);
        double loss = step(t, count == full ? whole : partial, s % FM_SLOTS, first, count);
        close &= fm_golden_check_series(unfused ? "tail unfused, losses" : "tail fused, losses",
            losses, (size_t)s, loss, t->winograd ? WINOGRAD_SLACK : 0.0);
        first += count;
    }
    t->rig.api->executor_destroy(partial);
    t->rig.api->executor_destroy(whole);
    close &= check_running(t, tail);
    close &= check_logits(t, tail);
    tear_down(t);
    free(t);
    assert_true(close);
}

static void simple(void **state)
{
    (void)state;
    check_steps("simple", false);
    check_steps("simple", true);
}

static void deeper(void **state)
{
    (void)state;
    check_steps("deeper", false);
    check_steps("deeper", true);
}

static void vgg16(void **state)
{
    (void)state;
    check_steps("vgg16", false);
    check_steps("vgg16", true);
}

static void simple_ref(void **state)
{
    (void)state;
    check_steps("simple-ref", false);
    check_steps("simple-ref", true);
}

static void deeper_ref(void **state)
{
    (void)state;
    check_steps("deeper-ref", false);
    check_steps("deeper-ref", true);
}

static void tail(void **state)
{
    (void)state;
    check_tail(false);
    check_tail(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(simple),
        cmocka_unit_test(deeper),
        cmocka_unit_test(vgg16),
        cmocka_unit_test(simple_ref),
        cmocka_unit_test(deeper_ref),
        cmocka_unit_test(tail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
