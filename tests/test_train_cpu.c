// The training loop on the real CPU backend and real images (data/tiny): it learns, it gives the
// same bits again, and what it says of the weights kept is true of them.
#include "train/train.h"

#include "eval/evaluate.h"
#include "eval/feed.h"
#include "net/init.h"
#include "net/zoo.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct fm_engine engine;
static struct fm_dataset dataset;
static struct fm_split split;
static struct fm_net net;

static int open_all(void **state)
{
    (void)state;
    struct fm_device_options options = {.threads = 2};
    fm_module_set_directory(FM_TEST_BINARY_DIR "/modules");
    if (fm_engine_open("cpu", &options, &engine) != FM_OK ||
        fm_dataset_open(FM_TEST_SOURCE_DIR "/data/tiny", &dataset) != FM_OK ||
        fm_split_make(&dataset.train, dataset.classes, &split) != FM_OK ||
        fm_zoo_build("simple", dataset.classes, &net) != FM_OK) {
        print_error("%s\n", fm_error_message());
        return -1;
    }
    fm_net_set_input_statistics(&net, (float)split.mean, (float)split.deviation);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    fm_split_free(&split);
    fm_dataset_close(&dataset);
    fm_engine_close(&engine);
    return 0;
}

// What the epochs of a run said.
struct told {
    int epochs;
    double loss[16], select_accuracy[16];
};

static enum fm_status note_epoch(void *context, const struct fm_train_progress *progress)
{
    struct told *told = context;
    if (!progress->epoch_done || told->epochs == 16)
        return FM_OK;
    told->loss[told->epochs] = progress->loss;
    told->select_accuracy[told->epochs++] = progress->select_accuracy;
    return FM_OK;
}

static struct fm_recipe make_recipe(int epochs)
{
    return (struct fm_recipe){.name = "test",
        .epochs = epochs,
        .batch = 32,
        .learning_rate = 2e-3,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .schedule = FM_SCHEDULE_ONE_CYCLE,
        .warmup_share = 0.25,
        .shift = 1,
        .flip = true,
        .dropout = -1,
        .keep = FM_KEEP_BEST};
}

static struct fm_model *train(const struct fm_recipe *recipe, uint64_t seed, struct told *told,
    struct fm_train_result *result)
{
    struct fm_train_options options = {
        .recipe = recipe, .seed = seed, .progress = note_epoch, .context = told};
    struct fm_model *model;
    memset(told, 0, sizeof *told);
    if (fm_train(&engine, &net, &dataset.train, &split, &options, &model, result) != FM_OK)
        fail_msg("%s", fm_error_message());
    return model;
}

static float *read_weights(struct fm_model *model)
{
    float *weights = malloc(net.param_elements * sizeof *weights);
    assert_non_null(weights);
    for (int i = 0; i < net.param_count; i++) {
        const struct fm_param *param = &net.params[i];
        assert_int_equal(engine.api->model_get(model, FM_STATE_PARAM, param->name,
                             weights + param->offset, param->count),
            FM_OK);
    }
    return weights;
}

static void test_learns(void **state)
{
    (void)state;
    struct fm_recipe recipe = make_recipe(4);
    struct told told;
    struct fm_train_result result;
    struct fm_model *model = train(&recipe, 1, &told, &result);

    assert_int_equal(told.epochs, 4);
    for (int i = 0; i < told.epochs; i++)
        assert_true(isfinite(told.loss[i]) && told.loss[i] > 0);
    if (!(told.loss[3] < 0.7 * told.loss[0]))
        fail_msg("the loss went from %g to %g", told.loss[0], told.loss[3]);
    if (!(result.train_accuracy > 0.5)) // chance is 0.1
        fail_msg("train accuracy %g", result.train_accuracy);
    assert_int_equal(result.counters.skipped, 0);
    assert_int_equal(result.counters.applied, result.steps);

    // The figures are those of the weights that the model holds now.
    struct fm_metrics metrics;
    const struct fm_evaluate_options options = {.samples = &dataset.train,
        .ids = split.select,
        .count = split.select_count,
        .classes = dataset.classes,
        .batch = 32};
    assert_int_equal(fm_evaluate(&engine, model, &options, &metrics), FM_OK);
    assert_true(metrics.accuracy == result.select_accuracy);
    assert_true(fabs(metrics.nll - result.select_nll) < 1e-5 * metrics.nll);
    fm_metrics_free(&metrics);

    // And these are the first of the best.
    int best = 0;
    for (int i = 1; i < told.epochs; i++) {
        if (told.select_accuracy[i] > told.select_accuracy[best])
            best = i;
    }
    assert_int_equal(result.kept_epoch, best + 1);
    assert_true(result.select_accuracy == told.select_accuracy[best]);
    engine.api->model_destroy(model);
}

