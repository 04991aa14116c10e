// Convolutions and batch norm as cuDNN graphs, and the engines that may compute them, on the
// simulated device: every admitted engine of every kind and type against plain loops in double
// precision; what the notes admit; what is refused; what a failing call leaves behind.
#include "backend/cuda/engine.h"
#include "cuda/rig.h"
#include "net/net.h"
#include "simcuda.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"

enum {
    CANDIDATES = 16
};

static cudnnHandle_t cudnn;
static const struct fm_cuda_caps careful = {
    .major = 9, .minor = 0, .workspace = FM_CUDA_WORKSPACE_LIMIT};
static const enum fm_cuda_type types[] = {FM_CUDA_F32, FM_CUDA_F16, FM_CUDA_BF16};

static struct fm_cuda_graph_spec a_spec(enum fm_cuda_graph_kind kind, enum fm_cuda_type type)
{
    return (struct fm_cuda_graph_spec){.kind = kind,
        .type = type,
        .n = 3,
        .h = 7,
        .w = 6,
        .c = 8,
        .k = 16,
        .kernel = 3,
        .padding = 1};
}

// ---- a graph's tensors, and what is expected in them

struct problem {
    struct fm_cuda_graph_spec spec;
    int oh, ow; // of the output
    struct rig_tensor at[FM_TENSOR_ROLES];
    double *expected[FM_TENSOR_ROLES]; // of outputs
    void *tensors[FM_TENSOR_ROLES];
};

static size_t product(int a, int b, int c, int d)
{
    return (size_t)a * (size_t)b * (size_t)c * (size_t)d;
}

static double *expect(struct problem *p, enum fm_cuda_role role)
{
    return p->expected[role] = rig_host(p->at[role].count * sizeof(double));
}

static void bind(struct problem *p, enum fm_cuda_role role, enum fm_cuda_type type, size_t count,
    enum rig_fill fill)
{
    p->at[role] = rig_tensor(type, count, fill);
    p->tensors[role] = p->at[role].device;
}

static double value(const struct problem *p, enum fm_cuda_role role, size_t i)
{
    return (double)p->at[role].values[i];
}

typedef void product_fn(struct problem *p, size_t x, size_t weight, size_t y);

static size_t place(int outer, int rows, int row, int columns, int column)
{
    return ((size_t)outer * (size_t)rows + (size_t)row) * (size_t)columns + (size_t)column;
}

// Calls f for each product of a convolution: elements of x (or dx), weight and y (or dy).
static void each_product(struct problem *p, product_fn *f)
{
    const struct fm_cuda_graph_spec *s = &p->spec;
    for (int i = 0; i < s->n * p->oh * p->ow * s->kernel * s->kernel; i++) {
        int column = i % s->kernel, row = i / s->kernel % s->kernel;
        int pixel = i / s->kernel / s->kernel;
        int w = pixel % p->ow + column - s->padding, h = pixel / p->ow % p->oh + row - s->padding;
        if (h < 0 || h >= s->h || w < 0 || w >= s->w)
            continue;
        size_t x = place(pixel / p->ow / p->oh, s->h, h, s->w, w) * (size_t)s->c;
        for (int k = 0; k < s->k; k++)
            for (int c = 0; c < s->c; c++)
                f(p, x + (size_t)c,
                    place(k, s->kernel, row, s->kernel, column) * (size_t)s->c + (size_t)c,
                    (size_t)pixel * (size_t)s->k + (size_t)k);
    }
}

static void add_to_y(struct problem *p, size_t x, size_t weight, size_t y)
{
    p->expected[FM_TENSOR_Y][y] += value(p, FM_TENSOR_X, x) * value(p, FM_TENSOR_WEIGHT, weight);
}

static void add_to_dx(struct problem *p, size_t x, size_t weight, size_t y)
{
    p->expected[FM_TENSOR_DX][x] += value(p, FM_TENSOR_DY, y) * value(p, FM_TENSOR_WEIGHT, weight);
}

static void add_to_dweight(struct problem *p, size_t x, size_t weight, size_t y)
{
    p->expected[FM_TENSOR_DWEIGHT][weight] += value(p, FM_TENSOR_X, x) * value(p, FM_TENSOR_DY, y);
}

static void expect_conv(struct problem *p)
{
    enum fm_cuda_graph_kind kind = p->spec.kind;
    if (kind == FM_GRAPH_CONV_DATA) {
        expect(p, FM_TENSOR_DX);
        each_product(p, add_to_dx);
        return;
    }
    if (kind == FM_GRAPH_CONV_WEIGHTS) {
        expect(p, FM_TENSOR_DWEIGHT);
        each_product(p, add_to_dweight);
        return;
    }
    double *y = expect(p, FM_TENSOR_Y);
    each_product(p, add_to_y);
    for (size_t i = 0; i < p->at[FM_TENSOR_Y].count && kind != FM_GRAPH_CONV; i++) {
        y[i] += value(p, FM_TENSOR_BIAS, i % (size_t)p->spec.k);
        y[i] = kind == FM_GRAPH_CONV_BIAS_RELU ? fmax(y[i], 0) : y[i];
    }
}

