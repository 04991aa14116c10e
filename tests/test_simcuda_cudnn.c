// The simulated cuDNN: its numbers against plain loops in double precision, and each of its
// refusals against the planted misuse.
#include "cudnn/graph.h"
#include "rounding.h"
#include "simcuda.h"

#include <cuda_runtime_api.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HALF CUDNN_DATA_HALF
#define BF16 CUDNN_DATA_BFLOAT16
#define FLOAT CUDNN_DATA_FLOAT
#define BOOLEAN CUDNN_DATA_BOOLEAN

static const struct admitted careful = {.tensor_cores = true, .workspace = 256 << 20};
static const struct admitted exact = {.workspace = 256 << 20};

// ---- tensors on both sides

// A tensor with its elements on the host in N, C, H, W order, already rounded to its type.
struct value {
    cudnnDataType_t type;
    struct shape shape;
    int64_t strides[4];
    int64_t count;
    size_t bytes;
    double *v;
    void *device;
};

static size_t size_of(cudnnDataType_t type)
{
    return type == FLOAT ? 4 : type == BOOLEAN ? 1 : 2;
}

static double rounded(cudnnDataType_t type, double x)
{
    return type == HALF      ? (double)fm_round_fp16((float)x)
           : type == BF16    ? (double)fm_round_bf16((float)x)
           : type == BOOLEAN ? (double)(x != 0)
                             : (double)(float)x;
}

static double random_unit(void) // -1 to 1
{
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-52 - 1;
}

static int64_t offset(const struct value *a, int64_t n, int64_t c, int64_t h, int64_t w)
{
    return n * a->strides[0] + c * a->strides[1] + h * a->strides[2] + w * a->strides[3];
}

static double *at(const struct value *a, int64_t n, int64_t c, int64_t h, int64_t w)
{
    return &a->v[((n * a->shape.c + c) * a->shape.h + h) * a->shape.w + w];
}

static void encode(cudnnDataType_t type, double x, void *to)
{
    float single = (float)x;
    uint16_t bits;
    if (type == FLOAT) {
        memcpy(to, &single, 4);
    } else if (type == BOOLEAN) {
        *(char *)to = x != 0;
    } else if (type == BF16) {
        bits = fm_bf16_narrow(single);
        memcpy(to, &bits, 2);
    } else { // of a value that is a half already
        int exponent = 0;
        double mantissa = frexp(fabs(x), &exponent); // 0.5 to 1
        bits = isnan(x)   ? 0x7e00
               : isinf(x) ? 0x7c00
               : fabs(x) < 0x1p-14
                   ? (uint16_t)(fabs(x) * 0x1p24)
                   : (uint16_t)(((exponent + 14) << 10) + (int)(mantissa * 2048 - 1024));
        bits |= signbit(x) ? 0x8000 : 0;
        memcpy(to, &bits, 2);
    }
}

static double decode(cudnnDataType_t type, const void *from)
{
    float single;
    uint16_t bits;
    if (type == FLOAT) {
        memcpy(&single, from, 4);
        return (double)single;
    }
    if (type == BOOLEAN)
        return *(const char *)from;
    memcpy(&bits, from, 2);
    if (type == BF16)
        return (double)fm_bf16_widen(bits);
    int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    double magnitude = exponent == 31 ? (mantissa ? (double)NAN : (double)INFINITY)
                       : exponent     ? ldexp(1024 + mantissa, exponent - 25)
                                      : ldexp(mantissa, -24);
    return bits & 0x8000 ? -magnitude : magnitude;
}

static void upload(struct value *a)
{
    char *image = malloc(a->bytes);
    assert_non_null(image);
    memset(image, 0xff, a->bytes); // gaps between elements are NaN
    struct shape s = a->shape;
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t c = 0; c < s.c; c++)
            for (int64_t h = 0; h < s.h; h++)
                for (int64_t w = 0; w < s.w; w++)
                    encode(a->type, *at(a, n, c, h, w),
                        image + (size_t)offset(a, n, c, h, w) * size_of(a->type));
    assert_int_equal(cudaMemcpy(a->device, image, a->bytes, cudaMemcpyHostToDevice), 0);
    assert_int_equal(cudaDeviceSynchronize(), 0); // such a copy may only have been begun
    free(image);
}

static void download(struct value *a)
{
    char *image = malloc(a->bytes);
    assert_non_null(image);
    assert_int_equal(cudaMemcpy(image, a->device, a->bytes, cudaMemcpyDeviceToHost), 0);
    struct shape s = a->shape;
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t c = 0; c < s.c; c++)
            for (int64_t h = 0; h < s.h; h++)
                for (int64_t w = 0; w < s.w; w++)
                    *at(a, n, c, h, w) = decode(
                        a->type, image + (size_t)offset(a, n, c, h, w) * size_of(a->type));
    free(image);
}

enum layout {
    NHWC,
    NCHW,
    GAPS // NHWC, with room after each pixel, row and image
};

static struct value make(cudnnDataType_t type, struct shape s, enum layout layout)
{
    struct value a = {.type = type, .shape = s, .count = s.n * s.c * s.h * s.w};
    int64_t pixel = layout == GAPS ? s.c + 3 : s.c, row = pixel * s.w + (layout == GAPS ? 5 : 0);
    int64_t nhwc[] = {row * s.h + (layout == GAPS ? 7 : 0), 1, row, pixel};
    int64_t nchw[] = {s.c * s.h * s.w, s.h * s.w, s.w, 1};
    memcpy(a.strides, layout == NCHW ? nchw : nhwc, sizeof a.strides);
    a.bytes = (size_t)(offset(&a, s.n - 1, s.c - 1, s.h - 1, s.w - 1) + 1) * size_of(type);
    a.v = calloc((size_t)a.count, sizeof *a.v);
    assert_non_null(a.v);
    for (int64_t i = 0; i < a.count; i++)
        a.v[i] = rounded(type, random_unit());
    assert_int_equal(cudaMalloc(&a.device, a.bytes), 0);
    upload(&a);
    return a;
}

static struct value make_channels(int64_t c)
{
    return make(FLOAT, (struct shape){1, c, 1, 1}, NHWC);
}

static void drop(struct value *a)
{
    assert_int_equal(cudaFree(a->device), 0);
    free(a->v);
}

// ---- running a graph

enum {
    TENSORS = 24
};

struct run {
    struct graph graph;
    cudnnHandle_t handle;
    int64_t uids[TENSORS];
    void *pointers[TENSORS];
    int count;
    struct chosen chosen;
    void *workspace;
};

static void begin(struct run *run)
{
    *run = (struct run){0};
    assert_int_equal(cudnnCreate(&run->handle), CUDNN_STATUS_SUCCESS);
    graph_begin(&run->graph);
}

static void end(struct run *run)
{
    graph_end(&run->graph);
    if (run->workspace)
        assert_int_equal(cudaFree(run->workspace), 0);
    assert_int_equal(cudnnDestroy(run->handle), CUDNN_STATUS_SUCCESS);
}

static cudnnBackendDescriptor_t placed(
    struct run *run, void *pointer, cudnnBackendDescriptor_t made)
{
    assert_true(run->count < TENSORS);
    run->uids[run->count] = run->graph.next_uid - 1;
    run->pointers[run->count++] = pointer;
    return made;
}

static cudnnBackendDescriptor_t given(struct run *run, const struct value *a)
{
    return placed(run, a->device, graph_strided(&run->graph, a->type, a->shape, a->strides));
}

static cudnnBackendDescriptor_t scalar(struct run *run, float *x)
{
    return placed(run, x, graph_scalar(&run->graph, FLOAT));
}

