// Kernels on the simulated device: right ones give the right numbers under every seed, and a
// planted bug is caught. Races, and overruns of shared arrays that only a sanitizer sees:
// test_simcuda_asan and test_simcuda_tsan.
#include "simcuda_cases.h"
#include "simcuda_kernels.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>

#define SEEDS 20

static cudaStream_t stream;

static int start(void **state)
{
    fresh_device(state);
    stream = new_stream();
    return 0;
}

static int end(void **state)
{
    cudaStreamDestroy(stream);
    return no_misuse_left(state);
}

#define KERNEL_CASE(function) cmocka_unit_test_setup_teardown(function, start, end)

// ---- right kernels ----

static int wrong_sums(int without_barrier)
{
    enum {
        N = 1000
    };
    float x[N], expected = 0;
    for (int i = 0; i < N; i++) {
        x[i] = (float)(i % 7);
        expected += x[i];
    }
    float *dx = to_device(x, sizeof x), *sum = to_device(NULL, sizeof *sum), got;
    int wrong = 0;
    for (int seed = 1; seed <= SEEDS; seed++) {
        sim_seed((uint64_t)seed);
        OK(cudaMemset(sum, 0, sizeof *sum));
        OK(cudaDeviceSynchronize());
        OK(k_sum(dx, N, sum, without_barrier, stream));
        from_device(&got, sum, sizeof got);
        wrong += !(got == expected);
    }
    cudaFree(dx);
    cudaFree(sum);
    return wrong;
}

static void sums_need_their_barrier(void **state)
{
    (void)state;
    assert_int_equal(wrong_sums(0), 0);
    assert_in_range(wrong_sums(1), SEEDS * 3 / 4, SEEDS);
}

static int wrong_rotations(int without_barrier)
{
    float x[64], expected[64], next[64], got[64];
    for (int i = 0; i < 64; i++) {
        x[i] = expected[i] = (float)(i * i % 11);
    }
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 64; i++) {
            next[i] = expected[i] + expected[(i + 33) % 64];
        }
        memcpy(expected, next, sizeof next);
    }
    int wrong = 0;
    for (int seed = 1; seed <= SEEDS; seed++) {
        sim_seed((uint64_t)seed);
        float *dx = to_device(x, sizeof x);
        OK(k_rotate(dx, 3, without_barrier, stream));
        from_device(got, dx, sizeof got);
        wrong += memcmp(got, expected, sizeof got) != 0;
        cudaFree(dx);
    }
    return wrong;
}

static void loops_need_their_second_barrier(void **state)
{
    (void)state;
    assert_int_equal(wrong_rotations(0), 0);
    assert_in_range(wrong_rotations(1), SEEDS * 3 / 4, SEEDS);
}

static void dynamic_shared_memory(void **state)
{
    (void)state;
    float x[100], y[100];
    for (int i = 0; i < 100; i++) {
        x[i] = (float)i;
    }
    float *dx = to_device(x, sizeof x), *dy = to_device(NULL, sizeof y);
    OK(k_reverse(dx, dy, 100, 0, stream));
    from_device(y, dy, sizeof y);
    for (int i = 0; i < 100; i++) {
        assert_true(y[i] == (float)(99 - i));
    }
}

static void warp_operations_and_counting_barriers(void **state)
{
    (void)state;
    int out[64][9];
    int *d = to_device(NULL, sizeof out);
    for (int seed = 1; seed <= SEEDS; seed++) {
        sim_seed((uint64_t)seed);
        OK(k_warps(d, stream));
        from_device(out, d, sizeof out);
        for (int i = 0; i < 64; i++) {
            int lane = i % 32, first = i - lane, ballot = 0;
            for (int k = 0; k < 32; k++) {
                ballot |= (int)((unsigned)((first + k) % 3 == 0) << k);
            }
            const int expected[9] = {100 + first + 5, lane < 3 ? i : i - 3, lane > 28 ? i : i + 3,
                i ^ 6, first + lane / 8 * 8 + 1, ballot, first == 32 ? 2 : 1, 10, 2};
            assert_memory_equal(out[i], expected, sizeof expected);
        }
    }
}

