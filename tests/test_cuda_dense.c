// Dense layers by cuBLASLt on the simulated device: each pass with each epilogue, in every type,
// fused and by own kernels, against plain loops in double precision; what is chosen, what is
// refused, and what a failing call leaves behind. The numbers are held on a real device, too
// (scripts/gpu_stages.py).
#include "backend/cuda/dense.h"
#include "cuda/rig.h"
#include "simcuda.h"
#include "simcuda/cublaslt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"

static cublasLtHandle_t lt;
static const struct fm_cuda_caps caps = {
    .major = 9, .minor = 0, .workspace = FM_CUDA_WORKSPACE_LIMIT};

// An epilogue, the pass that it belongs to, and what stands for it where it is refused.
static const struct fused {
    enum fm_cuda_dense_kind kind;
    enum fm_cuda_epilogue epilogue;
    uint32_t library;
    const char *own;
} fused[] = {
    {FM_DENSE_FORWARD, FM_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_BIAS, " + own bias"},
    {FM_DENSE_FORWARD, FM_EPILOGUE_BIAS_RELU, CUBLASLT_EPILOGUE_RELU_BIAS, " + own bias, ReLU"},
    {FM_DENSE_FORWARD, FM_EPILOGUE_BIAS_RELU_MASK, CUBLASLT_EPILOGUE_RELU_AUX_BIAS,
        " + own bias, ReLU"},
    {FM_DENSE_DATA, FM_EPILOGUE_GATE, CUBLASLT_EPILOGUE_DRELU, " + own ReLU gradient"},
    {FM_DENSE_DATA, FM_EPILOGUE_GATE_DBIAS, CUBLASLT_EPILOGUE_DRELU_BGRAD,
        " + own ReLU gradient, bias gradient"},
    {FM_DENSE_WEIGHTS, FM_EPILOGUE_DBIAS, CUBLASLT_EPILOGUE_BGRADB, " + own bias gradient"},
};

enum {
    FUSED = sizeof fused / sizeof fused[0],
    FRONT_INPUTS = 8, // of the layer that leaves a mask
};

// ---- a layer's tensors

struct layer {
    struct fm_cuda_dense_spec spec;
    struct fm_cuda_dense *dense;
    struct rig_tensor x, weight, bias, y; // forward; y is what the pass writes, in the others too
    struct rig_tensor dy, gate, dbias;
    void *tensors[FM_TENSOR_ROLES];
};

static size_t elements(int rows, int columns)
{
    return (size_t)rows * (size_t)columns;
}

static struct rig_tensor bind(struct layer *layer, enum fm_cuda_role role, enum fm_cuda_type type,
    size_t count, enum rig_fill fill)
{
    struct rig_tensor t = rig_tensor(type, count, fill);
    layer->tensors[role] = t.device;
    return t;
}

static struct layer create(const struct fm_cuda_dense_spec *spec, bool ungated)
{
    struct layer layer = {.spec = *spec};
    assert_ok(fm_cuda_dense_create(lt, &caps, spec, ungated, &layer.dense));
    int64_t workspace = fm_cuda_dense_workspace(layer.dense);
    if (workspace)
        layer.tensors[FM_TENSOR_WORKSPACE] = rig_device(NULL, (size_t)workspace);
    size_t scratch = fm_cuda_dense_scratch_bytes(spec);
    if (scratch)
        layer.tensors[FM_TENSOR_SCRATCH] = rig_device(NULL, scratch);
    return layer;
}

static void run(struct layer *layer)
{
    assert_ok(fm_cuda_dense_run(layer->dense, lt, layer->tensors, rig_stream()));
}

static struct layer create_forward(const struct fm_cuda_dense_spec *s)
{
    struct layer l = create(s, false);
    l.x = bind(&l, FM_TENSOR_X, s->type, elements(s->rows, s->inputs), RIG_RANDOM);
    l.weight = bind(&l, FM_TENSOR_WEIGHT, s->type, elements(s->outputs, s->inputs), RIG_RANDOM);
    l.y = bind(&l, FM_TENSOR_Y, s->y_type, elements(s->rows, s->outputs), RIG_UNSET);
    if (s->epilogue != FM_EPILOGUE_NONE)
        l.bias = bind(&l, FM_TENSOR_BIAS, s->y_type, (size_t)s->outputs, RIG_RANDOM);
    // Without one, a fallback that wrote it would be caught.
    if (s->epilogue == FM_EPILOGUE_BIAS_RELU_MASK && fm_cuda_dense_leaves_mask(l.dense))
        l.tensors[FM_TENSOR_MASK] = rig_device(NULL, fm_cuda_dense_mask_bytes(s->rows, s->outputs));
    return l;
}