static void test_same_bits(void **state)
{
    (void)state;
    struct fm_recipe recipe = make_recipe(2);
    recipe.epoch_images = 176; // with a tail
    recipe.train_eval = 64;
    struct told told[3];
    struct fm_train_result result;
    float *weights[3];
    static const uint64_t seeds[] = {7, 7, 8};
    for (int i = 0; i < 3; i++) {
        struct fm_model *model = train(&recipe, seeds[i], &told[i], &result);
        weights[i] = read_weights(model);
        engine.api->model_destroy(model);
    }
    size_t bytes = net.param_elements * sizeof(float);
    assert_memory_equal(weights[0], weights[1], bytes);
    assert_memory_equal(&told[0], &told[1], sizeof told[0]);
    assert_memory_not_equal(weights[0], weights[2], bytes); // the seed counts
    for (int i = 0; i < 3; i++)
        free(weights[i]);
}

// ---- an evaluator that is kept while the weights change

static struct fm_model *create_model(const struct fm_net *of)
{
    const struct fm_model_options options = {.precision = FM_PRECISION_FP32,
        .optimiser = {.kind = FM_OPTIMISER_ADAM, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f},
        .ema = true};
    struct fm_model *model = NULL;
    assert_int_equal(engine.api->model_create(engine.device, of, &options, &model), FM_OK);
    for (int i = 0; i < of->param_count; i++) {
        const struct fm_param *param = &of->params[i];
        float *values = malloc(param->count * sizeof *values);
        assert_non_null(values);
        fm_init_param(of, i, FM_INIT_HE_UNIFORM, 3, values);
        enum fm_state_kind kind = FM_STATE_PARAM;
        for (int k = 0; k < 2; k++, kind = FM_STATE_EMA)
            assert_int_equal(
                engine.api->model_set(model, kind, param->name, values, param->count), FM_OK);
        free(values);
    }
    return model;
}

static void train_a_step(struct fm_executor *executor, struct fm_feed *feed)
{
    int slot = -1;
    assert_int_equal(fm_loader_begin(feed->loader, split.train, 8, 8), FM_OK);
    assert_int_equal(fm_loader_next(feed->loader, &slot), FM_OK);
    struct fm_step *step = engine.api->staging_slot(feed->staging, slot)->step;
    step->learning_rate = 5e-3f;
    step->ema_decay = 0.5f;
    assert_int_equal(engine.api->submit(executor, feed->staging, slot), FM_OK);
    fm_loader_release(feed->loader, slot);
    assert_int_equal(fm_loader_next(feed->loader, &slot), FM_OK);
    assert_int_equal(slot, -1);
}

// The same bits as one that is opened after the step, which has seen no other weights.
static void check_evaluators(struct fm_model *model, struct fm_evaluator *kept,
    const struct fm_evaluate_options *options, double *nll)
{
    struct fm_metrics found, expected;
    assert_int_equal(fm_evaluator_run(kept, options->ids, options->count, &found), FM_OK);
    assert_int_equal(fm_evaluate(&engine, model, options, &expected), FM_OK);
    assert_true(isfinite(found.nll) && found.nll > 0);
    assert_true(found.nll == expected.nll && found.accuracy == expected.accuracy);
    assert_memory_equal(found.confusion, expected.confusion,
        (size_t)(dataset.classes * dataset.classes) * sizeof *found.confusion);
    assert_true(found.nll != *nll); // the weights have changed, and it shows
    *nll = found.nll;
    fm_metrics_free(&found);
    fm_metrics_free(&expected);
}

static void test_kept_evaluators_see_new_weights(void **state)
{
    (void)state;
    struct fm_net normed; // its batch norm is folded into copies of the weights
    assert_int_equal(fm_zoo_build("deeper", dataset.classes, &normed), FM_OK);
    struct fm_model *model = create_model(&normed);
    const struct fm_compile_options compile = {.batch = 8, .mode = FM_MODE_TRAIN};
    struct fm_executor *executor = NULL;
    struct fm_feed feed = {0};
    struct fm_evaluator *kept[4];
    struct fm_evaluate_options options[4];
    double nll[4] = {0};
    assert_int_equal(engine.api->compile(model, &compile, &executor), FM_OK);
    assert_int_equal(fm_feed_open(engine.api, model, 8, &dataset.train, false, &feed), FM_OK);
    for (int i = 0; i < 4; i++) { // logits or totals; of the trained weights or their averages
        options[i] = (struct fm_evaluate_options){.samples = &dataset.train,
            .ids = split.select,
            .count = 6,
            .classes = dataset.classes,
            .batch = 4, // and a tail
            .average = i & 1,
            .totals = i & 2};
        assert_int_equal(fm_evaluator_open(&engine, model, &options[i], &kept[i]), FM_OK);
    }
    for (int step = 0; step < 3; step++) {
        for (int i = 0; i < 4; i++)
            check_evaluators(model, kept[i], &options[i], &nll[i]);
        assert_true(step == 0 || nll[0] != nll[1]);
        train_a_step(executor, &feed);
    }
    for (int i = 0; i < 4; i++)
        fm_evaluator_close(kept[i]);
    fm_feed_close(&feed);
    engine.api->executor_destroy(executor);
    engine.api->model_destroy(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_kept_evaluators_see_new_weights),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
