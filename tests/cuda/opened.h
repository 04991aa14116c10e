// For tests of the CUDA backend's objects: a device, a model, and nothing left of them at a test's
// end. Include cmocka.h first.
#ifndef FM_TESTS_CUDA_OPENED_H
#define FM_TESTS_CUDA_OPENED_H

#include "backend/cuda/model.h"
#include "expect.h"
#include "simcuda.h"

static inline int opened_begin(void **state)
{
    (void)state;
    sim_reset();
    fm_error_clear();
    return 0;
}

static inline int opened_end(void **state)
{
    (void)state;
    return sim_take_failures() + sim_report_leaks();
}

#define OPENED_CASE(test) cmocka_unit_test_setup_teardown(test, opened_begin, opened_end)

static inline struct fm_device *opened_device(void)
{
    struct fm_device_options options = {0};
    struct fm_device *device = NULL;
    assert_ok(fm_cuda_device_open(&options, &device));
    return device;
}

static inline struct fm_model_options opened_options(
    enum fm_precision precision, enum fm_optimiser optimiser, bool ema)
{
    return (struct fm_model_options){
        .precision = precision,
        .optimiser =
            {.kind = optimiser, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f, .momentum = 0.9f},
        .ema = ema,
    };
}

static inline struct fm_model *opened_model(
    struct fm_device *device, const struct fm_net *net, enum fm_precision precision)
{
    struct fm_model_options options = opened_options(precision, FM_OPTIMISER_ADAM, true);
    struct fm_model *model = NULL;
    assert_ok(fm_cuda_model_create(device, net, &options, &model));
    return model;
}

#endif