static void expect_norm(struct problem *p)
{
    size_t channels = (size_t)p->spec.c, count = p->at[FM_TENSOR_X].count;
    double pixels = (double)(count / channels);
    double *y = expect(p, FM_TENSOR_Y), *mean = expect(p, FM_TENSOR_MEAN);
    double *inverse = expect(p, FM_TENSOR_INVERSE), *variance = expect(p, FM_TENSOR_BATCH_VARIANCE);
    for (size_t i = 0; i < count; i++)
        mean[i % channels] += value(p, FM_TENSOR_X, i) / pixels;
    for (size_t i = 0; i < count; i++)
        variance[i % channels] += pow(value(p, FM_TENSOR_X, i) - mean[i % channels], 2);
    for (size_t c = 0; c < channels; c++) {
        inverse[c] = 1 / sqrt(variance[c] / pixels + (double)FM_BATCHNORM_EPSILON);
        variance[c] /= pixels - 1;
    }
    memcpy(expect(p, FM_TENSOR_BATCH_MEAN), mean, channels * sizeof *mean);
    for (size_t i = 0; i < count; i++) {
        size_t c = i % channels;
        y[i] = (value(p, FM_TENSOR_X, i) - mean[c]) * inverse[c] * value(p, FM_TENSOR_SCALE, c) +
               value(p, FM_TENSOR_SHIFT, c);
        y[i] = p->spec.kind == FM_GRAPH_NORM_RELU ? fmax(y[i], 0) : y[i];
    }
}

static double normal(const struct problem *p, size_t i)
{
    size_t c = i % (size_t)p->spec.c;
    return (value(p, FM_TENSOR_X, i) - value(p, FM_TENSOR_MEAN, c)) *
           value(p, FM_TENSOR_INVERSE, c);
}

// The gradient in front of the ReLU, if there is one.
static double gated(const struct problem *p, size_t i)
{
    size_t c = i % (size_t)p->spec.c;
    bool open = p->spec.kind == FM_GRAPH_NORM_BACKWARD ||
                normal(p, i) * value(p, FM_TENSOR_SCALE, c) + value(p, FM_TENSOR_SHIFT, c) > 0;
    return open ? value(p, FM_TENSOR_DY, i) : 0;
}

static void expect_norm_backward(struct problem *p)
{
    size_t channels = (size_t)p->spec.c, count = p->at[FM_TENSOR_X].count;
    double pixels = (double)(count / channels);
    double *dx = expect(p, FM_TENSOR_DX), *dscale = expect(p, FM_TENSOR_DSCALE);
    double *dshift = expect(p, FM_TENSOR_DSHIFT);
    for (size_t i = 0; i < count; i++) {
        dshift[i % channels] += gated(p, i);
        dscale[i % channels] += gated(p, i) * normal(p, i);
    }
    for (size_t i = 0; i < count; i++) {
        size_t c = i % channels;
        dx[i] = value(p, FM_TENSOR_SCALE, c) * value(p, FM_TENSOR_INVERSE, c) *
                (gated(p, i) - dshift[c] / pixels - normal(p, i) * dscale[c] / pixels);
    }
}

static void bind_norm(struct problem *p)
{
    const struct fm_cuda_graph_spec *s = &p->spec;
    size_t image = product(s->n, s->h, s->w, s->c), c = (size_t)s->c;
    bool backward = s->kind >= FM_GRAPH_NORM_BACKWARD;
    bind(p, FM_TENSOR_X, s->type, image, RIG_RANDOM);
    bind(p, FM_TENSOR_SCALE, FM_CUDA_F32, c, RIG_RANDOM);
    bind(p, FM_TENSOR_SHIFT, FM_CUDA_F32, c, RIG_RANDOM);
    bind(p, FM_TENSOR_MEAN, FM_CUDA_F32, c, backward ? RIG_RANDOM : RIG_UNSET);
    bind(p, FM_TENSOR_INVERSE, FM_CUDA_F32, c, backward ? RIG_POSITIVE : RIG_UNSET);
    if (backward) {
        bind(p, FM_TENSOR_DY, s->type, image, RIG_RANDOM);
        bind(p, FM_TENSOR_DX, s->type, image, RIG_UNSET);
        bind(p, FM_TENSOR_DSCALE, FM_CUDA_F32, c, RIG_UNSET);
        bind(p, FM_TENSOR_DSHIFT, FM_CUDA_F32, c, RIG_UNSET);
        expect_norm_backward(p);
    } else {
        bind(p, FM_TENSOR_Y, s->type, image, RIG_UNSET);
        bind(p, FM_TENSOR_BATCH_MEAN, FM_CUDA_F32, c, RIG_UNSET);
        bind(p, FM_TENSOR_BATCH_VARIANCE, FM_CUDA_F32, c, RIG_UNSET);
        void *zeros = rig_device(rig_host(c * sizeof(float)), c * sizeof(float));
        p->tensors[FM_TENSOR_RUNNING_MEAN] = p->tensors[FM_TENSOR_RUNNING_VARIANCE] = zeros;
        expect_norm(p);
    }
}

