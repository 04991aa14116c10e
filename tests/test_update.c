// What a full training adds to a plain step: the optimisers besides Adam, and inference from
// averages and of mirror images. Each against plain loops.
#include "reference/cases.h"
#include "reference/rig.h"

#include "philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"

enum {
    BATCH = 6,
    STEPS = 5
};

// Weights and biases of both kinds, batch norm, and a learning rate of their own for the first.
static const char net_text[] = "9x9>s1x9x9 c16k3p1 n r p c3k3p1b r l0.5 f12b r f4b";

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    assert_non_null(memory);
    return memory;
}

static void open_rig(
    struct fm_rig *rig, struct fm_net *net, const struct fm_model_options *options, uint32_t batch)
{
    fm_case_net(net_text, net);
    fm_rig_open_as(rig, "cpu", net, options, batch);
    float *params = fm_case_params(net, 1), *running = fm_case_running(net, 1);
    fm_rig_set(rig, FM_STATE_PARAM, params);
    fm_rig_set(rig, FM_STATE_RUNNING, running);
    free(params);
    free(running);
}

// ---- optimisers: parameters and moments in double, moved by the gradients that the backend found

struct plain_state {
    double *param, *moment1, *moment2;
    float *grad, *found; // as the backend has them
};

static void plain_sgd(struct plain_state *s, const struct fm_param *p,
    const struct fm_optimiser_options *o, const struct fm_step *step)
{
    double rate = (double)step->learning_rate * (double)p->lr_multiplier;
    double decay = p->decay ? (double)step->weight_decay : 0.0;
    for (size_t i = p->offset; i < p->offset + p->count; i++) {
        double g = (double)s->grad[i] + decay * s->param[i];
        s->moment1[i] = (double)o->momentum * s->moment1[i] + g;
        double change = o->nesterov ? g + (double)o->momentum * s->moment1[i] : s->moment1[i];
        s->param[i] -= rate * change;
    }
}

static void plain_adamw(struct plain_state *s, const struct fm_param *p,
    const struct fm_optimiser_options *o, const struct fm_step *step, int t)
{
    double rate = (double)step->learning_rate * (double)p->lr_multiplier;
    double decay = p->decay ? (double)step->weight_decay : 0.0;
    double beta1 = (double)o->beta1, beta2 = (double)o->beta2;
    for (size_t i = p->offset; i < p->offset + p->count; i++) {
        double g = (double)s->grad[i];
        s->moment1[i] = beta1 * s->moment1[i] + (1.0 - beta1) * g;
        s->moment2[i] = beta2 * s->moment2[i] + (1.0 - beta2) * g * g;
        double m = s->moment1[i] / (1.0 - pow(beta1, t));
        double v = s->moment2[i] / (1.0 - pow(beta2, t));
        s->param[i] -= rate * decay * s->param[i];
        s->param[i] -= rate * m / (sqrt(v) + (double)o->epsilon);
    }
}

static void compare_state(struct fm_rig *rig, const char *what, struct plain_state *s,
    enum fm_state_kind kind, const double *expected)
{
    fm_rig_get(rig, kind, s->found);
    for (int i = 0; i < rig->net->param_count; i++) {
        const struct fm_param *p = &rig->net->params[i];
        char label[128];
        snprintf(label, sizeof label, "%s: %s", what, p->name);
        assert_true(
            fm_case_close(label, s->found + p->offset, expected + p->offset, p->count, 2e-6, 1e-8));
    }
}

