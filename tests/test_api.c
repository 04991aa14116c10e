// The library's functions on the CPU backend: what is refused and with which words, that
// predictions are those of an evaluation of the same run, any number of images, several threads.
#include <fmnist/fmnist.h>

#include "eval/evaluate.h"
#include "net/init.h"
#include "net/zoo.h"
#include "run/run.h"
#include "run/weights.h"
#include "scratch.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "expect.h"

enum {
    BATCH = 64,
    CLASSES = 10,
    THREADS = 4
};

static struct fm_engine engine;
static struct fm_dataset dataset; // 400 test images
static struct fm_net net;
static struct fm_model *model; // the same weights as in `run`
static char run[SCRATCH_PATH_MAX];
static float *expected; // [test images][CLASSES]: of one call for all of them

// ---- A run whose weights are drawn, not trained, which takes no time

static void draw_weights(struct fm_model *into)
{
    for (int i = 0; i < net.param_count; i++) {
        const struct fm_param *param = &net.params[i];
        float *values = malloc(param->count * sizeof *values);
        assert_non_null(values);
        fm_init_param(&net, i, FM_INIT_GLOROT_UNIFORM, 5, values);
        assert_ok(engine.api->model_set(into, FM_STATE_PARAM, param->name, values, param->count));
        free(values);
    }
}

static void make_run(void)
{
    const struct fm_model_options options = {.optimiser = {.beta1 = 0.9f, .beta2 = 0.999f}};
    assert_ok(fm_zoo_build("simple", CLASSES, &net));
    fm_net_set_input_statistics(&net, 0.286f, 0.353f);
    assert_ok(engine.api->model_create(engine.device, &net, &options, &model));
    draw_weights(model);
    scratch_make(run, "api");
    assert_ok(fm_run_save_weights(run, &net, dataset.class_names, NULL, engine.api, model));
}

static fmnist_options with_batch(int batch)
{
    fmnist_options options = FMNIST_OPTIONS_INIT;
    options.backend = "cpu";
    options.threads = 2;
    options.batch = batch;
    return options;
}

static fmnist_model *open_run(const char *path, int batch)
{
    fmnist_options options = with_batch(batch);
    fmnist_model *opened;
    if (fmnist_open(path, &options, &opened) != FMNIST_OK)
        fail_msg("%s", fmnist_error());
    return opened;
}

static void predict(fmnist_model *with, uint32_t first, uint32_t count, float *probabilities)
{
    const uint8_t *images = dataset.test.records + (size_t)first * FM_IMAGE_BYTES;
    if (fmnist_predict(with, images, count, probabilities) != FMNIST_OK)
        fail_msg("%u images from %u: %s", count, first, fmnist_error());
}

static int open_all(void **state)
{
    (void)state;
    struct fm_device_options options = {.threads = 2};
    assert_ok(fm_engine_open("cpu", &options, &engine));
    assert_ok(fm_dataset_open(FM_TEST_SOURCE_DIR "/data/tiny", &dataset));
    assert_int_equal(dataset.classes, CLASSES);
    make_run();
    expected = malloc((size_t)dataset.test.count * CLASSES * sizeof *expected);
    assert_non_null(expected);
    fmnist_model *opened = open_run(run, BATCH);
    predict(opened, 0, dataset.test.count, expected);
    fmnist_close(opened);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    free(expected);
    scratch_remove(run);
    engine.api->model_destroy(model);
    fm_dataset_close(&dataset);
    fm_engine_close(&engine);
    return 0;
}

static void in_run(char out[FM_PATH_MAX], const char *name)
{
    assert_ok(fm_path_join(out, run, name));
}

// ---- What is refused

static void refused(
    const char *path, const fmnist_options *options, fmnist_status status, const char *message)
{
    fmnist_model *opened = (fmnist_model *)&engine; // must be overwritten
    fmnist_status found = fmnist_open(path, options, &opened);
    if (found != status || !strstr(fmnist_error(), message))
        fail_msg("%s: status %d, \"%s\"; expected status %d and \"%s\"", path, (int)found,
            fmnist_error(), (int)status, message);
    assert_null(opened);
}