static void halves_and_bf16(void **state)
{
    (void)state;
    uint16_t x[64], y[64];
    for (int i = 0; i < 64; i++) {
        x[i] = (uint16_t)(0x3c00 + 16 * i); // 1 and up
    }
    void *dx = to_device(x, sizeof x), *dy = to_device(x, sizeof x);
    OK(k_double_halves(dx, dy, 64, 0, stream));
    from_device(y, dy, sizeof y);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(y[i], x[i] + 0x400); // the exponent's step
    }
    float f[2] = {1.00390625f, 3.1415927f}, got[2]; // half way between two bf16, and pi
    float *df = to_device(f, sizeof f);
    OK(k_round_bf16(df, 2, stream));
    from_device(got, df, sizeof got);
    assert_true(got[0] == 1.0f && got[1] == 3.140625f);
}

static void atomic_counts(void **state)
{
    (void)state;
    int x[1000], counts[4] = {0}, expected[4] = {0};
    for (int i = 0; i < 1000; i++) {
        x[i] = i * i % 4;
        expected[x[i]]++;
    }
    int *dx = to_device(x, sizeof x), *d = to_device(counts, sizeof counts);
    OK(k_count(dx, 1000, d, 0, stream));
    from_device(counts, d, sizeof counts);
    assert_memory_equal(counts, expected, sizeof counts);
}

// Whether the order of 16 blocks, or threads, is the same under two seeds; all of them run once.
static int same_order(int blocks, int threads, uint64_t seed, uint64_t other)
{
    int orders[2][16], zero = 0;
    int *order = to_device(NULL, sizeof orders[0]), *next = to_device(NULL, sizeof *next);
    for (int k = 0; k < 2; k++) {
        OK(cudaMemcpy(next, &zero, sizeof zero, cudaMemcpyHostToDevice));
        OK(cudaDeviceSynchronize());
        sim_seed(k ? other : seed);
        OK(k_order(order, next, blocks, threads, stream));
        from_device(orders[k], order, sizeof orders[k]);
        unsigned seen = 0;
        for (int i = 0; i < 16; i++) {
            seen |= 1u << orders[k][i];
        }
        assert_int_equal(seen, 0xffff);
    }
    return memcmp(orders[0], orders[1], sizeof orders[0]) == 0;
}

static void order_comes_from_the_seed(void **state)
{
    (void)state;
    assert_true(same_order(16, 1, 3, 3));
    assert_true(same_order(1, 16, 3, 3));
    assert_false(same_order(16, 1, 3, 4));
    assert_false(same_order(1, 16, 3, 4));
}

// ---- misdeeds ----

// The kernel is given up, the misuse says what it did, and the context is lost to `error`.
static void expect_crash(enum k_misdeed misdeed, const char *words, cudaError_t error)
{
    sim_reset();
    stream = new_stream();
    float *x = to_device(NULL, 64 * sizeof *x);
    OK(k_misdo(misdeed, x, 64, stream));
    assert_int_equal(cudaStreamSynchronize(stream), error);
    expect_misuse(words);
    assert_int_equal(cudaMemset(x, 0, 4), error);
    assert_int_equal(cudaGetLastError(), error);
    assert_int_equal(cudaGetLastError(), error); // sticky
    sim_reset();
    stream = new_stream();
}

static void barriers(void **state)
{
    (void)state;
    expect_crash(K_HALF_EXIT_EARLY,
        "32 threads wait at a barrier, 0 in warp operations whose masks "
        "never complete, 32 have exited",
        cudaErrorLaunchTimeout);
    expect_crash(K_OTHER_BARRIER, "are at different barriers", cudaErrorLaunchFailure);
    expect_crash(K_OTHER_BARRIER_KIND, "different kinds of barrier", cudaErrorLaunchFailure);
}

