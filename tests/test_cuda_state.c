// A model's state on the (simulated) device: what it begins with, where each element lies, what
// comes back by name, counters, and sums that are read without waiting.
#include "reference/cases.h"

#include "loss_scale.h"
#include "net/zoo.h"
#include "rounding.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cuda/opened.h"

enum {
    KINDS = FM_STATE_RUNNING + 1,
    SEEDS = 20,
    STEPS = 12
};

// Paddings everywhere: 10 and 3 classes, 5, 12 and 17 channels. Untrained layers, multipliers.
static const char *const small_net = "8x8>1x8x8 c5k3p1b n r p x c12k3p0 n l3 r f17b r f10b";
static const char *const smallest_net = "6x5>1x6x5 f3b";

static void *allocate(size_t count, size_t size)
{
    void *data = calloc(count ? count : 1, size);
    assert_non_null(data);
    return data;
}

// Waits for everything and copies from the device.
static void *fetch(const void *from, size_t bytes)
{
    void *data = allocate(bytes, 1);
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
    assert_int_equal(cudaMemcpy(data, from, bytes, cudaMemcpyDeviceToHost), cudaSuccess);
    return data;
}

// Element i of tensor t: exact in fp16 and bf16, too, and different for neighbours of any kind.
static float value_of(int kind, int t, size_t i)
{
    return (float)((int)((i * 7 + (size_t)t * 13 + (size_t)kind * 31) % 251) - 125) / 8.0f;
}