static void train_beside_plain(const char *name, const struct fm_optimiser_options *optimiser)
{
    const struct fm_model_options options = {.optimiser = *optimiser};
    struct fm_rig rig;
    static struct fm_net net;
    open_rig(&rig, &net, &options, BATCH);
    size_t count = net.param_elements;
    struct plain_state s = {allocate(count, sizeof(double)), allocate(count, sizeof(double)),
        allocate(count, sizeof(double)), allocate(count, sizeof(float)),
        allocate(count, sizeof(float))};
    fm_rig_get(&rig, FM_STATE_PARAM, s.found);
    for (size_t i = 0; i < count; i++)
        s.param[i] = (double)s.found[i];
    struct fm_executor *e = fm_rig_compile(
        &rig, &(struct fm_compile_options){.batch = BATCH, .mode = FM_MODE_TRAIN});
    bool sgd = optimiser->kind == FM_OPTIMISER_SGD;
    for (int t = 1; t <= STEPS; t++) {
        struct fm_case_batch drawn = fm_case_batch(&net, BATCH, (uint64_t)t, false);
        struct fm_step step = {.seed = 5,
            .count = BATCH,
            .learning_rate = sgd ? 0.05f : 0.003f,
            .weight_decay = t == 1 ? 0.0f : 0.1f};
        struct fm_plain_batch batch = {
            .records = drawn.records, .labels = drawn.labels, .ids = drawn.ids, .step = &step};
        fm_rig_step(&rig, e, t % FM_SLOTS, &batch);
        fm_rig_get(&rig, FM_STATE_GRAD, s.grad);
        for (int i = 0; i < net.param_count; i++)
            if (sgd)
                plain_sgd(&s, &net.params[i], optimiser, &step);
            else
                plain_adamw(&s, &net.params[i], optimiser, &step, t);
        char what[64];
        snprintf(what, sizeof what, "%s, step %d", name, t);
        compare_state(&rig, what, &s, FM_STATE_PARAM, s.param);
        compare_state(&rig, what, &s, FM_STATE_MOMENT1, s.moment1);
        if (!sgd)
            compare_state(&rig, what, &s, FM_STATE_MOMENT2, s.moment2);
        fm_case_batch_free(&drawn);
    }
    if (sgd) // has no second moment
        assert_fails(rig.api->model_get(rig.model, FM_STATE_MOMENT2, net.params[0].name, s.found,
                         net.params[0].count),
            FM_NOT_FOUND, "second moment");
    rig.api->executor_destroy(e);
    fm_rig_close(&rig);
    free(s.param);
    free(s.moment1);
    free(s.moment2);
    free(s.grad);
    free(s.found);
}

static void test_sgd(void **state)
{
    (void)state;
    train_beside_plain("plain SGD", &(struct fm_optimiser_options){.kind = FM_OPTIMISER_SGD});
    train_beside_plain(
        "momentum", &(struct fm_optimiser_options){.kind = FM_OPTIMISER_SGD, .momentum = 0.9f});
    train_beside_plain(
        "Nesterov", &(struct fm_optimiser_options){
                        .kind = FM_OPTIMISER_SGD, .momentum = 0.9f, .nesterov = true});
}

static void test_adamw(void **state)
{
    (void)state;
    train_beside_plain(
        "AdamW", &(struct fm_optimiser_options){
                     .kind = FM_OPTIMISER_ADAMW, .beta1 = 0.9f, .beta2 = 0.99f, .epsilon = 1e-8f});
}

// ---- inference from averages

static void set_average(struct fm_rig *rig, const float *params, const float *running)
{
    const struct fm_net *net = rig->net;
    fm_rig_set(rig, FM_STATE_EMA, params);
    for (int r = 0; r < net->running_count; r++)
        fm_rig_must(rig->api->model_set(rig->model, FM_STATE_EMA, net->running[r].name,
                        running + net->running[r].offset, net->running[r].count),
            net->running[r].name);
}