// The layer in front of one whose data pass has a gate: its forward pass.
static struct layer run_front(const struct fm_cuda_dense_spec *s)
{
    struct fm_cuda_dense_spec front = {FM_DENSE_FORWARD, FM_EPILOGUE_BIAS_RELU_MASK, s->type,
        s->type, s->rows, FRONT_INPUTS, s->inputs};
    struct layer l = create_forward(&front);
    run(&l);
    rig_read(&l.y);
    fm_cuda_dense_destroy(l.dense);
    return l;
}

static struct layer create_data(const struct fm_cuda_dense_spec *s)
{
    struct layer front = {.tensors = {NULL}};
    bool gated = s->epilogue != FM_EPILOGUE_NONE;
    if (gated)
        front = run_front(s);
    void *mask = front.tensors[FM_TENSOR_MASK];
    struct layer l = create(s, gated && !mask);
    l.tensors[FM_TENSOR_MASK] = mask;
    if (gated) {
        l.gate = front.y;
        l.tensors[FM_TENSOR_GATE] = front.y.device;
    }
    l.weight = bind(&l, FM_TENSOR_WEIGHT, s->type, elements(s->outputs, s->inputs), RIG_RANDOM);
    l.dy = bind(&l, FM_TENSOR_DY, s->type, elements(s->rows, s->outputs), RIG_RANDOM);
    l.y = bind(&l, FM_TENSOR_DX, s->type, elements(s->rows, s->inputs), RIG_UNSET);
    if (s->epilogue == FM_EPILOGUE_GATE_DBIAS)
        l.dbias = bind(&l, FM_TENSOR_DBIAS, s->type, (size_t)s->inputs, RIG_UNSET);
    return l;
}

static struct layer create_weights(const struct fm_cuda_dense_spec *s)
{
    struct layer l = create(s, false);
    l.x = bind(&l, FM_TENSOR_X, s->type, elements(s->rows, s->inputs), RIG_RANDOM);
    l.dy = bind(&l, FM_TENSOR_DY, s->type, elements(s->rows, s->outputs), RIG_RANDOM);
    l.y = bind(&l, FM_TENSOR_DWEIGHT, s->type, elements(s->outputs, s->inputs), RIG_UNSET);
    if (s->epilogue == FM_EPILOGUE_DBIAS)
        l.dbias = bind(&l, FM_TENSOR_DBIAS, s->type, (size_t)s->outputs, RIG_UNSET);
    return l;
}

static struct layer create_any(const struct fm_cuda_dense_spec *s)
{
    return s->kind == FM_DENSE_FORWARD ? create_forward(s)
           : s->kind == FM_DENSE_DATA  ? create_data(s)
                                       : create_weights(s);
}

// ---- plain loops

static double *expect_forward(const struct layer *l)
{
    const struct fm_cuda_dense_spec *s = &l->spec;
    double *y = rig_host(l->y.count * sizeof *y);
    for (int n = 0; n < s->rows; n++)
        for (int o = 0; o < s->outputs; o++) {
            double sum = l->bias.values ? (double)l->bias.values[o] : 0.0;
            for (int i = 0; i < s->inputs; i++)
                sum += (double)l->x.values[n * s->inputs + i] *
                       (double)l->weight.values[o * s->inputs + i];
            bool relu = s->epilogue == FM_EPILOGUE_BIAS_RELU ||
                        s->epilogue == FM_EPILOGUE_BIAS_RELU_MASK;
            y[n * s->outputs + o] = relu && sum < 0.0 ? 0.0 : sum;
        }
    return y;
}

