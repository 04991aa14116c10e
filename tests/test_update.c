// What a full training adds to a plain step: the optimisers besides Adam, random erasing, and
// inference from averages and of mirror images. Each against plain loops.
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

// ---- random erasing and mixing

enum {
    DRAWN_IMAGES = 400,
    SIDE = 14,
    ERASE_SIZE = 7
};

// Side and corner as kernels/augment.h promises them: evenly from the draws' high words.
static uint32_t below(uint32_t draw, uint32_t n)
{
    return (uint32_t)((uint64_t)draw * n / 4294967296u);
}

struct rectangle {
    bool there;
    int top, left, height, width;
};

static struct rectangle plain_rectangle(const struct fm_step *step, uint32_t id, double share)
{
    struct rectangle r = {0};
    uint32_t draw[5];
    for (uint32_t i = 0; i < 5; i++)
        draw[i] = fm_draw(step->seed, step->epoch, id, FM_STREAM_ERASE, i);
    r.there = (double)draw[0] < share * 4294967296.0;
    int least = (ERASE_SIZE + 1) / 2;
    r.height = least + (int)below(draw[1], (uint32_t)(ERASE_SIZE - least + 1));
    r.width = least + (int)below(draw[2], (uint32_t)(ERASE_SIZE - least + 1));
    r.top = (int)below(draw[3], (uint32_t)(SIDE - r.height + 1));
    r.left = (int)below(draw[4], (uint32_t)(SIDE - r.width + 1));
    return r;
}

static bool within(const struct rectangle *r, int y, int x)
{
    return r->there && y >= r->top && y < r->top + r->height && x >= r->left &&
           x < r->left + r->width;
}

static const struct fm_step drawing_step = {.seed = 77, .epoch = 3, .count = DRAWN_IMAGES};

// The input of a training step [DRAWN_IMAGES][SIDE][SIDE], images being of one brightness each, as
// `options` augment and mix it; `ids` are the samples'.
static float *drawn_input(
    struct fm_compile_options options, int (*brightness)(int image), uint32_t ids[DRAWN_IMAGES])
{
    static struct fm_net net;
    struct fm_rig rig;
    fm_case_net("14x14>1x14x14 f2b", &net);
    fm_rig_open_as(&rig, "cpu", &net,
        &(struct fm_model_options){.optimiser = {.kind = FM_OPTIMISER_SGD}}, DRAWN_IMAGES);
    options.batch = DRAWN_IMAGES;
    options.mode = FM_MODE_TRAIN;
    options.probe = true;
    struct fm_executor *e = fm_rig_compile(&rig, &options);
    struct fm_case_batch drawn = fm_case_batch(&net, DRAWN_IMAGES, 1, false);
    for (int n = 0; n < DRAWN_IMAGES; n++)
        memset(drawn.records + n * SIDE * SIDE, brightness(n), SIDE * SIDE);
    struct fm_plain_batch batch = {.records = drawn.records,
        .labels = drawn.labels,
        .ids = drawn.ids,
        .step = &drawing_step,
        .augment = options.augment,
        .mix = options.mix};
    fm_rig_step(&rig, e, 0, &batch);
    size_t count = (size_t)DRAWN_IMAGES * SIDE * SIDE;
    float *input = allocate(count, sizeof *input);
    fm_rig_must(rig.api->executor_read(e, -1, FM_PROBE_ACTIVATION, input, count), "executor_read");
    memcpy(ids, drawn.ids, DRAWN_IMAGES * sizeof *ids);
    fm_case_batch_free(&drawn);
    rig.api->executor_destroy(e);
    fm_rig_close(&rig);
    return input;
}

static int white(int image)
{
    (void)image;
    return 255;
}

