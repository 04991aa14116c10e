// What a run says that it took of a GPU's memory is what the device says: scratch for measuring
// engines, models, executors, slots and a resident data set are all in it, and all is given back.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "backend/cuda/executor.h"
#include "expect.h"
#include "net/zoo.h"
#include "simcuda.h"

enum {
    BATCH = 8,
    SAMPLES = 32,
    RECORD = 28 * 28
};

// What is held now beside what was held at most.
static void expect_counted(const struct fm_device *device, const char *when)
{
    uint64_t available = 0, peak = fm_cuda_memory_peak(device, &available);
    if (device->taken.held != sim_memory_in_use() || peak != sim_memory_peak())
        fail_msg("%s: counted %llu bytes, %llu at most; the device says %zu, %zu", when,
            (unsigned long long)device->taken.held, (unsigned long long)peak, sim_memory_in_use(),
            sim_memory_peak());
}

static struct fm_device *open_device(void)
{
    struct fm_device_options options = {0};
    struct fm_device *device = NULL;
    assert_ok(fm_cuda_device_open(&options, &device));
    return device;
}

static struct fm_model *create_model(struct fm_device *device, const char *name)
{
    struct fm_net net;
    struct fm_model *model = NULL;
    const struct fm_model_options options = {.precision = FM_PRECISION_FP16,
        .optimiser = {.kind = FM_OPTIMISER_ADAM, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f},
        .ema = true};
    assert_ok(fm_zoo_build(name, 10, &net));
    fm_net_set_input_statistics(&net, 0.3f, 0.35f);
    assert_ok(fm_cuda_model_create(device, &net, &options, &model));
    return model;
}

static void everything_is_counted(void **state)
{
    (void)state;
    static uint8_t records[SAMPLES * RECORD], labels[SAMPLES];
    static const char *const models[] = {"simple", "deeper"};
    const struct fm_resident resident = {records, labels, SAMPLES, RECORD};
    struct fm_device *device = open_device();
    uint64_t available = 0;
    fm_cuda_memory_peak(device, &available);
    assert_int_equal(available, device->memory - sim_memory_in_use());
    for (int m = 0; m < 2; m++) {
        struct fm_model *model = create_model(device, models[m]);
        expect_counted(device, models[m]);
        struct fm_executor *executors[2] = {0};
        for (int i = 0; i < 2; i++) {
            const struct fm_compile_options options = {.batch = BATCH,
                .mode = i == 0 ? FM_MODE_TRAIN : FM_MODE_INFER,
                .average = i == 1,
                .probe = i == 1};
            assert_ok(fm_cuda_compile(model, &options, &executors[i]));
            expect_counted(device, i == 0 ? "training" : "inference");
        }
        struct fm_staging *staging = NULL;
        assert_ok(fm_cuda_staging_create(model, BATCH, &resident, &staging));
        expect_counted(device, "a resident data set");
        fm_cuda_staging_destroy(staging);
        fm_cuda_executor_destroy(executors[0]);
        fm_cuda_executor_destroy(executors[1]);
        fm_cuda_model_destroy(model);
        expect_counted(device, "after all of it");
        assert_int_equal(device->taken.held, 0);
    }
    assert_true(device->taken.peak > 10 << 20);
    fm_cuda_device_close(device);
}

// A refused allocation takes nothing, so the figure stays what could be had.
static void a_refusal_is_not_counted(void **state)
{
    (void)state;
    sim_set_memory((size_t)64 << 20);
    struct fm_device *device = open_device();
    void *data = NULL, *more = NULL;
    assert_ok(fm_cuda_device_allocate(device, "a test", 1000, &data));
    assert_fails(fm_cuda_device_allocate(device, "a test", (uint64_t)64 << 20, &more), FM_MEMORY,
        "a test: 64 MiB of GPU memory are needed, but 63 of 64 MiB are free");
    sim_inject("allocation", 1, cudaErrorMemoryAllocation);
    assert_fails(
        fm_cuda_device_allocate(device, "a test", 2000, &more), FM_MEMORY, "1 MiB of GPU memory");
    assert_int_equal(device->taken.held, 1000);
    fm_cuda_device_free(device, NULL, 0);
    fm_cuda_device_free(device, data, 1000);
    assert_int_equal(device->taken.held, 0);
    uint64_t available = 0;
    assert_int_equal(fm_cuda_memory_peak(device, &available), 1000);
    fm_cuda_device_close(device);
}

static int begin(void **state)
{
    (void)state;
    fm_error_clear();
    sim_reset();
    return 0;
}

static int end(void **state)
{
    (void)state;
    return sim_take_failures() + sim_report_leaks();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_is_counted, begin, end),
        cmocka_unit_test_setup_teardown(a_refusal_is_not_counted, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