static double *expect_data(const struct layer *l)
{
    const struct fm_cuda_dense_spec *s = &l->spec;
    double *dx = rig_host(l->y.count * sizeof *dx);
    for (int n = 0; n < s->rows; n++)
        for (int i = 0; i < s->inputs; i++) {
            double sum = 0.0;
            for (int o = 0; o < s->outputs; o++)
                sum += (double)l->dy.values[n * s->outputs + o] *
                       (double)l->weight.values[o * s->inputs + i];
            bool open = !l->gate.values || l->gate.values[n * s->inputs + i] > 0.0f;
            dx[n * s->inputs + i] = open ? sum : 0.0;
        }
    return dx;
}

static double *expect_weights(const struct layer *l)
{
    const struct fm_cuda_dense_spec *s = &l->spec;
    double *dweight = rig_host(l->y.count * sizeof *dweight);
    for (int o = 0; o < s->outputs; o++)
        for (int i = 0; i < s->inputs; i++)
            for (int n = 0; n < s->rows; n++)
                dweight[o * s->inputs + i] += (double)l->dy.values[n * s->outputs + o] *
                                              (double)l->x.values[n * s->inputs + i];
    return dweight;
}

// The sum over rows of dx as expected, or of dy.
static double *expect_dbias(const struct layer *l, const double *dx)
{
    int columns = (int)l->dbias.count;
    double *sums = rig_host(l->dbias.count * sizeof *sums);
    for (int n = 0; n < l->spec.rows; n++)
        for (int c = 0; c < columns; c++)
            sums[c] += l->spec.kind == FM_DENSE_DATA ? dx[n * columns + c]
                                                     : (double)l->dy.values[n * columns + c];
    return sums;
}

static void check_results(struct layer *l)
{
    const struct fm_cuda_dense_spec *s = &l->spec;
    static const double tolerances[] = {
        [FM_CUDA_F32] = 1e-5, [FM_CUDA_F16] = 1e-3, [FM_CUDA_BF16] = 8e-3};
    double tolerance = tolerances[l->y.type];
    double *y = s->kind == FM_DENSE_FORWARD ? expect_forward(l)
                : s->kind == FM_DENSE_DATA  ? expect_data(l)
                                            : expect_weights(l);
    rig_read(&l->y);
    // Own kernels add a bias to what was rounded already, of about the sum's size.
    rig_close("the product", &l->y, y, tolerance, 16.0);
    if (l->dbias.values) {
        rig_read(&l->dbias);
        rig_close("the bias gradient", &l->dbias, expect_dbias(l, y), 2 * tolerance, 32.0);
    }
}

static void check_spec(const struct fm_cuda_dense_spec *spec)
{
    char key[128];
    fm_cuda_dense_key(spec, key, sizeof key);
    rig_case("%s", key);
    struct layer l = create_any(spec);
    run(&l);
    check_results(&l);
    fm_cuda_dense_destroy(l.dense);
}

// ---- the numbers

static const struct shape {
    int rows, inputs, outputs;
} shapes[] = {
    {1, 8, 8}, {7, 136, 24},    // masks, forward and backward, of more than 128 bits a row
    {3, 16, 264}, {70, 40, 16}, // a bias gradient in more than one part
};

// fp32 needs no multiples of anything.
static const struct shape odd[] = {{1, 1, 1}, {5, 13, 7}, {67, 10, 131}};

static struct fm_cuda_dense_spec spec_of(enum fm_cuda_dense_kind kind,
    enum fm_cuda_epilogue epilogue, enum fm_cuda_type type, const struct shape *shape)
{
    return (struct fm_cuda_dense_spec){
        kind, epilogue, type, type, shape->rows, shape->inputs, shape->outputs};
}

static void check_shapes(enum fm_cuda_dense_kind kind, enum fm_cuda_epilogue epilogue)
{
    for (int type = FM_CUDA_F32; type <= FM_CUDA_BF16; type++)
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
            struct fm_cuda_dense_spec spec = spec_of(
                kind, epilogue, (enum fm_cuda_type)type, &shapes[i]);
            check_spec(&spec);
        }
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        struct fm_cuda_dense_spec spec = spec_of(kind, epilogue, FM_CUDA_F32, &odd[i]);
        check_spec(&spec);
    }
}