static float *values_of(int kind, int t, size_t count)
{
    float *values = allocate(count, sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = value_of(kind, t, i);
    return values;
}

static void expect_same(const char *what, const float *found, const float *expected, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (isnan(found[i]) || fm_bits_of(found[i]) != fm_bits_of(expected[i]))
            fail_msg("%s: element %zu is %g, expected %g", what, i, (double)found[i],
                (double)expected[i]);
}

// ---- tensors by name

// Calls `each` for every tensor that the model has of this kind.
typedef void each_tensor(struct fm_model *m, int kind, int t, const char *name, size_t count);

static void for_all(struct fm_model *m, int kind, each_tensor *each)
{
    bool average = m->options.ema, sgd = m->options.optimiser.kind == FM_OPTIMISER_SGD;
    if ((kind == FM_STATE_EMA && !average) || (kind == FM_STATE_MOMENT2 && sgd))
        return;
    if (kind != FM_STATE_RUNNING)
        for (int t = 0; t < m->net.param_count; t++)
            each(m, kind, t, m->net.params[t].name, m->net.params[t].count);
    if (kind == FM_STATE_RUNNING || kind == FM_STATE_EMA)
        for (int t = 0; t < m->net.running_count; t++)
            each(m, kind, FM_PARAMS_MAX + t, m->net.running[t].name, m->net.running[t].count);
}

// No gradient is kept of a parameter that is not trained, but for batch norm's.
static bool is_kept(const struct fm_model *m, int kind, int t)
{
    if (kind != FM_STATE_GRAD || t >= FM_PARAMS_MAX)
        return true;
    const struct fm_param *p = &m->net.params[t];
    return p->trainable || p->kind == FM_PARAM_SCALE || p->kind == FM_PARAM_SHIFT;
}

static void set_values(struct fm_model *m, int kind, int t, const char *name, size_t count)
{
    float *values = values_of(kind, t, count);
    if (is_kept(m, kind, t))
        assert_ok(fm_cuda_model_set(m, (enum fm_state_kind)kind, name, values, count));
    else
        assert_fails(fm_cuda_model_set(m, (enum fm_state_kind)kind, name, values, count),
            FM_NOT_FOUND, "it is not trained, so no gradient is kept of it");
    free(values);
}

static void expect_values(struct fm_model *m, int kind, int t, const char *name, size_t count)
{
    float *expected = values_of(kind, t, count), *found = values_of(0, t, count);
    if (!is_kept(m, kind, t))
        memset(expected, 0, count * sizeof *expected);
    assert_ok(fm_cuda_model_get(m, (enum fm_state_kind)kind, name, found, count));
    expect_same(name, found, expected, count);
    free(found);
    free(expected);
}

static void expect_initial(struct fm_model *m, int kind, int t, const char *name, size_t count)
{
    float initial = t >= FM_PARAMS_MAX ? m->net.running[t - FM_PARAMS_MAX].initial : 0.0f;
    float *found = allocate(count, sizeof *found);
    assert_ok(fm_cuda_model_get(m, (enum fm_state_kind)kind, name, found, count));
    for (size_t i = 0; i < count; i++)
        if (!(found[i] == initial))
            fail_msg("%s begins with %g, expected %g", name, (double)found[i], (double)initial);
    free(found);
}

// All that a model has, set first and then read, so that nothing may lie on something else.
static void check_round_trip(
    const struct fm_net *net, enum fm_precision precision, enum fm_optimiser optimiser, bool ema)
{
    struct fm_device *device = opened_device();
    struct fm_model_options options = opened_options(precision, optimiser, ema);
    struct fm_model *m = NULL;
    assert_ok(fm_cuda_model_create(device, net, &options, &m));
    for (int kind = 0; kind < KINDS; kind++)
        for_all(m, kind, expect_initial);
    for (int kind = 0; kind < KINDS; kind++)
        for_all(m, kind, set_values);
    for (int kind = 0; kind < KINDS; kind++)
        for_all(m, kind, expect_values);
    assert_int_equal(sim_memory_in_use(), m->bytes);
    fm_cuda_model_destroy(m);
    fm_cuda_device_close(device);
}

static void test_round_trips(void **state)
{
    struct fm_net net;
    (void)state;
    for (int i = 0; i < 2; i++) {
        fm_case_net(i ? smallest_net : small_net, &net);
        for (int p = 0; p < FM_PRECISION_COUNT; p++) {
            check_round_trip(&net, (enum fm_precision)p, FM_OPTIMISER_ADAM, true);
            check_round_trip(&net, (enum fm_precision)p, FM_OPTIMISER_SGD, false);
        }
    }
    assert_ok(fm_zoo_build("simple", 10, &net));
    check_round_trip(&net, FM_PRECISION_FP32, FM_OPTIMISER_ADAMW, true);
    assert_ok(fm_zoo_build("deeper", 10, &net));
    check_round_trip(&net, FM_PRECISION_FP16, FM_OPTIMISER_ADAM, false);
}

// ---- where elements lie

// Writes a canonical weight as KRSC, or [out][H, W, C]: plainly, from the shapes alone.
static void lay_out_weight(const struct fm_layer *layer, int kind, float *to)
{
    size_t channels = (size_t)layer->in.c;
    size_t pixels = layer->kind == FM_LAYER_CONV ? (size_t)(layer->kernel * layer->kernel)
                                                 : (size_t)(layer->in.h * layer->in.w);
    for (size_t o = 0; o < (size_t)layer->out.c; o++)
        for (size_t c = 0; c < channels; c++)
            for (size_t p = 0; p < pixels; p++)
                to[(o * pixels + p) * channels + c] = value_of(
                    kind, layer->weight, (o * channels + c) * pixels + p);
}

// The whole range of a kind's parameters, gaps and padding being zeros.
static float *lay_out(const struct fm_model *m, int kind)
{
    float *all = allocate(m->params.elements, sizeof *all);
    for (int l = 0; l < m->net.layer_count; l++) {
        const struct fm_layer *layer = &m->net.layers[l];
        const struct fm_cuda_place *places = m->params.places;
        bool matrix = layer->kind == FM_LAYER_CONV || layer->kind == FM_LAYER_DENSE;
        if (matrix)
            lay_out_weight(layer, kind, all + places[layer->weight].offset);
        for (int side = matrix; side < 2; side++) {
            int t = side ? layer->bias : layer->weight;
            for (size_t i = 0; t >= 0 && i < m->net.params[t].count; i++)
                all[places[t].offset + i] = value_of(kind, t, i);
        }
    }
    return all;
}

static void expect_range(const struct fm_model *m, const char *what, int kind, const float *range)
{
    float *expected = lay_out(m, kind);
    float *found = fetch(range, m->params.elements * sizeof *found);
    expect_same(what, found, expected, m->params.elements);
    free(found);
    free(expected);
}

static void expect_working(const struct fm_model *m)
{
    float *expected = lay_out(m, FM_STATE_PARAM);
    uint16_t *found = fetch(m->working, m->params.elements * sizeof *found);
    for (size_t i = 0; i < m->params.elements; i++)
        assert_int_equal(found[i], m->params.type == FM_CUDA_F16 ? fm_fp16_narrow(expected[i])
                                                                 : fm_bf16_narrow(expected[i]));
    free(found);
    free(expected);
}

static void expect_running(const struct fm_model *m, int kind, const float *range)
{
    size_t bytes = m->params.running_elements * sizeof(float);
    float *found = fetch(range, bytes), *expected = allocate(bytes, 1);
    for (int t = 0; t < m->net.running_count; t++)
        for (size_t i = 0; i < m->net.running[t].count; i++)
            expected[m->params.running_offsets[t] + i] = value_of(kind, FM_PARAMS_MAX + t, i);
    expect_same("running statistics", found, expected, m->params.running_elements);
    free(found);
    free(expected);
}

static void test_layout(void **state)
{
    struct fm_net net;
    (void)state;
    fm_case_net(small_net, &net);
    struct fm_device *device = opened_device();
    for (int p = 0; p < FM_PRECISION_COUNT; p++) {
        struct fm_model *m = opened_model(device, &net, (enum fm_precision)p);
        for (int kind = 0; kind < KINDS; kind++)
            for_all(m, kind, set_values);
        expect_range(m, "parameters", FM_STATE_PARAM, m->trained.params);
        expect_range(m, "averages", FM_STATE_EMA, m->average.params);
        expect_range(m, "first moments", FM_STATE_MOMENT1, m->moment1);
        expect_range(m, "second moments", FM_STATE_MOMENT2, m->moment2);
        expect_running(m, FM_STATE_RUNNING, m->trained.running);
        expect_running(m, FM_STATE_EMA, m->average.running);
        assert_int_equal(m->working == NULL, p == FM_PRECISION_FP32);
        if (m->working)
            expect_working(m);
        fm_cuda_model_destroy(m);
    }
    fm_cuda_device_close(device);
}

// ---- gradients

// Scaled values as a step leaves them in both ranges, laid out alike for all, come back divided.
static void check_gradients(
    struct fm_device *device, const struct fm_net *net, enum fm_precision precision, float scale)
{
    struct fm_model *m = opened_model(device, net, precision);
    for_all(m, FM_STATE_GRAD, set_values); // as if they were scaled by 1
    struct fm_cuda_state *held = fetch(m->state, sizeof *held);
    held->gradient_scale = scale;
    held->loss_scale = 2 * scale; // of the next step
    assert_ok(fm_cuda_device_put(device, m->state, held, sizeof *held));
    free(held);
    for (int t = 0; t < net->param_count; t++) {
        size_t count = net->params[t].count;
        if (!is_kept(m, FM_STATE_GRAD, t))
            continue;
        float *expected = values_of(FM_STATE_GRAD, t, count), *found = allocate(count, 4);
        for (size_t i = 0; i < count; i++)
            expected[i] /= scale;
        assert_ok(fm_cuda_model_get(m, FM_STATE_GRAD, net->params[t].name, found, count));
        expect_same(net->params[t].name, found, expected, count);
        // What is set is what is read, whatever the scale.
        assert_ok(fm_cuda_model_set(m, FM_STATE_GRAD, net->params[t].name, expected, count));
        assert_ok(fm_cuda_model_get(m, FM_STATE_GRAD, net->params[t].name, found, count));
        expect_same(net->params[t].name, found, expected, count);
        free(expected);
        free(found);
    }
    fm_cuda_model_destroy(m);
}

static void test_gradients(void **state)
{
    struct fm_net net;
    (void)state;
    fm_case_net(small_net, &net);
    struct fm_device *device = opened_device();
    check_gradients(device, &net, FM_PRECISION_FP16, 65536.0f);
    check_gradients(device, &net, FM_PRECISION_BF16, 1.0f);
    check_gradients(device, &net, FM_PRECISION_FP32, 1.0f);
    struct fm_model *m = opened_model(device, &net, FM_PRECISION_FP16);
    const float overflown[3] = {INFINITY, -65520.0f, NAN};
    float found[3], padded[17] = {0};
    memcpy(padded, overflown, sizeof overflown);
    assert_ok(fm_cuda_model_set(m, FM_STATE_GRAD, net.params[8].name, padded, 17));
    assert_ok(fm_cuda_model_get(m, FM_STATE_GRAD, net.params[8].name, padded, 17));
    memcpy(found, padded, sizeof found);
    assert_true(found[0] == INFINITY && found[1] == -INFINITY && isnan(found[2]));
    fm_cuda_model_destroy(m);
    fm_cuda_device_close(device);
}

// ---- names, counts, versions

static void test_names(void **state)
{
    struct fm_net net;
    float data[8] = {0};
    (void)state;
    fm_case_net(small_net, &net);
    const char *bias = net.params[1].name, *mean = net.running[0].name;
    struct fm_device *device = opened_device();
    struct fm_model_options options = opened_options(FM_PRECISION_FP16, FM_OPTIMISER_SGD, false);
    struct fm_model *m = NULL;
    assert_ok(fm_cuda_model_create(device, &net, &options, &m));
    assert_ok(fm_cuda_model_get(m, FM_STATE_PARAM, bias, data, 5));
    assert_fails(
        fm_cuda_model_get(m, FM_STATE_PARAM, bias, data, 6), FM_DATA, "6 elements, expected 5");
    assert_fails(
        fm_cuda_model_set(m, FM_STATE_PARAM, bias, data, 4), FM_DATA, "4 elements, expected 5");
    static const char *const missing[KINDS] = {"has no parameter of this name",
        "has no gradient of", "has no first moment of", "has no second moment of",
        "has no average of", "has no running statistic of"};
    for (int kind = 0; kind < KINDS; kind++)
        assert_fails(fm_cuda_model_get(m, (enum fm_state_kind)kind, "nothing", data, 5),
            FM_NOT_FOUND, missing[kind]);
    static const int absent[] = {FM_STATE_MOMENT2, FM_STATE_EMA, FM_STATE_RUNNING};
    for (int i = 0; i < 3; i++)
        assert_fails(fm_cuda_model_set(m, (enum fm_state_kind)absent[i], bias, data, 5),
            FM_NOT_FOUND, missing[absent[i]]);
    assert_fails(
        fm_cuda_model_get(m, FM_STATE_PARAM, mean, data, 5), FM_NOT_FOUND, "has no parameter");
    assert_fails(fm_cuda_model_get(m, FM_STATE_EMA, mean, data, 5), FM_NOT_FOUND, "has no average");
    fm_cuda_model_destroy(m);
    fm_cuda_device_close(device);
}

static void test_versions(void **state)
{
    static const int kinds[] = {FM_STATE_PARAM, FM_STATE_EMA, FM_STATE_RUNNING};
    struct fm_net net;
    (void)state;
    fm_case_net(small_net, &net);
    struct fm_device *device = opened_device();
    struct fm_model *m = opened_model(device, &net, FM_PRECISION_FP16);
    float data[5] = {0};
    for (int i = 0; i < 3; i++) {
        uint64_t before = m->version;
        bool running = kinds[i] == FM_STATE_RUNNING;
        const char *name = running ? net.running[0].name : net.params[1].name;
        assert_ok(fm_cuda_model_get(m, (enum fm_state_kind)kinds[i], name, data, 5));
        assert_int_equal(m->version, before);
        assert_ok(fm_cuda_model_set(m, (enum fm_state_kind)kinds[i], name, data, 5));
        assert_int_not_equal(m->version, before);
    }
    fm_cuda_model_destroy(m);
    fm_cuda_device_close(device);
}

static void test_options(void **state)
{
    struct fm_net net;
    struct fm_model *m = NULL;
    (void)state;
    fm_case_net(smallest_net, &net);
    sim_pose_as("t4");
    struct fm_device *device = opened_device();
    struct fm_model_options options = opened_options(FM_PRECISION_BF16, FM_OPTIMISER_ADAM, false);
    assert_fails(fm_cuda_model_create(device, &net, &options, &m), FM_UNSUPPORTED,
        "backend 'cuda' does not compute in bf16: this GPU has compute capability 7.5, and bf16 "
        "needs 8.0; fp16 and fp32 are there");
    options.precision = FM_PRECISION_FP16;
    options.emulate = true;
    assert_fails(fm_cuda_model_create(device, &net, &options, &m), FM_UNSUPPORTED,
        "does not emulate fp16: a GPU computes in it natively");
    options.precision = FM_PRECISION_FP32;
    assert_fails(fm_cuda_model_create(device, &net, &options, &m), FM_UNSUPPORTED,
        "fp32 has nothing to emulate");
    options.emulate = false;
    options.optimiser.kind = (enum fm_optimiser)7;
    assert_fails(
        fm_cuda_model_create(device, &net, &options, &m), FM_UNSUPPORTED, "unknown optimiser 7");
    assert_null(m);
    fm_cuda_device_close(device);

    sim_reset();
    sim_set_memory((size_t)2 << 20);
    device = opened_device();
    assert_ok(fm_zoo_build("simple", 10, &net));
    options = opened_options(FM_PRECISION_FP16, FM_OPTIMISER_ADAM, false);
    assert_fails(fm_cuda_model_create(device, &net, &options, &m), FM_MEMORY,
        "parameters and optimiser state of model 'simple': 19 MiB of GPU memory are needed, but 2 "
        "of 2 MiB are free");
    fm_cuda_device_close(device);
}

// ---- what the update is told

static void test_update_table(void **state)
{
    struct fm_net net;
    (void)state;
    fm_case_net(small_net, &net);
    struct fm_device *device = opened_device();
    struct fm_model *m = opened_model(device, &net, FM_PRECISION_BF16);
    struct fm_cuda_param *table = fetch(m->table, (size_t)net.param_count * sizeof *table);
    for (int t = 0; t < net.param_count; t++) {
        const struct fm_param *p = &net.params[t];
        bool norm = p->kind == FM_PARAM_SCALE || p->kind == FM_PARAM_SHIFT;
        assert_int_equal(table[t].offset, m->params.places[t].offset);
        assert_int_equal(table[t].gradient_offset, m->params.places[t].gradient_offset);
        assert_true(table[t].count >= p->count);
        assert_int_equal((table[t].flags & FM_CUDA_PARAM_TRAINED) != 0, p->trainable);
        assert_int_equal((table[t].flags & FM_CUDA_PARAM_DECAYS) != 0, p->decay);
        assert_int_equal((table[t].flags & FM_CUDA_PARAM_GRADIENT_F32) != 0, norm);
        assert_true(table[t].lr_multiplier == p->lr_multiplier);
    }
    size_t count = fm_cuda_chunks(table, net.param_count, NULL);
    struct fm_cuda_chunk *found = fetch(m->chunks, count * sizeof *found);
    struct fm_cuda_chunk *expected = allocate(count, sizeof *expected);
    fm_cuda_chunks(table, net.param_count, expected);
    assert_int_equal(m->chunk_count, count);
    assert_memory_equal(found, expected, count * sizeof *found);
    float *zeros = fetch(m->zeros, 12 * sizeof *zeros); // the widest batch norm has 12 channels
    for (int i = 0; i < 12; i++)
        assert_true(zeros[i] == 0.0f);
    free(zeros);
    free(expected);
    free(found);
    free(table);
    fm_cuda_model_destroy(m);
    fm_cuda_device_close(device);
}

// ---- counters and sums

static void expect_counters(struct fm_model *m, const struct fm_counters *expected)
{
    struct fm_counters found;
    assert_ok(fm_cuda_counters_get(m, &found));
    assert_int_equal(found.applied, expected->applied);
    assert_int_equal(found.skipped, expected->skipped);
    assert_int_equal(found.growths, expected->growths);
    assert_int_equal(found.good_steps, expected->good_steps);
    assert_true(found.loss_scale == expected->loss_scale);
}

static void test_counters(void **state)
{
    const struct fm_counters other = {1ull << 40, 2, 3, 4, 512.0f};
    const struct fm_sums sums = {1.5, 20, 30, 4};
    struct fm_net net;
    (void)state;
    fm_case_net(smallest_net, &net);
    struct fm_device *device = opened_device();
    for (int p = 0; p < FM_PRECISION_COUNT; p++) {
        struct fm_model *m = opened_model(device, &net, (enum fm_precision)p);
        struct fm_sums found;
        bool scaled = p == FM_PRECISION_FP16;
        expect_counters(
            m, &(struct fm_counters){.loss_scale = scaled ? FM_LOSS_SCALE_FIRST : 1.0f});
        assert_ok(fm_cuda_sums_set(m, &sums));
        assert_ok(fm_cuda_counters_set(m, &other));
        expect_counters(m, &other);
        assert_ok(fm_cuda_sums_get(m, true, &found));
        assert_memory_equal(&found, &sums, sizeof sums);
        fm_cuda_model_destroy(m);
    }
    fm_cuda_device_close(device);
}

// What the executor does in a step whose sums are `after` (pinned); `over` is recorded at its end.
static void submit_sums(struct fm_model *m, const struct fm_cuda_sums *after, cudaEvent_t over)
{
    cudaStream_t stream = m->device->compute;
    assert_int_equal(
        cudaMemcpyAsync(&m->state->sums, after, sizeof *after, cudaMemcpyHostToDevice, stream),
        cudaSuccess);
    m->submitted++;
    assert_int_equal(cudaEventRecord(over, stream), cudaSuccess);
}

static uint64_t look(struct fm_model *m, bool wait)
{
    struct fm_sums sums;
    long waits = sim_calls("cudaStreamSynchronize") + sim_calls("cudaMemcpy");
    assert_ok(fm_cuda_sums_get(m, wait, &sums));
    assert_int_equal(cudaPeekAtLastError(), cudaSuccess); // that a step is under way is no failure
    if (!wait)
        assert_int_equal(sim_calls("cudaStreamSynchronize") + sim_calls("cudaMemcpy"), waits);
    assert_true(sums.loss == 0.5 * (double)sums.count); // of one and the same step
    assert_int_equal(sums.correct, 2 * sums.count);
    assert_int_equal(sums.incurable, 3 * sums.count);
    return sums.count;
}

// Steps whose sums count them, the device up to two steps behind the host; how often a look saw
// fewer than there were.
static void check_sums(struct fm_model *m, struct fm_cuda_sums *pinned, bool wait, int *behind)
{
    const struct fm_sums set = {50.0, 200, 100, 300};
    cudaEvent_t over[3];
    uint64_t seen = 0;
    for (int i = 0; i < 3; i++)
        assert_int_equal(cudaEventCreateWithFlags(&over[i], cudaEventDisableTiming), cudaSuccess);
    for (uint64_t n = 1; n <= STEPS; n++) {
        pinned[n] = (struct fm_cuda_sums){0.5 * (double)n, 2 * n, n, 3 * n};
        submit_sums(m, &pinned[n], over[n % 3]);
        if (n > 2)
            assert_int_equal(cudaEventSynchronize(over[(n - 2) % 3]), cudaSuccess);
        uint64_t now = look(m, false);
        assert_true(now >= seen && now <= n);
        assert_true(now + 5 >= n); // a report takes three steps, and then the next is sent for
        seen = now;
        *behind += seen < n;
    }
    if (wait) // else the last report is never looked at
        assert_int_equal(look(m, true), STEPS);
    assert_ok(fm_cuda_sums_set(m, &set));
    assert_int_equal(look(m, false), 100);
    assert_int_equal(look(m, true), 100);
    pinned[0] = (struct fm_cuda_sums){50.5, 202, 101, 303};
    submit_sums(m, &pinned[0], over[0]);
    for (int i = 0; i < 3; i++) { // what may still be under way, the newest sums, and nothing more
        assert_int_equal(cudaStreamSynchronize(m->device->compute), cudaSuccess);
        (void)look(m, false);
    }
    assert_int_equal(look(m, false), 101);
    for (int i = 0; i < 3; i++)
        cudaEventDestroy(over[i]);
}

static void test_sums(void **state)
{
    struct fm_net net;
    int behind = 0;
    (void)state;
    fm_case_net(smallest_net, &net);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        void *pinned = NULL;
        sim_seed(seed);
        struct fm_device *device = opened_device();
        struct fm_model *m = opened_model(device, &net, FM_PRECISION_FP16);
        m->report.pause = 0;
        assert_int_equal(look(m, false), 0);
        assert_int_equal(
            cudaHostAlloc(&pinned, (STEPS + 1) * sizeof(struct fm_cuda_sums), 0), cudaSuccess);
        check_sums(m, pinned, seed % 2, &behind);
        cudaFreeHost(pinned);
        fm_cuda_model_destroy(m);
        fm_cuda_device_close(device);
    }
    assert_true(behind > 0);
}