static void warp_masks(void **state)
{
    (void)state;
    expect_crash(K_MASK_NEVER_COMPLETE, "32 in warp operations whose masks never complete",
        cudaErrorLaunchTimeout);
    expect_crash(K_MASK_WITHOUT_SELF, "is not in its own mask fffffffe", cudaErrorLaunchFailure);
    expect_crash(K_MASK_BEYOND_WARP, "the warp of 16 threads has not", cudaErrorLaunchFailure);
    expect_crash(K_MASKS_DISAGREE, "lanes of a warp disagree", cudaErrorLaunchFailure);
    expect_crash(K_SHUFFLE_OUTSIDE_MASK, "reads lane 20, which is not in the mask 0000ffff",
        cudaErrorLaunchFailure);
}

static void accesses(void **state)
{
    (void)state;
    expect_crash(K_BEYOND_STATIC, "an index is outside its array", cudaErrorIllegalAddress);
    expect_crash(K_FAR_BEYOND_GLOBAL, "bytes past the end of an allocation of 256 bytes",
        cudaErrorIllegalAddress);
    expect_crash(K_JUST_BEYOND_GLOBAL, "0 bytes past the end of an allocation of 256 bytes",
        cudaErrorIllegalAddress);
    expect_crash(K_DIVIDE_BY_ZERO, "integer division by zero", cudaErrorLaunchFailure);
    expect_crash(K_TRAP, "__trap()", cudaErrorLaunchFailure);
    expect_crash(K_ENDLESS_RECURSION, "KiB of local memory", cudaErrorIllegalAddress);
}