static cudnnBackendDescriptor_t pack_of(struct run *run, void *workspace)
{
    struct graph *graph = &run->graph;
    cudnnBackendDescriptor_t pack = graph_create(graph, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    graph_set(
        graph, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, run->count, run->uids);
    graph_set(graph, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, run->count,
        run->pointers);
    graph_set(graph, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    graph_finalize(graph, pack, "variant pack");
    return pack;
}

static void choose(struct run *run, struct admitted admitted)
{
    cudnnBackendDescriptor_t operations = graph_operations(&run->graph, run->handle);
    run->chosen = graph_choose(&run->graph, operations, NULL, run->handle, admitted);
    if (run->graph.status != CUDNN_STATUS_SUCCESS || !run->chosen.plan) {
        char text[400];
        cudnnGetLastErrorString(text, sizeof text);
        fail_msg("%s: %s", run->graph.where, text);
    }
    if (run->chosen.workspace)
        assert_int_equal(cudaMalloc(&run->workspace, (size_t)run->chosen.workspace), 0);
}

static void execute(struct run *run)
{
    cudnnBackendDescriptor_t pack = pack_of(run, run->workspace);
    assert_int_equal(run->graph.status, CUDNN_STATUS_SUCCESS);
    assert_int_equal(
        cudnnBackendExecute(run->handle, run->chosen.plan, pack), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudaDeviceSynchronize(), 0);
}

static int setup(void **state)
{
    (void)state;
    sim_reset();
    return sim_pose_as("h100") ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return sim_take_failures() || sim_report_leaks() ? -1 : 0;
}

// ---- comparing

// Sums of `sum` (of magnitudes `magnitude`) in fp32, rounded to the type of `a`.
static void check(const char *what, const struct value *a, int64_t i, double sum, double magnitude)
{
    double unit = a->type == HALF ? 0x1p-11 : a->type == BF16 ? 0x1p-8 : 0x1p-24;
    double bound = 1.01 * unit * fabs(sum) + 3e-6 * magnitude + 1e-7;
    if (isnan(sum) != isnan(a->v[i]) || fabs(a->v[i] - sum) > bound)
        fail_msg("%s: element %lld is %.9g, expected %.9g within %.2g", what, (long long)i, a->v[i],
            sum, bound);
}

// ---- convolutions

struct conv_case {
    const char *name;
    int64_t n, c, h, w, k, r, s;
    struct window window;
    enum layout layout;
};

static const struct conv_case conv_cases[] = {
    {"1 channel, odd", 3, 1, 7, 9, 5, 3, 3, {1, 1, 1}, NHWC},
    {"3 channels, stride 2, no padding", 2, 3, 11, 8, 17, 3, 3, {0, 2, 1}, NHWC},
    {"dilated, 5 by 3", 1, 6, 12, 10, 4, 5, 3, {2, 1, 2}, NHWC},
    {"1 by 1", 9, 37, 3, 5, 33, 1, 1, {0, 1, 1}, NHWC},
    {"64 channels", 5, 64, 10, 10, 48, 3, 3, {1, 1, 1}, NHWC},
    {"NCHW", 2, 5, 6, 7, 3, 3, 3, {1, 1, 1}, NCHW},
    {"gaps", 2, 5, 6, 7, 19, 3, 3, {1, 1, 1}, GAPS},
    {"a filter as large as the image", 2, 8, 4, 4, 8, 4, 4, {0, 1, 1}, NHWC},
};

struct conv {
    struct value x, w, y;
};

static struct conv make_conv(cudnnDataType_t type, const struct conv_case *of)
{
    struct window g = of->window;
    int64_t p = (of->h + 2 * g.pad - (of->r - 1) * g.dilation - 1) / g.stride + 1;
    int64_t q = (of->w + 2 * g.pad - (of->s - 1) * g.dilation - 1) / g.stride + 1;
    struct conv conv;
    conv.x = make(type, (struct shape){of->n, of->c, of->h, of->w}, of->layout);
    conv.w = make(type, (struct shape){of->k, of->c, of->r, of->s}, of->layout);
    conv.y = make(type, (struct shape){of->n, of->k, p, q}, of->layout);
    return conv;
}

static void drop_conv(struct conv *conv)
{
    drop(&conv->x);
    drop(&conv->w);
    drop(&conv->y);
}

// Adds each product of a tap and what it meets to the element of the pass's output.
static void plain_conv(
    const struct conv *a, struct window g, enum pass pass, double *sums, double *magnitudes)
{
    struct shape x = a->x.shape, w = a->w.shape, y = a->y.shape;
    for (int64_t n = 0; n < y.n; n++)
        for (int64_t k = 0; k < y.c; k++)
            for (int64_t p = 0; p < y.h; p++)
                for (int64_t q = 0; q < y.w; q++)
                    for (int64_t c = 0; c < x.c; c++)
                        for (int64_t r = 0; r < w.h; r++)
                            for (int64_t s = 0; s < w.w; s++) {
                                int64_t i = p * g.stride + r * g.dilation - g.pad;
                                int64_t j = q * g.stride + s * g.dilation - g.pad;
                                if (i < 0 || i >= x.h || j < 0 || j >= x.w)
                                    continue;
                                double *px = at(&a->x, n, c, i, j), *pw = at(&a->w, k, c, r, s);
                                double *py = at(&a->y, n, k, p, q);
                                double product = pass == PASS_FORWARD ? *px * *pw
                                                 : pass == PASS_DATA  ? *py * *pw
                                                                      : *px * *py;
                                int64_t to = pass == PASS_FORWARD ? py - a->y.v
                                             : pass == PASS_DATA  ? px - a->x.v
                                                                  : pw - a->w.v;
                                sums[to] += product;
                                magnitudes[to] += fabs(product);
                            }
}

static void check_conv(const char *name, struct conv *a, struct window g, enum pass pass)
{
    struct value *out = pass == PASS_FORWARD ? &a->y : pass == PASS_DATA ? &a->x : &a->w;
    double *sums = calloc((size_t)out->count, sizeof *sums);
    double *magnitudes = calloc((size_t)out->count, sizeof *magnitudes);
    assert_non_null(sums);
    assert_non_null(magnitudes);
    plain_conv(a, g, pass, sums, magnitudes);
    download(out);
    for (int64_t i = 0; i < out->count; i++)
        check(name, out, i, sums[i], magnitudes[i]);
    free(sums);
    free(magnitudes);
}

static void run_conv(struct conv *a, struct window g, enum pass pass, struct admitted admitted)
{
    struct run run;
    begin(&run);
    cudnnBackendDescriptor_t x = given(&run, &a->x);
    cudnnBackendDescriptor_t w = given(&run, &a->w);
    cudnnBackendDescriptor_t y = given(&run, &a->y);
    graph_convolution(&run.graph, pass, g, x, w, y);
    choose(&run, admitted);
    execute(&run);
    end(&run);
}

static void test_convolutions(void **state)
{
    (void)state;
    static const cudnnDataType_t types[] = {HALF, BF16, FLOAT};
    static const char *const passes[] = {"forward", "data", "filter"};
    for (size_t i = 0; i < sizeof conv_cases / sizeof conv_cases[0]; i++)
        for (int t = 0; t < 3; t++)
            for (int pass = PASS_FORWARD; pass <= PASS_FILTER; pass++) {
                const struct conv_case *of = &conv_cases[i];
                struct conv conv = make_conv(types[t], of);
                char name[80];
                snprintf(name, sizeof name, "%s, %s, type %d", of->name, passes[pass], types[t]);
                run_conv(&conv, of->window, (enum pass)pass, types[t] == FLOAT ? exact : careful);
                check_conv(name, &conv, of->window, (enum pass)pass);
                drop_conv(&conv);
            }
}

static void test_nan_in_a_convolution(void **state)
{
    (void)state;
    struct conv conv = make_conv(HALF, &conv_cases[4]);
    *at(&conv.x, 2, 7, 4, 4) = NAN;
    upload(&conv.x);
    run_conv(&conv, conv_cases[4].window, PASS_FORWARD, careful);
    check_conv("NaN", &conv, conv_cases[4].window, PASS_FORWARD);
    assert_true(isnan(*at(&conv.y, 2, 0, 3, 5)));
    assert_false(isnan(*at(&conv.y, 2, 0, 2, 5)));
    drop_conv(&conv);
}

// The bits of a pass's output under a restarted random order.
static void run_seeded(struct conv *a, uint64_t seed, struct admitted admitted)
{
    sim_seed(seed);
    run_conv(a, conv_cases[4].window, PASS_FILTER, admitted);
    download(&a->w);
}

static double worst_difference(const struct value *a, const double *before)
{
    double worst = 0;
    for (int64_t i = 0; i < a->count; i++)
        worst = fmax(worst, fabs(a->v[i] - before[i]));
    return worst;
}

// An engine does to the numbers what its notes say.
static void test_notes(void **state)
{
    (void)state;
    struct conv conv = make_conv(FLOAT, &conv_cases[4]);
    double *before = calloc((size_t)conv.w.count, sizeof *before);
    assert_non_null(before);
    run_seeded(&conv, 1, exact);
    memcpy(before, conv.w.v, (size_t)conv.w.count * sizeof *before);
    run_seeded(&conv, 2, exact);
    assert_true(worst_difference(&conv.w, before) == 0);

    struct admitted tf32 = {.tensor_cores = true, .workspace = 256 << 20};
    run_seeded(&conv, 1, tf32);
    assert_true(worst_difference(&conv.w, before) > 1e-4);

    struct admitted any_order = {.nondeterministic = true, .workspace = 256 << 20};
    run_seeded(&conv, 1, any_order);
    double worst = worst_difference(&conv.w, before);
    memcpy(before, conv.w.v, (size_t)conv.w.count * sizeof *before);
    run_seeded(&conv, 9, any_order);
    assert_true(worst < 1e-3 && worst_difference(&conv.w, before) > 0);
    free(before);
    drop_conv(&conv);

    sim_reset();
    assert_true(sim_pose_as("t4"));
    conv = make_conv(HALF, &conv_cases[4]);
    double *good = calloc((size_t)conv.w.count, sizeof *good);
    assert_non_null(good);
    run_seeded(&conv, 1, careful);
    memcpy(good, conv.w.v, (size_t)conv.w.count * sizeof *good);
    struct admitted reduced = {
        .tensor_cores = true, .reduced_precision = true, .workspace = 256 << 20};
    run_seeded(&conv, 1, reduced); // the heuristics' first choice there
    assert_true(worst_difference(&conv.w, good) > 0.01);
    free(good);
    drop_conv(&conv);
}

static void test_bias_relu(void **state)
{
    (void)state;
    const struct conv_case *of = &conv_cases[0];
    struct conv a = make_conv(HALF, of);
    struct value bias = make(HALF, (struct shape){1, of->k, 1, 1}, NHWC);
    struct run run;
    begin(&run);
    cudnnBackendDescriptor_t x = given(&run, &a.x), w = given(&run, &a.w);
    cudnnBackendDescriptor_t b = given(&run, &bias), y = given(&run, &a.y);
    cudnnBackendDescriptor_t product = graph_virtual(&run.graph, FLOAT, a.y.shape);
    cudnnBackendDescriptor_t sum = graph_virtual(&run.graph, FLOAT, a.y.shape);
    graph_convolution(&run.graph, PASS_FORWARD, of->window, x, w, product);
    graph_pointwise(&run.graph, CUDNN_POINTWISE_ADD, product, b, sum);
    graph_pointwise(&run.graph, CUDNN_POINTWISE_RELU_FWD, sum, NULL, y);
    choose(&run, careful);
    execute(&run);
    assert_false(run.chosen.runtime_compiled);
    end(&run);
    double sums[2000] = {0}, magnitudes[2000] = {0};
    assert_true(a.y.count <= 2000);
    plain_conv(&a, of->window, PASS_FORWARD, sums, magnitudes);
    download(&a.y);
    int64_t positive = 0;
    for (int64_t i = 0; i < a.y.count; i++) {
        double z = sums[i] + bias.v[i / (a.y.shape.h * a.y.shape.w) % of->k];
        check("bias, ReLU", &a.y, i, z > 0 ? z : 0, magnitudes[i]);
        positive += z > 0;
    }
    assert_true(positive > a.y.count / 4 && positive < a.y.count * 3 / 4);
    drop(&bias);
    drop_conv(&a);
}

static void test_fused_data_gradient(void **state)
{
    (void)state;
    const struct conv_case *of = &conv_cases[4];
    struct conv a = make_conv(HALF, of);
    struct value forward = make(HALF, a.x.shape, NHWC), db = make_channels(of->c);
    struct run run;
    begin(&run);
    cudnnBackendDescriptor_t w = given(&run, &a.w), dy = given(&run, &a.y);
    cudnnBackendDescriptor_t x = given(&run, &forward), dx = given(&run, &a.x);
    cudnnBackendDescriptor_t gradient = given(&run, &db);
    cudnnBackendDescriptor_t product = graph_virtual(&run.graph, FLOAT, a.x.shape);
    graph_convolution(&run.graph, PASS_DATA, of->window, product, w, dy);
    graph_pointwise(&run.graph, CUDNN_POINTWISE_RELU_BWD, x, product, dx);
    graph_reduction(&run.graph, CUDNN_REDUCE_TENSOR_ADD, dx, gradient);
    choose(&run, careful);
    execute(&run);
    assert_true(run.chosen.runtime_compiled);
    end(&run);
    double *sums = calloc((size_t)a.x.count, sizeof *sums), by_channel[64] = {0};
    double *magnitudes = calloc((size_t)a.x.count, sizeof *magnitudes);
    assert_non_null(sums);
    assert_non_null(magnitudes);
    plain_conv(&a, of->window, PASS_DATA, sums, magnitudes);
    download(&a.x);
    download(&db);
    for (int64_t i = 0; i < a.x.count; i++) {
        check("data gradient, ReLU", &a.x, i, forward.v[i] > 0 ? sums[i] : 0, magnitudes[i]);
        by_channel[i / (of->h * of->w) % of->c] += a.x.v[i];
    }
    for (int64_t c = 0; c < of->c; c++)
        check("bias gradient", &db, c, by_channel[c], 100);
    free(sums);
    free(magnitudes);
    drop(&forward);
    drop(&db);
    drop_conv(&a);
}

// ---- pointwise operations and reductions

static double plain_pointwise(int mode, double x, double b, double t)
{
    switch (mode) {
    case CUDNN_POINTWISE_ADD:
        return x + b;
    case CUDNN_POINTWISE_SUB:
        return x - b;
    case CUDNN_POINTWISE_MUL:
        return x * b;
    case CUDNN_POINTWISE_DIV:
        return x / b;
    case CUDNN_POINTWISE_MAX:
        return fmax(x, b);
    case CUDNN_POINTWISE_MIN:
        return fmin(x, b);
    case CUDNN_POINTWISE_CMP_EQ:
        return x == b;
    case CUDNN_POINTWISE_CMP_NEQ:
        return x != b;
    case CUDNN_POINTWISE_CMP_GT:
        return x > b;
    case CUDNN_POINTWISE_CMP_GE:
        return x >= b;
    case CUDNN_POINTWISE_CMP_LT:
        return x < b;
    case CUDNN_POINTWISE_CMP_LE:
        return x <= b;
    case CUDNN_POINTWISE_ABS:
        return fabs(x);
    case CUDNN_POINTWISE_NEG:
        return -x;
    case CUDNN_POINTWISE_EXP:
        return exp(x);
    case CUDNN_POINTWISE_LOG:
        return log(x);
    case CUDNN_POINTWISE_SQRT:
        return sqrt(x);
    case CUDNN_POINTWISE_RSQRT:
        return 1 / sqrt(x);
    case CUDNN_POINTWISE_RECIPROCAL:
        return 1 / x;
    case CUDNN_POINTWISE_RELU_FWD:
        return x > 0 ? x : 0; // of a NaN: 0
    case CUDNN_POINTWISE_RELU_BWD:
        return x > 0 ? b : 0;
    case CUDNN_POINTWISE_BINARY_SELECT:
        return t != 0 ? x : b;
    default: // CUDNN_POINTWISE_IDENTITY
        return x;
    }
}

static void check_pointwise(int mode, bool two, struct shape second, enum layout layout)
{
    struct shape shape = {2, 11, 3, 5};
    bool compares = mode >= CUDNN_POINTWISE_CMP_EQ && mode <= CUDNN_POINTWISE_CMP_LE;
    struct value x = make(HALF, shape, layout), b = make(FLOAT, second, NHWC);
    struct value y = make(compares ? BOOLEAN : FLOAT, shape, layout);
    *at(&x, 1, 2, 1, 3) = NAN;
    *at(&x, 0, 3, 1, 3) = 0;
    b.v[0] = x.v[0]; // equal
    upload(&x);
    upload(&b);
    struct run run;
    begin(&run);
    cudnnBackendDescriptor_t tx = given(&run, &x), tb = two ? given(&run, &b) : NULL;
    cudnnBackendDescriptor_t ty = given(&run, &y);
    graph_pointwise(&run.graph, (cudnnPointwiseMode_t)mode, tx, tb, ty);
    choose(&run, careful);
    execute(&run);
    end(&run);
    download(&y);
    for (int64_t i = 0; i < y.count; i++) {
        int64_t w = i % shape.w, h = i / shape.w % shape.h, c = i / shape.w / shape.h % shape.c;
        int64_t n = i / shape.w / shape.h / shape.c;
        double z = *at(&b, second.n > 1 ? n : 0, second.c > 1 ? c : 0, second.h > 1 ? h : 0,
            second.w > 1 ? w : 0);
        double expected = rounded(y.type, plain_pointwise(mode, x.v[i], z, 0));
        bool same = isnan(expected)   ? isnan(y.v[i]) != 0
                    : isinf(expected) ? y.v[i] == expected
                                      : fabs(y.v[i] - expected) <= 2e-6 * fabs(expected);
        if (!same)
            fail_msg("mode %d of %g and %g: %g, expected %g", mode, x.v[i], z, y.v[i], expected);
    }
    drop(&x);
    drop(&b);
    drop(&y);
}

static void test_pointwise(void **state)
{
    (void)state;
    static const int unary[] = {CUDNN_POINTWISE_IDENTITY, CUDNN_POINTWISE_ABS, CUDNN_POINTWISE_NEG,
        CUDNN_POINTWISE_EXP, CUDNN_POINTWISE_LOG, CUDNN_POINTWISE_SQRT, CUDNN_POINTWISE_RSQRT,
        CUDNN_POINTWISE_RECIPROCAL, CUDNN_POINTWISE_RELU_FWD};
    static const int binary[] = {CUDNN_POINTWISE_ADD, CUDNN_POINTWISE_SUB, CUDNN_POINTWISE_MUL,
        CUDNN_POINTWISE_DIV, CUDNN_POINTWISE_MAX, CUDNN_POINTWISE_MIN, CUDNN_POINTWISE_CMP_EQ,
        CUDNN_POINTWISE_CMP_NEQ, CUDNN_POINTWISE_CMP_GT, CUDNN_POINTWISE_CMP_GE,
        CUDNN_POINTWISE_CMP_LT, CUDNN_POINTWISE_CMP_LE, CUDNN_POINTWISE_RELU_BWD};
    static const struct shape seconds[] = {
        {2, 11, 3, 5}, {1, 11, 1, 1}, {1, 1, 1, 1}, {2, 1, 3, 1}};
    for (size_t i = 0; i < sizeof unary / sizeof unary[0]; i++)
        check_pointwise(unary[i], false, seconds[0], i % 2 ? NCHW : GAPS);
    for (size_t i = 0; i < sizeof binary / sizeof binary[0]; i++)
        for (int j = 0; j < 4; j++)
            check_pointwise(binary[i], true, seconds[j], NHWC);
}

static void test_select(void **state)
{
    (void)state;
    struct shape shape = {2, 3, 4, 5};
    struct value x = make(FLOAT, shape, NHWC), b = make(FLOAT, shape, NHWC);
    struct value t = make(BOOLEAN, shape, NHWC), y = make(FLOAT, shape, NHWC);
    for (int64_t i = 0; i < t.count; i++)
        t.v[i] = i % 3 == 0;
    upload(&t);
    struct run run;
    begin(&run);
    struct graph *graph = &run.graph;
    cudnnBackendDescriptor_t tx = given(&run, &x), tb = given(&run, &b), tt = given(&run, &t);
    cudnnBackendDescriptor_t ty = given(&run, &y);
    cudnnPointwiseMode_t mode = CUDNN_POINTWISE_BINARY_SELECT;
    cudnnDataType_t type = FLOAT;
    cudnnBackendDescriptor_t function = graph_create(graph, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    graph_set(graph, function, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    graph_set(graph, function, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type);
    graph_finalize(graph, function, "select");
    cudnnBackendDescriptor_t made = graph_create(
        graph, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    graph_set_child(graph, made, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function);
    graph_set_child(graph, made, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, tx);
    graph_set_child(graph, made, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, tb);
    graph_set_child(graph, made, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, tt);
    graph_set_child(graph, made, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, ty);
    graph_finalize(graph, made, "select operation");
    graph->operations[graph->count++] = made;
    choose(&run, careful);
    execute(&run);
    end(&run);
    download(&y);
    for (int64_t i = 0; i < y.count; i++)
        assert_true(y.v[i] == plain_pointwise(mode, x.v[i], b.v[i], t.v[i]));
    drop(&x);
    drop(&b);
    drop(&t);
    drop(&y);
}

static double plain_step(int by, double so_far, double x)
{
    switch (by) {
    case CUDNN_REDUCE_TENSOR_MIN:
        return fmin(so_far, x);
    case CUDNN_REDUCE_TENSOR_MAX:
        return fmax(so_far, x);
    case CUDNN_REDUCE_TENSOR_AMAX:
        return fmax(so_far, fabs(x));
    case CUDNN_REDUCE_TENSOR_NORM1:
        return so_far + fabs(x);
    case CUDNN_REDUCE_TENSOR_NORM2:
        return so_far + x * x;
    default:
        return so_far + x;
    }
}

static void check_reduction(int by, struct shape to)
{
    struct shape from = {3, 9, 4, 5};
    struct value x = make(HALF, from, NHWC), y = make(FLOAT, to, NHWC);
    struct run run;
    begin(&run);
    cudnnBackendDescriptor_t tx = given(&run, &x), ty = given(&run, &y);
    graph_reduction(&run.graph, (cudnnReduceTensorOp_t)by, tx, ty);
    choose(&run, careful);
    execute(&run);
    end(&run);
    double sums[200];
    assert_true(y.count <= 200);
    for (int64_t i = 0; i < y.count; i++)
        sums[i] = by == CUDNN_REDUCE_TENSOR_MIN   ? (double)INFINITY
                  : by == CUDNN_REDUCE_TENSOR_MAX ? -(double)INFINITY
                                                  : 0;
    for (int64_t i = 0; i < x.count; i++) {
        int64_t w = i % from.w, h = i / from.w % from.h, c = i / from.w / from.h % from.c;
        int64_t n = i / from.w / from.h / from.c;
        int64_t at_y =
            at(&y, to.n > 1 ? n : 0, to.c > 1 ? c : 0, to.h > 1 ? h : 0, to.w > 1 ? w : 0) - y.v;
        sums[at_y] = plain_step(by, sums[at_y], x.v[i]);
    }
    download(&y);
    for (int64_t i = 0; i < y.count; i++) {
        double expected = by == CUDNN_REDUCE_TENSOR_AVG
                              ? sums[i] * (double)y.count / (double)x.count
                          : by == CUDNN_REDUCE_TENSOR_NORM2 ? sqrt(sums[i])
                                                            : sums[i];
        char name[40];
        snprintf(name, sizeof name, "reduction %d", by);
        check(name, &y, i, expected, 1);
    }
    drop(&x);
    drop(&y);
}

static void test_reductions(void **state)
{
    (void)state;
    static const int all[] = {CUDNN_REDUCE_TENSOR_ADD, CUDNN_REDUCE_TENSOR_MIN,
        CUDNN_REDUCE_TENSOR_MAX, CUDNN_REDUCE_TENSOR_AMAX, CUDNN_REDUCE_TENSOR_AVG,
        CUDNN_REDUCE_TENSOR_NORM1, CUDNN_REDUCE_TENSOR_NORM2};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        check_reduction(all[i], (struct shape){1, 9, 1, 1});
        check_reduction(all[i], (struct shape){3, 1, 4, 1});
        check_reduction(all[i], (struct shape){1, 1, 1, 1});
    }
}

// ---- batch norm

struct norm_case {
    struct value x, y, mean, inverse, scale, bias, running[4], dy, dx, dscale, dbias;
    int64_t channels;
    double pixels;
    double means[32], variances[32];
};

static void make_norm(struct norm_case *a, cudnnDataType_t type, enum layout layout)
{
    struct shape shape = {3, 24, 5, 7};
    a->channels = shape.c;
    a->pixels = (double)(shape.n * shape.h * shape.w);
    a->x = make(type, shape, layout);
    a->y = make(type, shape, layout);
    a->dy = make(type, shape, layout);
    a->dx = make(type, shape, layout);
    struct value *channels[] = {&a->mean, &a->inverse, &a->scale, &a->bias, &a->running[0],
        &a->running[1], &a->running[2], &a->running[3], &a->dscale, &a->dbias};
    for (size_t i = 0; i < sizeof channels / sizeof channels[0]; i++)
        *channels[i] = make_channels(shape.c);
    int64_t area = shape.h * shape.w;
    for (int64_t i = 0; i < a->x.count; i++) // a mean far from 0
        a->x.v[i] = rounded(type, a->x.v[i] + (double)(i / area % shape.c) / 4);
    upload(&a->x);
    for (int64_t c = 0; c < shape.c; c++) {
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < a->x.count; i++)
            sum += i / area % shape.c == c ? a->x.v[i] : 0;
        a->means[c] = sum / a->pixels;
        for (int64_t i = 0; i < a->x.count; i++)
            squares += i / area % shape.c == c ? pow(a->x.v[i] - a->means[c], 2) : 0;
        a->variances[c] = squares / a->pixels;
    }
}

static void drop_norm(struct norm_case *a)
{
    struct value *all[] = {&a->x, &a->y, &a->mean, &a->inverse, &a->scale, &a->bias, &a->running[0],
        &a->running[1], &a->running[2], &a->running[3], &a->dy, &a->dx, &a->dscale, &a->dbias};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        drop(all[i]);
}

static struct norm training_norm(
    struct run *run, struct norm_case *a, float *epsilon, float *factor)
{
    struct norm norm = {.x = given(run, &a->x), .mean = given(run, &a->mean)};
    norm.inverse_deviation = given(run, &a->inverse);
    norm.scale = given(run, &a->scale);
    norm.bias = given(run, &a->bias);
    norm.epsilon = scalar(run, epsilon);
    norm.factor = scalar(run, factor);
    norm.running_mean = given(run, &a->running[0]);
    norm.running_variance = given(run, &a->running[1]);
    norm.next_mean = given(run, &a->running[2]);
    norm.next_variance = given(run, &a->running[3]);
    return norm;
}

static void check_training(cudnnDataType_t type, enum layout layout, float factor)
{
    struct norm_case a;
    float epsilon = 1e-3f, used = epsilon, used_factor = factor;
    make_norm(&a, type, layout);
    if (factor == 1)
        assert_int_equal(cudaMemset(a.running[0].device, 0xff, a.running[0].bytes), 0);
    struct run run;
    begin(&run);
    struct norm norm = training_norm(&run, &a, &used, &used_factor);
    norm.y = graph_virtual(&run.graph, FLOAT, a.x.shape);
    cudnnBackendDescriptor_t y = given(&run, &a.y);
    graph_norm_training(&run.graph, &norm);
    graph_pointwise(&run.graph, CUDNN_POINTWISE_RELU_FWD, norm.y, NULL, y);
    choose(&run, exact);
    cudnnBackendDescriptor_t pack = pack_of(&run, run.workspace);
    assert_int_equal(cudnnBackendExecute(run.handle, run.chosen.plan, pack), 0);
    used = used_factor = NAN; // what is by value is read when the plan is executed
    assert_int_equal(cudaDeviceSynchronize(), 0);
    end(&run);
    struct value *read[] = {&a.y, &a.mean, &a.inverse, &a.running[2], &a.running[3]};
    for (int i = 0; i < 5; i++)
        download(read[i]);
    int64_t area = a.x.shape.h * a.x.shape.w;
    for (int64_t c = 0; c < a.channels; c++) {
        double unbiased = a.variances[c] * a.pixels / (a.pixels - 1), f = (double)factor;
        check("mean", &a.mean, c, a.means[c], 1);
        check("inverse", &a.inverse, c, 1 / sqrt(a.variances[c] + (double)epsilon), 1);
        check("next mean", &a.running[2], c,
            (f == 1 ? 0 : (1 - f) * a.running[0].v[c]) + f * a.means[c], 1);
        check("next variance", &a.running[3], c, (1 - f) * a.running[1].v[c] + f * unbiased, 1);
    }
    for (int64_t i = 0; i < a.y.count; i++) {
        int64_t c = i / area % a.channels;
        double z = (a.x.v[i] - a.means[c]) / sqrt(a.variances[c] + (double)epsilon) * a.scale.v[c] +
                   a.bias.v[c];
        check("norm, ReLU", &a.y, i, z > 0 ? z : 0, 1);
    }
    drop_norm(&a);
}

static void test_norm_training(void **state)
{
    (void)state;
    check_training(HALF, NHWC, 0.1f);
    check_training(BF16, NHWC, 0.1f);
    check_training(FLOAT, GAPS, 0.25f);
    check_training(FLOAT, NCHW, 1.0f);
}

// Backward of y = relu(norm(x)), the ReLU's argument being computed again, or of the norm alone.
static void run_backward(struct norm_case *a, cudnnDataType_t type, bool relu)
{
    struct run run;
    begin(&run);
    struct norm norm = {.x = given(&run, &a->x), .mean = given(&run, &a->mean)};
    norm.inverse_deviation = given(&run, &a->inverse);
    norm.scale = given(&run, &a->scale);
    cudnnBackendDescriptor_t dy = given(&run, &a->dy);
    norm.dy = dy;
    if (relu) {
        norm.bias = given(&run, &a->bias);
        norm.y = graph_virtual(&run.graph, FLOAT, a->x.shape);
        graph_norm_inference(&run.graph, &norm);
        norm.dy = graph_virtual(&run.graph, type, a->x.shape);
        graph_pointwise(&run.graph, CUDNN_POINTWISE_RELU_BWD, norm.y, dy, norm.dy);
    }
    norm.dx = given(&run, &a->dx);
    norm.dscale = given(&run, &a->dscale);
    norm.dbias = given(&run, &a->dbias);
    graph_norm_backward(&run.graph, &norm);
    choose(&run, exact);
    execute(&run);
    end(&run);
    download(&a->dx);
    download(&a->dscale);
    download(&a->dbias);
}

// Leaves of dy what the ReLU lets pass.
static void compare_backward(struct norm_case *a, bool relu)
{
    int64_t area = a->x.shape.h * a->x.shape.w;
    double dscale[32] = {0}, dbias[32] = {0};
    for (int64_t i = 0; i < a->x.count; i++) {
        int64_t c = i / area % a->channels;
        double normal = (a->x.v[i] - a->mean.v[c]) * a->inverse.v[c];
        bool passes = !relu || normal * a->scale.v[c] + a->bias.v[c] > 0;
        a->dy.v[i] = passes ? a->dy.v[i] : 0;
        dscale[c] += a->dy.v[i] * normal;
        dbias[c] += a->dy.v[i];
    }
    for (int64_t c = 0; c < a->channels; c++) {
        check("dscale", &a->dscale, c, dscale[c], a->pixels);
        check("dbias", &a->dbias, c, dbias[c], a->pixels);
    }
    for (int64_t i = 0; i < a->x.count; i++) {
        int64_t c = i / area % a->channels;
        double normal = (a->x.v[i] - a->mean.v[c]) * a->inverse.v[c];
        check("dx", &a->dx, i,
            a->scale.v[c] * a->inverse.v[c] *
                (a->dy.v[i] - dbias[c] / a->pixels - normal * dscale[c] / a->pixels),
            1);
    }
}

static void check_backward(cudnnDataType_t type, enum layout layout, bool relu)
{
    struct norm_case a;
    make_norm(&a, type, layout);
    for (int64_t c = 0; c < a.channels; c++) {
        a.mean.v[c] = rounded(FLOAT, a.means[c]);
        a.inverse.v[c] = rounded(FLOAT, 1 / sqrt(a.variances[c] + 1e-3));
    }
    upload(&a.mean);
    upload(&a.inverse);
    run_backward(&a, type, relu);
    compare_backward(&a, relu);
    drop_norm(&a);
}

static void test_norm_backward(void **state)
{
    (void)state;
    for (int relu = 0; relu < 2; relu++) {
        check_backward(HALF, NHWC, relu);
        check_backward(BF16, NHWC, relu);
        check_backward(FLOAT, GAPS, relu);
    }
}

// ---- what engines a device has

// The first candidates are traps: none is what a careful caller takes.
static void test_candidates(void **state)
{
    (void)state;
    struct conv a = make_conv(HALF, &conv_cases[4]);
    struct run run;
    begin(&run);
    cudnnBackendDescriptor_t x = given(&run, &a.x), w = given(&run, &a.w), y = given(&run, &a.y);
    graph_convolution(&run.graph, PASS_FILTER, conv_cases[4].window, x, w, y);
    cudnnBackendDescriptor_t operations = graph_operations(&run.graph, run.handle);
    struct admitted all = {true, true, true, true, INT64_MAX}, small = careful;
    struct chosen chosen = graph_choose(&run.graph, operations, NULL, run.handle, all);
    assert_non_null(chosen.plan);
    small.workspace = 0;
    chosen = graph_choose(&run.graph, operations, NULL, run.handle, small);
    assert_non_null(chosen.plan);
    assert_true(chosen.runtime_compiled && chosen.workspace == 0);
    assert_true(chosen.candidates > chosen.admitted && chosen.admitted > 3);
    end(&run);
    drop_conv(&a);
}

static void expect_no_engine(const char *device, cudnnDataType_t type, int64_t channels)
{
    sim_reset();
    assert_true(sim_pose_as(device));
    struct run run;
    begin(&run);
    struct shape shape = {2, channels, 4, 4};
    struct norm norm = {.x = graph_tensor(&run.graph, type, shape)};
    norm.y = graph_tensor(&run.graph, type, shape);
    norm.mean = graph_channels(&run.graph, FLOAT, channels);
    norm.inverse_deviation = graph_channels(&run.graph, FLOAT, channels);
    norm.scale = graph_channels(&run.graph, FLOAT, channels);
    norm.bias = graph_channels(&run.graph, FLOAT, channels);
    norm.epsilon = graph_scalar(&run.graph, FLOAT);
    graph_norm_training(&run.graph, &norm);
    cudnnBackendDescriptor_t operations = graph_operations(&run.graph, run.handle);
    struct chosen chosen = graph_choose(&run.graph, operations, NULL, run.handle, careful);
    assert_int_equal(run.graph.status, CUDNN_STATUS_SUCCESS);
    assert_int_equal(chosen.candidates, 0);
    char text[200];
    cudnnGetLastErrorString(text, sizeof text);
    assert_non_null(strstr(text, "batch norm needs"));
    end(&run);
    assert_int_equal(sim_failures(), 0); // to ask is no misuse
}

static void test_no_engine(void **state)
{
    (void)state;
    expect_no_engine("t4", HALF, 64);
    expect_no_engine("h100", HALF, 60);
}

// ---- refusals while a graph is built

#define SHAPE ((struct shape){2, 64, 6, 6})

static void plant_short_bias(struct graph *graph)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, HALF, SHAPE);
    cudnnBackendDescriptor_t b = graph_channels(graph, HALF, 63);
    graph_pointwise(graph, CUDNN_POINTWISE_ADD, x, b, graph_tensor(graph, HALF, SHAPE));
}

static void plant_short_scale(struct graph *graph)
{
    struct norm norm = {
        .x = graph_tensor(graph, HALF, SHAPE), .y = graph_tensor(graph, HALF, SHAPE)};
    norm.mean = graph_channels(graph, FLOAT, 64);
    norm.inverse_deviation = graph_channels(graph, FLOAT, 64);
    norm.scale = graph_channels(graph, FLOAT, 32);
    norm.bias = graph_channels(graph, FLOAT, 64);
    norm.epsilon = graph_scalar(graph, FLOAT);
    graph_norm_training(graph, &norm);
}

static void plant_no_epsilon(struct graph *graph)
{
    struct norm norm = {
        .x = graph_tensor(graph, HALF, SHAPE), .y = graph_tensor(graph, HALF, SHAPE)};
    norm.mean = graph_channels(graph, FLOAT, 64);
    norm.inverse_deviation = graph_channels(graph, FLOAT, 64);
    norm.scale = graph_channels(graph, FLOAT, 64);
    norm.bias = graph_channels(graph, FLOAT, 64);
    graph_norm_training(graph, &norm);
}

static void plant_half_of_running(struct graph *graph)
{
    struct norm norm = {
        .x = graph_tensor(graph, HALF, SHAPE), .y = graph_tensor(graph, HALF, SHAPE)};
    norm.mean = graph_channels(graph, FLOAT, 64);
    norm.inverse_deviation = graph_channels(graph, FLOAT, 64);
    norm.scale = graph_channels(graph, FLOAT, 64);
    norm.bias = graph_channels(graph, FLOAT, 64);
    norm.epsilon = graph_scalar(graph, FLOAT);
    norm.factor = graph_scalar(graph, FLOAT);
    norm.running_mean = graph_channels(graph, FLOAT, 64);
    graph_norm_training(graph, &norm);
}

static void plant_one_uid_twice(struct graph *graph)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, HALF, SHAPE);
    graph->next_uid--;
    cudnnBackendDescriptor_t y = graph_tensor(graph, HALF, SHAPE);
    graph_pointwise(graph, CUDNN_POINTWISE_RELU_FWD, x, NULL, y);
    graph_operations(graph, NULL);
}

