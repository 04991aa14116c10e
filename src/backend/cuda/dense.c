// What a dense layer's product is to cuBLASLt, and the choice of its algorithm. It is the first of
// the heuristic's that fits: nothing is timed, so the same library on the same GPU chooses the
// same.
#include "backend/cuda/check.h"
#include "backend/cuda/dense_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CANDIDATES = 8,        // algorithms that the heuristic is asked for
    MASK_LD_MULTIPLE = 128 // bits: cuBLASLt's condition on a mask's leading dimension
};

// What all tensors are aligned to, declared to the heuristic: bytes.
#define ALIGNMENT ((uint32_t)16)

static const char *const kind_names[] = {
    [FM_DENSE_FORWARD] = "forward",
    [FM_DENSE_DATA] = "data",
    [FM_DENSE_WEIGHTS] = "weights",
};
static const char *const type_names[] = {
    [FM_CUDA_F32] = "fp32",
    [FM_CUDA_F16] = "fp16",
    [FM_CUDA_BF16] = "bf16",
};
static const cudaDataType_t data_types[] = {
    [FM_CUDA_F32] = CUDA_R_32F,
    [FM_CUDA_F16] = CUDA_R_16F,
    [FM_CUDA_BF16] = CUDA_R_16BF,
};

static const struct fm_cuda_dense_epilogue epilogues[] = {
    [FM_EPILOGUE_NONE] = {.fused = CUBLASLT_EPILOGUE_DEFAULT, .words = "", .own = ""},
    [FM_EPILOGUE_BIAS] = {FM_DENSE_FORWARD, CUBLASLT_EPILOGUE_BIAS, .bias = true, .words = " bias",
        .own = "bias"},
    [FM_EPILOGUE_BIAS_RELU] = {FM_DENSE_FORWARD, CUBLASLT_EPILOGUE_RELU_BIAS, .bias = true,
        .words = " bias relu", .own = "bias, ReLU"},
    [FM_EPILOGUE_BIAS_RELU_MASK] = {FM_DENSE_FORWARD, CUBLASLT_EPILOGUE_RELU_AUX_BIAS, .bias = true,
        .mask = true, .words = " bias relu mask", .own = "bias, ReLU"},
    [FM_EPILOGUE_GATE] = {FM_DENSE_DATA, CUBLASLT_EPILOGUE_DRELU, .mask = true, .words = " gate",
        .own = "ReLU gradient"},
    [FM_EPILOGUE_GATE_DBIAS] = {FM_DENSE_DATA, CUBLASLT_EPILOGUE_DRELU_BGRAD, .bias = true,
        .mask = true, .words = " gate dbias", .own = "ReLU gradient, bias gradient"},
    [FM_EPILOGUE_DBIAS] = {FM_DENSE_WEIGHTS, CUBLASLT_EPILOGUE_BGRADB, .bias = true,
        .words = " dbias", .own = "bias gradient"},
};

void fm_cuda_dense_key(const struct fm_cuda_dense_spec *spec, char *key, size_t size)
{
    bool widened = spec->kind == FM_DENSE_FORWARD && spec->y_type != spec->type;
    snprintf(key, size, "%s%s %s%s%s %dx%dx%d", kind_names[spec->kind],
        epilogues[spec->epilogue].words, type_names[spec->type], widened ? " to " : "",
        widened ? type_names[spec->y_type] : "", spec->rows, spec->inputs, spec->outputs);
}

static int64_t mask_ld(int columns)
{
    return ((int64_t)columns + MASK_LD_MULTIPLE - 1) / MASK_LD_MULTIPLE * MASK_LD_MULTIPLE;
}

size_t fm_cuda_dense_mask_bytes(int rows, int columns)
{
    return (size_t)rows * (size_t)(mask_ld(columns) / 8);
}

// The sums over rows that fm_launch_bias_backward() makes: of dx's columns or of dy's.
size_t fm_cuda_dense_scratch_bytes(const struct fm_cuda_dense_spec *spec)
{
    if (spec->kind == FM_DENSE_FORWARD || !epilogues[spec->epilogue].bias)
        return 0;
    int columns = spec->kind == FM_DENSE_DATA ? spec->inputs : spec->outputs;
    return (size_t)fm_cuda_column_chunks((size_t)spec->rows) * (size_t)columns * sizeof(float);
}

// ---- what is not even asked for