static void bind_conv(struct problem *p)
{
    const struct fm_cuda_graph_spec *s = &p->spec;
    bool data = s->kind == FM_GRAPH_CONV_DATA, weights = s->kind == FM_GRAPH_CONV_WEIGHTS;
    enum rig_fill unset = RIG_UNSET, random = RIG_RANDOM;
    size_t x = product(s->n, s->h, s->w, s->c), y = product(s->n, p->oh, p->ow, s->k);
    bind(p, data ? FM_TENSOR_DX : FM_TENSOR_X, s->type, x, data ? unset : random);
    bind(p, weights ? FM_TENSOR_DWEIGHT : FM_TENSOR_WEIGHT, s->type,
        product(s->k, s->kernel, s->kernel, s->c), weights ? unset : random);
    bind(p, data || weights ? FM_TENSOR_DY : FM_TENSOR_Y, s->type, y,
        data || weights ? random : unset);
    bind(p, FM_TENSOR_BIAS, s->type, (size_t)s->k, random);
    expect_conv(p);
}

static struct problem pose(struct fm_cuda_graph_spec spec)
{
    struct problem p = {.spec = spec,
        .oh = spec.h + 2 * spec.padding - spec.kernel + 1,
        .ow = spec.w + 2 * spec.padding - spec.kernel + 1};
    if (spec.kind >= FM_GRAPH_NORM)
        bind_norm(&p);
    else
        bind_conv(&p);
    return p;
}

// An engine may store the convolution in its type before it adds the bias, of up to 2: the sum is
// rounded twice then, the first time by as much as is due to a value that is larger by the bias.
static bool may_round_twice(const struct problem *p, int role)
{
    return role == FM_TENSOR_Y && p->spec.type != FM_CUDA_F32 &&
           (p->spec.kind == FM_GRAPH_CONV_BIAS || p->spec.kind == FM_GRAPH_CONV_BIAS_RELU);
}

static void compare(struct problem *p)
{
    static const double tolerances[] = {
        [FM_CUDA_F32] = 2e-6, [FM_CUDA_F16] = 0x1p-11, [FM_CUDA_BF16] = 0x1p-8};
    for (int role = 0; role < FM_TENSOR_ROLES; role++) {
        if (!p->expected[role])
            continue;
        char what[32];
        snprintf(what, sizeof what, "tensor %d", role);
        rig_read(&p->at[role]);
        double tolerance = tolerances[p->at[role].type];
        double scale = p->at[role].type == FM_CUDA_F32 ? 16 : 0.05;
        if (may_round_twice(p, role))
            rig_close(what, &p->at[role], p->expected[role], 2 * tolerance, 1 + scale);
        else
            rig_close(what, &p->at[role], p->expected[role], tolerance, scale);
    }
}

// ---- engines

struct engines {
    struct fm_cuda_graph *graph;
    struct fm_cuda_candidate all[CANDIDATES];
    int count, seen;
};

static enum fm_status find(struct engines *e, const struct fm_cuda_graph_spec *spec,
    const struct fm_cuda_target *target, const struct fm_cuda_caps *caps, bool precompiled_first)
{
    *e = (struct engines){0};
    FM_TRY(fm_cuda_graph_create(spec, target->handle, &e->graph));
    return fm_cuda_engine_candidates(
        e->graph, spec, target, caps, precompiled_first, e->all, CANDIDATES, &e->count, &e->seen);
}

static struct engines found(struct fm_cuda_graph_spec spec, const struct fm_cuda_caps *caps)
{
    struct engines e;
    assert_ok(find(&e, &spec, &(struct fm_cuda_target){.handle = cudnn}, caps, false));
    return e;
}

static void drop(struct engines *e)
{
    while (e->count > 0)
        fm_cuda_candidate_destroy(&e->all[--e->count]);
    fm_cuda_graph_destroy(e->graph);
    e->graph = NULL;
}

static bool has_note(const struct fm_cuda_candidate *c, cudnnBackendNumericalNote_t note)
{
    for (int i = 0; i < c->note_count; i++)
        if (c->notes[i] == note)
            return true;
    return false;
}

static bool any_has(const struct engines *e, cudnnBackendNumericalNote_t note)
{
    for (int i = 0; i < e->count; i++)
        if (has_note(&e->all[i], note))
            return true;
    return false;
}