static void plant_virtual_input(struct graph *graph)
{
    cudnnBackendDescriptor_t x = graph_virtual(graph, HALF, SHAPE);
    graph_pointwise(graph, CUDNN_POINTWISE_RELU_FWD, x, NULL, graph_tensor(graph, HALF, SHAPE));
    graph_operations(graph, NULL);
}

static void plant_virtual_output(struct graph *graph)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, HALF, SHAPE);
    graph_pointwise(graph, CUDNN_POINTWISE_RELU_FWD, x, NULL, graph_virtual(graph, HALF, SHAPE));
    graph_operations(graph, NULL);
}

static void plant_wrong_order(struct graph *graph)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, HALF, SHAPE);
    cudnnBackendDescriptor_t middle = graph_virtual(graph, HALF, SHAPE);
    graph_pointwise(
        graph, CUDNN_POINTWISE_RELU_FWD, middle, NULL, graph_tensor(graph, HALF, SHAPE));
    graph_pointwise(graph, CUDNN_POINTWISE_NEG, x, NULL, middle);
    graph_operations(graph, NULL);
}

static void plant_two_writers(struct graph *graph)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, HALF, SHAPE);
    cudnnBackendDescriptor_t y = graph_tensor(graph, HALF, SHAPE);
    graph_pointwise(graph, CUDNN_POINTWISE_RELU_FWD, x, NULL, y);
    graph_pointwise(graph, CUDNN_POINTWISE_NEG, x, NULL, y);
    graph_operations(graph, NULL);
}