static enum fm_status check_spec(const struct fm_cuda_dense_spec *spec)
{
    char key[128];
    fm_cuda_dense_key(spec, key, sizeof key);
    if (spec->rows < 1 || spec->inputs < 1 || spec->outputs < 1)
        return fm_fail(FM_UNSUPPORTED,
            "dense layer (%s): %d rows, %d inputs, %d outputs; each must be at least 1", key,
            spec->rows, spec->inputs, spec->outputs);
    if (spec->type != FM_CUDA_F32 &&
        (spec->inputs % FM_CUDA_VECTOR || spec->outputs % FM_CUDA_VECTOR))
        return fm_fail(FM_UNSUPPORTED,
            "dense layer (%s): %d inputs and %d outputs; %s needs multiples of %d: pad them", key,
            spec->inputs, spec->outputs, type_names[spec->type], FM_CUDA_VECTOR);
    if (spec->kind == FM_DENSE_FORWARD && spec->y_type != spec->type && spec->y_type != FM_CUDA_F32)
        return fm_fail(FM_UNSUPPORTED, "dense layer (%s): the output must be %s%s", key,
            spec->type == FM_CUDA_F32 ? "" : type_names[spec->type],
            spec->type == FM_CUDA_F32 ? "fp32" : " or fp32");
    if (spec->epilogue != FM_EPILOGUE_NONE && epilogues[spec->epilogue].kind != spec->kind)
        return fm_fail(FM_UNSUPPORTED, "dense layer (%s): this epilogue belongs to the %s pass",
            key, kind_names[epilogues[spec->epilogue].kind]);
    return FM_OK;
}

// ---- descriptors

// A row-major [rows][columns].
static enum fm_status create_layout(
    cublasLtMatrixLayout_t *layout, enum fm_cuda_type type, int rows, int columns)
{
    FM_BLAS(cublasLtMatrixLayoutCreate(
        layout, data_types[type], (uint64_t)columns, (uint64_t)rows, columns));
    return FM_OK;
}

static enum fm_status describe_matrices(struct fm_cuda_dense *dense)
{
    const struct fm_cuda_dense_spec *s = &dense->spec;
    switch (s->kind) {
    case FM_DENSE_FORWARD:
        dense->a_role = FM_TENSOR_WEIGHT;
        dense->b_role = FM_TENSOR_X;
        dense->d_role = FM_TENSOR_Y;
        FM_TRY(create_layout(&dense->a, s->type, s->outputs, s->inputs));
        FM_TRY(create_layout(&dense->b, s->type, s->rows, s->inputs));
        return create_layout(&dense->d, s->y_type, s->rows, s->outputs);
    case FM_DENSE_DATA:
        dense->a_role = FM_TENSOR_WEIGHT;
        dense->b_role = FM_TENSOR_DY;
        dense->d_role = FM_TENSOR_DX;
        FM_TRY(create_layout(&dense->a, s->type, s->outputs, s->inputs));
        FM_TRY(create_layout(&dense->b, s->type, s->rows, s->outputs));
        return create_layout(&dense->d, s->type, s->rows, s->inputs);
    case FM_DENSE_WEIGHTS:
        break;
    }
    dense->a_role = FM_TENSOR_X;
    dense->b_role = FM_TENSOR_DY;
    dense->d_role = FM_TENSOR_DWEIGHT;
    FM_TRY(create_layout(&dense->a, s->type, s->rows, s->inputs));
    FM_TRY(create_layout(&dense->b, s->type, s->rows, s->outputs));
    return create_layout(&dense->d, s->type, s->outputs, s->inputs);
}

static enum fm_status create_operation(struct fm_cuda_dense *dense, bool tf32)
{
    const struct fm_cuda_dense_spec *s = &dense->spec;
    cublasComputeType_t compute = tf32 && s->type == FM_CUDA_F32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                                 : CUBLAS_COMPUTE_32F;
    int32_t a = s->kind == FM_DENSE_FORWARD ? CUBLAS_OP_T : CUBLAS_OP_N;
    int32_t b = s->kind == FM_DENSE_WEIGHTS ? CUBLAS_OP_T : CUBLAS_OP_N;
    FM_BLAS(cublasLtMatmulDescCreate(&dense->operation, compute, CUDA_R_32F));
    FM_BLAS(cublasLtMatmulDescSetAttribute(
        dense->operation, CUBLASLT_MATMUL_DESC_TRANSA, &a, sizeof a));
    FM_BLAS(cublasLtMatmulDescSetAttribute(
        dense->operation, CUBLASLT_MATMUL_DESC_TRANSB, &b, sizeof b));
    return FM_OK;
}