// However many steps ask, the copies between them are few.
static void test_few_reports(void **state)
{
    struct fm_net net;
    void *pinned = NULL;
    cudaEvent_t over;
    (void)state;
    fm_case_net(smallest_net, &net);
    struct fm_device *device = opened_device();
    struct fm_model *m = opened_model(device, &net, FM_PRECISION_FP16);
    assert_true(m->report.pause > 0.001 && m->report.pause < 0.1);
    m->report.pause = 3600;
    assert_int_equal(cudaHostAlloc(&pinned, sizeof(struct fm_cuda_sums), 0), cudaSuccess);
    assert_int_equal(cudaEventCreateWithFlags(&over, cudaEventDisableTiming), cudaSuccess);
    *(struct fm_cuda_sums *)pinned = (struct fm_cuda_sums){0.5, 2, 1, 3};
    for (int n = 0; n < STEPS; n++) {
        submit_sums(m, pinned, over);
        assert_int_equal(cudaEventSynchronize(over), cudaSuccess);
        long copies = sim_calls("cudaMemcpyAsync");
        (void)look(m, false);
        assert_int_equal(sim_calls("cudaMemcpyAsync") - copies, n == 0);
    }
    assert_int_equal(look(m, true), 1);
    cudaEventDestroy(over);
    cudaFreeHost(pinned);
    fm_cuda_model_destroy(m);
    fm_cuda_device_close(device);
}

