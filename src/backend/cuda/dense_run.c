// A dense layer's product on a stream and, where its epilogue could not be fused, the kernels that
// stand for it.
#include "backend/cuda/check.h"
#include "backend/cuda/dense_internal.h"

static enum fm_status multiply(const struct fm_cuda_dense *dense, cublasLtHandle_t handle,
    void *const tensors[FM_TENSOR_ROLES], cudaStream_t stream)
{
    static const float one = 1.0f, zero = 0.0f;
    enum fm_cuda_role bias = dense->spec.kind == FM_DENSE_FORWARD ? FM_TENSOR_BIAS
                                                                  : FM_TENSOR_DBIAS;
    void *d = tensors[dense->d_role];
    if (!dense->fallback)
        FM_TRY(fm_cuda_dense_point(dense, tensors[bias], tensors[FM_TENSOR_MASK]));
    FM_BLAS(cublasLtMatmul(handle, dense->operation, &one, tensors[dense->a_role], dense->a,
        tensors[dense->b_role], dense->b, &zero, d, dense->d, d, dense->d, &dense->algorithm,
        dense->workspace ? tensors[FM_TENSOR_WORKSPACE] : NULL, dense->workspace, stream));
    return FM_OK;
}

static enum fm_status add_bias(const struct fm_cuda_dense_spec *spec,
    void *const tensors[FM_TENSOR_ROLES], cudaStream_t stream)
{
    struct fm_cuda_bias work = {
        .type = spec->y_type,
        .rows = spec->rows,
        .channels = spec->outputs,
        .bias_type = spec->y_type,
        .bias = tensors[FM_TENSOR_BIAS],
        .y = tensors[FM_TENSOR_Y],
        .relu = spec->epilogue != FM_EPILOGUE_BIAS,
    };
    FM_CUDA(fm_launch_bias_forward(&work, stream));
    return FM_OK;
}

static enum fm_status gate(const struct fm_cuda_dense_spec *spec,
    void *const tensors[FM_TENSOR_ROLES], cudaStream_t stream)
{
    struct fm_cuda_relu work = {
        .type = spec->type,
        .count = (size_t)spec->rows * (size_t)spec->inputs,
        .gate = tensors[FM_TENSOR_GATE],
        .dy = tensors[FM_TENSOR_DX],
        .dx = tensors[FM_TENSOR_DX],
    };
    FM_CUDA(fm_launch_relu_backward(&work, stream));
    return FM_OK;
}

// The sum over the rows of `gradients` [rows][columns].
static enum fm_status sum_rows(const struct fm_cuda_dense_spec *spec, const void *gradients,
    int columns, void *const tensors[FM_TENSOR_ROLES], cudaStream_t stream)
{
    struct fm_cuda_bias work = {
        .type = spec->type,
        .rows = spec->rows,
        .channels = columns,
        .bias_type = spec->type,
        .dy = gradients,
        .gradient = tensors[FM_TENSOR_DBIAS],
        .scratch = tensors[FM_TENSOR_SCRATCH],
    };
    FM_CUDA(fm_launch_bias_backward(&work, stream));
    return FM_OK;
}

// What the epilogue would have done to a plain product.
static enum fm_status finish(const struct fm_cuda_dense_spec *spec,
    void *const tensors[FM_TENSOR_ROLES], cudaStream_t stream)
{
    switch (spec->epilogue) {
    case FM_EPILOGUE_NONE:
        return FM_OK;
    case FM_EPILOGUE_BIAS:
    case FM_EPILOGUE_BIAS_RELU:
    case FM_EPILOGUE_BIAS_RELU_MASK:
        return add_bias(spec, tensors, stream);
    case FM_EPILOGUE_GATE:
        return gate(spec, tensors, stream);
    case FM_EPILOGUE_GATE_DBIAS:
        FM_TRY(gate(spec, tensors, stream));
        return sum_rows(spec, tensors[FM_TENSOR_DX], spec->inputs, tensors, stream);
    case FM_EPILOGUE_DBIAS:
        return sum_rows(spec, tensors[FM_TENSOR_DY], spec->outputs, tensors, stream);
    }
    return FM_OK;
}

enum fm_status fm_cuda_dense_run(const struct fm_cuda_dense *dense, cublasLtHandle_t handle,
    void *const tensors[FM_TENSOR_ROLES], cudaStream_t stream)
{
    char key[128];
    enum fm_status status = multiply(dense, handle, tensors, stream);
    if (status == FM_OK && dense->fallback)
        status = finish(&dense->spec, tensors, stream);
    if (status == FM_OK)
        return FM_OK;
    fm_cuda_dense_key(&dense->spec, key, sizeof key);
    return fm_context(status, "dense layer (%s)", key);
}
