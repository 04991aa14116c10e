// The simulated cuBLASLt: every epilogue against plain loops in double precision, in every type and
// for shapes of dense layers; and each of its checks, by a mistake that it must catch.
#include "cuda/rig.h"
#include "simcuda.h"
#include "simcuda/cublaslt.h"

#include <cublasLt.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    WORKSPACE = 1 << 16
};

static const cudaDataType_t cuda_types[] = {CUDA_R_32F, CUDA_R_16F, CUDA_R_16BF};
static cublasLtHandle_t lt;

// D [m, n] = epilogue(op(A) op(B)); leading dimensions are the rows unless `pad` adds to them.
struct problem {
    int m, n, k;
    int transposed_a, transposed_b;
    enum fm_cuda_type type, out;
    uint32_t epilogue;
    int pad;
};

// A problem's descriptors and operands. Tests spoil single ones.
struct call {
    struct problem p;
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t result;
    struct rig_tensor a_data, b_data, d_data, bias;
    uint8_t *mask, *mask_device;
    void *workspace;
    int64_t mask_ld;
    float alpha, beta;
};

static int rows_a(const struct problem *p)
{
    return p->transposed_a ? p->k : p->m;
}

static int rows_b(const struct problem *p)
{
    return p->transposed_b ? p->n : p->k;
}

static size_t bias_count(const struct problem *p)
{
    return (size_t)(p->epilogue == CUBLASLT_EPILOGUE_BGRADB ? p->n : p->m);
}

static void set(
    struct call *c, cublasLtMatmulDescAttributes_t attribute, const void *value, size_t n)
{
    assert_int_equal(cublasLtMatmulDescSetAttribute(c->operation, attribute, value, n), 0);
}

static void set_epilogue(struct call *c)
{
    set(c, CUBLASLT_MATMUL_DESC_EPILOGUE, &c->p.epilogue, sizeof c->p.epilogue);
    if (c->p.epilogue & (CUBLASLT_EPILOGUE_BIAS | 16 | 256 | 512))
        set(c, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &c->bias.device, sizeof c->bias.device);
    if (c->p.epilogue & 128) {
        set(c, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &c->mask_device, sizeof c->mask_device);
        set(c, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &c->mask_ld, sizeof c->mask_ld);
    }
}

static size_t mask_bytes(const struct call *c)
{
    return (size_t)(c->mask_ld / 8 * c->p.n);
}

static void make_operands(struct call *c)
{
    const struct problem *p = &c->p;
    int columns_a = p->transposed_a ? p->m : p->k, columns_b = p->transposed_b ? p->k : p->n;
    c->a_data = rig_tensor(p->type, (size_t)((rows_a(p) + p->pad) * columns_a), RIG_RANDOM);
    c->b_data = rig_tensor(p->type, (size_t)((rows_b(p) + p->pad) * columns_b), RIG_RANDOM);
    c->d_data = rig_tensor(p->out, (size_t)((p->m + p->pad) * p->n), RIG_UNSET);
    c->bias = rig_tensor(p->out, bias_count(p), RIG_RANDOM);
    c->mask_ld = (p->m + 127) / 128 * 128;
    c->mask = rig_host(mask_bytes(c));
    for (size_t i = 0; i < mask_bytes(c); i++)
        c->mask[i] = (uint8_t)rig_random();
    c->mask_device = rig_device(c->mask, mask_bytes(c));
    c->workspace = rig_device(NULL, WORKSPACE);
}