// Of white images, so that a zero tells what was erased.
static void test_erasing(void **state)
{
    (void)state;
    static const float share = 0.4f;
    uint32_t ids[DRAWN_IMAGES];
    float *input = drawn_input(
        (struct fm_compile_options){.augment = {.erase = share, .erase_size = ERASE_SIZE}}, white,
        ids);
    int erased = 0, sides[2][ERASE_SIZE + 1] = {{0}};
    for (int n = 0; n < DRAWN_IMAGES; n++) {
        struct rectangle r = plain_rectangle(&drawing_step, ids[n], (double)share);
        erased += r.there;
        if (r.there) {
            sides[0][r.height]++;
            sides[1][r.width]++;
        }
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                float found = input[(n * SIDE + y) * SIDE + x];
                float expected = within(&r, y, x) ? 0.0f : 1.0f;
                if (found != expected)
                    fail_msg("image %d, pixel (%d, %d) is %g, expected %g", n, y, x, (double)found,
                        (double)expected);
            }
    }
    // 400 draws of 0.4: five standard deviations are 49. All sides from 4 to 7 occur.
    if (abs(erased - 160) > 49)
        fail_msg("%d of %d images erased, expected about 160", erased, DRAWN_IMAGES);
    for (int side = (ERASE_SIZE + 1) / 2; side <= ERASE_SIZE; side++)
        assert_true(sides[0][side] > 0 && sides[1][side] > 0);
    free(input);
}

static int brightness(int image)
{
    return image * 37 % 256;
}

// Of images of several, so that a pixel tells how much of which image is in it.
static void test_mixing(void **state)
{
    (void)state;
    static const float share = 0.6f;
    uint32_t ids[DRAWN_IMAGES];
    float *input = drawn_input(
        (struct fm_compile_options){.mix = {.share = share}}, brightness, ids);
    int mixed = 0, quarters[4] = {0};
    for (int n = 0; n < DRAWN_IMAGES; n++) {
        const float *image = input + n * SIDE * SIDE;
        const struct fm_step *step = &drawing_step;
        bool mixes = fm_draw(step->seed, step->epoch, ids[n], FM_STREAM_MIX, 0) <
                     share * 4294967296.0;
        double draw = fm_draw(step->seed, step->epoch, ids[n], FM_STREAM_MIX, 1) / 4294967296.0;
        double weight = mixes ? draw / 2.0 : 0.0;
        double expected = (1.0 - weight) * brightness(n) +
                          weight * brightness((n + 1) % DRAWN_IMAGES);
        for (int i = 0; i < SIDE * SIDE; i++)
            if (fabs((double)image[i] - expected / 255.0) > 1e-6)
                fail_msg("image %d, pixel %d is %g, expected %g", n, i, (double)image[i],
                    expected / 255.0);
        mixed += mixes;
        if (mixes)
            quarters[(int)(draw * 4.0)]++;
    }
    // 400 draws of 0.6, then 240 of a quarter: five standard deviations are 49 and 34.
    if (abs(mixed - 240) > 49)
        fail_msg("%d of %d images mixed, expected about 240", mixed, DRAWN_IMAGES);
    for (int i = 0; i < 4; i++)
        assert_true(abs(quarters[i] - mixed / 4) <= 34);
    free(input);
}

// What kernels/mix.h promises of the cut: the width drawn up to the longest that leaves the image
// more than half of its pixels.
static struct rectangle plain_cut(uint32_t id, double share, double cut)
{
    struct rectangle r = {0};
    uint32_t draw[7];
    for (uint32_t i = 0; i < 7; i++)
        draw[i] = fm_draw(drawing_step.seed, drawing_step.epoch, id, FM_STREAM_MIX, i);
    r.there = (double)draw[0] < share * 4294967296.0 && (double)draw[2] < cut * 4294967296.0;
    r.height = 1 + (int)below(draw[3], SIDE);
    int longest = r.height < SIDE / 2 ? SIDE : (SIDE * SIDE / 2 - 1) / r.height;
    r.width = 1 + (int)below(draw[4], (uint32_t)longest);
    r.top = (int)below(draw[5], (uint32_t)(SIDE - r.height + 1));
    r.left = (int)below(draw[6], (uint32_t)(SIDE - r.width + 1));
    return r;
}

