// The functions of cuBLASLt that dense layers need: descriptors, heuristic, product (cublaslt.h).
#include "cublaslt.h"
#include "cublaslt_product.h"
#include "internal.h"

#include <cstdlib>
#include <cstring>
#include <set>

namespace
{

const uint32_t DEFAULT_ALIGNMENT = 256; // of operands, unless the preference says less
const size_t WORKSPACE = 4096;          // what an algorithm asks for, where it may
const size_t WORKSPACE_ALIGNMENT = 16;
const int64_t MASK_LD_MULTIPLE = 128;
const uint32_t ALGORITHM_ID = 6, TILE_ID = 20, STAGES_ID = 11; // of every algorithm

// ---- what the opaque types stand for

struct handle {
    int unused = 0;
};

struct operation {
    cublasComputeType_t compute;
    cudaDataType scale;
    int32_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
    int32_t pointer_mode = CUBLASLT_POINTER_MODE_HOST;
    uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    void *bias = nullptr;
    int32_t bias_type = -1;
    void *mask = nullptr;
    int64_t mask_ld = 0;
};

struct preference {
    uint32_t search = 0;
    uint64_t workspace = 0;
    uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
    uint32_t alignment_a = DEFAULT_ALIGNMENT, alignment_b = DEFAULT_ALIGNMENT;
    uint32_t alignment_c = DEFAULT_ALIGNMENT, alignment_d = DEFAULT_ALIGNMENT;
    uint64_t implementations = ~0ull;
};

// In a cublasLtMatmulAlgo_t: what the algorithm was chosen for.
struct algorithm {
    char mark[8]; // "simlt"
    uint64_t problem;
    uint64_t workspace;
    uint32_t alignment_a, alignment_b, alignment_c, alignment_d;
    uint32_t splits, reduction; // of k, and how its parts are added
};
static_assert(sizeof(algorithm) <= sizeof(cublasLtMatmulAlgo_t), "fits");

const char MARK[8] = "simlt";

cublasStatus_t refuse(cublasStatus_t status, const char *what)
{
    sim_fail("%s", what);
    return status;
}

// The object behind a handle, or nullptr, reported.
template <class T> T *find(const char *kind, const void *opaque)
{
    if (!opaque || !sim_is_tracked(kind, opaque)) {
        sim_fail("%p is no live %s", opaque, kind);
        return nullptr;
    }
    return static_cast<T *>(const_cast<void *>(opaque));
}

template <class T, class Opaque> cublasStatus_t create(const char *kind, T *object, Opaque *opaque)
{
    sim_track(kind, object);
    *opaque = reinterpret_cast<Opaque>(object);
    return CUBLAS_STATUS_SUCCESS;
}

template <class T> cublasStatus_t destroy(const char *kind, const void *opaque)
{
    if (!find<T>(kind, opaque)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    sim_untrack(kind, opaque);
    delete static_cast<const T *>(opaque);
    return CUBLAS_STATUS_SUCCESS;
}

const char HANDLE[] = "cuBLASLt handle";
const char OPERATION[] = "cuBLASLt matmul descriptor";
const char LAYOUT[] = "cuBLASLt matrix layout";
const char PREFERENCE[] = "cuBLASLt preference";

template <class T> cublasStatus_t set(T *member, const void *value, size_t bytes)
{
    if (!value || bytes != sizeof *member) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "an attribute of another size");
    }
    memcpy(member, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

// ---- refused epilogues

std::set<uint32_t> &refused()
{
    static std::set<uint32_t> *the = [] {
        auto *all = new std::set<uint32_t>;
        const char *list = getenv("SIM_REFUSE_EPILOGUES");
        while (list && *list) {
            char *end;
            all->insert(static_cast<uint32_t>(strtoul(list, &end, 10)));
            list = *end == ',' ? end + 1 : "";
        }
        return all;
    }();
    return *the;
}

bool is_simulated(uint32_t epilogue)
{
    switch (epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
    case CUBLASLT_EPILOGUE_RELU:
    case CUBLASLT_EPILOGUE_BIAS:
    case CUBLASLT_EPILOGUE_RELU_BIAS:
    case CUBLASLT_EPILOGUE_RELU_AUX:
    case CUBLASLT_EPILOGUE_RELU_AUX_BIAS:
    case CUBLASLT_EPILOGUE_DRELU:
    case CUBLASLT_EPILOGUE_DRELU_BGRAD:
    case CUBLASLT_EPILOGUE_BGRADA:
    case CUBLASLT_EPILOGUE_BGRADB:
        return true;
    default:
        return false;
    }
}

// ---- what a problem must be

// The descriptors of one call; false: one of them is not live.
bool describe(cublasLtMatmulDesc_t operation_, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
    cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, simlt::product *p)
{
    auto *o = find<operation>(OPERATION, operation_);
    auto *la = find<simlt::matrix>(LAYOUT, a), *lb = find<simlt::matrix>(LAYOUT, b);
    auto *lc = find<simlt::matrix>(LAYOUT, c), *ld = find<simlt::matrix>(LAYOUT, d);
    if (!o || !la || !lb || !lc || !ld) {
        return false;
    }
    *p = simlt::product{};
    p->a = *la;
    p->b = *lb;
    p->c = *lc;
    p->d = *ld;
    p->transposed_a = o->transpose_a != CUBLAS_OP_N;
    p->transposed_b = o->transpose_b != CUBLAS_OP_N;
    p->tf32 = o->compute == CUBLAS_COMPUTE_32F_FAST_TF32;
    p->epilogue = o->epilogue;
    p->bias = o->bias;
    p->bias_type = o->bias_type < 0 ? ld->type : static_cast<cudaDataType>(o->bias_type);
    p->mask = o->mask;
    p->mask_ld = o->mask_ld;
    return true;
}

cublasStatus_t check_shapes(const simlt::product &p)
{
    int64_t m = p.transposed_a ? p.a.columns : p.a.rows;
    int64_t k = p.transposed_b ? p.b.columns : p.b.rows;
    int64_t n = p.transposed_b ? p.b.rows : p.b.columns;
    if (m != p.m() || n != p.n() || k != p.k() || p.c.rows != m || p.c.columns != n) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "matrices of shapes that do not fit");
    }
    if (p.a.type != p.b.type || p.c.type != p.d.type) {
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "A and B, or C and D, of different types");
    }
    if (p.d.type != p.a.type && p.d.type != CUDA_R_32F) {
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "D of another 16-bit type than A");
    }
    if (p.tf32 && p.a.type != CUDA_R_32F) {
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "TF32 of matrices that are not fp32");
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t check_epilogue(const simlt::product &p)
{
    if (p.uses_mask() && (p.mask_ld % MASK_LD_MULTIPLE || p.mask_ld < p.m())) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE,
            "the mask's leading dimension is no multiple of 128 or less than D's rows");
    }
    if (p.uses_mask() && !p.mask) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "the epilogue needs a mask, there is none");
    }
    if ((p.reads_bias() || p.writes_bias()) && !p.bias) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "the epilogue needs a bias, there is none");
    }
    return CUBLAS_STATUS_SUCCESS;
}