static void plant_output_by_value(struct graph *graph)
{
    cudnnBackendDescriptor_t x = graph_scalar(graph, FLOAT);
    graph_pointwise(graph, CUDNN_POINTWISE_NEG, x, NULL, graph_scalar(graph, FLOAT));
    graph_operations(graph, NULL);
}

static cudnnBackendDescriptor_t plain_tensor(struct graph *graph, int64_t alignment)
{
    const int64_t dims[] = {2, 4, 3, 3}, strides[] = {36, 1, 12, 4}, uid = 5;
    const cudnnDataType_t type = HALF;
    cudnnBackendDescriptor_t made = graph_create(graph, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    graph_set(graph, made, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    graph_set(graph, made, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    graph_set(graph, made, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    graph_set(graph, made, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    graph_set(graph, made, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    return made;
}

static void plant_alignment(struct graph *graph)
{
    graph_finalize(graph, plain_tensor(graph, 3), "tensor");
}

static void plant_unfinalized_child(struct graph *graph)
{
    cudnnBackendDescriptor_t made = graph_create(
        graph, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    graph_set_child(graph, made, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, plain_tensor(graph, 16));
}

static void plant_child_of_another_type(struct graph *graph)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, HALF, SHAPE);
    cudnnBackendDescriptor_t made = graph_create(
        graph, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    graph_set_child(graph, made, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, x);
}

static void plant_dead_child(struct graph *graph)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, HALF, SHAPE);
    cudnnBackendDestroyDescriptor(x);
    graph->descriptors--;
    cudnnBackendDescriptor_t made = graph_create(
        graph, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    graph_set_child(graph, made, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
}

static void plant_wrong_type(struct graph *graph)
{
    const float one = 1;
    cudnnBackendDescriptor_t made = graph_create(graph, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    graph_set(graph, made, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_FLOAT, 1, &one);
}

static void plant_unknown_attribute(struct graph *graph)
{
    const int64_t two = 2;
    cudnnBackendDescriptor_t made = graph_create(graph, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    graph_set(graph, made, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &two);
}

static void plant_null(struct graph *graph)
{
    cudnnBackendDescriptor_t made = graph_create(graph, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    graph_set(graph, made, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, NULL);
}

static void plant_set_after_finalize(struct graph *graph)
{
    const int64_t uid = 3;
    graph_set(graph, graph_tensor(graph, HALF, SHAPE), CUDNN_ATTR_TENSOR_UNIQUE_ID,
        CUDNN_TYPE_INT64, 1, &uid);
}

static void plant_finalize_twice(struct graph *graph)
{
    graph_finalize(graph, graph_tensor(graph, HALF, SHAPE), "tensor");
}

static void plant_missing_attribute(struct graph *graph)
{
    graph_finalize(graph, graph_create(graph, CUDNN_BACKEND_TENSOR_DESCRIPTOR), "tensor");
}

static void plant_size(struct graph *graph, struct shape x, struct shape w, struct shape y)
{
    cudnnBackendDescriptor_t tx = graph_tensor(graph, HALF, x), tw = graph_tensor(graph, HALF, w);
    graph_convolution(
        graph, PASS_FORWARD, (struct window){1, 1, 1}, tx, tw, graph_tensor(graph, HALF, y));
}

static void plant_wrong_batch(struct graph *graph)
{
    plant_size(graph, SHAPE, (struct shape){8, 64, 3, 3}, (struct shape){3, 8, 6, 6});
}

static void plant_wrong_filter(struct graph *graph)
{
    plant_size(graph, SHAPE, (struct shape){8, 32, 3, 3}, (struct shape){2, 8, 6, 6});
}

static void plant_wrong_output(struct graph *graph)
{
    plant_size(graph, SHAPE, (struct shape){8, 64, 3, 3}, (struct shape){2, 8, 6, 5});
}

static void plant_overlap(struct graph *graph)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, HALF, SHAPE);
    graph_pointwise(graph, CUDNN_POINTWISE_NEG, x, NULL,
        graph_strided(graph, HALF, SHAPE, (const int64_t[]){64, 1, 384, 64}));
}

static void plant_extra_operand(struct graph *graph)
{
    cudnnBackendDescriptor_t x = graph_tensor(graph, HALF, SHAPE);
    graph_pointwise(graph, CUDNN_POINTWISE_RELU_FWD, x, graph_tensor(graph, HALF, SHAPE),
        graph_tensor(graph, HALF, SHAPE));
}

static void plant_bad_device(struct graph *graph)
{
    graph_device(graph, "{\"deviceVer\": 900}");
}

static const struct {
    void (*plant)(struct graph *graph);
    cudnnStatus_t status;
    const char *message;
} plants[] = {
    {plant_short_bias, CUDNN_STATUS_BAD_PARAM, "does not broadcast"},
    {plant_short_scale, CUDNN_STATUS_BAD_PARAM, "1x32x1x1"},
    {plant_no_epsilon, CUDNN_STATUS_BAD_PARAM, "epsilon"},
    {plant_half_of_running, CUDNN_STATUS_BAD_PARAM, "five tensors"},
    {plant_one_uid_twice, CUDNN_STATUS_BAD_PARAM, "names two tensors"},
    {plant_virtual_input, CUDNN_STATUS_BAD_PARAM, "no operation writes it"},
    {plant_virtual_output, CUDNN_STATUS_BAD_PARAM, "nothing reads it"},
    {plant_wrong_order, CUDNN_STATUS_BAD_PARAM, "written later"},
    {plant_two_writers, CUDNN_STATUS_BAD_PARAM, "two writers"},
    {plant_output_by_value, CUDNN_STATUS_BAD_PARAM, "by value"},
    {plant_alignment, CUDNN_STATUS_BAD_PARAM, "aligned to 3 bytes"},
    {plant_unfinalized_child, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "not finalized"},
    {plant_child_of_another_type, CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE, "cannot be a tensor"},
    {plant_dead_child, CUDNN_STATUS_BAD_PARAM, "null or destroyed"},
    {plant_wrong_type, CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "has type 3, not 4"},
    {plant_unknown_attribute, CUDNN_STATUS_BAD_PARAM, "has no attribute 106"},
    {plant_null, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "(nil)"},
    {plant_set_after_finalize, CUDNN_STATUS_BAD_PARAM, "after the tensor was finalized"},
    {plant_finalize_twice, CUDNN_STATUS_BAD_PARAM, "finalized already"},
    {plant_missing_attribute, CUDNN_STATUS_BAD_PARAM, "has no attribute 901"},
    {plant_wrong_batch, CUDNN_STATUS_BAD_PARAM, "disagree on N, C or K"},
    {plant_wrong_filter, CUDNN_STATUS_BAD_PARAM, "disagree on N, C or K"},
    {plant_wrong_output, CUDNN_STATUS_BAD_PARAM, "makes 6 columns"},
    {plant_overlap, CUDNN_STATUS_BAD_PARAM, "overlapping strides"},
    {plant_extra_operand, CUDNN_STATUS_BAD_PARAM, "has no attribute"},
    {plant_bad_device, CUDNN_STATUS_BAD_PARAM, "has no \"multiProcessorCount\""},
};

static void expect_misuse(const char *message)
{
    if (!strstr(sim_last_failure(), message))
        fail_msg("expected a misuse with \"%s\", the last is \"%s\"", message, sim_last_failure());
    assert_int_equal(sim_take_failures(), 1);
}

static void test_refused_graphs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof plants / sizeof plants[0]; i++) {
        struct graph graph;
        graph_begin(&graph);
        plants[i].plant(&graph);
        if (graph.status != plants[i].status)
            fail_msg("\"%s\": status %d, expected %d (%s)", plants[i].message, graph.status,
                plants[i].status, graph.where);
        expect_misuse(plants[i].message);
        graph_end(&graph);
    }
}

// ---- refusals of an execution

struct executed {
    struct run run;
    struct value x, y;
    void *workspace;
};

static void begin_execution(struct executed *e)
{
    struct shape shape = {2, 16, 5, 5};
    e->x = make(HALF, shape, NHWC);
    e->y = make(HALF, shape, NHWC);
    begin(&e->run);
    cudnnBackendDescriptor_t x = given(&e->run, &e->x), y = given(&e->run, &e->y);
    graph_pointwise(&e->run.graph, CUDNN_POINTWISE_RELU_FWD, x, NULL, y);
    cudnnBackendDescriptor_t operations = graph_operations(&e->run.graph, e->run.handle);
    cudnnBackendDescriptor_t configurations[4], heuristics;
    cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
    struct graph *graph = &e->run.graph;
    heuristics = graph_create(graph, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    graph_set_child(graph, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, operations);
    graph_set(graph, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    graph_finalize(graph, heuristics, "heuristics");
    for (int i = 0; i < 4; i++)
        configurations[i] = graph_create(graph, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    int64_t count = 0;
    assert_int_equal(cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                         CUDNN_TYPE_BACKEND_DESCRIPTOR, 4, &count, configurations),
        0);
    assert_true(count >= 2); // the second one has a workspace
    e->run.chosen.plan = graph_create(graph, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    graph_set_child(
        graph, e->run.chosen.plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configurations[1]);
    graph_finalize(graph, e->run.chosen.plan, "plan");
    assert_int_equal(graph->status, CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudaMalloc(&e->workspace, 256), 0);
}

static void end_execution(struct executed *e)
{
    end(&e->run);
    assert_int_equal(cudaFree(e->workspace), 0);
    drop(&e->x);
    drop(&e->y);
}

static void plant_missing_uid(struct executed *e)
{
    e->run.count--;
}

static void plant_unknown_uid(struct executed *e)
{
    e->run.uids[e->run.count] = 77;
    e->run.pointers[e->run.count++] = e->x.device;
}

static void plant_misaligned(struct executed *e)
{
    e->run.pointers[0] = (char *)e->x.device + 2;
}

static void plant_host_pointer(struct executed *e)
{
    static _Alignas(16) char host[4096];
    e->run.pointers[0] = host;
}

static void plant_short_buffer(struct executed *e)
{
    e->run.pointers[0] = e->workspace;
    e->workspace = e->x.device;
    e->x.device = e->run.pointers[0];
}

static void plant_null_buffer(struct executed *e)
{
    e->run.pointers[1] = NULL;
}

static void plant_in_place(struct executed *e)
{
    e->run.pointers[1] = e->run.pointers[0];
}

static void plant_no_workspace(struct executed *e)
{
    e->run.workspace = NULL;
}

static void plant_host_workspace(struct executed *e)
{
    static _Alignas(16) char host[256];
    e->run.workspace = host;
}

static void plant_workspace_on_tensor(struct executed *e)
{
    e->run.workspace = e->x.device;
}

static const struct {
    void (*plant)(struct executed *e);
    cudnnStatus_t status;
    const char *message;
} execution_plants[] = {
    {plant_missing_uid, CUDNN_STATUS_BAD_PARAM, "not in the variant pack"},
    {plant_unknown_uid, CUDNN_STATUS_BAD_PARAM, "not in the graph"},
    {plant_misaligned, CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER, "not aligned"},
    {plant_host_pointer, CUDNN_STATUS_BAD_PARAM, "host memory"},
    {plant_short_buffer, CUDNN_STATUS_BAD_PARAM, "needs 1600 bytes of device memory"},
    {plant_null_buffer, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "null"},
    {plant_in_place, CUDNN_STATUS_BAD_PARAM, "share memory"},
    {plant_no_workspace, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "needs a workspace"},
    {plant_host_workspace, CUDNN_STATUS_BAD_PARAM, "the workspace needs"},
    {plant_workspace_on_tensor, CUDNN_STATUS_BAD_PARAM, "share memory"},
};

static void test_refused_executions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof execution_plants / sizeof execution_plants[0]; i++) {
        struct executed e;
        begin_execution(&e);
        e.run.workspace = e.workspace;
        execution_plants[i].plant(&e);
        cudnnBackendDescriptor_t pack = pack_of(&e.run, e.run.workspace);
        assert_int_equal(e.run.graph.status, CUDNN_STATUS_SUCCESS);
        cudnnStatus_t status = cudnnBackendExecute(e.run.handle, e.run.chosen.plan, pack);
        if (status != execution_plants[i].status)
            fail_msg("\"%s\": status %d, expected %d", execution_plants[i].message, status,
                execution_plants[i].status);
        expect_misuse(execution_plants[i].message);
        e.run.workspace = NULL;
        end_execution(&e);
    }
}

static void test_refused_packs(void **state)
{
    (void)state;
    struct executed e;
    begin_execution(&e);
    e.run.uids[1] = e.run.uids[0];
    pack_of(&e.run, e.workspace);
    assert_int_equal(e.run.graph.status, CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES);
    expect_misuse("twice");
    assert_int_equal(cudnnBackendExecute(e.run.handle, e.run.chosen.plan, e.run.chosen.plan),
        CUDNN_STATUS_BAD_PARAM);
    expect_misuse("not a live plan and a live variant pack");
    end_execution(&e);
}

// The workspace is scratch: whoever keeps something there loses it.
static void test_workspace_is_overwritten(void **state)
{
    (void)state;
    struct executed e;
    begin_execution(&e);
    char before[16] = "kept";
    assert_int_equal(cudaMemcpy(e.workspace, before, 16, cudaMemcpyHostToDevice), 0);
    assert_int_equal(
        cudnnBackendExecute(e.run.handle, e.run.chosen.plan, pack_of(&e.run, e.workspace)), 0);
    assert_int_equal(cudaMemcpy(before, e.workspace, 16, cudaMemcpyDeviceToHost), 0);
    assert_true(before[0] == (char)0xff);
    end_execution(&e);
}

// Captured, work runs at each launch on what is then in memory; and not on memory that is gone.
static void test_capture(void **state)
{
    (void)state;
    struct executed e;
    cudaStream_t stream;
    cudaGraph_t captured;
    cudaGraphExec_t launched;
    begin_execution(&e);
    assert_int_equal(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), 0);
    assert_int_equal(cudnnSetStream(e.run.handle, stream), 0);
    cudnnBackendDescriptor_t pack = pack_of(&e.run, e.workspace);
    assert_int_equal(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), 0);
    assert_int_equal(cudnnBackendExecute(e.run.handle, e.run.chosen.plan, pack), 0);
    assert_int_equal(cudaStreamEndCapture(stream, &captured), 0);
    assert_int_equal(cudaGraphInstantiate(&launched, captured, 0), 0);
    graph_end(&e.run.graph); // the captured graph needs none of it
    for (int i = 0; i < 2; i++) {
        for (int64_t j = 0; j < e.x.count; j++)
            e.x.v[j] = rounded(HALF, random_unit());
        upload(&e.x);
        assert_int_equal(cudaGraphLaunch(launched, stream), 0);
        assert_int_equal(cudaStreamSynchronize(stream), 0);
        download(&e.y);
        for (int64_t j = 0; j < e.y.count; j++)
            if (e.y.v[j] != fmax(e.x.v[j], 0))
                fail_msg(
                    "launch %d, element %lld: ReLU(%g) is %g", i, (long long)j, e.x.v[j], e.y.v[j]);
    }
    drop(&e.x);
    assert_int_equal(cudaGraphLaunch(launched, stream), 0);
    assert_int_equal(cudaStreamSynchronize(stream), cudaErrorIllegalAddress);
    expect_misuse("cuDNN's work runs on device memory");
    free(e.y.v);
    sim_reset(); // the context is lost
}

// ---- saved plans

static char *saved_plan(cudnnBackendDescriptor_t plan)
{
    int64_t size = 0;
    assert_int_equal(cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                         CUDNN_TYPE_CHAR, 0, &size, NULL),
        0);
    char *text = calloc(1, (size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                         CUDNN_TYPE_CHAR, size, &size, text),
        0);
    return text;
}

static cudnnStatus_t reload(
    struct graph *graph, cudnnHandle_t handle, const char *text, cudnnBackendDescriptor_t *plan)
{
    *plan = graph_create(graph, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    graph_set(graph, *plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
        (int64_t)strlen(text), text);
    graph_set(graph, *plan, (cudnnBackendAttributeName_t)400, CUDNN_TYPE_HANDLE, 1, &handle);
    assert_int_equal(graph->status, CUDNN_STATUS_SUCCESS);
    return cudnnBackendFinalize(*plan);
}

static void replace(char *text, const char *from, const char *to)
{
    char *found = strstr(text, from);
    assert_non_null(found);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(found, to, strlen(to));
}

static void test_saved_plans(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        cudnnStatus_t status;
    } damages[] = {
        {"{", " ", CUDNN_STATUS_BAD_PARAM},
        {"\"engine\":", "\"engi#e\":", CUDNN_STATUS_BAD_PARAM},
        {"\"engine\":65", "\"engine\":99", CUDNN_STATUS_BAD_PARAM},
        {"\"dims\"", "\"dime\"", CUDNN_STATUS_BAD_PARAM},
        {"\"cudnnVersion\":9", "\"cudnnVersion\":8", CUDNN_STATUS_SERIALIZATION_VERSION_MISMATCH},
        {"\"deviceVer\":900", "\"deviceVer\":800", CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH},
    };
    const struct conv_case *of = &conv_cases[4];
    struct conv a = make_conv(HALF, of);
    struct run run;
    begin(&run);
    cudnnBackendDescriptor_t x = given(&run, &a.x), w = given(&run, &a.w), y = given(&run, &a.y);
    graph_convolution(&run.graph, PASS_FORWARD, of->window, x, w, y);
    struct admitted one = careful;
    choose(&run, one);
    char *text = saved_plan(run.chosen.plan);
    replace(text, "\"engine\":62", "\"engine\":65"); // another engine that there is
    graph_end(&run.graph);                           // all but the text is forgotten
    assert_int_equal(cudaFree(run.workspace), 0);
    run.workspace = NULL;
    assert_int_equal(reload(&run.graph, run.handle, text, &run.chosen.plan), 0);
    int64_t count = 0, workspace = 0;
    assert_int_equal(
        cudnnBackendGetAttribute(run.chosen.plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
            CUDNN_TYPE_INT64, 1, &count, &workspace),
        0);
    assert_int_equal(cudaMalloc(&run.workspace, (size_t)workspace), 0);
    execute(&run);
    check_conv("reloaded", &a, of->window, PASS_FORWARD);
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        char *damaged = strdup(text);
        cudnnBackendDescriptor_t plan;
        replace(damaged, damages[i].from, damages[i].to);
        assert_int_equal(reload(&run.graph, run.handle, damaged, &plan), damages[i].status);
        free(damaged);
    }
    assert_int_equal(sim_failures(), 0); // what was read from a disk may be damaged
    free(text);
    end(&run);
    drop_conv(&a);
}

static void test_plan_of_another_device(void **state)
{
    (void)state;
    struct executed e;
    begin_execution(&e);
    char *text = saved_plan(e.run.chosen.plan);
    end_execution(&e);
    sim_reset();
    assert_true(sim_pose_as("a100"));
    struct run run;
    cudnnBackendDescriptor_t plan;
    begin(&run);
    assert_int_equal(
        reload(&run.graph, run.handle, text, &plan), CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH);
    end(&run);
    free(text);
}

// ---- handles, injections, leaks

static void test_handles(void **state)
{
    (void)state;
    cudnnHandle_t handle;
    cudaStream_t stream;
    assert_true(cudnnGetVersion() == CUDNN_VERSION);
    assert_string_equal(cudnnGetErrorString(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED),
        "CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED");
    assert_int_equal(cudnnCreate(&handle), 0);
    assert_int_equal(cudaStreamCreate(&stream), 0);
    assert_int_equal(cudnnSetStream(handle, stream), 0);
    assert_int_equal(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), 0);
    cudnnHandle_t second;
    assert_int_equal(cudnnCreate(&second), CUDNN_STATUS_INTERNAL_ERROR);
    expect_misuse("capturing");
    cudaGraph_t graph;
    if (cudaStreamEndCapture(stream, &graph) == cudaSuccess)
        cudaGraphDestroy(graph);
    sim_take_failures();
    assert_int_equal(cudaStreamDestroy(stream), 0);
    assert_int_equal(cudnnSetStream(handle, stream), CUDNN_STATUS_BAD_PARAM);
    expect_misuse("not a live stream");
    assert_int_equal(cudnnDestroy(handle), 0);
    assert_int_equal(cudnnDestroy(handle), CUDNN_STATUS_BAD_PARAM);
    expect_misuse("not a live handle");
    sim_reset();
    assert_true(sim_pose_as("none"));
    assert_int_equal(cudnnCreate(&handle), CUDNN_STATUS_NOT_INITIALIZED);
}

static void test_descriptors_that_are_not_live(void **state)
{
    (void)state;
    cudnnBackendDescriptor_t made;
    int64_t uid = 1;
    assert_int_equal(cudnnBackendCreateDescriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR, &made), 0);
    assert_int_equal(sim_live(), 1); // what is not given back is told of
    assert_int_equal(cudnnBackendDestroyDescriptor(made), 0);
    assert_int_equal(cudnnBackendDestroyDescriptor(made), CUDNN_STATUS_BAD_PARAM);
    expect_misuse("not a live descriptor");
    assert_int_equal(
        cudnnBackendSetAttribute(made, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid),
        CUDNN_STATUS_BAD_PARAM);
    expect_misuse("not a live descriptor");
    assert_int_equal(cudnnBackendFinalize(made), CUDNN_STATUS_BAD_PARAM);
    expect_misuse("not a live descriptor");
}