// 16-bit operands, fp32 logits.
static void check_head(enum fm_cuda_epilogue epilogue)
{
    for (int type = FM_CUDA_F16; type <= FM_CUDA_BF16; type++) {
        struct fm_cuda_dense_spec spec = {
            FM_DENSE_FORWARD, epilogue, (enum fm_cuda_type)type, FM_CUDA_F32, 9, 40, 16};
        check_spec(&spec);
    }
}

// How often one was launched, where there is somebody who counts.
static long own_kernels(void)
{
    return sim_is_here() ? sim_calls("cudaLaunchKernelEx") : 0;
}

static void test_fused(void **state)
{
    (void)state;
    for (int kind = FM_DENSE_FORWARD; kind <= FM_DENSE_WEIGHTS; kind++)
        check_shapes((enum fm_cuda_dense_kind)kind, FM_EPILOGUE_NONE);
    long kernels = own_kernels();
    for (int i = 0; i < FUSED; i++)
        check_shapes(fused[i].kind, fused[i].epilogue);
    check_head(FM_EPILOGUE_NONE);
    check_head(FM_EPILOGUE_BIAS);
    rig_check("no own kernel", own_kernels() == kernels);
}

static void test_fallbacks(void **state)
{
    (void)state;
    for (int i = 0; i < FUSED; i++) {
        struct fm_cuda_dense_spec spec = spec_of(
            fused[i].kind, fused[i].epilogue, FM_CUDA_F16, &shapes[1]);
        sim_refuse_epilogue(fused[i].library, true);
        rig_case("refused epilogue %u", fused[i].library);
        struct layer l = create_any(&spec);
        const char *own = strstr(fm_cuda_dense_name(l.dense), " + ");
        rig_check("the name of the own kernels", own && strcmp(own, fused[i].own) == 0);
        rig_check("no mask", !fm_cuda_dense_leaves_mask(l.dense));
        fm_cuda_dense_destroy(l.dense);
        long kernels = own_kernels();
        check_shapes(fused[i].kind, fused[i].epilogue);
        rig_check("own kernels", own_kernels() > kernels);
        if (fused[i].epilogue == FM_EPILOGUE_BIAS)
            check_head(FM_EPILOGUE_BIAS);
        sim_refuse_epilogue(fused[i].library, false);
    }
}

// A forward pass that leaves no mask: the data pass goes by the ReLU's output, and has no mask.
static void test_ungated(void **state)
{
    (void)state;
    sim_refuse_epilogue(CUBLASLT_EPILOGUE_RELU_AUX_BIAS, true);
    for (int e = FM_EPILOGUE_GATE; e <= FM_EPILOGUE_GATE_DBIAS; e++)
        check_shapes(FM_DENSE_DATA, (enum fm_cuda_epilogue)e);
    sim_refuse_epilogue(CUBLASLT_EPILOGUE_RELU_AUX_BIAS, false);
    // It is nothing to a pass without a gate.
    struct fm_cuda_dense_spec spec = spec_of(
        FM_DENSE_WEIGHTS, FM_EPILOGUE_DBIAS, FM_CUDA_F16, &shapes[0]);
    struct layer l = create(&spec, true);
    rig_check("a pass without a gate is fused", !strstr(fm_cuda_dense_name(l.dense), "own"));
    fm_cuda_dense_destroy(l.dense);
}

static void run_layer(void *layer)
{
    run(layer);
}

// The same bits whatever the order of blocks and threads, fused or not.
static void test_orders(void **state)
{
    (void)state;
    struct fm_cuda_dense_spec spec = spec_of(
        FM_DENSE_DATA, FM_EPILOGUE_GATE_DBIAS, FM_CUDA_F16, &shapes[3]);
    for (int refused = 0; refused < (sim_is_here() ? 2 : 1); refused++) {
        rig_case("orders, %s", refused ? "own kernels" : "fused");
        if (refused)
            sim_refuse_epilogue(CUBLASLT_EPILOGUE_DRELU_BGRAD, true);
        struct layer l = create_data(&spec);
        struct rig_tensor *found[] = {&l.y, &l.dbias};
        rig_orders(run_layer, &l, found, 2);
        fm_cuda_dense_destroy(l.dense);
        if (refused)
            sim_refuse_epilogue(CUBLASLT_EPILOGUE_DRELU_BGRAD, false);
    }
}

