// See rig.h: the device's and the host's copy of each tensor, comparisons, orders of execution.
#include "cuda/rig.h"

#include "rounding.h"
#include "simcuda.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    BLOCKS_MAX = 256, // of memory, of a case
#ifdef RIG_SANITIZED
    SEEDS = 1,
    THOROUGH = 0,
#else
    SEEDS = 4,
    THOROUGH = 1,
#endif
    SANITIZED_MOST = 8000, // elements of a case under a sanitizer
    REPORTS_MAX = 8        // failing elements printed of a test
};

__extension__ typedef _Float16 fp16; // the compiler's own conversions, as a reference

static struct rig {
    cudaStream_t stream;
    void *device[BLOCKS_MAX], *host[BLOCKS_MAX];
    int device_count, host_count;
    uint64_t draws;
    int failures;
    char label[256];
} rig;

// ---- reporting

static void free_all(void)
{
    cudaStreamSynchronize(rig.stream);
    for (int i = 0; i < rig.device_count; i++)
        cudaFree(rig.device[i]);
    for (int i = 0; i < rig.host_count; i++)
        free(rig.host[i]);
    rig.device_count = rig.host_count = 0;
}

void rig_case(const char *format, ...)
{
    free_all();
    va_list list;
    va_start(list, format);
    vsnprintf(rig.label, sizeof rig.label, format, list);
    va_end(list);
}

__attribute__((format(printf, 1, 2))) static void report(const char *format, ...)
{
    if (++rig.failures > REPORTS_MAX)
        return;
    va_list list;
    va_start(list, format);
    fprintf(stderr, "%s: ", rig.label);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
}

void rig_check(const char *what, bool holds)
{
    if (!holds)
        report("%s does not hold", what);
}

void rig_launched(const char *what, cudaError_t error)
{
    if (error != cudaSuccess)
        report("%s: %s", what, cudaGetErrorString(error));
}

void rig_refused(const char *what, cudaError_t error)
{
    if (error != cudaErrorInvalidValue)
        report("%s: error %d, expected cudaErrorInvalidValue", what, (int)error);
}

static void must(const char *what, cudaError_t error)
{
    if (error != cudaSuccess)
        fail_msg("%s: %s: %s", rig.label, what, cudaGetErrorString(error));
}

// ---- memory

void *rig_host(size_t bytes)
{
    void *data = calloc(1, bytes ? bytes : 1);
    assert_non_null(data);
    assert_true(rig.host_count < BLOCKS_MAX);
    rig.host[rig.host_count++] = data;
    return data;
}

void *rig_device(const void *data, size_t bytes)
{
    void *device = NULL;
    must("cudaMalloc", cudaMalloc(&device, bytes));
    assert_true(rig.device_count < BLOCKS_MAX);
    rig.device[rig.device_count++] = device;
    if (data)
        rig_put(device, data, bytes);
    return device;
}

void rig_put(void *device, const void *data, size_t bytes)
{
    must("cudaStreamSynchronize", cudaStreamSynchronize(rig.stream));
    must("cudaMemcpy to the device", cudaMemcpy(device, data, bytes, cudaMemcpyHostToDevice));
    // It may return when the data is staged, and the rig's stream does not wait for the default
    // one.
    must("cudaDeviceSynchronize", cudaDeviceSynchronize());
}

void rig_get(const void *device, void *data, size_t bytes)
{
    must("cudaStreamSynchronize", cudaStreamSynchronize(rig.stream));
    must("cudaMemcpy from the device", cudaMemcpy(data, device, bytes, cudaMemcpyDeviceToHost));
}

// ---- values

uint32_t rig_random(void)
{
    rig.draws = rig.draws * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(rig.draws >> 33);
}

float rig_uniform(float low, float high)
{
    return low + (high - low) * (float)(rig_random() & 0xffffffu) / 16777216.0f;
}

const char *rig_type_name(enum fm_cuda_type type)
{
    return type == FM_CUDA_F32 ? "fp32" : type == FM_CUDA_F16 ? "fp16" : "bf16";
}

float rig_round(enum fm_cuda_type type, float x)
{
    if (type == FM_CUDA_F16)
        return (float)(fp16)x;
    return type == FM_CUDA_BF16 ? fm_round_bf16(x) : x;
}

static float drawn(enum rig_fill fill)
{
    static const float ties[] = {-1.0f, -0.5f, 0.0f, -0.0f, 0.5f, 1.0f};
    static const float special[] = {
        NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e-7f, -1e-7f, 6e4f, -6e4f, 1e-38f, 3e38f, -3e38f};
    if (fill == RIG_TIES)
        return ties[rig_random() % 6];
    if (fill == RIG_SPECIAL && rig_random() % 8 == 0)
        return special[rig_random() % 12];
    return fill == RIG_POSITIVE ? rig_uniform(0.1f, 2.0f) : rig_uniform(-2.0f, 2.0f);
}

// ---- tensors