static void test_wrong_paths(void **state)
{
    (void)state;
    char path[FM_PATH_MAX], config[FM_PATH_MAX];
    in_run(path, "none");
    refused(path, NULL, FMNIST_NOT_FOUND, "none: no such file or folder");
    assert_ok(fm_make_dirs(path));
    refused(path, NULL, FMNIST_NOT_FOUND, "none: not a run folder");
    assert_ok(fm_path_join(config, path, "config.json"));
    assert_ok(fm_file_write(config, "{}", 2));
    refused(path, NULL, FMNIST_NOT_FOUND, "none: the run has no weights yet");
    fmnist_model *opened;
    assert_int_equal(fmnist_open(NULL, NULL, &opened), FMNIST_USAGE);
    assert_non_null(strstr(fmnist_error(), "path or model is NULL"));
    assert_null(opened);
    assert_int_equal(fmnist_open(run, NULL, NULL), FMNIST_USAGE);
}

static void test_wrong_weights(void **state)
{
    (void)state;
    char good[FM_PATH_MAX], bad[FM_PATH_MAX];
    unsigned char *bytes;
    size_t size;
    in_run(good, FM_WEIGHTS_FILE);
    in_run(bad, "bad.safetensors");
    assert_ok(fm_file_read(good, &bytes, &size));
    assert_int_equal(scratch_write(bad, bytes, size - 1), 0);
    refused(bad, NULL, FMNIST_DATA, "bad.safetensors: ");
    assert_int_equal(scratch_write(bad, "no weights", 10), 0);
    refused(bad, NULL, FMNIST_DATA, "bad.safetensors: ");
    assert_int_equal(scratch_write(bad, "", 0), 0);
    refused(bad, NULL, FMNIST_DATA, "bad.safetensors: ");
    // The same length: nothing but the name is wrong.
    unsigned char *name = memmem(bytes, size, "\"simple\"", 8);
    assert_non_null(name);
    memcpy(name, "\"pimple\"", 8);
    assert_int_equal(scratch_write(bad, bytes, size), 0);
    refused(bad, NULL, FMNIST_DATA, "model \"pimple\", which this version does not know");
    free(bytes);
}

static void test_wrong_options(void **state)
{
    (void)state;
    fmnist_options options = with_batch(-1);
    refused(run, &options, FMNIST_USAGE, "batch is -1: expected 0 to 65536");
    options = with_batch(65537);
    refused(run, &options, FMNIST_USAGE, "batch is 65537");
    options = with_batch(0);
    options.threads = -2;
    refused(run, &options, FMNIST_USAGE, "threads is -2");
    options = with_batch(0);
    options.backend = "cpv";
    refused(run, &options, FMNIST_NOT_FOUND, "unknown backend 'cpv'; did you mean 'cpu'?");
    options = with_batch(0);
    options.size = 0;
    refused(run, &options, FMNIST_USAGE, "start from FMNIST_OPTIONS_INIT");
}

// Programs built with an older or a newer header.
static void test_other_sizes(void **state)
{
    (void)state;
    struct {
        fmnist_options options;
        uint64_t later;
    } newer = {.options = with_batch(BATCH)};
    newer.options.size = sizeof newer;
    fmnist_model *opened;
    assert_int_equal(fmnist_open(run, &newer.options, &opened), FMNIST_OK);
    fmnist_close(opened);
    newer.later = 1;
    refused(run, &newer.options, FMNIST_UNSUPPORTED, "an option of a later version is set");

    fmnist_options older = with_batch(-1);
    older.size = offsetof(fmnist_options, batch); // which is then not looked at
    assert_int_equal(fmnist_open(run, &older, &opened), FMNIST_OK);
    fmnist_close(opened);
}

// ---- What is predicted

