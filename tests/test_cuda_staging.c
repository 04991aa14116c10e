// Slots on their way to the (simulated) device: what arrives is what was in the slot when it was
// uploaded, in every order that streams allow, and nothing out of range is ever enqueued.
#include "reference/cases.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cuda/staging.h"
#include "cuda/opened.h"

enum {
    SEEDS = 20,
    CAPACITY = 13,
    BATCHES = 9,
    CLASSES = 10
};

static struct opened {
    struct fm_net net;
    struct fm_device *device;
    struct fm_model *model;
    struct fm_staging *staging;
    uint32_t record_size;
} it;

static void open_staging(uint64_t seed, const struct fm_resident *resident)
{
    sim_seed(seed);
    fm_case_net("6x7>1x6x7 f10b", &it.net);
    it.record_size = 6 * 7;
    it.device = opened_device();
    it.model = opened_model(it.device, &it.net, FM_PRECISION_FP16);
    assert_ok(fm_cuda_staging_create(it.model, CAPACITY, resident, &it.staging));
}

static void close_staging(void)
{
    fm_cuda_staging_destroy(it.staging);
    fm_cuda_model_destroy(it.model);
    fm_cuda_device_close(it.device);
}

static uint32_t samples_of(int batch)
{
    return batch % 3 == 2 ? CAPACITY : 1 + (uint32_t)batch % CAPACITY;
}

static uint8_t byte_of(int batch, size_t i)
{
    return (uint8_t)(i * 3 + (size_t)batch * 41 + 1);
}

static float soft_of(int batch, uint32_t i)
{
    return (float)(i * 7 + (uint32_t)batch) / 1024.0f;
}

static void fill(struct fm_slot *slot, int batch)
{
    uint32_t count = samples_of(batch);
    *slot->step = (struct fm_step){.seed = (uint64_t)batch, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        slot->ids[i] = (uint32_t)batch * 100 + i;
        slot->labels[i] = (uint8_t)((i + (uint32_t)batch) % CLASSES);
    }
    for (size_t i = 0; i < count * slot->record_size; i++)
        slot->records[i] = byte_of(batch, i);
    for (uint32_t i = 0; i < count * CLASSES; i++)
        slot->soft_targets[i] = soft_of(batch, i);
}

// ---- steps that only remember what they were given

struct seen {
    struct fm_step step;
    uint32_t ids[CAPACITY];
    uint8_t labels[CAPACITY], records[CAPACITY * 6 * 7];
    float soft_targets[CAPACITY * CLASSES];
};

static void copy_on_device(void *to, const void *from, size_t bytes)
{
    assert_int_equal(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, it.device->compute),
        cudaSuccess);
}

static void run_step(struct seen *seen, int slot, uint32_t count)
{
    const struct fm_cuda_slot *view = &it.staging->views[slot];
    copy_on_device(&seen->step, view->step, sizeof seen->step);
    copy_on_device(seen->ids, view->ids, count * sizeof *seen->ids);
    copy_on_device(seen->labels, view->labels, count);
    copy_on_device(seen->records, view->records, (size_t)count * it.record_size);
    copy_on_device(seen->soft_targets, view->soft_targets,
        (size_t)count * CLASSES * sizeof *seen->soft_targets);
}

static bool saw(const struct seen *seen, int batch)
{
    uint32_t count = samples_of(batch);
    bool same = seen->step.seed == (uint64_t)batch && seen->step.count == count;
    for (uint32_t i = 0; i < count; i++)
        same = same && seen->ids[i] == (uint32_t)batch * 100 + i &&
               seen->labels[i] == (i + (uint32_t)batch) % CLASSES;
    for (size_t i = 0; i < (size_t)count * it.record_size; i++)
        same = same && seen->records[i] == byte_of(batch, i);
    for (uint32_t i = 0; i < count * CLASSES; i++)
        same = same && seen->soft_targets[i] == soft_of(batch, i);
    return same;
}

enum mistake {
    NONE,
    NO_WAIT,    // the host refills a slot that may not have gone up
    NO_CONSUMED // the device overwrites a slot that a step may still read
};

// How many of the batches arrived as they were filled.
static int run_batches(enum mistake mistake)
{
    struct seen *seen = NULL, host[BATCHES];
    assert_int_equal(cudaMalloc((void **)&seen, sizeof host), cudaSuccess);
    for (int batch = 0; batch < BATCHES; batch++) {
        int at = batch % FM_SLOTS;
        if (mistake != NO_WAIT)
            assert_ok(fm_cuda_slot_wait(it.staging, at));
        fill(fm_cuda_staging_slot(it.staging, at), batch);
        assert_ok(fm_cuda_staging_check(it.staging, at));
        assert_ok(fm_cuda_staging_upload(it.staging, at, true));
        run_step(&seen[batch], at, samples_of(batch));
        if (mistake != NO_CONSUMED)
            assert_ok(fm_cuda_staging_consumed(it.staging, at));
    }
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
    assert_int_equal(cudaMemcpy(host, seen, sizeof host, cudaMemcpyDeviceToHost), cudaSuccess);
    cudaFree(seen);
    int right = 0;
    for (int batch = 0; batch < BATCHES; batch++)
        right += saw(&host[batch], batch);
    return right;
}