enum fm_status fm_cuda_dense_point(const struct fm_cuda_dense *dense, void *bias, void *mask)
{
    if (dense->epilogue->bias)
        FM_BLAS(cublasLtMatmulDescSetAttribute(
            dense->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias));
    if (dense->epilogue->mask)
        FM_BLAS(cublasLtMatmulDescSetAttribute(
            dense->operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &mask, sizeof mask));
    return FM_OK;
}

static enum fm_status set_epilogue(const struct fm_cuda_dense *dense)
{
    const struct fm_cuda_dense_spec *s = &dense->spec;
    uint32_t fused = dense->epilogue->fused;
    int32_t bias_type = (int32_t)data_types[s->kind == FM_DENSE_FORWARD ? s->y_type : s->type];
    int64_t ld = mask_ld(s->kind == FM_DENSE_FORWARD ? s->outputs : s->inputs);
    // No address, but as aligned as one.
    void *somewhere = (void *)(uintptr_t)ALIGNMENT; // NOLINT
    FM_BLAS(cublasLtMatmulDescSetAttribute(
        dense->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &fused, sizeof fused));
    if (dense->epilogue->bias)
        FM_BLAS(cublasLtMatmulDescSetAttribute(
            dense->operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &bias_type, sizeof bias_type));
    if (dense->epilogue->mask)
        FM_BLAS(cublasLtMatmulDescSetAttribute(
            dense->operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &ld, sizeof ld));
    return fm_cuda_dense_point(dense, somewhere, somewhere);
}

static enum fm_status create_preference(cublasLtMatmulPreference_t *preference, uint64_t workspace)
{
    // Parts of a split sum are kept and added in fp32, in a fixed order.
    uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, alignment = ALIGNMENT;
    static const cublasLtMatmulPreferenceAttributes_t aligned[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
    };
    FM_BLAS(cublasLtMatmulPreferenceCreate(preference));
    FM_BLAS(cublasLtMatmulPreferenceSetAttribute(
        *preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace));
    FM_BLAS(cublasLtMatmulPreferenceSetAttribute(
        *preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions, sizeof reductions));
    for (size_t i = 0; i < sizeof aligned / sizeof aligned[0]; i++)
        FM_BLAS(cublasLtMatmulPreferenceSetAttribute(
            *preference, aligned[i], &alignment, sizeof alignment));
    return FM_OK;
}

// ---- the choice

// The first algorithm that fits, if there is one, for the operation as it is.
static enum fm_status ask(struct fm_cuda_dense *dense, cublasLtHandle_t handle,
    cublasLtMatmulPreference_t preference, uint64_t workspace, bool *found)
{
    cublasLtMatmulHeuristicResult_t results[CANDIDATES];
    int count = 0;
    *found = false;
    cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, dense->operation, dense->a,
        dense->b, dense->d, dense->d, preference, CANDIDATES, results, &count);
    // The library may have nothing, and says so: no failure of the call. Which of these it says of
    // an epilogue that a type or an architecture lacks depends on its version.
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE ||
        status == CUBLAS_STATUS_ARCH_MISMATCH)
        return FM_OK;
    FM_TRY(fm_cublas_status(status, "cublasLtMatmulAlgoGetHeuristic"));
    for (int i = 0; i < count && !*found; i++) {
        if (results[i].state != CUBLAS_STATUS_SUCCESS || results[i].workspaceSize > workspace)
            continue;
        dense->algorithm = results[i].algo;
        dense->workspace = results[i].workspaceSize;
        *found = true;
    }
    return FM_OK;
}