// ---- order

// Reading and writing wait for what was enqueued before, and what comes later waits for them.
static void test_order(void **state)
{
    struct fm_net net;
    (void)state;
    fm_case_net(smallest_net, &net);
    const char *name = net.params[1].name;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const float set[3] = {1, 2, 3};
        float found[3];
        sim_seed(seed);
        struct fm_device *device = opened_device();
        struct fm_model *m = opened_model(device, &net, FM_PRECISION_FP16);
        size_t bytes = m->params.elements * sizeof(float);
        cudaMemsetAsync(m->trained.params, 0, bytes, device->compute);
        assert_ok(fm_cuda_model_set(m, FM_STATE_PARAM, name, set, 3));
        cudaMemcpyAsync(
            m->moment1, m->trained.params, bytes, cudaMemcpyDeviceToDevice, device->compute);
        assert_ok(fm_cuda_model_get(m, FM_STATE_MOMENT1, name, found, 3));
        expect_same("a copy of what was set", found, set, 3);
        cudaMemsetAsync(m->trained.params, 0, bytes, device->compute);
        assert_ok(fm_cuda_model_get(m, FM_STATE_PARAM, name, found, 3));
        expect_same("what was cleared", found, (const float[3]){0}, 3);
        fm_cuda_model_destroy(m);
        fm_cuda_device_close(device);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPENED_CASE(test_round_trips),
        OPENED_CASE(test_layout),
        OPENED_CASE(test_gradients),
        OPENED_CASE(test_names),
        OPENED_CASE(test_versions),
        OPENED_CASE(test_options),
        OPENED_CASE(test_update_table),
        OPENED_CASE(test_counters),
        OPENED_CASE(test_sums),
        OPENED_CASE(test_few_reports),
        OPENED_CASE(test_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