static int count_right(enum mistake mistake)
{
    int right = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        open_staging(seed, NULL);
        right += run_batches(mistake);
        close_staging();
    }
    return right;
}

static void test_reuse(void **state)
{
    (void)state;
    assert_int_equal(count_right(NONE), SEEDS * BATCHES);
    // That the orders tried are ones in which the events matter:
    assert_true(count_right(NO_WAIT) < SEEDS * BATCHES);
    assert_true(count_right(NO_CONSUMED) < SEEDS * BATCHES);
}

// ---- the loader's thread

static void *wait_in_thread(void *slot)
{
    return fm_cuda_slot_wait(it.staging, *(int *)slot) == FM_OK ? slot : NULL;
}

static void test_thread(void **state)
{
    (void)state;
    open_staging(1, NULL);
    for (int slot = 0; slot < FM_SLOTS; slot++) {
        pthread_t thread;
        void *result = NULL;
        fill(fm_cuda_staging_slot(it.staging, slot), slot);
        assert_ok(fm_cuda_staging_upload(it.staging, slot, false));
        assert_int_equal(pthread_create(&thread, NULL, wait_in_thread, &slot), 0);
        assert_int_equal(pthread_join(thread, &result), 0);
        assert_ptr_equal(result, &slot);
        assert_int_equal(cudaEventQuery(it.staging->uploaded[slot]), cudaSuccess);
    }
    close_staging();
}

// ---- what is refused

static void test_refused_batches(void **state)
{
    (void)state;
    open_staging(1, NULL);
    struct fm_slot *slot = fm_cuda_staging_slot(it.staging, 0);
    assert_int_equal(slot->capacity, CAPACITY);
    assert_int_equal(slot->record_size, it.record_size);
    fill(slot, 5);
    slot->step->count = 0;
    assert_fails(
        fm_cuda_staging_check(it.staging, 0), FM_USAGE, "0 samples in a slot that holds 1 to 13");
    slot->step->count = CAPACITY + 1;
    assert_fails(
        fm_cuda_staging_check(it.staging, 0), FM_USAGE, "14 samples in a slot that holds 1 to 13");
    slot->step->count = 6;
    slot->labels[5] = CLASSES;
    assert_fails(fm_cuda_staging_check(it.staging, 0), FM_DATA,
        "sample 505 has label 10; model '6x7>1x6x7 f10b' has 10 classes");
    slot->step->count = 5; // what lies behind is no part of the batch
    assert_ok(fm_cuda_staging_check(it.staging, 0));
    close_staging();
}

static void test_refused_staging(void **state)
{
    uint8_t records[2 * 42] = {0}, labels[2] = {3, CLASSES};
    struct fm_resident resident = {records, labels, 2, 42};
    struct fm_staging *staging = NULL;
    (void)state;
    open_staging(1, NULL);
    assert_fails(
        fm_cuda_staging_create(it.model, 0, NULL, &staging), FM_USAGE, "staging for no samples");
    assert_fails(fm_cuda_staging_create(it.model, 1, &resident, &staging), FM_DATA,
        "sample 1 has label 10; model '6x7>1x6x7 f10b' has 10 classes");
    resident.record_size = 41;
    assert_fails(fm_cuda_staging_create(it.model, 1, &resident, &staging), FM_DATA,
        "records of 41 bytes; model '6x7>1x6x7 f10b' takes 42");
    resident.count = 0;
    assert_fails(fm_cuda_staging_create(it.model, 1, &resident, &staging), FM_USAGE,
        "a resident data set of no samples");
    assert_null(staging);
    close_staging();
}

// ---- a resident data set

static void expect_on_device(const void *device, const void *expected, size_t bytes)
{
    unsigned char *found = malloc(bytes);
    assert_non_null(found);
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
    assert_int_equal(cudaMemcpy(found, device, bytes, cudaMemcpyDeviceToHost), cudaSuccess);
    assert_memory_equal(found, expected, bytes);
    free(found);
}