bool is_whole_16(const simlt::matrix &x)
{
    return static_cast<size_t>(x.ld) * simlt::size_of(x.type) % 16 == 0;
}

// What a real library may find no algorithm for: no misuse, the caller does without.
bool has_algorithm(const simlt::product &p)
{
    if (p.a.type == CUDA_R_16BF && sim_pose()->major < 8) {
        return false;
    }
    if (p.epilogue == CUBLASLT_EPILOGUE_DEFAULT) {
        return true;
    }
    if (refused().count(p.epilogue)) {
        return false;
    }
    if ((p.reads_bias() || p.writes_bias()) && p.bias_type != p.d.type) {
        return false;
    }
    return p.a.type == CUDA_R_32F || (is_whole_16(p.a) && is_whole_16(p.b) && is_whole_16(p.d));
}

void mix(uint64_t *hash, int64_t value)
{
    *hash = (*hash ^ static_cast<uint64_t>(value)) * 0x100000001b3ull;
}

// Shapes, types and epilogue as one number: FNV-1a by words.
uint64_t problem_of(const simlt::product &p)
{
    uint64_t hash = 0xcbf29ce484222325ull;
    for (const simlt::matrix *x : {&p.a, &p.b, &p.c, &p.d}) {
        mix(&hash, x->type);
        mix(&hash, x->rows);
        mix(&hash, x->columns);
        mix(&hash, x->ld);
    }
    mix(&hash, p.transposed_a);
    mix(&hash, p.transposed_b);
    mix(&hash, p.tf32);
    mix(&hash, p.epilogue);
    mix(&hash, p.bias_type);
    mix(&hash, p.mask_ld);
    return hash;
}

// ---- the operands of a product

bool check_operand(const char *name, const void *data, size_t bytes, size_t alignment)
{
    if (!sim_is_device(data, bytes)) {
        sim_fail(
            "%s: %zu bytes are not in device memory: %s", name, bytes, sim_describe(data).c_str());
        return false;
    }
    if (reinterpret_cast<uintptr_t>(data) % alignment) {
        sim_fail("%s at %p is not aligned to %zu bytes, which the preference said", name, data,
            alignment);
        return false;
    }
    return true;
}