static struct call begin(const struct problem *p)
{
    struct call c = {.p = *p, .alpha = 1.0f};
    uint64_t workspace = WORKSPACE;
    uint32_t exact = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    int32_t a = p->transposed_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    int32_t b = p->transposed_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    make_operands(&c);
    assert_int_equal(cublasLtMatmulDescCreate(&c.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), 0);
    set(&c, CUBLASLT_MATMUL_DESC_TRANSA, &a, sizeof a);
    set(&c, CUBLASLT_MATMUL_DESC_TRANSB, &b, sizeof b);
    set_epilogue(&c);
    cublasLtMatrixLayoutCreate(&c.a, cuda_types[p->type], (uint64_t)rows_a(p),
        (uint64_t)(p->transposed_a ? p->m : p->k), rows_a(p) + p->pad);
    cublasLtMatrixLayoutCreate(&c.b, cuda_types[p->type], (uint64_t)rows_b(p),
        (uint64_t)(p->transposed_b ? p->k : p->n), rows_b(p) + p->pad);
    cublasLtMatrixLayoutCreate(
        &c.d, cuda_types[p->out], (uint64_t)p->m, (uint64_t)p->n, p->m + p->pad);
    cublasLtMatmulPreferenceCreate(&c.preference);
    cublasLtMatmulPreferenceSetAttribute(
        c.preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    cublasLtMatmulPreferenceSetAttribute(
        c.preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &exact, sizeof exact);
    return c;
}

static cublasStatus_t ask(struct call *c)
{
    int found = 0;
    cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        lt, c->operation, c->a, c->b, c->d, c->d, c->preference, 1, &c->result, &found);
    assert_true(status != CUBLAS_STATUS_SUCCESS || found == 1);
    return status;
}

static cublasStatus_t multiply(struct call *c)
{
    return cublasLtMatmul(lt, c->operation, &c->alpha, c->a_data.device, c->a, c->b_data.device,
        c->b, &c->beta, c->d_data.device, c->d, c->d_data.device, c->d, &c->result.algo,
        c->workspace, c->result.workspaceSize, rig_stream());
}

static void end(struct call *c)
{
    cublasLtMatmulDescDestroy(c->operation);
    cublasLtMatrixLayoutDestroy(c->a);
    cublasLtMatrixLayoutDestroy(c->b);
    cublasLtMatrixLayoutDestroy(c->d);
    cublasLtMatmulPreferenceDestroy(c->preference);
}

// ---- the reference

static double element_a(const struct call *c, int i, int l)
{
    int ld = rows_a(&c->p) + c->p.pad;
    return (double)c->a_data.values[c->p.transposed_a ? i * ld + l : l * ld + i];
}

static double element_b(const struct call *c, int l, int j)
{
    int ld = rows_b(&c->p) + c->p.pad;
    return (double)c->b_data.values[c->p.transposed_b ? l * ld + j : j * ld + l];
}

static bool mask_bit(const struct call *c, const uint8_t *mask, int i, int j)
{
    return mask[j * (c->mask_ld / 8) + i / 8] >> i % 8 & 1;
}

// What D's element becomes; `open`: what the ReLU's mask says of it.
static double expect_element(const struct call *c, const float *bias, int i, int j, bool *open)
{
    double sum = 0.0;
    for (int l = 0; l < c->p.k; l++)
        sum += element_a(c, i, l) * element_b(c, l, j);
    sum *= (double)c->alpha;
    if (c->p.epilogue == CUBLASLT_EPILOGUE_DRELU || c->p.epilogue == CUBLASLT_EPILOGUE_DRELU_BGRAD)
        return mask_bit(c, c->mask, i, j) ? sum : 0.0;
    if (c->p.epilogue & CUBLASLT_EPILOGUE_BIAS)
        sum += (double)bias[i];
    *open = sum > 0.0;
    return c->p.epilogue & CUBLASLT_EPILOGUE_RELU && !*open ? 0.0 : sum;
}

// The gradient that the epilogue writes where the bias is.
static void expect_bias(const struct call *c, const double *d, double *bias)
{
    const struct problem *p = &c->p;
    for (size_t x = 0; x < bias_count(p); x++) {
        bias[x] = 0.0;
        for (int l = 0; l < p->k; l++)
            bias[x] += p->epilogue == CUBLASLT_EPILOGUE_BGRADA   ? element_a(c, (int)x, l)
                       : p->epilogue == CUBLASLT_EPILOGUE_BGRADB ? element_b(c, l, (int)x)
                                                                 : 0.0;
        if (p->epilogue == CUBLASLT_EPILOGUE_DRELU_BGRAD)
            for (int j = 0; j < p->n; j++)
                bias[x] += d[j * (p->m + p->pad) + (int)x];
    }
}

static void check_mask(const struct call *c, const float *bias)
{
    uint8_t *found = rig_host(mask_bytes(c));
    rig_get(c->mask_device, found, mask_bytes(c));
    for (int j = 0; j < c->p.n; j++)
        for (int i = 0; i < c->p.m; i++) {
            bool open = false;
            double value = expect_element(c, bias, i, j, &open);
            // A sum near zero may fall on either side.
            if (fabs(value) > 1e-3 && mask_bit(c, found, i, j) != open)
                fail_msg("mask of element %d, %d", i, j);
        }
}