// A cut image is its own or the next one's, pixel by pixel, of two images that are nowhere alike.
static void test_cutting(void **state)
{
    (void)state;
    static const float share = 0.75f, half = 0.5f;
    uint32_t ids[DRAWN_IMAGES];
    float *input = drawn_input(
        (struct fm_compile_options){.mix = {.share = share, .cut = half}}, brightness, ids);
    int cut = 0, averaged = 0, heights[SIDE + 1] = {0}, widths[SIDE + 1] = {0};
    for (int n = 0; n < DRAWN_IMAGES; n++) {
        const float *image = input + n * SIDE * SIDE;
        float own = (float)brightness(n) / 255.0f;
        float other = (float)brightness((n + 1) % DRAWN_IMAGES) / 255.0f;
        struct rectangle r = plain_cut(ids[n], (double)share, (double)half);
        if (!r.there) {
            averaged += fabsf(image[0] - own) > 1e-6f;
            for (int i = 1; i < SIDE * SIDE; i++)
                assert_true(image[i] == image[0]);
            continue;
        }
        cut++;
        heights[r.height]++;
        widths[r.width]++;
        assert_true(2 * r.height * r.width < SIDE * SIDE);
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                float expected = within(&r, y, x) ? other : own;
                if (fabsf(image[y * SIDE + x] - expected) > 1e-6f)
                    fail_msg("image %d, pixel (%d, %d) is %g, expected %g", n, y, x,
                        (double)image[y * SIDE + x], (double)expected);
            }
    }
    // 400 draws of 0.375 each: five standard deviations are 48. All sides occur.
    if (abs(cut - 150) > 48 || abs(averaged - 150) > 48)
        fail_msg(
            "%d of %d images cut and %d averaged, expected about 150", cut, DRAWN_IMAGES, averaged);
    for (int side = 1; side <= SIDE; side++)
        assert_true(heights[side] > 0 && widths[side] > 0);
    free(input);
}

// Targets are mixed by the share of the pixels that was cut: the loss is that of the formula.
static void test_cut_targets(void **state)
{
    (void)state;
    static struct fm_net net;
    struct fm_rig rig;
    fm_case_net("14x14>1x14x14 f3b", &net);
    fm_rig_open_as(
        &rig, "cpu", &net, &(struct fm_model_options){.optimiser = {.kind = FM_OPTIMISER_SGD}}, 4);
    struct fm_compile_options options = {
        .batch = 4, .mode = FM_MODE_TRAIN, .mix = {.share = 1.0f, .cut = 1.0f}};
    struct fm_executor *e = fm_rig_compile(&rig, &options);
    struct fm_case_batch drawn = fm_case_batch(&net, 4, 1, false);
    for (int i = 0; i < 4; i++)
        drawn.labels[i] = (uint8_t)(i % 3);
    // Weights of zero and a bias of log 1, log 2, log 4: the logits whatever the images are.
    float weights[3 * SIDE * SIDE] = {0};
    const float bias[3] = {0.0f, logf(2.0f), logf(4.0f)};
    fm_rig_must(rig.api->model_set(
                    rig.model, FM_STATE_PARAM, net.params[0].name, weights, net.params[0].count),
        "model_set");
    fm_rig_must(
        rig.api->model_set(rig.model, FM_STATE_PARAM, net.params[1].name, bias, 3), "model_set");
    struct fm_step step = {.seed = drawing_step.seed, .epoch = drawing_step.epoch, .count = 4};
    struct fm_plain_batch batch = {.records = drawn.records,
        .labels = drawn.labels,
        .ids = drawn.ids,
        .step = &step,
        .mix = options.mix};
    double expected = 0.0;
    for (int n = 0; n < 4; n++) {
        struct rectangle r = plain_cut(drawn.ids[n], 1.0, 1.0);
        double weight = r.height * r.width / (double)(SIDE * SIDE);
        expected += log(7.0) - (1.0 - weight) * (double)bias[drawn.labels[n]] -
                    weight * (double)bias[drawn.labels[(n + 1) % 4]];
    }
    fm_rig_step(&rig, e, 0, &batch);
    struct fm_sums sums;
    fm_rig_must(rig.api->sums_get(rig.model, true, &sums), "sums_get");
    assert_true(fabs(sums.loss - expected) < 1e-5);
    fm_case_batch_free(&drawn);
    rig.api->executor_destroy(e);
    fm_rig_close(&rig);
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
        cmocka_unit_test(test_erasing),
        cmocka_unit_test(test_mixing),
        cmocka_unit_test(test_cutting),
        cmocka_unit_test(test_cut_targets),
        cmocka_unit_test(test_average),
        cmocka_unit_test(test_mirror),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