bool overlap(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    auto x = reinterpret_cast<uintptr_t>(a), y = reinterpret_cast<uintptr_t>(b);
    return x < y + b_bytes && y < x + a_bytes;
}

bool check_operands(
    const simlt::product &p, const algorithm &chosen, const void *workspace, size_t workspace_bytes)
{
    size_t bias_bytes = static_cast<size_t>(p.bias_count()) * simlt::size_of(p.bias_type);
    size_t element = simlt::size_of(p.bias_type);
    if (!check_operand("A", p.a_data, p.a.bytes(), chosen.alignment_a) ||
        !check_operand("B", p.b_data, p.b.bytes(), chosen.alignment_b) ||
        !check_operand("D", p.d_data, p.d.bytes(), chosen.alignment_d)) {
        return false;
    }
    if (p.beta != 0.0f && !check_operand("C", p.c_data, p.c.bytes(), chosen.alignment_c)) {
        return false;
    }
    if ((p.reads_bias() || p.writes_bias()) &&
        !check_operand("bias", p.bias, bias_bytes, element)) {
        return false;
    }
    if (p.uses_mask() && !check_operand("mask", p.mask, p.mask_bytes(), WORKSPACE_ALIGNMENT)) {
        return false;
    }
    if (chosen.workspace &&
        !check_operand("workspace", workspace, workspace_bytes, WORKSPACE_ALIGNMENT)) {
        return false;
    }
    if (overlap(p.d_data, p.d.bytes(), p.a_data, p.a.bytes()) ||
        overlap(p.d_data, p.d.bytes(), p.b_data, p.b.bytes())) {
        sim_fail("D overlaps A or B");
        return false;
    }
    return true;
}

cublasStatus_t context_status()
{
    return sim_context() == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

} // namespace

// A call that a test wants to fail does, and every call of a lost context.
#define SIMLT_CALL(name)                                                                           \
    sim_call call(name);                                                                           \
    if (call.injected) {                                                                           \
        return static_cast<cublasStatus_t>(call.code);                                             \
    }