static void test_injected(void **state)
{
    (void)state;
    cudnnHandle_t handle;
    struct graph graph;
    sim_inject("cudnnCreate", 1, CUDNN_STATUS_NOT_INITIALIZED);
    assert_int_equal(cudnnCreate(&handle), CUDNN_STATUS_NOT_INITIALIZED);
    sim_inject("cudnnBackendFinalize", 2, CUDNN_STATUS_INTERNAL_ERROR);
    graph_begin(&graph);
    graph_tensor(&graph, HALF, SHAPE);
    assert_int_equal(graph.status, CUDNN_STATUS_SUCCESS);
    graph_tensor(&graph, HALF, SHAPE);
    assert_int_equal(graph.status, CUDNN_STATUS_INTERNAL_ERROR);
    graph_end(&graph);
    assert_int_equal(sim_calls("cudnnBackendFinalize"), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_convolutions),
        TEST(test_nan_in_a_convolution),
        TEST(test_notes),
        TEST(test_bias_relu),
        TEST(test_fused_data_gradient),
        TEST(test_pointwise),
        TEST(test_select),
        TEST(test_reductions),
        TEST(test_norm_training),
        TEST(test_norm_backward),
        TEST(test_candidates),
        TEST(test_no_engine),
        TEST(test_refused_graphs),
        TEST(test_refused_executions),
        TEST(test_refused_packs),
        TEST(test_workspace_is_overwritten),
        TEST(test_capture),
        TEST(test_saved_plans),
        TEST(test_plan_of_another_device),
        TEST(test_handles),
        TEST(test_descriptors_that_are_not_live),
        TEST(test_injected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
