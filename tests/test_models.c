// Whole models by finite differences: the gradients that a backend computes, along some direction
// in the space of all parameters, against the change of the loss along it. Once with the
// reference's loss in double precision, which sees small errors, and once with the backend's own
// loss, which owes nothing to the reference.
#include "reference/cases.h"
#include "reference/rig.h"

#include "net/init.h"
#include "net/zoo.h"
#include "philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    BATCH = 2,
    DIRECTIONS = 3,
    STREAM_DIRECTION = 2000
};

struct trial {
    struct fm_net net;
    struct fm_rig rig;
    struct fm_plain *plain;
    struct fm_executor *executor;
    struct fm_case_batch drawn;
    struct fm_step step;
    struct fm_plain_batch batch;
    float *params, *moved, *grads;
    double *direction;
};

static void set_up(struct trial *t, const char *model, bool unfused)
{
    static const struct fm_optimiser_options adam = {
        .kind = FM_OPTIMISER_ADAM, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f};
    const struct fm_compile_options options = {.batch = BATCH,
        .mode = FM_MODE_TRAIN,
        .augment = {.shift = 2, .flip = true},
        .label_smoothing = 0.1f,
        .mix = {.share = 0.6f, .cut_share = 0.5f},
        .soft_share = 0.4f,
        .unfused = unfused};
    fm_rig_must(fm_zoo_build(model, 10, &t->net), model);
    fm_net_set_input_statistics(&t->net, 0.5f, 0.29f); // of uniform pixels
    fm_rig_open(&t->rig, "cpu", &t->net, &adam, BATCH);
    t->plain = fm_plain_create(&t->net);
    t->executor = fm_rig_compile(&t->rig, &options);
    t->drawn = fm_case_batch(&t->net, BATCH, 6, false);
    t->step = (struct fm_step){.seed = 17, .epoch = 1, .count = BATCH}; // learning rate 0
    t->batch = (struct fm_plain_batch){.records = t->drawn.records,
        .labels = t->drawn.labels,
        .ids = t->drawn.ids,
        .step = &t->step,
        .augment = options.augment,
        .label_smoothing = options.label_smoothing,
        .mix = options.mix,
        .soft_share = options.soft_share,
        .soft_targets = t->drawn.soft_targets};

    size_t count = t->net.param_elements;
    t->params = calloc(count, sizeof *t->params);
    t->moved = calloc(count, sizeof *t->moved);
    t->grads = calloc(count, sizeof *t->grads);
    t->direction = calloc(count, sizeof *t->direction);
    assert_true(t->params != NULL && t->moved != NULL && t->grads != NULL && t->direction != NULL);
    for (int p = 0; p < t->net.param_count; p++)
        fm_init_param(&t->net, p, FM_INIT_HE_UNIFORM, 4, t->params + t->net.params[p].offset);
}

static void tear_down(struct trial *t)
{
    t->rig.api->executor_destroy(t->executor);
    fm_case_batch_free(&t->drawn);
    free(t->params);
    free(t->moved);
    free(t->grads);
    free(t->direction);
    fm_plain_destroy(t->plain);
    fm_rig_close(&t->rig);
}

static double length(const double *x, size_t count)
{
    double squares = 0.0;
    for (size_t i = 0; i < count; i++)
        squares += x[i] * x[i];
    return sqrt(squares);
}

// In every parameter tensor: half along its gradient, with a sign and a weight of its own, half
// anywhere. Then scaled to length 1.
static void choose_direction(struct trial *t, uint32_t number)
{
    for (int p = 0; p < t->net.param_count; p++) {
        const struct fm_param *param = &t->net.params[p];
        double squares = 0.0, weight, sign;
        for (size_t i = 0; i < param->count; i++)
            squares += (double)t->grads[param->offset + i] * (double)t->grads[param->offset + i];
        uint32_t draw = fm_draw(1, number, (uint32_t)p, STREAM_DIRECTION, 0);
        weight = 0.5 + (double)fm_draw_unit(draw);
        sign = number > 0 && (draw & 1u) != 0 ? -1.0 : 1.0;
        for (size_t i = 0; i < param->count; i++) {
            uint32_t element = fm_draw(2, number, (uint32_t)p, STREAM_DIRECTION, (uint32_t)i);
            double along = squares > 0.0 ? (double)t->grads[param->offset + i] / sqrt(squares)
                                         : 0.0;
            double anywhere = (2.0 * (double)fm_draw_unit(element) - 1.0) /
                              sqrt((double)param->count);
            t->direction[param->offset + i] = weight * (sign * along + anywhere);
        }
    }
    double scale = 1.0 / length(t->direction, t->net.param_elements);
    for (size_t i = 0; i < t->net.param_elements; i++)
        t->direction[i] *= scale;
}

