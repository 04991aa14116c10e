// Measures a backend: what scripts/gpu-acceptance asks of a GPU, in JSON on standard output.
//
//   measure info     which device, which libraries
//   measure latency  predict() as the host sees it, at several batches
//   measure train    whole training steps, their images a second; with --profile their parts
//   measure parity   the same steps on two backends
//
// It talks to the module directly and works with every backend.
#include "gpu/measure.h"

#include "backend/precision.h"
#include "base/clock.h"
#include "eval/evaluate.h"
#include "eval/timing/timer.h"
#include "net/init.h"
#include "net/zoo.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PROFILE_MAX = 1024,
    PROFILE_STEPS = 20,
    SEED = 1
};

// ---- what all commands begin with

static enum fm_status draw_parameters(struct measured *m, const struct fm_net *net)
{
    enum fm_status status = FM_OK;
    for (int p = 0; p < net->param_count && status == FM_OK; p++) {
        size_t count = net->params[p].count;
        float *values = malloc(count * sizeof *values);
        if (!values)
            return fm_fail_memory(net->params[p].name, count * sizeof *values);
        fm_init_param(net, p, FM_INIT_HE_UNIFORM, SEED, values);
        status = m->engine.api->model_set(
            m->model, FM_STATE_PARAM, net->params[p].name, values, count);
        free(values);
    }
    return status;
}

// Whether the device has a precision by emulation alone.
static bool only_emulates(const struct fm_device_info *info, const char *name)
{
    for (int p = 0; p < FM_PRECISION_COUNT; p++)
        if (strcmp(name, fm_precision_name((enum fm_precision)p)) == 0)
            return !info->precisions[p] && info->emulated[p];
    return false;
}

enum fm_status measured_open(struct measured *m, const char *backend, bool reference,
    const struct measure_options *options, const struct fm_net *net, enum fm_optimiser optimiser)
{
    struct fm_device_options device = {
        .threads = options->threads, .tf32 = options->tf32, .plan_cache = options->plans};
    FM_TRY(fm_engine_open(backend, &device, &m->engine));
    bool emulate = reference && only_emulates(&m->engine.info, options->precision);
    FM_TRY(
        fm_precision_choose(options->precision, &m->engine, emulate, &m->precision, &m->emulated));
    struct fm_model_options model = {
        .precision = m->precision,
        .emulate = m->emulated,
        .optimiser =
            {.kind = optimiser, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f, .momentum = 0.9f},
    };
    FM_TRY(m->engine.api->model_create(m->engine.device, net, &model, &m->model));
    return draw_parameters(m, net);
}

void measured_close(struct measured *m)
{
    if (m->engine.api)
        m->engine.api->model_destroy(m->model);
    fm_engine_close(&m->engine);
}

void measure_fill(
    struct fm_slot *slot, const struct fm_samples *samples, uint32_t batch, uint32_t first)
{
    static const struct fm_step step = {.seed = SEED, .learning_rate = 1e-3f};
    fm_timer_fill(slot, samples, batch, first, &step);
}

static void set_text(json_t *object, const char *key, const char *text)
{
    json_object_set_new(object, key, json_string(text));
}

static void set_real(json_t *object, const char *key, double value)
{
    json_object_set_new(object, key, json_real(value));
}