// A run's accuracy, confusions and loss are the same whether an evaluation measures them or a
// program that uses the library.
static void test_agrees_with_an_evaluation(void **state)
{
    (void)state;
    struct fm_metrics metrics;
    struct fm_evaluate_options options = {
        .samples = &dataset.test, .classes = CLASSES, .batch = BATCH};
    assert_ok(fm_evaluate(&engine, model, &options, &metrics));
    uint64_t confusion[CLASSES * CLASSES] = {0};
    double nll = 0;
    for (uint32_t i = 0; i < dataset.test.count; i++) {
        const float *row = expected + (size_t)i * CLASSES;
        int best = 0;
        double sum = 0;
        for (int k = 0; k < CLASSES; k++) {
            if (!isfinite(row[k]) || row[k] < 0 || row[k] > 1)
                fail_msg("image %u: class %d has probability %g", i, k, (double)row[k]);
            best = row[k] > row[best] ? k : best;
            sum += (double)row[k];
        }
        if (fabs(sum - 1) > 1e-6)
            fail_msg("image %u: the probabilities sum to %.9g", i, sum);
        nll -= log((double)row[dataset.test.labels[i]]) / dataset.test.count;
        confusion[dataset.test.labels[i] * CLASSES + best]++;
    }
    assert_memory_equal(confusion, metrics.confusion, sizeof confusion);
    if (!(fabs(nll - metrics.nll) < 1e-6))
        fail_msg("nll %.9g, of the evaluation %.9g", nll, metrics.nll);
    fm_metrics_free(&metrics);
}

static void test_weights_file_alone(void **state)
{
    (void)state;
    char from[FM_PATH_MAX], alone[SCRATCH_PATH_MAX], path[FM_PATH_MAX];
    unsigned char *bytes;
    size_t size;
    scratch_make(alone, "alone");
    in_run(from, FM_WEIGHTS_FILE);
    assert_ok(fm_path_join(path, alone, "any name"));
    assert_ok(fm_file_read(from, &bytes, &size));
    assert_int_equal(scratch_write(path, bytes, size), 0);
    free(bytes);

    fmnist_model *opened = open_run(path, BATCH);
    scratch_remove(alone); // what is open needs no file
    assert_string_equal(fmnist_model_name(opened), "simple");
    assert_int_equal(fmnist_class_count(opened), CLASSES);
    for (int k = 0; k < CLASSES; k++)
        assert_string_equal(fmnist_class_name(opened, k), dataset.class_names[k]);
    assert_null(fmnist_class_name(opened, -1));
    assert_null(fmnist_class_name(opened, CLASSES));
    float *found = malloc((size_t)dataset.test.count * CLASSES * sizeof *found);
    predict(opened, 0, dataset.test.count, found);
    assert_memory_equal(found, expected, (size_t)dataset.test.count * CLASSES * sizeof *found);
    free(found);
    fmnist_close(opened);
    fmnist_close(NULL);
}

// Rows [first, first + count) one way and another: other batch sizes may round in another order.
static void assert_near(const float *found, uint32_t first, uint32_t count, int batch)
{
    for (size_t i = 0; i < (size_t)count * CLASSES; i++) {
        double want = (double)expected[(size_t)first * CLASSES + i];
        if (!(fabs((double)found[i] - want) < 1e-5))
            fail_msg("%u images from %u, batch %d: element %zu is %.9g, expected %.9g", count,
                first, batch, i, (double)found[i], want);
    }
}

static void test_any_count(void **state)
{
    (void)state;
    static const uint32_t counts[] = {1, 2, 3, 7, 8, 9, 63, 64, 65, 130, 400};
    static const int batches[] = {1, 7, 64, 0};
    assert_int_equal(dataset.test.count, 400);
    float *found = malloc(400 * CLASSES * sizeof *found);
    for (size_t b = 0; b < sizeof batches / sizeof batches[0]; b++) {
        fmnist_model *opened = open_run(run, batches[b]);
        assert_int_equal(fmnist_predict(opened, NULL, 0, NULL), FMNIST_OK);
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
            uint32_t first = 400 - counts[c];
            memset(found, 0xff, 400 * CLASSES * sizeof *found); // NaN
            predict(opened, first, counts[c], found);
            assert_near(found, first, counts[c], batches[b]);
            if (counts[c] < 400) // no row too many was written
                assert_true(isnan(found[counts[c] * CLASSES]));
        }
        assert_int_equal(fmnist_predict(opened, NULL, 1, found), FMNIST_USAGE);
        assert_non_null(strstr(fmnist_error(), "is NULL, for 1 images"));
        assert_int_equal(fmnist_predict(opened, dataset.test.records, 1, NULL), FMNIST_USAGE);
        fmnist_close(opened);
    }
    assert_int_equal(fmnist_predict(NULL, dataset.test.records, 1, found), FMNIST_USAGE);
    free(found);
}

