// Energy by NVML: opened once, closed with the device, and each answer that is no energy becomes a
// reason, without a trace of the attempt.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "backend/cuda/device.h"
#include "cuda/opened.h"

// Some microseconds of the device's clock.
static void work(struct fm_device *device)
{
    void *data = NULL;
    assert_ok(fm_cuda_device_allocate(device, "memory", 1 << 20, &data));
    for (int i = 0; i < 100; i++)
        assert_int_equal(cudaMemsetAsync(data, 0, 1 << 20, device->compute), cudaSuccess);
    assert_int_equal(cudaStreamSynchronize(device->compute), cudaSuccess);
    fm_cuda_device_free(device, data, 1 << 20);
}

static void test_counts_what_is_done(void **state)
{
    (void)state;
    struct fm_device *device = opened_device();
    double before = -1, idle = -1, after = -1;
    assert_int_equal(sim_calls("nvmlInit_v2"), 0); // nobody asked
    assert_ok(fm_cuda_energy(device, &before));
    assert_ok(fm_cuda_energy(device, &idle));
    work(device);
    assert_ok(fm_cuda_energy(device, &after));
    assert_true(before >= 0 && idle == before && after > before);
    assert_true(after - before < 1); // joules, not thousandths: 350 W for less than a millisecond
    assert_int_equal(sim_calls("nvmlInit_v2"), 1);
    fm_cuda_device_close(device);
    assert_int_equal(sim_calls("nvmlShutdown"), 1);
    assert_int_equal(sim_live(), 0);
}

// One call fails; the next attempt begins anew, and gets through.
static void check_failure(
    const char *function, int code, enum fm_status status, const char *message)
{
    struct fm_device *device = opened_device();
    double joules = -1;
    sim_inject(function, 1, code);
    assert_fails(fm_cuda_energy(device, &joules), status, message);
    assert_true(joules == -1);
    assert_ok(fm_cuda_energy(device, &joules));
    assert_true(joules >= 0);
    fm_cuda_device_close(device);
    assert_int_equal(sim_live(), 0);
    assert_int_equal(sim_failures(), 0);
    sim_reset();
}

static void test_failures(void **state)
{
    (void)state;
    check_failure("nvmlInit_v2", 9, FM_UNSUPPORTED, "NVML: nvmlInit_v2: ");
    check_failure("nvmlDeviceGetHandleByPciBusId_v2", 6, FM_UNSUPPORTED,
        "NVML: nvmlDeviceGetHandleByPciBusId_v2: Not Found");
    check_failure("nvmlDeviceGetTotalEnergyConsumption", 3, FM_UNSUPPORTED,
        "NVML: nvmlDeviceGetTotalEnergyConsumption: Not Supported");
    check_failure("cudaDeviceGetPCIBusId", 101, FM_BACKEND, "cudaDeviceGetPCIBusId");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPENED_CASE(test_counts_what_is_done),
        OPENED_CASE(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
