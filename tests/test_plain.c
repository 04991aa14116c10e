// The reference itself: its gradients against finite differences, its input, optimiser and
// statistics against numbers worked out by hand, and whole models against PyTorch.
#include "reference/cases.h"
#include "reference/golden.h"
#include "reference/plain.h"

#include "philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct fm_net net;

// Parameters and running statistics as the case helpers draw them.
static struct fm_plain *plain_for(const char *text)
{
    fm_case_net(text, &net);
    struct fm_plain *plain = fm_plain_create(&net);
    float *params = fm_case_params(&net, 5), *running = fm_case_running(&net, 5);
    for (int p = 0; p < net.param_count; p++)
        fm_plain_set_param(plain, net.params[p].name, params + net.params[p].offset);
    for (int r = 0; r < net.running_count; r++)
        fm_plain_set_running(plain, net.running[r].name, running + net.running[r].offset);
    free(params);
    free(running);
    return plain;
}

static double loss_at(
    struct fm_plain *plain, const struct fm_plain_batch *batch, size_t element, double value)
{
    double kept = plain->params[element];
    plain->params[element] = value;
    double loss = fm_plain_forward(plain, batch);
    plain->params[element] = kept;
    return loss;
}

// Every parameter's gradient against a central difference of the loss, in double precision.
static bool gradients_are_differences(
    const char *text, uint32_t count, float smoothing, struct fm_mix mix, float soft)
{
    struct fm_plain *plain = plain_for(text);
    struct fm_case_batch drawn = fm_case_batch(&net, count, 11, false);
    struct fm_step step = {.seed = 99, .epoch = 2, .count = count};
    struct fm_plain_batch batch = {.records = drawn.records,
        .labels = drawn.labels,
        .ids = drawn.ids,
        .step = &step,
        .augment = {.shift = 1, .flip = true},
        .label_smoothing = smoothing,
        .mix = mix,
        .soft_share = soft,
        .soft_targets = drawn.soft_targets};
    bool close = true;
    fm_plain_forward(plain, &batch);
    fm_plain_backward(plain, &batch);
    for (size_t i = 0; i < net.param_elements; i++) {
        const double h = 1e-6;
        double at = plain->params[i];
        double difference =
            (loss_at(plain, &batch, i, at + h) - loss_at(plain, &batch, i, at - h)) / (2.0 * h);
        if (!(fabs(difference - plain->grads[i]) <= 2e-7 + 1e-6 * fabs(difference))) {
            fprintf(stderr, "%s, batch %u: gradient %zu is %.9g, the difference %.9g\n", text,
                count, i, plain->grads[i], difference);
            close = false;
        }
    }
    fm_case_batch_free(&drawn);
    fm_plain_destroy(plain);
    return close;
}

static void finite_differences(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "4x4>1x4x4 f3",
        "4x4>1x4x4 f3b",
        "4x4>1x4x4 f5b r f4b",
        "5x4>1x5x4 c2k3p0 f3b",
        "5x4>s1x5x4 c3k3p1b f3b",
        "5x4>1x5x4 c2k2p1b c3k3p2 f2",
        "5x5>s1x5x5 c3k3p1 n f3b",
        "5x5>1x5x5 c3k3p1 n r c2k1p0b n f3b",
        "6x7>1x6x7 c3k3p1b p f3b",
        "6x7>1x6x7 c3k3p1b r p c2k2p0b r f3b",
        "6x6>1x6x6 c3k3p1b m f4b",
        "6x6>1x6x6 c3k3p1b d0.4 f5b d0.3 f3b",
        "4x4>s3x6x6 c2k3p1b r p f3b",
        "5x6>3x4x3 c2k3p1 n r m d0.2 f3b",
    };
    static const struct fm_mix none, all = {.share = 1.0f}, cut = {1.0f, 1.0f};
    int failures = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        failures += !gradients_are_differences(cases[i], 3, 0.0f, none, 0.0f);
        failures += !gradients_are_differences(cases[i], 2, 0.1f, all, 0.0f);
        failures += !gradients_are_differences(cases[i], 3, 0.1f, cut, 0.0f);
        failures += !gradients_are_differences(cases[i], 2, 0.1f, all, 0.7f);
    }
    assert_int_equal(failures, 0);
}

static void assert_near(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-12 * fmax(1.0, fabs(expected))))
        fail_msg("%.17g, expected %.17g", found, expected);
}