static void check_problem(const struct problem *p)
{
    rig_case("matmul %s to %s, %dx%dx%d, transposed %d %d, epilogue %u, pad %d",
        rig_type_name(p->type), rig_type_name(p->out), p->m, p->n, p->k, p->transposed_a,
        p->transposed_b, p->epilogue, p->pad);
    struct call c = begin(p);
    float *bias = rig_host(bias_count(p) * sizeof *bias);
    memcpy(bias, c.bias.values, bias_count(p) * sizeof *bias);
    assert_int_equal(ask(&c), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(multiply(&c), CUBLAS_STATUS_SUCCESS);
    rig_read(&c.d_data);
    rig_read(&c.bias);
    double *d = rig_host(c.d_data.count * sizeof *d);
    double *gradient = rig_host(bias_count(p) * sizeof *gradient);
    for (size_t at = 0; at < c.d_data.count; at++) {
        int i = (int)at % (p->m + p->pad), j = (int)at / (p->m + p->pad);
        bool open = false;
        // Rows that pad a column are left alone, NaN as they came.
        d[at] = i < p->m ? expect_element(&c, bias, i, j, &open) : (double)NAN;
    }
    double tolerance = p->out == FM_CUDA_F32 ? 1e-5 : p->out == FM_CUDA_F16 ? 2e-3 : 1e-2;
    rig_close("D", &c.d_data, d, tolerance, 1.0);
    expect_bias(&c, d, gradient);
    if (p->epilogue & (16 | 256 | 512))
        rig_close("bias gradient", &c.bias, gradient, 4 * tolerance, 1.0);
    else
        rig_same("bias", &c.bias, bias);
    if (p->epilogue & 128 && p->epilogue & CUBLASLT_EPILOGUE_RELU)
        check_mask(&c, bias);
    end(&c);
}

static const uint32_t epilogues[] = {CUBLASLT_EPILOGUE_DEFAULT, CUBLASLT_EPILOGUE_RELU,
    CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_RELU_BIAS, CUBLASLT_EPILOGUE_RELU_AUX,
    CUBLASLT_EPILOGUE_RELU_AUX_BIAS, CUBLASLT_EPILOGUE_DRELU, CUBLASLT_EPILOGUE_DRELU_BGRAD,
    CUBLASLT_EPILOGUE_BGRADA, CUBLASLT_EPILOGUE_BGRADB};

enum {
    EPILOGUES = sizeof epilogues / sizeof epilogues[0]
};

static void test_products(void **state)
{
    (void)state;
    for (int type = 0; type < 3; type++)
        for (int e = 0; e < EPILOGUES; e++)
            for (int transposed = 0; transposed < 4; transposed++) {
                struct problem p = {32, 9, 24, transposed & 1, transposed >> 1,
                    (enum fm_cuda_type)type, (enum fm_cuda_type)type, epilogues[e], 0};
                p.n = transposed >> 1 ? 16 : 9; // B's leading dimension
                check_problem(&p);
                p.pad = 8;
                check_problem(&p);
                p.out = FM_CUDA_F32;
                p.m = 200; // a mask of more than 128 rows
                check_problem(&p);
            }
    struct problem odd = {10, 7, 13, 1, 0, FM_CUDA_F16, FM_CUDA_F16, CUBLASLT_EPILOGUE_DEFAULT, 0};
    check_problem(&odd);
    odd = (struct problem){5, 1, 3, 0, 0, FM_CUDA_F32, FM_CUDA_F32, CUBLASLT_EPILOGUE_BGRADA, 0};
    check_problem(&odd);
}

// D = 0.5 A B + 2 C, in place.
static void test_factors(void **state)
{
    (void)state;
    struct problem p = {16, 8, 8, 0, 0, FM_CUDA_F32, FM_CUDA_F32, CUBLASLT_EPILOGUE_DEFAULT, 0};
    rig_case("factors");
    struct call c = begin(&p);
    struct rig_tensor before = rig_tensor(FM_CUDA_F32, c.d_data.count, RIG_RANDOM);
    rig_write(&c.d_data, before.values);
    c.alpha = 0.5f;
    c.beta = 2.0f;
    assert_int_equal(ask(&c), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(multiply(&c), CUBLAS_STATUS_SUCCESS);
    rig_read(&c.d_data);
    double *expected = rig_host(c.d_data.count * sizeof *expected);
    for (size_t at = 0; at < c.d_data.count; at++) {
        bool open;
        expected[at] = expect_element(&c, NULL, (int)at % p.m, (int)at / p.m, &open) +
                       2.0 * (double)before.values[at];
    }
    rig_close("D", &c.d_data, expected, 1e-5, 1.0);
    end(&c);
}

// TF32 keeps ten bits of an input's mantissa: 1 + 2^-11 is 1.
static void test_tf32(void **state)
{
    (void)state;
    struct problem p = {8, 8, 1, 0, 0, FM_CUDA_F32, FM_CUDA_F32, CUBLASLT_EPILOGUE_DEFAULT, 0};
    float one[8] = {1, 1, 1, 1, 1, 1, 1, 1}, more[8];
    for (int i = 0; i < 8; i++)
        more[i] = 1.0f + (i % 2 ? 0x1p-11f : 0x1p-10f);
    for (int tf32 = 0; tf32 < 2; tf32++) {
        rig_case("TF32 %d", tf32);
        struct call c = begin(&p);
        if (tf32) {
            cublasLtMatmulDescDestroy(c.operation);
            cublasLtMatmulDescCreate(&c.operation, CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F);
        }
        rig_write(&c.a_data, more);
        rig_write(&c.b_data, one);
        assert_int_equal(ask(&c), CUBLAS_STATUS_SUCCESS);
        assert_int_equal(multiply(&c), CUBLAS_STATUS_SUCCESS);
        rig_read(&c.d_data);
        for (int i = 0; i < 8; i++)
            rig_check("the product", c.d_data.values[i] == (tf32 && i % 2 ? 1.0f : more[i]));
        end(&c);
    }
}

// The algorithm that comes first where the preference lets it splits k and stores the halves in D's
// type: fp16 has no 2049.
static void test_split(void **state)
{
    (void)state;
    static const uint32_t schemes[] = {
        CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, CUBLASLT_REDUCTION_SCHEME_MASK};
    struct problem p = {8, 8, 4, 0, 1, FM_CUDA_F16, FM_CUDA_F16, CUBLASLT_EPILOGUE_DEFAULT, 0};
    float a[32], ones[32];
    for (int i = 0; i < 32; i++) {
        a[i] = i < 8 ? 2048.0f : i < 16 ? 1.0f : i < 24 ? -2048.0f : 0.0f;
        ones[i] = 1.0f;
    }
    for (int all = 0; all < 2; all++) {
        rig_case("split sums, all reduction schemes %d", all);
        struct call c = begin(&p);
        cublasLtMatmulPreferenceSetAttribute(c.preference,
            CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes[all], sizeof schemes[all]);
        rig_write(&c.a_data, a);
        rig_write(&c.b_data, ones);
        assert_int_equal(ask(&c), CUBLAS_STATUS_SUCCESS);
        int32_t splits = 0;
        size_t written = 0;
        assert_int_equal(cublasLtMatmulAlgoConfigGetAttribute(&c.result.algo,
                             CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &splits, sizeof splits, &written),
            CUBLAS_STATUS_SUCCESS);
        assert_int_equal(splits, all ? 2 : 1);
        assert_int_equal(multiply(&c), CUBLAS_STATUS_SUCCESS);
        rig_read(&c.d_data);
        for (size_t i = 0; i < c.d_data.count; i++)
            rig_check("the sum", c.d_data.values[i] == (all ? 0.0f : 1.0f));
        end(&c);
    }
}

// ---- what the heuristic finds nothing for, without a misuse

static void test_refused_epilogues(void **state)
{
    (void)state;
    for (int e = 1; e < EPILOGUES; e++) {
        struct problem p = {16, 8, 8, 0, 0, FM_CUDA_F16, FM_CUDA_F16, epilogues[e], 0};
        rig_case("refused epilogue %u", epilogues[e]);
        struct call c = begin(&p);
        sim_refuse_epilogue(epilogues[e], true);
        assert_int_equal(ask(&c), CUBLAS_STATUS_NOT_SUPPORTED);
        sim_refuse_epilogue(epilogues[e], false);
        assert_int_equal(ask(&c), CUBLAS_STATUS_SUCCESS);
        end(&c);
    }
}

static void test_no_algorithm(void **state)
{
    (void)state;
    // 10 rows of fp16 are no multiple of 16 bytes.
    struct problem p = {10, 8, 16, 1, 0, FM_CUDA_F16, FM_CUDA_F16, CUBLASLT_EPILOGUE_BIAS, 0};
    struct call c = begin(&p);
    assert_int_equal(ask(&c), CUBLAS_STATUS_NOT_SUPPORTED);
    c.p.epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    set_epilogue(&c);
    assert_int_equal(ask(&c), CUBLAS_STATUS_SUCCESS);
    end(&c);
    // A bias of another type than D.
    p.m = 16;
    c = begin(&p);
    int32_t type = CUDA_R_32F;
    set(&c, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, sizeof type);
    assert_int_equal(ask(&c), CUBLAS_STATUS_NOT_SUPPORTED);
    end(&c);
}

// ---- mistakes, each of which must be reported

static void caught(const char *what, cublasStatus_t status, const char *words)
{
    if (status == CUBLAS_STATUS_SUCCESS || sim_take_failures() != 1 ||
        !strstr(sim_last_failure(), words))
        fail_msg("%s: status %d, last misuse \"%s\"", what, (int)status, sim_last_failure());
}

static const struct problem plain = {
    16, 8, 8, 0, 0, FM_CUDA_F16, FM_CUDA_F16, CUBLASLT_EPILOGUE_RELU_AUX_BIAS, 0};

static struct call ready(void)
{
    struct call c = begin(&plain);
    assert_int_equal(ask(&c), CUBLAS_STATUS_SUCCESS);
    return c;
}

static void test_mask_and_bias(void **state)
{
    (void)state;
    struct call c = ready();
    void *none = NULL;
    int64_t ld = 64;
    set(&c, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &ld, sizeof ld);
    ask(&c);
    caught("a mask's ld of 64", multiply(&c), "multiple of 128");
    set_epilogue(&c);
    set(&c, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &none, sizeof none);
    ask(&c);
    caught("no bias", multiply(&c), "needs a bias");
    set_epilogue(&c);
    set(&c, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &none, sizeof none);
    caught("no mask", multiply(&c), "needs a mask");
    set_epilogue(&c);
    uint8_t *short_mask = rig_device(NULL, mask_bytes(&c) - 1);
    set(&c, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &short_mask, sizeof short_mask);
    caught("a short mask", multiply(&c), "mask:");
    set_epilogue(&c);
    void *short_bias = rig_device(NULL, 30);
    set(&c, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &short_bias, sizeof short_bias);
    caught("a bias of 15", multiply(&c), "bias:");
    end(&c);
}

static void test_operands(void **state)
{
    (void)state;
    struct call c = ready(), good = c;
    c.a_data.device = rig_device(NULL, 16 * 8 * 2 - 2);
    caught("a short A", multiply(&c), "A:");
    c = good;
    c.b_data.device = c.b_data.values;
    caught("a B on the host", multiply(&c), "B:");
    c = good;
    c.d_data.device = (char *)rig_device(NULL, 1024) + 32;
    caught("a misaligned D", multiply(&c), "not aligned to 256");
    c = good;
    c.d_data.device = c.a_data.device;
    caught("D on top of A", multiply(&c), "overlaps");
    c = good;
    c.result.workspaceSize--;
    caught("a smaller workspace", multiply(&c), "smaller workspace");
    c = good;
    c.workspace = c.mask;
    caught("a workspace on the host", multiply(&c), "workspace:");
    end(&good);
}

static void test_algorithms(void **state)
{
    (void)state;
    struct call c = ready();
    cublasLtMatmulHeuristicResult_t old = c.result;
    c.p.epilogue = CUBLASLT_EPILOGUE_RELU_BIAS;
    set_epilogue(&c);
    caught("another epilogue's algorithm", multiply(&c), "did not give");
    ask(&c);
    memset(&c.result.algo, 0, sizeof c.result.algo);
    caught("no algorithm at all", multiply(&c), "did not give");
    int32_t id;
    caught("an attribute of no algorithm",
        cublasLtMatmulAlgoConfigGetAttribute(
            &c.result.algo, CUBLASLT_ALGO_CONFIG_ID, &id, sizeof id, NULL),
        "no algorithm of the heuristic's");
    c.result = old;
    end(&c);
}

static void test_descriptors(void **state)
{
    (void)state;
    struct call c = ready();
    int64_t wide = CUBLAS_OP_T;
    caught("an attribute of 8 bytes",
        cublasLtMatmulDescSetAttribute(
            c.operation, CUBLASLT_MATMUL_DESC_TRANSA, &wide, sizeof wide),
        "another size");
    uint32_t gelu = CUBLASLT_EPILOGUE_GELU;
    caught("GELU",
        cublasLtMatmulDescSetAttribute(
            c.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &gelu, sizeof gelu),
        "not simulated");
    set_epilogue(&c);
    cublasLtMatrixLayout_t layout = NULL;
    caught("ld below the rows", cublasLtMatrixLayoutCreate(&layout, CUDA_R_16F, 16, 8, 8), "ld");
    cublasLtMatrixLayoutCreate(&layout, CUDA_R_16F, 17, 8, 24);
    int found;
    caught("shapes that do not fit",
        cublasLtMatmulAlgoGetHeuristic(
            lt, c.operation, layout, c.b, c.d, c.d, c.preference, 1, &c.result, &found),
        "do not fit");
    cublasLtMatrixLayoutDestroy(layout);
    caught("a layout given back twice", cublasLtMatrixLayoutDestroy(layout), "no live");
    cublasLtMatmulDesc_t half = NULL;
    caught("computing in 16F", cublasLtMatmulDescCreate(&half, CUBLAS_COMPUTE_16F, CUDA_R_16F),
        "fp32");
    end(&c);
}

// Any function can be told to fail, and a lost handle is a leak.
static void test_injection(void **state)
{
    (void)state;
    struct call c = ready();
    sim_inject("cublasLtMatmul", 1, CUBLAS_STATUS_EXECUTION_FAILED);
    assert_int_equal(multiply(&c), CUBLAS_STATUS_EXECUTION_FAILED);
    assert_int_equal(multiply(&c), CUBLAS_STATUS_SUCCESS);
    int live = sim_live();
    end(&c);
    assert_int_equal(sim_live(), live - 5);
}

// A captured product runs when the graph is launched, and each time.
static void test_capture(void **state)
{
    (void)state;
    rig_case("captured product");
    struct call c = ready();
    cudaGraph_t graph;
    cudaGraphExec_t runnable;
    cudaStreamBeginCapture(rig_stream(), cudaStreamCaptureModeGlobal);
    assert_int_equal(multiply(&c), CUBLAS_STATUS_SUCCESS);
    cudaStreamEndCapture(rig_stream(), &graph);
    cudaGraphInstantiate(&runnable, graph, 0);
    float *first = rig_host(c.d_data.count * sizeof *first);
    for (int i = 0; i < 2; i++) {
        float *zeros = rig_host(c.d_data.count * sizeof *zeros);
        rig_write(&c.d_data, zeros);
        cudaGraphLaunch(runnable, rig_stream());
        rig_read(&c.d_data);
        if (i == 0)
            memcpy(first, c.d_data.values, c.d_data.count * sizeof *first);
    }
    rig_same("D of the second launch", &c.d_data, first);
    rig_check("D is not left as zeros", first[0] != 0.0f || first[1] != 0.0f || first[2] != 0.0f);
    cudaGraphExecDestroy(runnable);
    cudaGraphDestroy(graph);
    end(&c);
}

static int begin_group(void **state)
{
    return rig_begin(state) || cublasLtCreate(&lt) != CUBLAS_STATUS_SUCCESS;
}

static int end_group(void **state)
{
    cublasLtDestroy(lt);
    return rig_end(state);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, rig_test_end)
    const struct CMUnitTest tests[] = {
        TEST(test_products),
        TEST(test_factors),
        TEST(test_tf32),
        TEST(test_split),
        TEST(test_refused_epilogues),
        TEST(test_no_algorithm),
        TEST(test_mask_and_bias),
        TEST(test_operands),
        TEST(test_algorithms),
        TEST(test_descriptors),
        TEST(test_injection),
        TEST(test_capture),
    };
    return cmocka_run_group_tests(tests, begin_group, end_group);
}
