// The module's one exported symbol: the table of the CPU backend.
#include "backend/cpu/device.h"
#include "backend/cpu/executor.h"
#include "backend/cpu/model.h"

static const struct fm_backend backend = {
    .abi = FM_BACKEND_ABI,
    .name = "cpu",
    .title = "CPU (oneDNN)",
    .device_open = fm_cpu_device_open,
    .device_close = fm_cpu_device_close,
    .device_describe = fm_cpu_device_describe,
    .memory_peak = fm_cpu_memory_peak,
    .energy = fm_cpu_energy,
    .model_create = fm_cpu_model_create,
    .model_destroy = fm_cpu_model_destroy,
    .model_get = fm_cpu_model_get,
    .model_set = fm_cpu_model_set,
    .model_memory = fm_cpu_model_memory,
    .counters_get = fm_cpu_counters_get,
    .counters_set = fm_cpu_counters_set,
    .sums_get = fm_cpu_sums_get,
    .sums_set = fm_cpu_sums_set,
    .staging_create = fm_cpu_staging_create,
    .staging_destroy = fm_cpu_staging_destroy,
    .staging_slot = fm_cpu_staging_slot,
    .slot_wait = fm_cpu_slot_wait,
    .compile = fm_cpu_compile,
    .executor_destroy = fm_cpu_executor_destroy,
    .submit = fm_cpu_submit,
    .predict = fm_cpu_predict,
    .score = fm_cpu_score,
    .scores_take = fm_cpu_scores_take,
    .executor_read = fm_cpu_executor_read,
    .executor_profile = fm_cpu_executor_profile,
    .executor_time = fm_cpu_executor_time,
    .executor_seconds = fm_cpu_executor_seconds,
    .executor_memory = fm_cpu_executor_memory,
    .executor_plans = fm_cpu_executor_plans,
};

// Named by FM_BACKEND_ENTRY; visible although everything else of the module is hidden.
__attribute__((visibility("default"))) fm_module_entry fm_backend_module;

const void *fm_backend_module(const struct fm_module_host *host)
{
    return fm_module_join(host, FM_BACKEND_ABI) ? &backend : NULL;
}