// The example of PyTorch's manual (torch.nn.Upsample, bilinear, align_corners=False).
static void resized(void **state)
{
    (void)state;
    static const double expected[16] = {
        1.0, 1.25, 1.75, 2.0, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3.0, 3.25, 3.75, 4.0};
    static const uint8_t record[4] = {1, 2, 3, 4};
    struct fm_plain *plain = plain_for("2x2>3x4x4 f2");
    fm_plain_infer(plain, record, 1);
    for (int i = 0; i < 48; i++)
        assert_near(plain->input[i], expected[i % 16] / 255.0);
    fm_plain_destroy(plain);
}

static void standardised(void **state)
{
    (void)state;
    static const uint8_t record[4] = {0, 51, 255, 102};
    struct fm_plain *plain = plain_for("2x2>s2x2x2 f2");
    fm_plain_infer(plain, record, 1);
    for (int c = 0; c < 2; c++) {
        for (int i = 0; i < 4; i++)
            assert_near(plain->input[4 * c + i],
                (record[i] / 255.0 - (double)net.input.mean[c]) / (double)net.input.deviation[c]);
    }
    fm_plain_destroy(plain);
}

// One lit pixel, followed through the table of moves and flips that another implementation made.
static void augmented(void **state)
{
    (void)state;
    json_error_t error;
    json_t *table = json_load_file(
        FM_TEST_SOURCE_DIR "/tests/reference/golden/draws.json", 0, &error);
    assert_non_null(table);
    const json_t *moves = fm_golden_member(table, "moves"),
                 *flips = fm_golden_member(table, "flips");
    struct fm_plain *plain = plain_for("9x8>1x9x8 f2");
    for (uint32_t id = 0; id < 24; id++) {
        uint8_t record[72] = {0}, label = 0;
        record[4 * 8 + 2] = 255;
        struct fm_step step = {
            .seed = (uint64_t)json_integer_value(fm_golden_member(table, "seed")),
            .epoch = (uint32_t)fm_golden_number(table, "epoch"),
            .count = 1,
        };
        struct fm_plain_batch batch = {.records = record,
            .labels = &label,
            .ids = &id,
            .step = &step,
            .augment = {.shift = 2, .flip = true}};
        fm_plain_forward(plain, &batch);
        int x = fm_golden_element(flips, id) != 0.0 ? 5 : 2;
        int to_y = 4 + (int)fm_golden_element(json_array_get(moves, id), 0);
        int to_x = x + (int)fm_golden_element(json_array_get(moves, id), 1);
        for (int i = 0; i < 72; i++)
            assert_near(plain->input[i], i == to_y * 8 + to_x ? 1.0 : 0.0);
    }
    fm_plain_destroy(plain);
    json_decref(table);
}

// Four equal logits, whose probabilities are 1/4 each, of a sample with label 2 and a smoothing of
// 1/2.
static void check_equal_logits(float soft_share, const float *soft, const double target[4])
{
    fm_case_net("2x2>1x2x2 f4b", &net);
    struct fm_plain *plain = fm_plain_create(&net);
    uint8_t record[4] = {1, 2, 3, 4}, label = 2;
    uint32_t id = 0;
    struct fm_step step = {.count = 1};
    struct fm_plain_batch batch = {.records = record,
        .labels = &label,
        .ids = &id,
        .step = &step,
        .label_smoothing = 0.5f,
        .soft_share = soft_share,
        .soft_targets = soft};
    assert_near(fm_plain_forward(plain, &batch), log(4.0));
    fm_plain_backward(plain, &batch);
    const double *bias = fm_plain_grad(plain, net.params[1].name);
    for (int k = 0; k < 4; k++)
        assert_near(bias[k], 0.25 - target[k]);
    fm_plain_destroy(plain);
}

static void loss_of_equal_logits(void **state)
{
    (void)state;
    check_equal_logits(0.0f, NULL, (const double[]){0.125, 0.125, 0.625, 0.125});
}

static void soft_targets(void **state)
{
    (void)state;
    static const float soft[4] = {0.5f, 0.25f, 0.125f, 0.125f};
    // Alone they are the target, whatever label and smoothing are.
    check_equal_logits(1.0f, soft, (const double[]){0.5, 0.25, 0.125, 0.125});
    check_equal_logits(0.5f, soft, (const double[]){0.3125, 0.1875, 0.375, 0.125});
}

