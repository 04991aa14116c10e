// The library's functions: arguments are checked here, since they come from programs that nobody of
// us has read; the work is done on a model's own thread.
#include <fmnist/fmnist.h>

#include "api/worker.h"
#include "base/version.h"
#include "cli/args.h"
#include "eval/predictor.h"
#include "run/run.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(
    (int)FMNIST_IMAGE_BYTES == (int)FM_IMAGE_BYTES, "the header and the data set disagree");

enum {
    THREADS_MAX = 4096
};

struct fmnist_model {
    struct fm_worker *worker;
    struct fm_engine engine;
    struct fm_predictor predictor; // used by the worker's thread; names and counts never change
};

static fmnist_status public_status(enum fm_status status)
{
    switch (status) {
    case FM_OK:
        return FMNIST_OK;
    case FM_USAGE:
        return FMNIST_USAGE;
    case FM_IO:
        return FMNIST_IO;
    case FM_DATA:
        return FMNIST_DATA;
    case FM_NOT_FOUND:
        return FMNIST_NOT_FOUND;
    case FM_MEMORY:
        return FMNIST_MEMORY;
    case FM_UNSUPPORTED:
        return FMNIST_UNSUPPORTED;
    case FM_NUMERIC:
        return FMNIST_NUMERIC;
    default:
        return FMNIST_BACKEND;
    }
}

// ---- Opening

// A program built with an older header passes fewer bytes: what it lacks is zero. One built with a
// newer header may pass more, if it asks for nothing there.
static enum fm_status read_options(const fmnist_options *given, fmnist_options *options)
{
    *options = (fmnist_options){.size = sizeof *options};
    if (!given)
        return FM_OK;
    if (given->size < sizeof given->size)
        return fm_fail(
            FM_USAGE, "fmnist_options.size is %zu: start from FMNIST_OPTIONS_INIT", given->size);
    const unsigned char *bytes = (const unsigned char *)given;
    for (size_t i = sizeof *options; i < given->size; i++) {
        if (bytes[i] != 0)
            return fm_fail(FM_UNSUPPORTED,
                "an option of a later version is set (byte %zu of fmnist_options); this is %s", i,
                FM_VERSION);
    }
    memcpy(options, given, given->size < sizeof *options ? given->size : sizeof *options);
    if (options->threads < 0 || options->threads > THREADS_MAX)
        return fm_fail(FM_USAGE, "fmnist_options.threads is %d: expected 0 to %d", options->threads,
            THREADS_MAX);
    if (options->batch < 0 || options->batch > FM_PREDICTOR_BATCH_MAX)
        return fm_fail(FM_USAGE, "fmnist_options.batch is %d: expected 0 to %d", options->batch,
            FM_PREDICTOR_BATCH_MAX);
    return FM_OK;
}

// The weights file that a path means.
static enum fm_status find_weights(const char *path, char out[FM_PATH_MAX])
{
    if (!fm_path_exists(path))
        return fm_fail(FM_NOT_FOUND,
            "%s: no such file or folder: expected a run folder or its weights file", path);
    if (!fm_path_is_dir(path))
        return fm_path_copy(out, path);
    FM_TRY(fm_path_join(out, path, FM_WEIGHTS_FILE));
    if (fm_path_exists(out))
        return FM_OK;
    if (fm_run_is_run(path))
        return fm_fail(FM_NOT_FOUND,
            "%s: the run has no weights yet (" FM_WEIGHTS_FILE "): its training is not finished",
            path);
    return fm_fail(FM_NOT_FOUND,
        "%s: not a run folder: there is no " FM_WEIGHTS_FILE " in it (fmnist train --out DIR makes "
        "one)",
        path);
}

struct opening {
    const char *weights;
    const fmnist_options *options;
    struct fmnist_model *model;
};

// Weights are kept in fp32, whatever they were trained in, and computed with in fp32: so they give
// the same predictions on every machine.
static enum fm_status open_predictor(void *argument)
{
    const struct opening *o = argument;
    const struct fm_device_options device = {.threads = o->options->threads};
    const struct fm_predictor_options predictor = {
        .precision = FM_PRECISION_FP32, .batch = o->options->batch};
    struct fmnist_model *m = o->model;
    FM_TRY(fm_engine_open(o->options->backend, &device, &m->engine));
    enum fm_status status = fm_predictor_open(&m->engine, o->weights, &predictor, &m->predictor);
    if (status != FM_OK)
        fm_engine_close(&m->engine);
    return status;
}

static enum fm_status close_predictor(void *argument)
{
    struct fmnist_model *m = argument;
    fm_predictor_close(&m->predictor);
    fm_engine_close(&m->engine);
    return FM_OK;
}

static enum fm_status open_model(
    const char *path, const fmnist_options *given, fmnist_model **model)
{
    char weights[FM_PATH_MAX];
    fmnist_options options;
    FM_TRY(read_options(given, &options));
    FM_TRY(find_weights(path, weights));
    struct fmnist_model *m = calloc(1, sizeof *m);
    if (!m)
        return fm_fail_memory("a model", sizeof *m);
    struct opening opening = {weights, &options, m};
    enum fm_status status;
    FM_TRY_GOTO(status, fm_worker_start(&m->worker), failed);
    FM_TRY_GOTO(status, fm_worker_call(m->worker, open_predictor, &opening), failed);
    *model = m;
    return FM_OK;
failed:
    fm_worker_stop(m->worker);
    free(m);
    return status;
}

fmnist_status fmnist_open(const char *path, const fmnist_options *options, fmnist_model **model)
{
    fm_error_clear();
    if (model)
        *model = NULL;
    if (!path || !model)
        return public_status(fm_fail(FM_USAGE, "fmnist_open: path or model is NULL"));
    return public_status(open_model(path, options, model));
}

void fmnist_close(fmnist_model *model)
{
    if (!model)
        return;
    fm_worker_call(model->worker, close_predictor, model);
    fm_worker_stop(model->worker);
    free(model);
}

// ---- Predicting

struct prediction {
    struct fm_predictor *predictor;
    const uint8_t *images;
    size_t count;
    float *probabilities;
};

static enum fm_status predict(void *argument)
{
    const struct prediction *p = argument;
    return fm_predictor_run(p->predictor, p->images, p->count, p->probabilities);
}

fmnist_status fmnist_predict(
    fmnist_model *model, const uint8_t *images, size_t count, float *probabilities)
{
    fm_error_clear();
    if (!model)
        return public_status(fm_fail(FM_USAGE, "fmnist_predict: model is NULL"));
    if (count == 0)
        return FMNIST_OK;
    if (!images || !probabilities)
        return public_status(fm_fail(
            FM_USAGE, "fmnist_predict: images or probabilities is NULL, for %zu images", count));
    struct prediction prediction = {&model->predictor, images, count, probabilities};
    return public_status(fm_worker_call(model->worker, predict, &prediction));
}

// ---- Asking

int fmnist_class_count(const fmnist_model *model)
{
    return model->predictor.classes;
}

const char *fmnist_class_name(const fmnist_model *model, int k)
{
    bool there = k >= 0 && k < model->predictor.classes;
    return there ? model->predictor.class_names[k] : NULL;
}

const char *fmnist_model_name(const fmnist_model *model)
{
    return model->predictor.model;
}

const char *fmnist_error(void)
{
    return fm_error_message();
}

const char *fmnist_version(void)
{
    return FM_VERSION;
}

int fmnist_main(int argc, char *const *argv)
{
    return fm_command_line(argc, argv);
}