// Where bias and mask lie belongs to a run, also to one that waits on the stream.
static void test_two_runs(void **state)
{
    (void)state;
    rig_case("two runs of one choice");
    struct fm_cuda_dense_spec spec = spec_of(
        FM_DENSE_FORWARD, FM_EPILOGUE_BIAS_RELU_MASK, FM_CUDA_F16, &shapes[1]);
    struct layer first = create_forward(&spec), second = create_forward(&spec);
    fm_cuda_dense_destroy(second.dense);
    second.dense = first.dense;
    run(&first);
    run(&second);
    check_results(&first);
    check_results(&second);
    fm_cuda_dense_destroy(first.dense);
}

// ---- the choice

// x [1][8] = 2048, 1, 0, 0, -2048, 0, 0, 0: halves of the sum, rounded to fp16, would add to 0.
static void test_split_sums(void **state)
{
    (void)state;
    rig_case("split sums");
    struct fm_cuda_dense_spec spec = spec_of(
        FM_DENSE_FORWARD, FM_EPILOGUE_NONE, FM_CUDA_F16, &shapes[0]);
    const float x[8] = {2048.0f, 1.0f, 0.0f, 0.0f, -2048.0f};
    float ones[64];
    for (int i = 0; i < 64; i++)
        ones[i] = 1.0f;
    struct layer l = create_forward(&spec);
    rig_write(&l.x, x);
    rig_write(&l.weight, ones);
    run(&l);
    rig_read(&l.y);
    rig_same("sums in fp32", &l.y, ones);
    fm_cuda_dense_destroy(l.dense);
}

// TF32 keeps ten bits of an input's mantissa: 1 + 2^-11 becomes 1, in fp32 and where it is allowed.
static void test_tf32(void **state)
{
    (void)state;
    for (int refused = 0; refused < 2; refused++)
        for (int tf32 = 0; tf32 < 2; tf32++) {
            rig_case("TF32 %d, bias refused %d", tf32, refused);
            sim_refuse_epilogue(CUBLASLT_EPILOGUE_BIAS, refused);
            struct fm_cuda_caps with = caps;
            with.tf32 = tf32;
            struct fm_cuda_dense_spec spec = {
                FM_DENSE_FORWARD, FM_EPILOGUE_BIAS, FM_CUDA_F32, FM_CUDA_F32, 1, 1, 1};
            struct layer l = create_forward(&spec);
            fm_cuda_dense_destroy(l.dense);
            assert_ok(fm_cuda_dense_create(lt, &with, &spec, false, &l.dense));
            const float x = 1.0f + 0x1p-11f, one = 1.0f, none = 0.0f;
            rig_write(&l.x, &x);
            rig_write(&l.weight, &one);
            rig_write(&l.bias, &none);
            run(&l);
            rig_read(&l.y);
            rig_same("the product", &l.y, tf32 ? &one : &x);
            fm_cuda_dense_destroy(l.dense);
        }
    sim_refuse_epilogue(CUBLASLT_EPILOGUE_BIAS, false);
    // 16-bit types have nothing to round: the flag is not for them.
    struct fm_cuda_caps with = caps;
    with.tf32 = true;
    struct fm_cuda_dense *dense;
    struct fm_cuda_dense_spec spec = spec_of(
        FM_DENSE_FORWARD, FM_EPILOGUE_BIAS, FM_CUDA_F16, &shapes[0]);
    assert_ok(fm_cuda_dense_create(lt, &with, &spec, false, &dense));
    fm_cuda_dense_destroy(dense);
}

static void test_workspace(void **state)
{
    (void)state;
    struct fm_cuda_dense_spec spec = spec_of(
        FM_DENSE_FORWARD, FM_EPILOGUE_BIAS, FM_CUDA_F16, &shapes[1]);
    const int64_t limits[] = {0, 4095, 4096};
    for (int i = 0; i < 3; i++) {
        struct fm_cuda_caps with = caps;
        struct fm_cuda_dense *dense;
        with.workspace = limits[i];
        assert_ok(fm_cuda_dense_create(lt, &with, &spec, false, &dense));
        assert_int_equal(fm_cuda_dense_workspace(dense), limits[i] < 4096 ? 0 : 4096);
        fm_cuda_dense_destroy(dense);
    }
}

