// Random erasing and mixing: which samples, where and how much, against plain loops over the same
// draws, and as often as their shares say.
#include "reference/cases.h"
#include "reference/rig.h"

#include "philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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

static struct rectangle plain_erased(const struct fm_step *step, uint32_t id, double share)
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
    float *input = calloc(count, sizeof *input);
    assert_non_null(input);
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
        struct rectangle r = plain_erased(&drawing_step, ids[n], (double)share);
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
static void test_mixup(void **state)
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
static struct rectangle plain_cutmix(uint32_t id, double share, double cut)
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
static void test_cutmix(void **state)
{
    (void)state;
    static const float share = 0.75f, cut_share = 0.5f;
    uint32_t ids[DRAWN_IMAGES];
    float *input = drawn_input(
        (struct fm_compile_options){.mix = {.share = share, .cut_share = cut_share}}, brightness,
        ids);
    int cut = 0, averaged = 0, heights[SIDE + 1] = {0}, widths[SIDE + 1] = {0};
    for (int n = 0; n < DRAWN_IMAGES; n++) {
        const float *image = input + n * SIDE * SIDE;
        float own = (float)brightness(n) / 255.0f;
        float other = (float)brightness((n + 1) % DRAWN_IMAGES) / 255.0f;
        struct rectangle r = plain_cutmix(ids[n], (double)share, (double)cut_share);
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
static void test_cutmix_targets(void **state)
{
    (void)state;
    static struct fm_net net;
    struct fm_rig rig;
    fm_case_net("14x14>1x14x14 f3b", &net);
    fm_rig_open_as(
        &rig, "cpu", &net, &(struct fm_model_options){.optimiser = {.kind = FM_OPTIMISER_SGD}}, 4);
    struct fm_compile_options options = {
        .batch = 4, .mode = FM_MODE_TRAIN, .mix = {.share = 1.0f, .cut_share = 1.0f}};
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
        struct rectangle r = plain_cutmix(drawn.ids[n], 1.0, 1.0);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_erasing),
        cmocka_unit_test(test_mixup),
        cmocka_unit_test(test_cutmix),
        cmocka_unit_test(test_cutmix_targets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