static void test_resident(void **state)
{
    enum {
        COUNT = 30
    };
    uint8_t records[COUNT * 42], labels[COUNT];
    (void)state;
    for (size_t i = 0; i < sizeof records; i++)
        records[i] = byte_of(0, i);
    for (size_t i = 0; i < COUNT; i++)
        labels[i] = (uint8_t)(i % CLASSES);
    struct fm_resident resident = {records, labels, COUNT, 42};
    open_staging(3, &resident);
    assert_int_equal(sim_memory_in_use(), it.model->bytes + it.staging->bytes);
    for (int at = 0; at < FM_SLOTS; at++) {
        struct fm_slot *slot = fm_cuda_staging_slot(it.staging, at);
        const struct fm_cuda_slot *view = &it.staging->views[at];
        assert_null(slot->records);
        assert_null(slot->labels);
        assert_true(view->gather);
        *slot->step = (struct fm_step){.seed = 7 + (uint64_t)at, .count = CAPACITY};
        for (uint32_t i = 0; i < CAPACITY; i++)
            slot->ids[i] = COUNT - 1 - i - (uint32_t)at;
        for (uint32_t i = 0; i < CAPACITY * CLASSES; i++)
            slot->soft_targets[i] = soft_of(at, i);
        assert_ok(fm_cuda_staging_upload(it.staging, at, true));
        expect_on_device(view->step, slot->step, sizeof *slot->step);
        expect_on_device(view->ids, slot->ids, CAPACITY * sizeof *slot->ids);
        expect_on_device(view->records, records, sizeof records);
        expect_on_device(view->labels, labels, sizeof labels);
        expect_on_device(view->soft_targets, slot->soft_targets,
            CAPACITY * CLASSES * sizeof *slot->soft_targets);
    }
    struct fm_slot *slot = fm_cuda_staging_slot(it.staging, 0);
    slot->ids[CAPACITY - 1] = COUNT;
    assert_fails(fm_cuda_staging_check(it.staging, 0), FM_DATA,
        "sample 30 is not in the resident data set of 30");
    close_staging();
}

// Records of features, which kernels read as whole vectors of floats: aligned on both sides,
// whatever the capacity, and gathered by ids from a resident set.
static void test_features(void **state)
{
    enum {
        COUNT = 5,
        FEATURES = 8
    };
    static float records[COUNT][FEATURES];
    const uint8_t labels[COUNT] = {1, 2, 3, 4, 5};
    (void)state;
    for (int i = 0; i < COUNT * FEATURES; i++)
        records[i / FEATURES][i % FEATURES] = (float)i / 4.0f;
    struct fm_net net;
    const struct fm_input input = {.features = FEATURES, .shape = {FEATURES, 1, 1}};
    fm_net_begin(&net, "head", &input);
    assert_ok(fm_net_dense(&net, "fc", CLASSES, true));
    assert_ok(fm_net_end(&net));
    it.device = opened_device();
    it.model = opened_model(it.device, &net, FM_PRECISION_FP16);
    for (uint32_t capacity = 1; capacity < 70; capacity += 17) {
        assert_ok(fm_cuda_staging_create(it.model, capacity, NULL, &it.staging));
        for (int at = 0; at < FM_SLOTS; at++) {
            const struct fm_slot *slot = fm_cuda_staging_slot(it.staging, at);
            assert_int_equal(slot->record_size, sizeof records[0]);
            assert_int_equal((uintptr_t)slot->records % 64, 0);
            assert_int_equal((uintptr_t)it.staging->views[at].records % 64, 0);
        }
        fm_cuda_staging_destroy(it.staging);
    }
    const struct fm_resident resident = {
        (const uint8_t *)records, labels, COUNT, sizeof records[0]};
    assert_ok(fm_cuda_staging_create(it.model, 3, &resident, &it.staging));
    assert_int_equal((uintptr_t)it.staging->views[0].records % 64, 0);
    expect_on_device(it.staging->views[0].records, records, sizeof records);
    close_staging();
}

// A copy of its own, of as many samples as are asked for, at most all: what lies behind them in the
// device's slot stays as it was.
static void test_copy(void **state)
{
    (void)state;
    open_staging(2, NULL);
    struct fm_slot *slot = fm_cuda_staging_slot(it.staging, 1);
    const struct fm_cuda_slot *view = &it.staging->views[1];
    fill(slot, 2);
    assert_ok(fm_cuda_staging_copy(it.staging, 1, CAPACITY + 5, it.device->compute));
    expect_on_device(view->step, slot->step, sizeof *slot->step);
    expect_on_device(view->ids, slot->ids, CAPACITY * sizeof *slot->ids);
    expect_on_device(view->labels, slot->labels, CAPACITY);
    expect_on_device(view->records, slot->records, CAPACITY * slot->record_size);
    memset(slot->records, 99, CAPACITY * slot->record_size);
    assert_ok(fm_cuda_staging_copy(it.staging, 1, 4, it.device->compute));
    expect_on_device(view->records, slot->records, 4 * slot->record_size);
    uint8_t behind = byte_of(2, 4 * (size_t)slot->record_size);
    expect_on_device(view->records + 4 * slot->record_size, &behind, 1);
    close_staging();
}

static void test_serials(void **state)
{
    struct fm_staging *other = NULL;
    (void)state;
    open_staging(1, NULL);
    assert_ok(fm_cuda_staging_create(it.model, 1, NULL, &other));
    assert_int_not_equal(it.staging->serial, other->serial);
    assert_int_not_equal(it.staging->serial, 0);
    assert_false(it.staging->views[0].gather);
    assert_int_equal(sim_memory_in_use(), it.model->bytes + it.staging->bytes + other->bytes);
    fm_cuda_staging_destroy(other);
    close_staging();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPENED_CASE(test_reuse),
        OPENED_CASE(test_thread),
        OPENED_CASE(test_refused_batches),
        OPENED_CASE(test_refused_staging),
        OPENED_CASE(test_resident),
        OPENED_CASE(test_features),
        OPENED_CASE(test_copy),
        OPENED_CASE(test_serials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