// The library's algorithm with the epilogue; else without, and own kernels do the rest.
static enum fm_status choose(struct fm_cuda_dense *dense, cublasLtHandle_t handle,
    const struct fm_cuda_caps *caps, bool ungated)
{
    cublasLtMatmulPreference_t preference = NULL;
    uint64_t workspace = caps->workspace > 0 ? (uint64_t)caps->workspace : 0;
    bool found = false;
    bool blind = ungated && dense->spec.kind == FM_DENSE_DATA && dense->epilogue->mask;
    enum fm_status status;
    FM_TRY_GOTO(status, create_preference(&preference, workspace), out);
    if (!blind) {
        FM_TRY_GOTO(status, set_epilogue(dense), out);
        FM_TRY_GOTO(status, ask(dense, handle, preference, workspace, &found), out);
    }
    if (!found && dense->spec.epilogue != FM_EPILOGUE_NONE) {
        // A new operation, so that nothing of the epilogue is left in it.
        cublasLtMatmulDesc_t fused = dense->operation;
        dense->operation = NULL;
        dense->fallback = true;
        (void)cublasLtMatmulDescDestroy(fused);
        FM_TRY_GOTO(status, create_operation(dense, caps->tf32), out);
        FM_TRY_GOTO(status, ask(dense, handle, preference, workspace, &found), out);
    }
    if (!found)
        status = fm_fail(FM_UNSUPPORTED,
            "cuBLASLt has no algorithm within %" PRIu64 " bytes of workspace", workspace);
out:
    if (preference)
        (void)cublasLtMatmulPreferenceDestroy(preference);
    return status;
}

// Appends ", tile 20", if the algorithm says.
static void add_attribute(struct fm_cuda_dense *dense, const char *label,
    cublasLtMatmulAlgoConfigAttributes_t attribute, uint32_t least)
{
    uint32_t value = 0;
    size_t written = 0, length = strlen(dense->name);
    cublasStatus_t status = cublasLtMatmulAlgoConfigGetAttribute(
        &dense->algorithm, attribute, &value, sizeof value, &written);
    // A name is for people: an attribute that an algorithm does not have is left out.
    if (status == CUBLAS_STATUS_SUCCESS && value >= least)
        snprintf(dense->name + length, sizeof dense->name - length, "%s%s %" PRIu32,
            length ? ", " : "", label, value);
}

static void name_algorithm(struct fm_cuda_dense *dense)
{
    add_attribute(dense, "algorithm", CUBLASLT_ALGO_CONFIG_ID, 0);
    add_attribute(dense, "tile", CUBLASLT_ALGO_CONFIG_TILE_ID, 0);
    add_attribute(dense, "stages", CUBLASLT_ALGO_CONFIG_STAGES_ID, 0);
    add_attribute(dense, "split-k", CUBLASLT_ALGO_CONFIG_SPLITK_NUM, 2);
    size_t length = strlen(dense->name);
    if (dense->fallback)
        snprintf(
            dense->name + length, sizeof dense->name - length, " + own %s", dense->epilogue->own);
}

enum fm_status fm_cuda_dense_create(cublasLtHandle_t handle, const struct fm_cuda_caps *caps,
    const struct fm_cuda_dense_spec *spec, bool ungated, struct fm_cuda_dense **to)
{
    char key[128];
    enum fm_status status;
    *to = NULL;
    FM_TRY(check_spec(spec));
    struct fm_cuda_dense *dense = calloc(1, sizeof *dense);
    if (!dense)
        return fm_fail_memory("a dense layer's description", sizeof *dense);
    dense->spec = *spec;
    dense->epilogue = &epilogues[spec->epilogue];
    FM_TRY_GOTO(status, describe_matrices(dense), failed);
    FM_TRY_GOTO(status, create_operation(dense, caps->tf32), failed);
    FM_TRY_GOTO(status, choose(dense, handle, caps, ungated), failed);
    name_algorithm(dense);
    *to = dense;
    return FM_OK;
failed:
    fm_cuda_dense_destroy(dense);
    fm_cuda_dense_key(spec, key, sizeof key);
    return fm_context(status, "dense layer (%s)", key);
}

void fm_cuda_dense_destroy(struct fm_cuda_dense *dense)
{
    if (!dense)
        return;
    if (dense->operation)
        (void)cublasLtMatmulDescDestroy(dense->operation);
    const cublasLtMatrixLayout_t layouts[] = {dense->d, dense->b, dense->a};
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++)
        if (layouts[i])
            (void)cublasLtMatrixLayoutDestroy(layouts[i]);
    free(dense);
}

bool fm_cuda_dense_leaves_mask(const struct fm_cuda_dense *dense)
{
    return dense->spec.epilogue == FM_EPILOGUE_BIAS_RELU_MASK && !dense->fallback;
}

int64_t fm_cuda_dense_workspace(const struct fm_cuda_dense *dense)
{
    return (int64_t)dense->workspace;
}

const char *fm_cuda_dense_name(const struct fm_cuda_dense *dense)
{
    return dense->name;
}