// Two steps of Adam on a bias, with weight decay on the weights only, by the formulas of the paper.
static void adam(void **state)
{
    (void)state;
    struct fm_plain *plain = plain_for("2x2>1x2x2 f3b x f2b l0.5");
    struct fm_step step = {.learning_rate = 0.5f, .weight_decay = 0.125f};
    double before[64], b1 = (double)0.9f, b2 = (double)0.999f;
    memcpy(before, plain->params, net.param_elements * sizeof(double));
    for (size_t i = 0; i < net.param_elements; i++)
        plain->grads[i] = 0.5 + (double)i;
    fm_plain_update(plain, &step);
    for (size_t i = 0; i < net.param_elements; i++) {
        double g = 0.5 + (double)i, decay = i >= 15 && i < 21 ? 1.0 - 0.25 * 0.125 : 1.0;
        double expected = before[i] * decay - 0.25 * g / (sqrt(g * g) + (double)1e-8f);
        assert_near(plain->params[i], i < 15 ? before[i] : expected);
    }
    memcpy(before, plain->params, net.param_elements * sizeof(double));
    for (size_t i = 0; i < net.param_elements; i++)
        plain->grads[i] = -1.0;
    step.weight_decay = 0.0f;
    fm_plain_update(plain, &step);
    for (size_t i = 15; i < net.param_elements; i++) {
        double g = 0.5 + (double)i;
        double m = (b1 * (1.0 - b1) * g - (1.0 - b1)) / (1.0 - b1 * b1);
        double v = (b2 * (1.0 - b2) * g * g + (1.0 - b2)) / (1.0 - b2 * b2);
        assert_near(plain->params[i], before[i] - 0.25 * m / (sqrt(v) + (double)1e-8f));
    }
    fm_plain_destroy(plain);
}

// Batch norm on a 1x2 image, two samples: four values a channel, of mean 1.5 and squares 5.
static void batch_norm(void **state)
{
    (void)state;
    static const uint8_t records[4] = {0, 255, 0, 255}, labels[2] = {0, 1};
    static const uint32_t ids[2] = {0, 1};
    fm_case_net("1x2>1x1x2 c1k1p0b n f2", &net);
    struct fm_plain *plain = fm_plain_create(&net);
    const float three = 3.0f, two = 2.0f, one = 1.0f;
    fm_plain_set_param(plain, net.params[0].name, &three);
    fm_plain_set_param(plain, net.params[2].name, &two);
    fm_plain_set_param(plain, net.params[3].name, &one);
    struct fm_step step = {.count = 2};
    struct fm_plain_batch batch = {.records = records, .labels = labels, .ids = ids, .step = &step};
    fm_plain_train_step(plain, &batch);
    double factor = 1.0 / sqrt(2.25 + (double)1e-5f), momentum = (double)0.1f;
    for (int i = 0; i < 4; i++)
        assert_near(plain->activation[1][i], (i % 2 ? 3.0 : -3.0) * factor + 1.0);
    assert_near(fm_plain_running(plain, net.running[0].name)[0], momentum * 1.5);
    assert_near(fm_plain_running(plain, net.running[1].name)[0], 1.0 - momentum + momentum * 3.0);
    fm_plain_infer(plain, records, 1);
    double variance = 1.0 - momentum + momentum * 3.0, mean = momentum * 1.5;
    assert_near(plain->activation[1][1], 2.0 * (3.0 - mean) / sqrt(variance + (double)1e-5f) + 1.0);
    fm_plain_destroy(plain);
}

// The committed masks again, as what dropout does to a row of ones.
static void dropout_masks(void **state)
{
    (void)state;
    json_error_t error;
    json_t *table = json_load_file(
        FM_TEST_SOURCE_DIR "/tests/reference/golden/draws.json", 0, &error);
    assert_non_null(table);
    const json_t *masks = fm_golden_member(table, "masks");
    struct fm_plain *plain = plain_for("10x15>1x10x15 d0.25 d0.5 d0.1 f2");
    uint8_t record[150], label = 0;
    memset(record, 255, sizeof record);
    for (size_t m = 0; m < json_array_size(masks); m++) {
        const json_t *mask = json_array_get(masks, m);
        uint32_t id = (uint32_t)fm_golden_number(mask, "sample");
        int layer = (int)fm_golden_number(mask, "ordinal");
        const char *keep = json_string_value(fm_golden_member(mask, "keep"));
        struct fm_step step = {
            .seed = (uint64_t)json_integer_value(fm_golden_member(table, "seed")),
            .epoch = (uint32_t)fm_golden_number(table, "epoch"),
            .count = 1,
        };
        struct fm_plain_batch batch = {
            .records = record, .labels = &label, .ids = &id, .step = &step};
        fm_plain_forward(plain, &batch);
        const double *in = layer > 0 ? plain->activation[layer - 1] : plain->input;
        double scale = 1.0 / (1.0 - (double)net.layers[layer].rate);
        for (int i = 0; i < 150; i++)
            assert_near(plain->activation[layer][i], keep[i] == '1' ? in[i] * scale : 0.0);
    }
    fm_plain_destroy(plain);
    json_decref(table);
}