static void dynamic_shared_overrun(void **state)
{
    (void)state;
    float x[64] = {0};
    float *dx = to_device(x, sizeof x), *dy = to_device(NULL, sizeof x);
    OK(k_reverse(dx, dy, 64, 8, stream));
    assert_int_equal(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
    expect_misuse("past the end of dynamic shared memory");
}

// Where an access is not at a guard page it hits guard bytes, which are looked at later.
static void guard_bytes(void **state)
{
    (void)state;
    float *x = to_device(NULL, 60 * sizeof *x);
    OK(k_misdo(K_JUST_BEYOND_GLOBAL, x, 60, stream));
    OK(cudaDeviceSynchronize());
    expect_misuse("written outside an allocation of 240 bytes, at byte 240");
    OK(k_misdo(K_BEFORE_GLOBAL, x, 60, stream));
    OK(cudaStreamSynchronize(stream));
    OK(cudaFree(x));
    expect_misuse("written outside an allocation of 240 bytes, at byte -");
}

static void unwritten_shared_memory_is_nan(void **state)
{
    (void)state;
    float *x = to_device(NULL, 64 * sizeof *x), got;
    // What another kernel left there must not be what is found.
    OK(k_rotate(x, 1, 0, stream));
    OK(k_misdo(K_UNWRITTEN_SHARED, x, 64, stream));
    from_device(&got, x, sizeof got);
    assert_true(isnan(got));
}

static void misaligned_vectors(void **state)
{
    (void)state;
    uint16_t x[64] = {0};
    void *dx = to_device(x, sizeof x), *dy = to_device(x, sizeof x);
    OK(k_double_halves(dx, dy, 64, 1, stream));
    assert_int_equal(cudaStreamSynchronize(stream), cudaErrorMisalignedAddress);
    expect_misuse("misaligned access");
}

// ---- launches ----

static void configurations(void **state)
{
    (void)state;
    OK(k_empty(1, 1024, 48 << 10, stream));
    assert_int_equal(k_empty(1, 1025, 0, stream), cudaErrorInvalidConfiguration);
    expect_misuse("a block of 1025 x 1 x 1");
    assert_int_equal(k_empty(1, 0, 0, stream), cudaErrorInvalidConfiguration);
    expect_misuse("a block of 0 x 1 x 1");
    assert_int_equal(k_empty(0, 32, 0, stream), cudaErrorInvalidConfiguration);
    expect_misuse("a grid of 0 x 1 x 1");
    assert_int_equal(k_empty(1, 32, 50 << 10, stream), cudaErrorInvalidValue);
    expect_misuse("51200 bytes of dynamic shared memory; the kernel may have 49152");
    OK(k_allow_shared(50 << 10));
    OK(k_empty(1, 32, 50 << 10, stream));
    OK(k_allow_shared(227 << 10));
    assert_int_equal(k_allow_shared(228 << 10), cudaErrorInvalidValue);
    expect_misuse("cudaFuncSetAttribute");
    assert_int_equal(k_empty_with_attribute(stream), cudaErrorNotSupported);
    expect_misuse("attributes are not simulated");
    OK(cudaStreamSynchronize(stream));
}

static void kernels_take_device_memory_alone(void **state)
{
    (void)state;
    float host[4] = {0}, *pinned, *mapped, *x = to_device(host, sizeof host);
    float *freed = to_device(host, sizeof host);
    OK(cudaHostAlloc((void **)&pinned, sizeof host, 0));
    OK(cudaHostAlloc((void **)&mapped, sizeof host, cudaHostAllocMapped));
    OK(cudaFree(freed));
    memset(mapped, 0, sizeof host);

    OK(k_axpy(x, mapped, 1, 4, stream));
    assert_int_equal(k_axpy(x, host, 1, 4, stream), cudaErrorInvalidValue);
    expect_misuse("argument 1 is no pointer to device memory: it is pageable host memory");
    assert_int_equal(k_axpy(x, pinned, 1, 4, stream), cudaErrorInvalidValue);
    expect_misuse("byte 0 of an allocation of 16 bytes of pinned memory");
    assert_int_equal(k_axpy(freed, x, 1, 4, stream), cudaErrorInvalidValue);
    expect_misuse("of 16 bytes that was freed");

    struct k_axpy_operands operands = {x, x, 1, 4};
    OK(k_axpy_struct(operands, stream));
    operands.x = host;
    assert_int_equal(k_axpy_struct(operands, stream), cudaErrorInvalidValue);
    expect_misuse("argument 0, at byte 8 of the struct");
    operands.x = freed;
    assert_int_equal(k_axpy_struct(operands, stream), cudaErrorInvalidValue);
    expect_misuse("that was freed");
    OK(cudaStreamSynchronize(stream));
}

static void occupancy_and_attributes(void **state)
{
    (void)state;
    int blocks;
    const void *function = "any"; // what it is only matters to what was allowed it
    OK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, function, 256, 0));
    assert_int_equal(blocks, 8);
    OK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, function, 32, 0));
    assert_int_equal(blocks, 32);
    OK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, function, 32, 48 << 10));
    assert_int_equal(blocks, 4);
    struct cudaFuncAttributes attributes;
    OK(cudaFuncGetAttributes(&attributes, function));
    assert_int_equal(attributes.binaryVersion, 90);
    assert_int_equal(attributes.maxThreadsPerBlock, 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_CASE(sums_need_their_barrier),
        KERNEL_CASE(loops_need_their_second_barrier),
        KERNEL_CASE(dynamic_shared_memory),
        KERNEL_CASE(warp_operations_and_counting_barriers),
        KERNEL_CASE(halves_and_bf16),
        KERNEL_CASE(atomic_counts),
        KERNEL_CASE(order_comes_from_the_seed),
        KERNEL_CASE(barriers),
        KERNEL_CASE(warp_masks),
        KERNEL_CASE(accesses),
        KERNEL_CASE(dynamic_shared_overrun),
        KERNEL_CASE(guard_bytes),
        KERNEL_CASE(unwritten_shared_memory_is_nan),
        KERNEL_CASE(misaligned_vectors),
        KERNEL_CASE(configurations),
        KERNEL_CASE(kernels_take_device_memory_alone),
        KERNEL_CASE(occupancy_and_attributes),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sim_reset();
    return failed;
}