static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(fm_cuda_dense_mask_bytes(3, 8), 3 * 16);
    assert_int_equal(fm_cuda_dense_mask_bytes(3, 128), 3 * 16);
    assert_int_equal(fm_cuda_dense_mask_bytes(3, 136), 3 * 32);
    struct shape shape = {129, 40, 16};
    struct fm_cuda_dense_spec spec = spec_of(
        FM_DENSE_DATA, FM_EPILOGUE_GATE_DBIAS, FM_CUDA_F16, &shape);
    assert_int_equal(fm_cuda_dense_scratch_bytes(&spec), 3 * 40 * sizeof(float));
    spec.epilogue = FM_EPILOGUE_GATE;
    assert_int_equal(fm_cuda_dense_scratch_bytes(&spec), 0);
    spec = spec_of(FM_DENSE_WEIGHTS, FM_EPILOGUE_DBIAS, FM_CUDA_F16, &shape);
    assert_int_equal(fm_cuda_dense_scratch_bytes(&spec), 3 * 16 * sizeof(float));
    spec = spec_of(FM_DENSE_FORWARD, FM_EPILOGUE_BIAS, FM_CUDA_F16, &shape);
    assert_int_equal(fm_cuda_dense_scratch_bytes(&spec), 0);
}

static void assert_key(struct fm_cuda_dense_spec spec, const char *expected)
{
    char key[128];
    fm_cuda_dense_key(&spec, key, sizeof key);
    assert_string_equal(key, expected);
}

static void test_names(void **state)
{
    (void)state;
    struct shape shape = {256, 9216, 128};
    assert_key(spec_of(FM_DENSE_FORWARD, FM_EPILOGUE_BIAS_RELU, FM_CUDA_F16, &shape),
        "forward bias relu fp16 256x9216x128");
    assert_key(spec_of(FM_DENSE_DATA, FM_EPILOGUE_GATE_DBIAS, FM_CUDA_F32, &shape),
        "data gate dbias fp32 256x9216x128");
    struct fm_cuda_dense_spec head = {
        FM_DENSE_FORWARD, FM_EPILOGUE_BIAS, FM_CUDA_BF16, FM_CUDA_F32, 1, 128, 16};
    assert_key(head, "forward bias bf16 to fp32 1x128x16");
    // A y that the pass does not have is no part of its key.
    head.kind = FM_DENSE_WEIGHTS;
    head.epilogue = FM_EPILOGUE_NONE;
    assert_key(head, "weights bf16 1x128x16");

    struct fm_cuda_dense_spec spec = spec_of(
        FM_DENSE_FORWARD, FM_EPILOGUE_BIAS, FM_CUDA_F16, &shapes[0]);
    struct layer l = create(&spec, false);
    assert_string_equal(fm_cuda_dense_name(l.dense), "algorithm 6, tile 20, stages 11");
    fm_cuda_dense_destroy(l.dense);
    // A property that the library does not tell is left out.
    sim_inject("cublasLtMatmulAlgoConfigGetAttribute", 2, CUBLAS_STATUS_NOT_SUPPORTED);
    l = create(&spec, false);
    assert_string_equal(fm_cuda_dense_name(l.dense), "algorithm 6, stages 11");
    fm_cuda_dense_destroy(l.dense);
}

// ---- what is refused, and what fails

static void refuse(struct fm_cuda_dense_spec spec, const char *message)
{
    struct fm_cuda_dense *dense = (struct fm_cuda_dense *)&spec;
    long asked = sim_calls("cublasLtMatmulAlgoGetHeuristic");
    assert_fails(fm_cuda_dense_create(lt, &caps, &spec, false, &dense), FM_UNSUPPORTED, message);
    assert_null(dense);
    assert_int_equal(sim_calls("cublasLtMatmulAlgoGetHeuristic"), asked);
}

