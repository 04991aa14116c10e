// An executor of the CPU backend: a network lowered to operations for one batch size and mode.
#ifndef FM_CPU_EXECUTOR_H
#define FM_CPU_EXECUTOR_H

#include "backend/cpu/op.h"

struct fm_staging {
    struct fm_buffers buffers;
    struct fm_slot slots[FM_SLOTS];
};

// lower.c: creates the operations in network order, fusing where the options allow.
enum fm_status fm_lower(struct fm_executor *executor);

// allocate.c: the operations' values, once it is known what trains, without memory; and memory for
// them and for the scratch that operations have asked for.
enum fm_status fm_cpu_create_values(struct fm_executor *executor);
enum fm_status fm_cpu_allocate(struct fm_executor *executor);

enum fm_status fm_cpu_compile(struct fm_model *model, const struct fm_compile_options *options,
    struct fm_executor **executor);
void fm_cpu_executor_destroy(struct fm_executor *executor);
enum fm_status fm_cpu_submit(struct fm_executor *executor, struct fm_staging *staging, int slot);
enum fm_status fm_cpu_predict(
    struct fm_executor *executor, struct fm_staging *staging, int slot, float *logits);
enum fm_status fm_cpu_score(struct fm_executor *executor, struct fm_staging *staging, int slot);
enum fm_status fm_cpu_scores_take(
    struct fm_executor *executor, struct fm_sums *scores, uint64_t *confusion);
enum fm_status fm_cpu_executor_read(
    struct fm_executor *executor, int layer, enum fm_probe probe, float *data, size_t count);
enum fm_status fm_cpu_executor_profile(
    struct fm_executor *executor, struct fm_profile_entry *entries, size_t capacity, size_t *count);
enum fm_status fm_cpu_executor_time(struct fm_executor *executor, bool on);
enum fm_status fm_cpu_executor_seconds(struct fm_executor *executor, double *seconds);
uint64_t fm_cpu_executor_memory(const struct fm_executor *executor);
void fm_cpu_executor_plans(const struct fm_executor *executor,
    void (*emit)(void *context, const char *line), void *context);

// What executor.c and score.c ask of each other: a forward pass, whose output stays until an
// executor of the model runs next; whether all labels of a slot are classes; memory for scores.
enum fm_status fm_cpu_infer(struct fm_executor *executor, struct fm_staging *staging, int slot,
    const struct fm_value **output);
enum fm_status fm_cpu_check_labels(const struct fm_executor *executor, const struct fm_slot *slot);
enum fm_status fm_cpu_scores_allocate(struct fm_executor *executor);

// Staging on a processor is ordinary memory that is taken the moment it is submitted.
enum fm_status fm_cpu_staging_create(struct fm_model *model, uint32_t capacity,
    const struct fm_resident *resident, struct fm_staging **staging);
void fm_cpu_staging_destroy(struct fm_staging *staging);
struct fm_slot *fm_cpu_staging_slot(struct fm_staging *staging, int slot);
enum fm_status fm_cpu_slot_wait(struct fm_staging *staging, int slot);

#endif