static void test_diverged_weights(void **state)
{
    (void)state;
    char diverged[FM_PATH_MAX];
    float bias[CLASSES] = {0};
    float row[CLASSES];
    const struct fm_param *last = &net.params[net.param_count - 1];
    assert_int_equal(last->count, CLASSES);
    in_run(diverged, "diverged");
    assert_ok(fm_make_dirs(diverged));
    bias[3] = NAN;
    assert_ok(engine.api->model_set(model, FM_STATE_PARAM, last->name, bias, CLASSES));
    assert_ok(fm_run_save_weights(diverged, &net, dataset.class_names, NULL, engine.api, model));
    bias[3] = 0;
    assert_ok(engine.api->model_set(model, FM_STATE_PARAM, last->name, bias, CLASSES));

    fmnist_model *opened = open_run(diverged, 0);
    assert_int_equal(fmnist_predict(opened, dataset.test.records, 1, row), FMNIST_NUMERIC);
    assert_non_null(strstr(fmnist_error(), "image 0: logit 3 is"));
    assert_int_equal(fmnist_predict(opened, dataset.test.records, 0, row), FMNIST_OK);
    assert_string_equal(fmnist_error(), ""); // of the last call
    fmnist_close(opened);
}

// ---- Several threads

struct user {
    pthread_t thread;
    fmnist_model *opened; // shared; NULL: the thread opens one of its own
    bool equal, failed_alone;
};

static bool predicts_the_same(fmnist_model *with)
{
    size_t elements = (size_t)dataset.test.count * CLASSES;
    float *found = malloc(elements * sizeof *found);
    bool equal = found != NULL;
    for (int i = 0; equal && i < 3; i++)
        equal = fmnist_predict(with, dataset.test.records, dataset.test.count, found) ==
                    FMNIST_OK &&
                memcmp(found, expected, elements * sizeof *found) == 0;
    free(found);
    return equal;
}

static void *use(void *context)
{
    struct user *user = context;
    fmnist_options options = with_batch(BATCH);
    fmnist_model *own = NULL;
    fmnist_status status = FMNIST_OK;
    // The message is the thread's, whatever others do.
    user->failed_alone = fmnist_error()[0] == '\0' &&
                         fmnist_open("/nonexistent", NULL, &own) == FMNIST_NOT_FOUND &&
                         strstr(fmnist_error(), "/nonexistent: ") != NULL;
    if (!user->opened)
        status = fmnist_open(run, &options, &own);
    user->equal = status == FMNIST_OK && predicts_the_same(own ? own : user->opened);
    fmnist_close(own);
    return NULL;
}

static void use_from_threads(fmnist_model *shared)
{
    struct user users[THREADS] = {0};
    assert_int_equal(fmnist_open("/elsewhere", NULL, &(fmnist_model *){NULL}), FMNIST_NOT_FOUND);
    for (int i = 0; i < THREADS; i++) {
        users[i].opened = shared;
        assert_int_equal(pthread_create(&users[i].thread, NULL, use, &users[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(users[i].thread, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        if (!users[i].equal || !users[i].failed_alone)
            fail_msg("thread %d: predictions %s, its own message %s", i,
                users[i].equal ? "equal" : "differ", users[i].failed_alone ? "kept" : "lost");
    assert_non_null(strstr(fmnist_error(), "/elsewhere: "));
}

static void test_one_model_in_four_threads(void **state)
{
    (void)state;
    fmnist_model *opened = open_run(run, BATCH);
    use_from_threads(opened);
    fmnist_close(opened);
}

static void test_four_models_at_the_same_time(void **state)
{
    (void)state;
    use_from_threads(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_paths),
        cmocka_unit_test(test_wrong_weights),
        cmocka_unit_test(test_wrong_options),
        cmocka_unit_test(test_other_sizes),
        cmocka_unit_test(test_agrees_with_an_evaluation),
        cmocka_unit_test(test_weights_file_alone),
        cmocka_unit_test(test_any_count),
        cmocka_unit_test(test_diverged_weights),
        cmocka_unit_test(test_one_model_in_four_threads),
        cmocka_unit_test(test_four_models_at_the_same_time),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