// First maximum of a window, row by row, and no gradient through a ReLU at 0.
static void ties(void **state)
{
    (void)state;
    static const uint8_t record[16] = {0, 9, 9, 0, 9, 9, 9, 0, 7, 7, 0, 0, 7, 7, 0, 0};
    uint8_t label = 0;
    uint32_t id = 0;
    struct fm_step step = {.count = 1};
    struct fm_plain_batch batch = {.records = record, .labels = &label, .ids = &id, .step = &step};
    struct fm_plain *plain = plain_for("4x4>1x4x4 r r p f2");
    fm_plain_forward(plain, &batch);
    fm_plain_backward(plain, &batch);
    static const int first[4] = {1, 2, 8, 10};
    for (int i = 0; i < 16; i++) {
        double expected = 0.0;
        for (int w = 0; w < 4; w++) {
            if (first[w] == i)
                expected = plain->gradient[2][w];
        }
        assert_near(plain->gradient[1][i], expected);
        assert_near(plain->gradient[0][i], i == 10 ? 0.0 : expected);
    }
    assert_true(plain->gradient[2][3] != 0.0);
    fm_plain_destroy(plain);
}

// The first step's loss and gradients of a whole model, as PyTorch has them.
static void check_model(const char *model)
{
    struct fm_golden golden;
    fm_golden_open(&golden, model);
    struct fm_plain *plain = fm_plain_create(&golden.net);
    for (int p = 0; p < golden.net.param_count; p++)
        fm_plain_set_param(
            plain, golden.net.params[p].name, golden.params + golden.net.params[p].offset);
    uint32_t ids[16] = {0};
    for (uint32_t i = 0; i < golden.batch; i++)
        ids[i] = i;
    golden.step.count = golden.batch;
    struct fm_plain_batch batch = {.records = golden.data.train.records,
        .labels = golden.data.train.labels,
        .ids = ids,
        .step = &golden.step};
    bool close = fm_golden_check_series(
        model, fm_golden_member(golden.root, "losses"), 0, fm_plain_forward(plain, &batch), 0.0);
    fm_plain_backward(plain, &batch);
    const json_t *gradients = fm_golden_member(golden.root, "gradients");
    assert_int_equal(json_object_size(gradients), golden.net.param_count);
    for (int p = 0; p < golden.net.param_count; p++) {
        const struct fm_param *param = &golden.net.params[p];
        close &= fm_golden_check_tensor(param->name, fm_golden_member(gradients, param->name),
            fm_plain_grad(plain, param->name), param->count);
    }
    assert_true(close);
    fm_plain_destroy(plain);
    fm_golden_close(&golden);
}

static void simple_as_pytorch(void **state)
{
    (void)state;
    check_model("simple");
}

static void deeper_as_pytorch(void **state)
{
    (void)state;
    check_model("deeper");
}

static void vgg16_as_pytorch(void **state)
{
    (void)state;
    check_model("vgg16");
}

static void simple_ref_as_pytorch(void **state)
{
    (void)state;
    check_model("simple-ref");
}

static void deeper_ref_as_pytorch(void **state)
{
    (void)state;
    check_model("deeper-ref");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finite_differences),
        cmocka_unit_test(resized),
        cmocka_unit_test(standardised),
        cmocka_unit_test(augmented),
        cmocka_unit_test(loss_of_equal_logits),
        cmocka_unit_test(soft_targets),
        cmocka_unit_test(adam),
        cmocka_unit_test(batch_norm),
        cmocka_unit_test(dropout_masks),
        cmocka_unit_test(ties),
        cmocka_unit_test(simple_as_pytorch),
        cmocka_unit_test(deeper_as_pytorch),
        cmocka_unit_test(vgg16_as_pytorch),
        cmocka_unit_test(simple_ref_as_pytorch),
        cmocka_unit_test(deeper_ref_as_pytorch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
