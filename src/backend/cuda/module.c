// The module's one exported symbol: the table of the CUDA backend.
#include "backend/cuda/executor.h"

static const struct fm_backend backend = {
    .abi = FM_BACKEND_ABI,
    .name = "cuda",
    .title = "CUDA (cuDNN, cuBLASLt)",
    .device_open = fm_cuda_device_open,
    .device_close = fm_cuda_device_close,
    .device_describe = fm_cuda_device_describe,
    .memory_peak = fm_cuda_memory_peak,
    .energy = fm_cuda_energy,
    .model_create = fm_cuda_model_create,
    .model_destroy = fm_cuda_model_destroy,
    .model_get = fm_cuda_model_get,
    .model_set = fm_cuda_model_set,
    .counters_get = fm_cuda_counters_get,
    .counters_set = fm_cuda_counters_set,
    .sums_get = fm_cuda_sums_get,
    .sums_set = fm_cuda_sums_set,
    .staging_create = fm_cuda_staging_create,
    .staging_destroy = fm_cuda_staging_destroy,
    .staging_slot = fm_cuda_staging_slot,
    .slot_wait = fm_cuda_slot_wait,
    .compile = fm_cuda_compile,
    .executor_destroy = fm_cuda_executor_destroy,
    .submit = fm_cuda_submit,
    .predict = fm_cuda_predict,
    .score = fm_cuda_score,
    .scores_take = fm_cuda_scores_take,
    .executor_read = fm_cuda_executor_read,
    .executor_profile = fm_cuda_executor_profile,
    .executor_time = fm_cuda_executor_time,
    .executor_seconds = fm_cuda_executor_seconds,
    .executor_memory = fm_cuda_executor_memory,
    .executor_plans = fm_cuda_executor_plans,
};

// Named by FM_BACKEND_ENTRY; visible although everything else of the module is hidden.
__attribute__((visibility("default"))) fm_module_entry fm_backend_module;

const void *fm_backend_module(const struct fm_module_host *host)
{
    return fm_module_join(host, FM_BACKEND_ABI) ? &backend : NULL;
}