static void test_refused_specs(void **state)
{
    (void)state;
    struct fm_cuda_dense_spec good = spec_of(
        FM_DENSE_FORWARD, FM_EPILOGUE_BIAS, FM_CUDA_F16, &shapes[0]);
    struct fm_cuda_dense_spec bad = good;
    bad.rows = 0;
    refuse(bad, "dense layer (forward bias fp16 0x8x8): 0 rows, 8 inputs, 8 outputs; each must be "
                "at least 1");
    bad = good;
    bad.inputs = -8;
    refuse(bad, "-8 inputs");
    bad = good;
    bad.outputs = 0;
    refuse(bad, "0 outputs");
    bad = good;
    bad.outputs = 10;
    refuse(bad, "8 inputs and 10 outputs; fp16 needs multiples of 8: pad them");
    bad = good;
    bad.inputs = 12;
    bad.type = bad.y_type = FM_CUDA_BF16;
    refuse(bad, "12 inputs and 8 outputs; bf16 needs multiples of 8: pad them");
    bad = good;
    bad.y_type = FM_CUDA_BF16;
    refuse(bad, "the output must be fp16 or fp32");
    bad = good;
    bad.type = FM_CUDA_F32;
    refuse(bad, "(forward bias fp32 to fp16 1x8x8): the output must be fp32");
    bad = good;
    bad.epilogue = FM_EPILOGUE_DBIAS;
    refuse(bad, "this epilogue belongs to the weights pass");
    bad = good;
    bad.kind = FM_DENSE_WEIGHTS;
    refuse(bad, "this epilogue belongs to the forward pass");
}

static void test_no_algorithm(void **state)
{
    (void)state;
    struct fm_cuda_dense_spec spec = spec_of(
        FM_DENSE_FORWARD, FM_EPILOGUE_BIAS, FM_CUDA_F16, &shapes[1]);
    struct fm_cuda_dense *dense;
    int live = sim_live();
    sim_inject("cublasLtMatmulAlgoGetHeuristic", 1, CUBLAS_STATUS_NOT_SUPPORTED);
    sim_inject("cublasLtMatmulAlgoGetHeuristic", 2, CUBLAS_STATUS_NOT_SUPPORTED);
    assert_fails(fm_cuda_dense_create(lt, &caps, &spec, false, &dense), FM_UNSUPPORTED,
        "dense layer (forward bias fp16 7x136x24): cuBLASLt has no algorithm within 268435456 "
        "bytes of workspace");
    assert_null(dense);
    assert_int_equal(sim_live(), live);
}

// Each call of a creation with a fallback fails in turn: the call and the layer are named, and
// nothing stays behind.
static void test_failing_calls(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int count;
    } calls[] = {
        {"cublasLtMatrixLayoutCreate", 3},
        {"cublasLtMatmulDescCreate", 2},
        {"cublasLtMatmulDescSetAttribute", 9},
        {"cublasLtMatmulPreferenceCreate", 1},
        {"cublasLtMatmulPreferenceSetAttribute", 6},
        {"cublasLtMatmulAlgoGetHeuristic", 2},
    };
    struct fm_cuda_dense_spec spec = spec_of(
        FM_DENSE_FORWARD, FM_EPILOGUE_BIAS_RELU_MASK, FM_CUDA_F16, &shapes[1]);
    struct fm_cuda_dense *dense;
    int live = sim_live();
    sim_refuse_epilogue(CUBLASLT_EPILOGUE_RELU_AUX_BIAS, true);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        for (int nth = 1; nth <= calls[i].count; nth++) {
            sim_inject(calls[i].name, nth, CUBLAS_STATUS_INTERNAL_ERROR);
            enum fm_status status = fm_cuda_dense_create(lt, &caps, &spec, false, &dense);
            assert_int_equal(status, FM_BACKEND);
            assert_non_null(strstr(fm_error_message(), calls[i].name));
            assert_fails(status, FM_BACKEND,
                "dense layer (forward bias relu mask fp16 7x136x24): cuBLASLt: ");
            assert_null(dense);
            assert_int_equal(sim_live(), live);
        }
        // There are no more of them.
        sim_inject(calls[i].name, calls[i].count + 1, CUBLAS_STATUS_INTERNAL_ERROR);
        assert_ok(fm_cuda_dense_create(lt, &caps, &spec, false, &dense));
        fm_cuda_dense_destroy(dense);
        sim_clear_injections();
    }
    sim_refuse_epilogue(CUBLASLT_EPILOGUE_RELU_AUX_BIAS, false);
    fm_cuda_dense_destroy(NULL);
}