static const struct fm_cuda_candidate *named(const struct engines *e, const char *name)
{
    for (int i = 0; i < e->count; i++)
        if (strcmp(e->all[i].name, name) == 0)
            return &e->all[i];
    return NULL;
}

// Every admitted engine computes the graph.
static void check_kind(struct fm_cuda_graph_spec spec)
{
    char key[128];
    fm_cuda_graph_key(&spec, key, sizeof key);
    struct engines e = found(spec, &careful);
    assert_in_range(e.count, 1, e.seen);
    for (int i = 0; i < e.count; i++) {
        rig_case("%s, %s", key, e.all[i].name);
        struct problem p = pose(spec);
        void *workspace = e.all[i].workspace ? rig_device(NULL, (size_t)e.all[i].workspace) : NULL;
        assert_ok(fm_cuda_graph_run(&spec, e.all[i].plan, cudnn, p.tensors, workspace));
        compare(&p);
    }
    drop(&e);
}

// Batch norm in fp32 is not the backend's to ask for: cuDNN's engines round it to TF32 and have no
// note of that, so a device's would not be as close as fp32.
static bool is_asked_for(enum fm_cuda_graph_kind kind, enum fm_cuda_type type)
{
    return kind < FM_GRAPH_NORM || type != FM_CUDA_F32;
}