static void encode(enum fm_cuda_type type, size_t count, const float *values, void *raw)
{
    for (size_t i = 0; i < count; i++)
        if (type == FM_CUDA_F32)
            ((float *)raw)[i] = values[i];
        else if (type == FM_CUDA_BF16)
            ((uint16_t *)raw)[i] = fm_bf16_narrow(values[i]);
        else
            ((fp16 *)raw)[i] = (fp16)values[i];
}

static void decode(enum fm_cuda_type type, size_t count, const void *raw, float *values)
{
    for (size_t i = 0; i < count; i++)
        if (type == FM_CUDA_F32)
            values[i] = ((const float *)raw)[i];
        else if (type == FM_CUDA_BF16)
            values[i] = fm_bf16_widen(((const uint16_t *)raw)[i]);
        else
            values[i] = (float)((const fp16 *)raw)[i];
}

void rig_write(struct rig_tensor *t, const float *values)
{
    size_t bytes = t->count * fm_cuda_size(t->type);
    void *raw = malloc(bytes);
    assert_non_null(raw);
    encode(t->type, t->count, values, raw);
    rig_put(t->device, raw, bytes);
    decode(t->type, t->count, raw, t->values);
    free(raw);
}

struct rig_tensor rig_tensor_of(enum fm_cuda_type type, size_t count, const float *values)
{
    struct rig_tensor t = {
        type, count, rig_device(NULL, count * fm_cuda_size(type)), rig_host(count * sizeof(float))};
    if (values)
        rig_write(&t, values);
    return t;
}

struct rig_tensor rig_tensor(enum fm_cuda_type type, size_t count, enum rig_fill fill)
{
    struct rig_tensor t = rig_tensor_of(type, count, NULL);
    if (fill == RIG_UNSET)
        return t;
    for (size_t i = 0; i < count; i++)
        t.values[i] = drawn(fill);
    rig_write(&t, t.values);
    return t;
}

const float *rig_read(struct rig_tensor *t)
{
    size_t bytes = t->count * fm_cuda_size(t->type);
    void *raw = malloc(bytes);
    assert_non_null(raw);
    rig_get(t->device, raw, bytes);
    decode(t->type, t->count, raw, t->values);
    free(raw);
    return t->values;
}

// ---- comparisons

static bool same_bits(float a, float b)
{
    return (a != a && b != b) || memcmp(&a, &b, sizeof a) == 0;
}

void rig_same(const char *what, const struct rig_tensor *found, const float *expected)
{
    for (size_t i = 0; i < found->count; i++) {
        float want = rig_round(found->type, expected[i]);
        if (!same_bits(found->values[i], want)) {
            report(
                "%s[%zu] is %.9g, expected %.9g", what, i, (double)found->values[i], (double)want);
            return;
        }
    }
}

static bool close_to(double found, double expected, double tolerance, double scale)
{
    if (isnan(expected) || isnan(found))
        return isnan(expected) && isnan(found);
    if (isinf(expected) || isinf(found))
        return found == expected;
    return fabs(found - expected) <= tolerance * (fabs(expected) + scale);
}

void rig_close(const char *what, const struct rig_tensor *found, const double *expected,
    double tolerance, double scale)
{
    for (size_t i = 0; i < found->count; i++)
        if (!close_to((double)found->values[i], expected[i], tolerance, scale)) {
            report("%s[%zu] is %.9g, expected %.9g within %g", what, i, (double)found->values[i],
                expected[i], tolerance * (fabs(expected[i]) + scale));
            return;
        }
}

// ---- running

bool rig_is_thorough(void)
{
    return THOROUGH;
}

bool rig_skips(size_t elements)
{
    return !THOROUGH && elements > SANITIZED_MOST;
}

cudaStream_t rig_stream(void)
{
    return rig.stream;
}

void rig_orders(
    void (*run)(void *context), void *context, struct rig_tensor *const *found, int count)
{
    float **first = rig_host((size_t)count * sizeof *first);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        sim_seed(seed);
        run(context);
        for (int i = 0; i < count; i++) {
            rig_read(found[i]);
            if (seed == 1) {
                first[i] = rig_host(found[i]->count * sizeof(float));
                memcpy(first[i], found[i]->values, found[i]->count * sizeof(float));
            } else {
                char what[64];
                snprintf(what, sizeof what, "output %d under seed %d", i, (int)seed);
                rig_same(what, found[i], first[i]);
            }
        }
    }
}

int rig_begin(void **state)
{
    (void)state;
    return cudaStreamCreateWithFlags(&rig.stream, cudaStreamNonBlocking) == cudaSuccess ? 0 : -1;
}

int rig_test_end(void **state)
{
    (void)state;
    free_all();
    int failures = rig.failures;
    if (failures > REPORTS_MAX)
        fprintf(stderr, "and %d more\n", failures - REPORTS_MAX);
    rig.failures = 0;
    return failures;
}

int rig_end(void **state)
{
    (void)state;
    cudaError_t error = cudaDeviceSynchronize();
    cudaStreamDestroy(rig.stream);
    return error != cudaSuccess || sim_failures() || sim_report_leaks();
}