static void fail_run(
    struct layer *layer, const char *function, long nth, int code, const char *part)
{
    sim_inject(function, nth, code);
    enum fm_status status = fm_cuda_dense_run(layer->dense, lt, layer->tensors, rig_stream());
    assert_non_null(strstr(fm_error_message(), "dense layer (data gate dbias fp16 7x136x24): "));
    assert_fails(status, FM_BACKEND, part);
}

static void test_failing_runs(void **state)
{
    (void)state;
    rig_case("failing runs");
    struct fm_cuda_dense_spec spec = spec_of(
        FM_DENSE_DATA, FM_EPILOGUE_GATE_DBIAS, FM_CUDA_F16, &shapes[1]);
    const int internal = CUBLAS_STATUS_INTERNAL_ERROR, refused = cudaErrorInvalidConfiguration;
    struct layer l = create_data(&spec);
    fail_run(&l, "cublasLtMatmul", 1, internal, "cuBLASLt: cublasLtMatmul: ");
    fail_run(&l, "cublasLtMatmulDescSetAttribute", 1, internal, "cublasLtMatmulDescSetAttribute");
    fail_run(&l, "cublasLtMatmulDescSetAttribute", 2, internal, "cublasLtMatmulDescSetAttribute");
    fm_cuda_dense_destroy(l.dense);
    sim_refuse_epilogue(CUBLASLT_EPILOGUE_DRELU_BGRAD, true);
    l = create_data(&spec);
    fail_run(&l, "cudaLaunchKernelEx", 1, refused, "CUDA: fm_launch_relu_backward: ");
    fail_run(&l, "cudaLaunchKernelEx", 2, refused, "CUDA: fm_launch_bias_backward: ");
    fm_cuda_dense_destroy(l.dense);
    sim_refuse_epilogue(CUBLASLT_EPILOGUE_DRELU_BGRAD, false);
}

// On a GPU without bf16 there is no algorithm for it; fp16 is computed as everywhere.
static void test_t4(void **state)
{
    (void)state;
    struct fm_cuda_dense_spec spec = spec_of(
        FM_DENSE_FORWARD, FM_EPILOGUE_BIAS, FM_CUDA_BF16, &shapes[1]);
    struct fm_cuda_dense *dense;
    assert_fails(fm_cuda_dense_create(lt, &caps, &spec, false, &dense), FM_UNSUPPORTED,
        "dense layer (forward bias bf16 7x136x24): cuBLASLt has no algorithm");
    spec.type = spec.y_type = FM_CUDA_F16;
    check_spec(&spec);
}

// ---- groups

static int begin_group(void **state)
{
    return rig_begin(state) || cublasLtCreate(&lt) != CUBLAS_STATUS_SUCCESS;
}

static int end_group(void **state)
{
    cublasLtDestroy(lt);
    return rig_end(state);
}

static int begin_t4(void **state)
{
    sim_reset();
    return !sim_pose_as("t4") || begin_group(state);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, rig_test_end)
    const struct CMUnitTest tests[] = {
        TEST(test_fused),
        TEST(test_fallbacks),
        TEST(test_ungated),
        TEST(test_orders),
        TEST(test_two_runs),
        TEST(test_split_sums),
        TEST(test_tf32),
        TEST(test_workspace),
        TEST(test_sizes),
        TEST(test_names),
        TEST(test_refused_specs),
        TEST(test_no_algorithm),
        TEST(test_failing_calls),
        TEST(test_failing_runs),
    };
    const struct CMUnitTest on_t4[] = {TEST(test_t4)};
    int failed = cmocka_run_group_tests(tests, begin_group, end_group);
    if (!sim_is_here())
        return failed; // the device poses as no other
    return cmocka_run_group_tests(on_t4, begin_t4, end_group) + failed;
}