// The averages' inference is that of a model whose trained values they are, bit for bit; and that
// of the trained values is another, before and after.
static void test_average(void **state)
{
    (void)state;
    static struct fm_net net;
    struct fm_rig averaging, plain;
    struct fm_model_options options = {.optimiser = {.kind = FM_OPTIMISER_SGD}, .ema = true};
    open_rig(&averaging, &net, &options, BATCH);
    options.ema = false;
    open_rig(&plain, &net, &options, BATCH);
    float *params = fm_case_params(&net, 9), *running = fm_case_running(&net, 9);
    set_average(&averaging, params, running);
    struct fm_case_batch drawn = fm_case_batch(&net, BATCH, 4, false);
    float found[BATCH * 4], expected[BATCH * 4], trained[BATCH * 4];
    for (int unfused = 0; unfused < 2; unfused++) {
        struct fm_compile_options infer = {
            .batch = BATCH, .mode = FM_MODE_INFER, .unfused = unfused == 1};
        struct fm_executor *of_plain = fm_rig_compile(&plain, &infer);
        struct fm_executor *of_trained = fm_rig_compile(&averaging, &infer);
        infer.average = true;
        struct fm_executor *of_average = fm_rig_compile(&averaging, &infer);
        fm_rig_predict(&averaging, of_average, 0, drawn.records, BATCH, found);
        fm_rig_predict(&averaging, of_trained, 0, drawn.records, BATCH, trained);
        float *own_params = fm_case_params(&net, 1), *own_running = fm_case_running(&net, 1);
        fm_rig_set(&plain, FM_STATE_PARAM, own_params);
        fm_rig_set(&plain, FM_STATE_RUNNING, own_running);
        fm_rig_predict(&plain, of_plain, 0, drawn.records, BATCH, expected);
        assert_memory_equal(trained, expected, sizeof expected);
        fm_rig_set(&plain, FM_STATE_PARAM, params);
        fm_rig_set(&plain, FM_STATE_RUNNING, running);
        fm_rig_predict(&plain, of_plain, 0, drawn.records, BATCH, expected);
        assert_memory_equal(found, expected, sizeof expected);
        assert_memory_not_equal(found, trained, sizeof trained);
        free(own_params);
        free(own_running);
        plain.api->executor_destroy(of_plain);
        averaging.api->executor_destroy(of_trained);
        averaging.api->executor_destroy(of_average);
    }
    struct fm_executor *none = NULL;
    assert_fails(
        plain.api->compile(plain.model,
            &(struct fm_compile_options){.batch = BATCH, .mode = FM_MODE_INFER, .average = true},
            &none),
        FM_USAGE, "keeps no average");
    free(params);
    free(running);
    fm_case_batch_free(&drawn);
    fm_rig_close(&averaging);
    fm_rig_close(&plain);
}

// ---- inference of mirror images

static void test_mirror(void **state)
{
    (void)state;
    static struct fm_net net;
    struct fm_rig rig;
    open_rig(&rig, &net,
        &(struct fm_model_options){.optimiser = {.kind = FM_OPTIMISER_SGD}, .ema = true}, BATCH);
    struct fm_case_batch drawn = fm_case_batch(&net, BATCH, 4, false);
    int rows = net.input.rows, cols = net.input.cols;
    uint8_t *mirrored = allocate((size_t)(BATCH * rows * cols), 1);
    for (int i = 0; i < BATCH * rows; i++)
        for (int x = 0; x < cols; x++)
            mirrored[i * cols + x] = drawn.records[i * cols + cols - 1 - x];
    struct fm_compile_options infer = {.batch = BATCH, .mode = FM_MODE_INFER};
    struct fm_executor *straight = fm_rig_compile(&rig, &infer);
    infer.mirror = true;
    struct fm_executor *mirror = fm_rig_compile(&rig, &infer);
    float found[BATCH * 4], expected[BATCH * 4];
    fm_rig_predict(&rig, mirror, 0, drawn.records, BATCH, found);
    fm_rig_predict(&rig, straight, 0, mirrored, BATCH, expected);
    assert_memory_equal(found, expected, sizeof expected);
    fm_rig_predict(&rig, straight, 0, drawn.records, BATCH, expected);
    assert_memory_not_equal(found, expected, sizeof expected);
    rig.api->executor_destroy(straight);
    rig.api->executor_destroy(mirror);

    struct fm_executor *none = NULL;
    for (int average = 0; average < 2; average++) {
        struct fm_compile_options train = {
            .batch = BATCH, .mode = FM_MODE_TRAIN, .average = average == 1, .mirror = average == 0};
        assert_fails(rig.api->compile(rig.model, &train, &none), FM_USAGE, "are for inference");
    }
    free(mirrored);
    fm_case_batch_free(&drawn);
    fm_rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sgd),
        cmocka_unit_test(test_adamw),
        cmocka_unit_test(test_average),
        cmocka_unit_test(test_mirror),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