// The reference's loss at params + h * direction.
static double plain_loss(struct trial *t, double h)
{
    for (size_t i = 0; i < t->net.param_elements; i++)
        t->plain->params[i] = (double)t->params[i] + h * t->direction[i];
    return fm_plain_forward(t->plain, &t->batch);
}

// The backend's; the step that computes it has learning rate 0 and moves nothing.
static double backend_loss(struct trial *t, double h)
{
    for (size_t i = 0; i < t->net.param_elements; i++)
        t->moved[i] = (float)((double)t->params[i] + h * t->direction[i]);
    fm_rig_set(&t->rig, FM_STATE_PARAM, t->moved);
    return fm_rig_step(&t->rig, t->executor, 0, &t->batch).loss / BATCH;
}

static bool agrees(const char *what, const char *whose, uint32_t direction, double found,
    double expected, double by)
{
    if (fabs(found - expected) <= by)
        return true;
    fprintf(stderr,
        "%s, direction %u: the gradient says %.9g, %s loss changes by %.9g: off by %.3g, allowed "
        "%.3g\n",
        what, direction, found, whose, expected, fabs(found - expected), by);
    return false;
}

static void check_model(const char *model, bool unfused)
{
    struct trial *t = calloc(1, sizeof *t);
    bool agree = true;
    char what[64];
    assert_non_null(t);
    snprintf(what, sizeof what, "%s %s", model, unfused ? "unfused" : "fused");
    set_up(t, model, unfused);
    double loss = backend_loss(t, 0.0);
    fm_rig_get(&t->rig, FM_STATE_GRAD, t->grads);
    agree &= agrees(what, "the reference's", 0, loss, plain_loss(t, 0.0), 2e-5 * loss);

    for (uint32_t d = 0; d < DIRECTIONS; d++) {
        const double h = 1e-6;
        double derivative = 0.0, norm = 0.0;
        choose_direction(t, d);
        for (size_t i = 0; i < t->net.param_elements; i++) {
            derivative += (double)t->grads[i] * t->direction[i];
            norm += (double)t->grads[i] * (double)t->grads[i];
        }
        norm = sqrt(norm);
        double difference = (plain_loss(t, h) - plain_loss(t, -h)) / (2.0 * h);
        agree &= agrees(what, "the reference's", d, derivative, difference, 1e-4 * norm);
        if (d > 0)
            continue;
        // Direction 0 is uphill in every tensor. Far enough for single precision, near enough for a
        // straight line: the loss changes by a five-hundredth.
        double far = 0.001 * loss / norm;
        difference = (backend_loss(t, far) - backend_loss(t, -far)) / (2.0 * far);
        agree &= agrees(what, "the backend's", d, derivative, difference, 0.02 * norm);
    }
    tear_down(t);
    free(t);
    assert_true(agree);
}

static void simple(void **state)
{
    (void)state;
    check_model("simple", false);
    check_model("simple", true);
}

static void deeper(void **state)
{
    (void)state;
    check_model("deeper", false);
    check_model("deeper", true);
}

static void vgg16(void **state)
{
    (void)state;
    check_model("vgg16", false);
}

static void simple_ref(void **state)
{
    (void)state;
    check_model("simple-ref", false);
}

static void deeper_ref(void **state)
{
    (void)state;
    check_model("deeper-ref", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(simple),
        cmocka_unit_test(deeper),
        cmocka_unit_test(vgg16),
        cmocka_unit_test(simple_ref),
        cmocka_unit_test(deeper_ref),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