static void test_kinds(void **state)
{
    (void)state;
    for (enum fm_cuda_graph_kind kind = 0; kind < FM_GRAPH_KINDS; kind++)
        for (size_t type = 0; type < sizeof types / sizeof types[0]; type++)
            if (is_asked_for(kind, types[type]))
                check_kind(a_spec(kind, types[type]));
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct fm_cuda_graph_spec odd[] = {
        {FM_GRAPH_CONV_BIAS_RELU, FM_CUDA_F16, 1, 5, 9, 1, 24, 3, 0},
        {FM_GRAPH_CONV_WEIGHTS, FM_CUDA_F16, 2, 5, 9, 1, 24, 3, 0},
        {FM_GRAPH_CONV, FM_CUDA_BF16, 2, 4, 4, 3, 8, 1, 0},
        {FM_GRAPH_CONV_DATA, FM_CUDA_F32, 2, 6, 8, 5, 7, 5, 2},
        {FM_GRAPH_CONV_BIAS, FM_CUDA_F32, 2, 3, 3, 4, 10, 3, 0}, // to one pixel
        // Of few images some channel's values would lie so close together that what rounding leaves
        // of their variance is the engine's own.
        {FM_GRAPH_NORM_RELU, FM_CUDA_F16, 33, 1, 1, 16, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        check_kind(odd[i]);
}

// A run that was captured is replayed when fm_cuda_graph_run() and its scalars are long gone.
static void test_captured(void **state)
{
    (void)state;
    rig_case("captured norm");
    struct problem p = pose(a_spec(FM_GRAPH_NORM_RELU, FM_CUDA_F16));
    struct engines e = found(p.spec, &careful);
    void *workspace = rig_device(NULL, (size_t)e.all[0].workspace);
    cudaGraph_t graph;
    cudaGraphExec_t replayed;
    // The first run loads what the engine consists of, which a capture may not wait for.
    assert_ok(fm_cuda_graph_run(&p.spec, e.all[0].plan, cudnn, p.tensors, workspace));
    assert_int_equal(cudaStreamSynchronize(rig_stream()), 0);
    assert_int_equal(cudaStreamBeginCapture(rig_stream(), cudaStreamCaptureModeThreadLocal), 0);
    assert_ok(fm_cuda_graph_run(&p.spec, e.all[0].plan, cudnn, p.tensors, workspace));
    assert_int_equal(cudaStreamEndCapture(rig_stream(), &graph), 0);
    assert_int_equal(cudaGraphInstantiate(&replayed, graph, 0), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cudaGraphLaunch(replayed, rig_stream()), 0);
        compare(&p);
    }
    assert_int_equal(cudaGraphExecDestroy(replayed), 0);
    assert_int_equal(cudaGraphDestroy(graph), 0);
    drop(&e);
}

// ---- which engines

static void test_notes(void **state)
{
    (void)state;
    static const cudnnBackendNumericalNote_t never[] = {
        CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS,
        CUDNN_NUMERICAL_NOTE_WINOGRAD, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4,
        CUDNN_NUMERICAL_NOTE_FFT};
    struct fm_cuda_caps lax = {
        .tf32 = true, .nondeterministic = true, .workspace = FM_CUDA_WORKSPACE_LIMIT};
    for (size_t type = 0; type < sizeof types / sizeof types[0]; type++)
        for (int is_lax = 0; is_lax < 2; is_lax++) {
            struct fm_cuda_graph_spec spec = a_spec(FM_GRAPH_CONV_WEIGHTS, types[type]);
            struct engines e = found(spec, is_lax ? &lax : &careful);
            for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
                assert_false(any_has(&e, never[i]));
            assert_int_equal(any_has(&e, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC), is_lax);
            assert_int_equal(any_has(&e, CUDNN_NUMERICAL_NOTE_TENSOR_CORE),
                types[type] != FM_CUDA_F32 || is_lax);
            drop(&e);
        }
}

// Names, order, what is left out: against the list that the simulator names (cudnn_engine.cc).
static void test_choice(void **state)
{
    (void)state;
    struct engines e = found(a_spec(FM_GRAPH_CONV, FM_CUDA_F16), &careful);
    assert_string_equal(e.all[0].name, "engine 62, 2=4 27=8");
    assert_false(e.all[0].runtime_compiled);
    assert_int_equal(e.all[0].workspace, 131);
    assert_non_null(named(&e, "engine 71"));
    assert_true(named(&e, "engine 71")->runtime_compiled);
    assert_null(named(&e, "engine 63")); // cannot be built
    assert_null(named(&e, "engine 67")); // wants 300 MiB
    int most = e.count;
    drop(&e);

    struct fm_cuda_caps roomy = careful, tight = careful;
    roomy.workspace = (int64_t)1 << 30;
    tight.workspace = 0;
    e = found(a_spec(FM_GRAPH_CONV, FM_CUDA_F16), &roomy);
    assert_non_null(named(&e, "engine 67"));
    assert_int_equal(e.count, most + 1);
    drop(&e);
    e = found(a_spec(FM_GRAPH_CONV, FM_CUDA_F16), &tight);
    for (int i = 0; i < e.count; i++)
        assert_int_equal(e.all[i].workspace, 0);
    drop(&e);
}

// Both modes of the heuristics name fp32's engine 28: it is one engine.
static void test_no_engine_twice(void **state)
{
    (void)state;
    struct engines e = found(a_spec(FM_GRAPH_CONV, FM_CUDA_F32), &careful);
    for (int i = 0; i < e.count; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(e.all[i].name, e.all[j].name);
    assert_non_null(named(&e, "engine 28"));
    assert_int_equal(e.seen, 10);
    drop(&e);
}

static void test_capacity(void **state)
{
    (void)state;
    struct fm_cuda_target target = {.handle = cudnn};
    struct fm_cuda_graph_spec spec = a_spec(FM_GRAPH_CONV, FM_CUDA_F16);
    struct engines e = {0};
    assert_ok(fm_cuda_graph_create(&spec, cudnn, &e.graph));
    assert_ok(fm_cuda_engine_candidates(
        e.graph, &spec, &target, &careful, false, e.all, 2, &e.count, &e.seen));
    assert_int_equal(e.count, 2);
    assert_true(e.seen > 2);
    drop(&e);
}

// Nothing is compiled that is not taken.
static void test_precompiled_first(void **state)
{
    (void)state;
    struct fm_cuda_target target = {.handle = cudnn};
    struct fm_cuda_graph_spec conv = a_spec(FM_GRAPH_CONV, FM_CUDA_F16);
    struct fm_cuda_graph_spec norm = a_spec(FM_GRAPH_NORM_RELU, FM_CUDA_F16);
    struct engines e = {0};
    assert_ok(fm_cuda_graph_create(&conv, cudnn, &e.graph));
    long before = sim_calls("cudnnBackendFinalize");
    assert_ok(fm_cuda_engine_candidates(
        e.graph, &conv, &target, &careful, true, e.all, CANDIDATES, &e.count, &e.seen));
    assert_int_equal(sim_calls("cudnnBackendFinalize") - before, 3); // two heuristics, one plan
    assert_int_equal(e.count, 1);
    assert_false(e.all[0].runtime_compiled);
    drop(&e);
    struct fm_cuda_caps tight = careful;
    tight.workspace = 0; // the heuristics' first is runtime-compiled then
    assert_ok(find(&e, &conv, &target, &tight, true));
    assert_int_equal(e.count, 1);
    assert_string_equal(e.all[0].name, "engine 0");
    drop(&e);
    assert_ok(find(&e, &norm, &target, &careful, true));
    assert_int_equal(e.count, 1);
    assert_true(e.all[0].runtime_compiled);
    drop(&e);
}

static void test_no_engine(void **state)
{
    (void)state;
    struct engines e;
    struct fm_cuda_target target = {.handle = cudnn};
    struct fm_cuda_caps none = careful;
    none.workspace = -1;
    struct fm_cuda_graph_spec spec = a_spec(FM_GRAPH_CONV_WEIGHTS, FM_CUDA_F32);
    assert_fails(find(&e, &spec, &target, &none, false), FM_UNSUPPORTED,
        "no admitted engine for graph conv weights fp32 n3 h7 w6 c8 k16 r3 p1: it names 11, of "
        "which 1 sum in less than fp32, 1 round their inputs, 1 use Winograd, 1 use an FFT, 1 "
        "round fp32 to TF32 "
        "(--tf32 admits them), 1 sum in any order (--allow-nondeterministic admits them), 5 need a "
        "larger workspace than the limit");
    drop(&e);
    spec = a_spec(FM_GRAPH_NORM, FM_CUDA_F16);
    spec.c = 60;
    assert_fails(find(&e, &spec, &target, &careful, false), FM_UNSUPPORTED,
        "no engine for graph norm fp16 n3 h7 w6 c60 on this GPU");
    drop(&e);
}

// ---- other devices

static void read_device(const char *name, char *text, size_t size)
{
    char path[512];
    snprintf(path, sizeof path, FM_TEST_SOURCE_DIR "/tests/simcuda/devices/%s.json", name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t length = fread(text, 1, size - 1, file);
    fclose(file);
    text[length] = '\0';
    assert_true(length > 0);
}

static void test_described(void **state)
{
    (void)state;
    char json[4096];
    struct fm_cuda_target target;
    read_device("h100", json, sizeof json);
    assert_ok(fm_cuda_target_describe(json, &target));
    for (int kind = 0; kind < FM_GRAPH_KINDS; kind++) {
        struct fm_cuda_graph_spec spec = a_spec((enum fm_cuda_graph_kind)kind, FM_CUDA_BF16);
        struct engines there, here = found(spec, &careful);
        assert_ok(find(&there, &spec, &target, &careful, false));
        assert_int_equal(there.seen, here.seen);
        assert_int_equal(there.count, here.count);
        for (int i = 0; i < here.count; i++)
            assert_string_equal(there.all[i].name, here.all[i].name);
        drop(&there);
        drop(&here);
    }
    cudnnBackendDestroyDescriptor(target.properties);

    assert_fails(
        fm_cuda_target_describe("{}", &target), FM_BACKEND, "the description of a GPU: cuDNN");
    assert_int_equal(sim_take_failures(), 1);
}

// A T4 has neither bf16 nor a batch norm of cuDNN's; its first choice for a weight gradient sums in
// fp16.
static void test_t4(void **state)
{
    (void)state;
    char json[4096];
    struct fm_cuda_target t4;
    struct engines e;
    read_device("t4", json, sizeof json);
    assert_ok(fm_cuda_target_describe(json, &t4));
    for (int kind = 0; kind < FM_GRAPH_KINDS; kind++) {
        struct fm_cuda_graph_spec spec = a_spec((enum fm_cuda_graph_kind)kind, FM_CUDA_F16);
        if (kind < FM_GRAPH_NORM)
            assert_ok(find(&e, &spec, &t4, &careful, true));
        else
            assert_fails(
                find(&e, &spec, &t4, &careful, true), FM_UNSUPPORTED, "the heuristics name none");
        drop(&e);
        spec.type = FM_CUDA_BF16;
        assert_fails(find(&e, &spec, &t4, &careful, true), FM_UNSUPPORTED, "bf16 n3 h7 w6 c8");
        drop(&e);
    }
    struct fm_cuda_graph_spec spec = a_spec(FM_GRAPH_CONV_WEIGHTS, FM_CUDA_F16);
    assert_ok(find(&e, &spec, &t4, &careful, false));
    assert_null(named(&e, "engine 26"));
    drop(&e);
    cudnnBackendDestroyDescriptor(t4.properties);
}

// ---- keys, refusals, failures

static void test_keys(void **state)
{
    (void)state;
    struct fm_cuda_graph_spec spec = {
        FM_GRAPH_CONV_BIAS_RELU, FM_CUDA_F16, 256, 28, 28, 1, 32, 3, 0};
    char key[128], short_key[8];
    fm_cuda_graph_key(&spec, key, sizeof key);
    assert_string_equal(key, "conv bias relu fp16 n256 h28 w28 c1 k32 r3 p0");
    fm_cuda_graph_key(&spec, short_key, sizeof short_key);
    assert_string_equal(short_key, "conv bi");
    spec.kind = FM_GRAPH_NORM_RELU_BACKWARD;
    fm_cuda_graph_key(&spec, key, sizeof key);
    assert_string_equal(key, "norm relu backward fp16 n256 h28 w28 c1");
}

static void test_refused_specs(void **state)
{
    (void)state;
    static const struct {
        struct fm_cuda_graph_spec spec;
        const char *message;
    } wrong[] = {
        {{FM_GRAPH_KINDS, FM_CUDA_F16, 1, 8, 8, 8, 8, 3, 1}, "no cuDNN graph of kind 9"},
        {{FM_GRAPH_CONV, (enum fm_cuda_type)7, 1, 8, 8, 8, 8, 3, 1}, "there is no type 7"},
        {{FM_GRAPH_CONV, FM_CUDA_F16, 0, 8, 8, 8, 8, 3, 1}, "n, h, w and c must be 1 or more"},
        {{FM_GRAPH_NORM, FM_CUDA_F16, 1, 8, -8, 8, 0, 0, 0}, "n, h, w and c must be 1 or more"},
        {{FM_GRAPH_CONV, FM_CUDA_F16, 1, 8, 8, 8, 0, 3, 1}, "k and r (its kernel)"},
        {{FM_GRAPH_CONV, FM_CUDA_F16, 1, 8, 8, 8, 8, 0, 0}, "k and r (its kernel)"},
        {{FM_GRAPH_CONV, FM_CUDA_F16, 1, 8, 8, 8, 8, 3, 3}, "the padding must be 0 to 2"},
        {{FM_GRAPH_CONV, FM_CUDA_F16, 1, 8, 8, 8, 8, 3, -1}, "the padding must be 0 to 2"},
        {{FM_GRAPH_CONV, FM_CUDA_F16, 1, 2, 8, 8, 8, 5, 1},
            "does not fit into the padded image of 4 x 10 pixels"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct fm_cuda_graph *graph = NULL;
        assert_fails(
            fm_cuda_graph_create(&wrong[i].spec, cudnn, &graph), FM_DATA, wrong[i].message);
        assert_null(graph);
    }
}

static const char *const functions[] = {"cudnnBackendCreateDescriptor", "cudnnBackendSetAttribute",
    "cudnnBackendFinalize", "cudnnBackendGetAttribute"};

// Each call on the way to a graph fails once: the message names the graph and the call.
static void test_failing_graph(void **state)
{
    (void)state;
    struct fm_cuda_graph_spec spec = a_spec(FM_GRAPH_NORM_RELU_BACKWARD, FM_CUDA_F16);
    for (int f = 0; f < 3; f++) {
        int live = sim_live();
        for (long nth = 1;; nth++) {
            struct fm_cuda_graph *graph = NULL;
            long before = sim_calls(functions[f]);
            sim_inject(functions[f], nth, CUDNN_STATUS_INTERNAL_ERROR);
            enum fm_status status = fm_cuda_graph_create(&spec, cudnn, &graph);
            sim_clear_injections();
            if (status == FM_OK) {
                assert_true(nth > 10 && sim_calls(functions[f]) - before < nth);
                fm_cuda_graph_destroy(graph);
                break;
            }
            assert_non_null(strstr(fm_error_message(), "graph norm relu backward fp16"));
            assert_fails(status, FM_BACKEND, functions[f]);
            assert_int_equal(sim_live(), live);
        }
        assert_int_equal(sim_live(), live);
    }
}

// One engine's configuration that cannot be read, or one mode of the heuristics that fails, costs
// what it would have named, and no other.
static void test_unreadable(void **state)
{
    (void)state;
    struct fm_cuda_target target = {.handle = cudnn};
    struct fm_cuda_graph_spec spec = a_spec(FM_GRAPH_CONV, FM_CUDA_F16);
    struct engines all = found(spec, &careful), e;
    int seen[3] = {0}; // searches that were an engine short, several, or none
    for (long nth = 1, calls = 1; nth <= calls; nth++) {
        long before = sim_calls("cudnnBackendGetAttribute");
        sim_inject("cudnnBackendGetAttribute", nth, CUDNN_STATUS_NOT_SUPPORTED);
        assert_ok(find(&e, &spec, &target, &careful, false));
        sim_clear_injections();
        calls = sim_calls("cudnnBackendGetAttribute") - before;
        assert_true(e.count > 0 && *fm_error_message() == '\0');
        for (int i = 0, at = 0; i < e.count; i++, at++) {
            while (at < all.count && strcmp(all.all[at].name, e.all[i].name) != 0)
                at++; // in the same order
            assert_true(at < all.count);
        }
        seen[e.count < all.count ? e.count < all.count - 1 : 2]++;
        drop(&e);
    }
    assert_true(seen[0] > 4 * all.count && seen[1] > 0 && seen[2] > 0);
    assert_int_equal(all.seen, 10);
    drop(&all);

    for (int mode = 1; mode <= 2; mode++) {
        e = (struct engines){0};
        assert_ok(fm_cuda_graph_create(&spec, cudnn, &e.graph));
        sim_inject("cudnnBackendFinalize", mode, CUDNN_STATUS_INTERNAL_ERROR);
        assert_ok(fm_cuda_engine_candidates(
            e.graph, &spec, &target, &careful, false, e.all, CANDIDATES, &e.count, &e.seen));
        assert_int_equal(named(&e, "engine 65") == NULL, mode == 1);
        assert_int_equal(named(&e, "engine 1") == NULL, mode == 2);
        drop(&e);
    }
}

// Nothing is left.
static void test_all_unreadable(void **state)
{
    (void)state;
    struct fm_cuda_target target = {.handle = cudnn};
    struct fm_cuda_graph_spec spec = a_spec(FM_GRAPH_NORM, FM_CUDA_F16);
    struct engines e;
    for (long nth = 3; nth <= 5; nth++) // each engine's first, behind two for the list
        sim_inject("cudnnBackendGetAttribute", nth, CUDNN_STATUS_NOT_SUPPORTED);
    assert_fails(find(&e, &spec, &target, &careful, false), FM_BACKEND,
        "engines of graph norm fp16 n3 h7 w6 c8: cuDNN: cudnnBackendGetAttribute: ");
    sim_clear_injections();
    drop(&e);
}

// Each call on the way to the engines fails once. What an engine or a mode cannot do is no failure:
// there are others. That there is no memory for another descriptor is.
static void test_failing_search(void **state)
{
    (void)state;
    struct fm_cuda_target target = {.handle = cudnn};
    struct fm_cuda_graph_spec spec = a_spec(FM_GRAPH_CONV, FM_CUDA_F16);
    struct engines e = {0};
    assert_ok(fm_cuda_graph_create(&spec, cudnn, &e.graph));
    int live = sim_live();
    for (int f = 0; f < 4; f++) {
        int failed = 0;
        long calls = 0;
        for (long nth = 1; nth == 1 || nth <= calls; nth++) {
            long before = sim_calls(functions[f]);
            sim_inject(functions[f], nth, CUDNN_STATUS_INTERNAL_ERROR);
            enum fm_status status = fm_cuda_engine_candidates(
                e.graph, &spec, &target, &careful, false, e.all, CANDIDATES, &e.count, &e.seen);
            sim_clear_injections();
            calls = sim_calls(functions[f]) - before > calls ? sim_calls(functions[f]) - before
                                                             : calls;
            if (status != FM_OK) {
                failed++;
                assert_int_equal(e.count, 0);
                assert_non_null(strstr(fm_error_message(), functions[f]));
                assert_fails(status, FM_BACKEND, "engines of graph conv fp16 n3 h7 w6 c8 k16");
            }
            while (e.count > 0)
                fm_cuda_candidate_destroy(&e.all[--e.count]);
            assert_int_equal(sim_live(), live);
        }
        assert_int_equal(failed > 0, f == 0);
    }
    drop(&e);
}

static void test_failing_runs(void **state)
{
    (void)state;
    static const char *const run_functions[] = {"cudnnBackendCreateDescriptor",
        "cudnnBackendSetAttribute", "cudnnBackendFinalize", "cudnnBackendExecute"};
    rig_case("failing runs");
    struct problem p = pose(a_spec(FM_GRAPH_NORM, FM_CUDA_F16));
    struct engines e = found(p.spec, &careful);
    void *workspace = rig_device(NULL, (size_t)e.all[0].workspace);
    int live = sim_live();
    for (int f = 0; f < 4; f++) {
        sim_inject(run_functions[f], 1, CUDNN_STATUS_EXECUTION_FAILED);
        enum fm_status status = fm_cuda_graph_run(
            &p.spec, e.all[0].plan, cudnn, p.tensors, workspace);
        assert_non_null(strstr(fm_error_message(), "running graph norm fp16 n3 h7 w6 c8"));
        assert_fails(status, FM_BACKEND, run_functions[f]);
        assert_int_equal(sim_live(), live);
    }
    for (int role = 0; role < FM_TENSOR_ROLES; role++) {
        void *kept = p.tensors[role];
        if (!kept)
            continue;
        char text[64];
        snprintf(text, sizeof text, "has no memory for its tensor %d ", role);
        p.tensors[role] = NULL;
        assert_fails(fm_cuda_graph_run(&p.spec, e.all[0].plan, cudnn, p.tensors, workspace),
            FM_BACKEND, text);
        p.tensors[role] = kept;
    }
    assert_ok(fm_cuda_graph_run(&p.spec, e.all[0].plan, cudnn, p.tensors, workspace));
    compare(&p);
    drop(&e);
}

// ---- the group

static int begin_group(void **state)
{
    return rig_begin(state) || cudnnCreate(&cudnn) != CUDNN_STATUS_SUCCESS ||
           cudnnSetStream(cudnn, rig_stream()) != CUDNN_STATUS_SUCCESS;
}

static int end_group(void **state)
{
    cudnnDestroy(cudnn);
    return rig_end(state);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, rig_test_end)
    const struct CMUnitTest tests[] = {
        TEST(test_kinds),
        TEST(test_sizes),
        TEST(test_captured),
        TEST(test_notes),
        TEST(test_choice),
        TEST(test_no_engine_twice),
        TEST(test_capacity),
        TEST(test_precompiled_first),
        TEST(test_no_engine),
        TEST(test_described),
        TEST(test_t4),
        TEST(test_keys),
        TEST(test_refused_specs),
        TEST(test_failing_graph),
        TEST(test_unreadable),
        TEST(test_all_unreadable),
        TEST(test_failing_search),
        TEST(test_failing_runs),
    };
    return cmocka_run_group_tests(tests, begin_group, end_group);
}