static void set_count(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

void measure_describe(const struct fm_engine *engine, json_t *result)
{
    set_text(result, "backend", engine->api->name);
    set_text(result, "device", engine->info.name);
    set_text(result, "details", engine->info.details);
    set_text(result, "libraries", engine->info.libraries);
    set_count(result, "memory", engine->info.memory);
    json_t *precisions = json_array();
    for (int p = 0; p < FM_PRECISION_COUNT; p++)
        if (engine->info.precisions[p])
            json_array_append_new(precisions, json_string(fm_precision_name((enum fm_precision)p)));
    json_object_set_new(result, "precisions", precisions);
}

// ---- measure info

static enum fm_status measure_info(const struct measure_options *options, json_t *result)
{
    struct fm_device_options device = {.threads = options->threads};
    struct fm_engine engine;
    FM_TRY(fm_engine_open(options->backend, &device, &engine));
    measure_describe(&engine, result);
    fm_engine_close(&engine);
    return FM_OK;
}

// ---- measure latency

static enum fm_status time_batch(struct measured *m, const struct measure_options *options,
    const struct measure_inputs *inputs, int batch, json_t *rows)
{
    struct fm_latency_options latency = {
        .samples = &inputs->dataset.test,
        .classes = inputs->dataset.classes,
        .batch = batch,
        .warmup = options->warmup,
        .runs = options->runs,
    };
    struct fm_latency found;
    FM_TRY(fm_measure_latency(&m->engine, m->model, &latency, &found));
    json_t *row = json_object();
    set_count(row, "batch", (uint64_t)batch);
    set_count(row, "runs", (uint64_t)found.runs);
    set_real(row, "p50", found.p50);
    set_real(row, "p90", found.p90);
    set_real(row, "p99", found.p99);
    set_real(row, "mean", found.mean);
    set_real(row, "images_per_second", batch / found.p50);
    json_array_append_new(rows, row);
    return FM_OK;
}

// Predictions that do not count, until the device has worked for long enough.
static enum fm_status warm_latency(
    struct measured *m, const struct measure_options *options, const struct measure_inputs *inputs)
{
    double end = fm_clock_seconds() + options->warm_ms * 1e-3;
    while (fm_clock_seconds() < end) {
        json_t *rows = json_array();
        enum fm_status status = time_batch(m, options, inputs, 1, rows);
        json_decref(rows);
        FM_TRY(status);
    }
    return FM_OK;
}

static enum fm_status measure_latency(
    const struct measure_options *options, const struct measure_inputs *inputs, json_t *result)
{
    struct measured m = {0};
    enum fm_status status;
    json_t *rows = json_array();
    json_object_set_new(result, "batches", rows);
    FM_TRY_GOTO(status,
        measured_open(&m, options->backend, false, options, &inputs->net, FM_OPTIMISER_ADAM), out);
    measure_describe(&m.engine, result);
    FM_TRY_GOTO(status, warm_latency(&m, options, inputs), out);
    for (const char *at = options->batches; *at && status == FM_OK;) {
        char *end;
        long batch = strtol(at, &end, 10);
        if (end == at || batch < 1 || batch > 65536 || (*end && *end != ','))
            status = fm_fail(FM_USAGE, "--batches %s: expected numbers from 1 to 65536 with commas",
                options->batches);
        else
            status = time_batch(&m, options, inputs, (int)batch, rows);
        at = *end ? end + 1 : end;
    }
out:
    measured_close(&m);
    return status;
}

// ---- measure train

// Steps that do not count; `*one` are the seconds that one took last.
static enum fm_status warm_up(
    struct fm_timer *timer, const struct measure_options *options, double *one)
{
    int steps = options->warmup > 0 ? options->warmup : 1;
    double end = fm_clock_seconds() + options->warm_ms * 1e-3;
    do {
        FM_TRY(fm_timer_train(timer, steps, one));
        *one /= steps;
    } while (fm_clock_seconds() < end);
    return FM_OK;
}

static enum fm_status time_steps(
    struct fm_timer *timer, const struct measure_options *options, json_t *result)
{
    double seconds;
    FM_TRY(warm_up(timer, options, &seconds));
    int steps = (int)fmax(options->steps, ceil(options->round_ms * 1e-3 / seconds));
    json_t *rounds = json_array();
    json_object_set_new(result, "images_per_second", rounds);
    set_count(result, "steps", (uint64_t)steps);
    for (int round = 0; round < options->runs; round++) {
        FM_TRY(fm_timer_train(timer, steps, &seconds));
        json_array_append_new(rounds, json_real(steps * (double)timer->batch / seconds));
    }
    struct fm_sums sums;
    FM_TRY(timer->api->sums_get(timer->model, true, &sums));
    set_real(result, "mean_loss", sums.loss / (double)sums.count); // not finite: no valid JSON
    return FM_OK;
}

static enum fm_status read_profile(
    struct fm_timer *timer, const struct measure_options *options, json_t *result)
{
    static struct fm_profile_entry entries[PROFILE_MAX];
    size_t count;
    double seconds;
    FM_TRY(warm_up(timer, options, &seconds));
    FM_TRY(fm_timer_train(timer, PROFILE_STEPS, &seconds));
    FM_TRY(timer->api->executor_profile(timer->executor, entries, PROFILE_MAX, &count));
    json_t *rows = json_array();
    json_object_set_new(result, "profile", rows);
    for (size_t i = 0; i < count && i < PROFILE_MAX; i++) {
        const struct fm_profile_entry *e = &entries[i];
        json_t *row = json_object();
        set_text(row, "layer", e->layer);
        set_text(row, "pass", e->pass);
        set_text(row, "plan", e->plan);
        set_real(row, "seconds", e->calls ? e->seconds / (double)e->calls : 0);
        set_real(row, "flops", e->flops);
        set_real(row, "bytes", e->bytes);
        json_array_append_new(rows, row);
    }
    return FM_OK;
}

static enum fm_status measure_train(
    const struct measure_options *options, const struct measure_inputs *inputs, json_t *result)
{
    struct measured m = {0};
    struct fm_timer timer = {0};
    const struct fm_timer_options timed = {.samples = &inputs->dataset.train,
        .classes = inputs->dataset.classes,
        .batch = options->batch,
        .mode = FM_MODE_TRAIN,
        .unfused = options->unfused,
        .profile = options->profile,
        .step = {.seed = SEED, .learning_rate = 1e-3f},
        .resident = options->resident};
    enum fm_status status;
    FM_TRY_GOTO(status,
        measured_open(&m, options->backend, false, options, &inputs->net, FM_OPTIMISER_ADAM), out);
    FM_TRY_GOTO(status, fm_timer_open(&m.engine, m.model, &timed, &timer), out);
    measure_describe(&m.engine, result);
    set_text(result, "precision", fm_precision_name(m.precision));
    json_object_set_new(result, "emulated", json_boolean(m.emulated));
    set_count(result, "executor_memory", timer.api->executor_memory(timer.executor));
    status = options->profile ? read_profile(&timer, options, result)
                              : time_steps(&timer, options, result);
out:
    fm_timer_close(&timer);
    measured_close(&m);
    return status;
}

// ---- the command line

static const struct option long_options[] = {
    {"backend", required_argument, NULL, 'b'},
    {"against", required_argument, NULL, 'a'},
    {"modules", required_argument, NULL, 'o'},
    {"data", required_argument, NULL, 'd'},
    {"model", required_argument, NULL, 'm'},
    {"precision", required_argument, NULL, 'p'},
    {"batches", required_argument, NULL, 'B'},
    {"plans", required_argument, NULL, 'P'},
    {"batch", required_argument, NULL, 'n'},
    {"steps", required_argument, NULL, 's'},
    {"warmup", required_argument, NULL, 'w'},
    {"warm-ms", required_argument, NULL, 'W'},
    {"round-ms", required_argument, NULL, 'M'},
    {"runs", required_argument, NULL, 'r'},
    {"threads", required_argument, NULL, 't'},
    {"resident", no_argument, NULL, 'R'},
    {"unfused", no_argument, NULL, 'u'},
    {"profile", no_argument, NULL, 'f'},
    {"tf32", no_argument, NULL, 'T'},
    {0},
};

static const char **text_option(struct measure_options *options, int option)
{
    switch (option) {
    case 'b':
        return &options->backend;
    case 'a':
        return &options->against;
    case 'o':
        return &options->modules;
    case 'd':
        return &options->data;
    case 'm':
        return &options->model;
    case 'p':
        return &options->precision;
    case 'B':
        return &options->batches;
    case 'P':
        return &options->plans;
    default:
        return NULL;
    }
}

static int *number_option(struct measure_options *options, int option)
{
    switch (option) {
    case 'n':
        return &options->batch;
    case 's':
        return &options->steps;
    case 'w':
        return &options->warmup;
    case 'W':
        return &options->warm_ms;
    case 'M':
        return &options->round_ms;
    case 'r':
        return &options->runs;
    case 't':
        return &options->threads;
    default:
        return NULL;
    }
}

static bool *flag_option(struct measure_options *options, int option)
{
    switch (option) {
    case 'R':
        return &options->resident;
    case 'u':
        return &options->unfused;
    case 'f':
        return &options->profile;
    case 'T':
        return &options->tf32;
    default:
        return NULL;
    }
}

// False: said already what is wrong.
static bool parse(int argc, char **argv, struct measure_options *options)
{
    for (int option; (option = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        if (option == '?')
            return false;
        const char **text = text_option(options, option);
        int *number = number_option(options, option);
        if (text) {
            *text = optarg;
        } else if (number) {
            char *end;
            long value = strtol(optarg, &end, 10);
            if (*end || end == optarg || value < 0 || value > 1000000) {
                fprintf(stderr, "measure: '%s': expected a number from 0 to 1000000\n", optarg);
                return false;
            }
            *number = (int)value;
        } else {
            *flag_option(options, option) = true;
        }
    }
    return optind == argc - 1;
}

static enum fm_status open_inputs(
    const struct measure_options *options, struct measure_inputs *inputs)
{
    FM_TRY(fm_dataset_open(options->data, &inputs->dataset));
    FM_TRY(fm_split_make(&inputs->dataset.train, inputs->dataset.classes, &inputs->split));
    FM_TRY(fm_zoo_build(options->model, inputs->dataset.classes, &inputs->net));
    fm_net_set_input_statistics(
        &inputs->net, (float)inputs->split.mean, (float)inputs->split.deviation);
    return FM_OK;
}

static enum fm_status run(
    const char *command, const struct measure_options *options, json_t *result)
{
    if (strcmp(command, "info") == 0)
        return measure_info(options, result);
    struct measure_inputs *inputs = calloc(1, sizeof *inputs);
    if (!inputs)
        return fm_fail_memory("the data", sizeof *inputs);
    enum fm_status status;
    FM_TRY_GOTO(status, open_inputs(options, inputs), out);
    if (strcmp(command, "latency") == 0)
        status = measure_latency(options, inputs, result);
    else if (strcmp(command, "train") == 0)
        status = measure_train(options, inputs, result);
    else if (strcmp(command, "parity") == 0)
        status = measure_parity(options, inputs, result);
    else
        status = fm_fail(
            FM_USAGE, "unknown command '%s'; expected info, latency, train or parity", command);
out:
    fm_split_free(&inputs->split);
    fm_dataset_close(&inputs->dataset);
    free(inputs);
    return status;
}

int main(int argc, char **argv)
{
    struct measure_options options = {.backend = "auto",
        .against = "cpu",
        .model = "simple",
        .precision = "auto",
        .batches = "1",
        .batch = 256,
        .steps = 100,
        .warmup = 20,
        .runs = 5};
    if (!parse(argc, argv, &options)) {
        fprintf(stderr, "usage: measure info|latency|train|parity [--backend NAME] ...\n");
        return 2;
    }
    if (options.modules)
        fm_module_set_directory(options.modules);
    json_t *result = json_object();
    int code = 1;
    if (run(argv[optind], &options, result) != FM_OK)
        fprintf(stderr, "measure: error: %s\n", fm_error_message());
    else if (json_dumpf(result, stdout, JSON_INDENT(2)) != 0 || puts("") == EOF)
        fprintf(stderr, "measure: error: the result could not be written\n");
    else
        code = 0;
    json_decref(result);
    return code;
}