extern "C" {

void sim_refuse_epilogue(uint32_t epilogue, bool is_refused)
{
    if (is_refused) {
        refused().insert(epilogue);
    } else {
        refused().erase(epilogue);
    }
}

size_t cublasLtGetVersion(void)
{
    sim_call call("cublasLtGetVersion");
    return call.injected ? static_cast<size_t>(call.code) : CUBLAS_VERSION;
}

size_t cublasLtGetCudartVersion(void)
{
    return CUDART_VERSION;
}

const char *cublasLtGetStatusName(cublasStatus_t status)
{
    switch (status) {
    case CUBLAS_STATUS_SUCCESS:
        return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_STATUS_NOT_INITIALIZED:
        return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_STATUS_ALLOC_FAILED:
        return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_STATUS_INVALID_VALUE:
        return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_STATUS_ARCH_MISMATCH:
        return "CUBLAS_STATUS_ARCH_MISMATCH";
    case CUBLAS_STATUS_MAPPING_ERROR:
        return "CUBLAS_STATUS_MAPPING_ERROR";
    case CUBLAS_STATUS_EXECUTION_FAILED:
        return "CUBLAS_STATUS_EXECUTION_FAILED";
    case CUBLAS_STATUS_INTERNAL_ERROR:
        return "CUBLAS_STATUS_INTERNAL_ERROR";
    case CUBLAS_STATUS_NOT_SUPPORTED:
        return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
        return "CUBLAS_STATUS of another number";
    }
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    return cublasLtGetStatusName(status);
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *to)
{
    SIMLT_CALL("cublasLtCreate");
    if (sim_has_device() != cudaSuccess) {
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    return create(HANDLE, new handle, to);
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t opaque)
{
    SIMLT_CALL("cublasLtDestroy");
    return destroy<handle>(HANDLE, opaque);
}

cublasStatus_t cublasLtMatmulDescCreate(
    cublasLtMatmulDesc_t *to, cublasComputeType_t compute, cudaDataType_t scale)
{
    SIMLT_CALL("cublasLtMatmulDescCreate");
    if ((compute != CUBLAS_COMPUTE_32F && compute != CUBLAS_COMPUTE_32F_FAST_TF32) ||
        scale != CUDA_R_32F) {
        return refuse(
            CUBLAS_STATUS_NOT_SUPPORTED, "only computing and scaling in fp32 is simulated");
    }
    auto *made = new operation;
    made->compute = compute;
    made->scale = scale;
    return create(OPERATION, made, to);
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t opaque)
{
    SIMLT_CALL("cublasLtMatmulDescDestroy");
    return destroy<operation>(OPERATION, opaque);
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t opaque,
    cublasLtMatmulDescAttributes_t attribute, const void *value, size_t bytes)
{
    SIMLT_CALL("cublasLtMatmulDescSetAttribute");
    auto *o = find<operation>(OPERATION, opaque);
    if (!o) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        return set(&o->transpose_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
        return set(&o->transpose_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: {
        cublasStatus_t status = set(&o->epilogue, value, bytes);
        return status != CUBLAS_STATUS_SUCCESS || is_simulated(o->epilogue)
                   ? status
                   : refuse(CUBLAS_STATUS_NOT_SUPPORTED, "this epilogue is not simulated");
    }
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        return set(&o->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
        return set(&o->bias_type, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
        return set(&o->mask, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
        return set(&o->mask_ld, value, bytes);
    case CUBLASLT_MATMUL_DESC_POINTER_MODE: {
        cublasStatus_t status = set(&o->pointer_mode, value, bytes);
        return o->pointer_mode == CUBLASLT_POINTER_MODE_HOST
                   ? status
                   : refuse(CUBLAS_STATUS_NOT_SUPPORTED, "only factors on the host are simulated");
    }
    default:
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "this attribute is not simulated");
    }
}

cublasStatus_t cublasLtMatrixLayoutCreate(
    cublasLtMatrixLayout_t *to, cudaDataType type, uint64_t rows, uint64_t columns, int64_t ld)
{
    SIMLT_CALL("cublasLtMatrixLayoutCreate");
    if (!simlt::size_of(type)) {
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "only fp32, fp16 and bf16 are simulated");
    }
    if (rows == 0 || columns == 0 || ld < static_cast<int64_t>(rows)) {
        return refuse(
            CUBLAS_STATUS_INVALID_VALUE, "no rows, no columns, or a column longer than ld");
    }
    return create(LAYOUT,
        new simlt::matrix{type, static_cast<int64_t>(rows), static_cast<int64_t>(columns), ld}, to);
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t opaque)
{
    SIMLT_CALL("cublasLtMatrixLayoutDestroy");
    return destroy<simlt::matrix>(LAYOUT, opaque);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *to)
{
    SIMLT_CALL("cublasLtMatmulPreferenceCreate");
    return create(PREFERENCE, new preference, to);
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t opaque)
{
    SIMLT_CALL("cublasLtMatmulPreferenceDestroy");
    return destroy<preference>(PREFERENCE, opaque);
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t opaque,
    cublasLtMatmulPreferenceAttributes_t attribute, const void *value, size_t bytes)
{
    SIMLT_CALL("cublasLtMatmulPreferenceSetAttribute");
    auto *p = find<preference>(PREFERENCE, opaque);
    if (!p) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    switch (attribute) {
    case CUBLASLT_MATMUL_PREF_SEARCH_MODE:
        return set(&p->search, value, bytes);
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
        return set(&p->workspace, value, bytes);
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK:
        return set(&p->reductions, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
        return set(&p->alignment_a, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
        return set(&p->alignment_b, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
        return set(&p->alignment_c, value, bytes);
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
        return set(&p->alignment_d, value, bytes);
    case CUBLASLT_MATMUL_PREF_IMPL_MASK:
        return set(&p->implementations, value, bytes);
    default:
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "this preference is not simulated");
    }
}

// Up to three algorithms: with k in two parts that are stored in D's type, if the preference does
// not exclude that; with a workspace, if it allows one; and without.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t lt, cublasLtMatmulDesc_t operation_,
    cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c,
    cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t preference_, int wanted,
    cublasLtMatmulHeuristicResult_t results[], int *found)
{
    SIMLT_CALL("cublasLtMatmulAlgoGetHeuristic");
    auto *wish = find<preference>(PREFERENCE, preference_);
    simlt::product p;
    if (!find<handle>(HANDLE, lt) || !wish || !found || !results || wanted < 1 ||
        !describe(operation_, a, b, c, d, &p)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    *found = 0;
    cublasStatus_t status = check_shapes(p);
    if (status == CUBLAS_STATUS_SUCCESS && !has_algorithm(p)) {
        return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    if (status != CUBLAS_STATUS_SUCCESS) {
        return status;
    }
    struct kind {
        size_t workspace;
        uint32_t splits, reduction;
    };
    for (kind k : {kind{WORKSPACE, 2, CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE},
             kind{WORKSPACE, 1, CUBLASLT_REDUCTION_SCHEME_NONE},
             kind{0, 1, CUBLASLT_REDUCTION_SCHEME_NONE}}) {
        if (k.workspace > wish->workspace || *found == wanted ||
            (k.reduction & wish->reductions) != k.reduction) {
            continue;
        }
        algorithm chosen = {{}, problem_of(p), k.workspace, wish->alignment_a, wish->alignment_b,
            wish->alignment_c, wish->alignment_d, k.splits, k.reduction};
        memcpy(chosen.mark, MARK, sizeof MARK);
        cublasLtMatmulHeuristicResult_t *result = &results[(*found)++];
        *result = cublasLtMatmulHeuristicResult_t{};
        memcpy(&result->algo, &chosen, sizeof chosen);
        result->workspaceSize = k.workspace;
        result->state = CUBLAS_STATUS_SUCCESS;
        result->wavesCount = 1.0f;
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algo,
    cublasLtMatmulAlgoConfigAttributes_t attribute, void *value, size_t bytes, size_t *written)
{
    SIMLT_CALL("cublasLtMatmulAlgoConfigGetAttribute");
    algorithm chosen = {};
    if (algo) {
        memcpy(&chosen, algo, sizeof chosen);
    }
    if (memcmp(chosen.mark, MARK, sizeof MARK) != 0 || !value || bytes != sizeof(uint32_t)) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE,
            "no algorithm of the heuristic's, or an attribute of another size");
    }
    uint32_t number;
    switch (attribute) {
    case CUBLASLT_ALGO_CONFIG_ID:
        number = ALGORITHM_ID;
        break;
    case CUBLASLT_ALGO_CONFIG_TILE_ID:
        number = TILE_ID;
        break;
    case CUBLASLT_ALGO_CONFIG_STAGES_ID:
        number = STAGES_ID;
        break;
    case CUBLASLT_ALGO_CONFIG_SPLITK_NUM:
        number = chosen.splits;
        break;
    case CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME:
        number = chosen.reduction;
        break;
    default:
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "this attribute is not simulated");
    }
    memcpy(value, &number, sizeof number);
    if (written) {
        *written = sizeof number;
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t lt, cublasLtMatmulDesc_t operation_,
    const void *alpha, const void *a_data, cublasLtMatrixLayout_t a, const void *b_data,
    cublasLtMatrixLayout_t b, const void *beta, const void *c_data, cublasLtMatrixLayout_t c,
    void *d_data, cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t *algo, void *workspace,
    size_t workspace_bytes, cudaStream_t stream)
{
    SIMLT_CALL("cublasLtMatmul");
    simlt::product p;
    if (!find<handle>(HANDLE, lt) || !describe(operation_, a, b, c, d, &p)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (context_status() != CUBLAS_STATUS_SUCCESS) {
        return context_status();
    }
    cublasStatus_t status = check_shapes(p);
    if (status == CUBLAS_STATUS_SUCCESS) {
        status = check_epilogue(p);
    }
    if (status != CUBLAS_STATUS_SUCCESS) {
        return status;
    }
    algorithm chosen;
    if (!algo || !alpha || !beta) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "no algorithm, or no factor");
    }
    memcpy(&chosen, algo, sizeof chosen);
    if (memcmp(chosen.mark, MARK, sizeof MARK) != 0 || chosen.problem != problem_of(p)) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE,
            "an algorithm that the heuristic did not give for these shapes, types and epilogue");
    }
    if (workspace_bytes < chosen.workspace) {
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "a smaller workspace than the algorithm's");
    }
    memcpy(&p.alpha, alpha, sizeof p.alpha);
    memcpy(&p.beta, beta, sizeof p.beta);
    p.a_data = a_data;
    p.b_data = b_data;
    p.c_data = c_data;
    p.d_data = d_data;
    p.splits_rounded = chosen.reduction == CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
    if (!check_operands(p, chosen, workspace, workspace_bytes)) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    sim_enqueue(
        stream,
        [=] {
            // A graph may be launched long after it was captured.
            if (!check_operands(p, chosen, workspace, workspace_bytes)) {
                sim_lose_context(cudaErrorIllegalAddress);
                return;
            }
            if (chosen.workspace) {
                memset(workspace, 0xff, chosen.workspace);
            }
            simlt::run(p);
        },
        "cublasLtMatmul", 5.0);
    return CUBLAS_STATUS_SUCCESS;
}
}
