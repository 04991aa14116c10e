// Slots in pinned memory, and their upload on the copy stream.
//
// A slot is one block, [step | ids | labels | records | soft targets]. All but the last part goes
// up in one copy; soft targets, where they are wanted, in a second. Events order it: the copy waits
// until the last step that read the device's block is over (`consumed`), the step waits for the
// copy (`uploaded`), and so does whoever refills the slot. With a resident data set labels and
// records do not go up.
#ifndef FM_CUDA_STAGING_H
#define FM_CUDA_STAGING_H

#include "backend/cuda/model.h"

// A slot's contents as kernels see them: device memory that stays where it is, so that a captured
// graph can name it.
struct fm_cuda_slot {
    const struct fm_step *step;
    const uint32_t *ids;
    const uint8_t *labels;
    const uint8_t *records;
    const float *soft_targets; // [capacity][classes]; NULL of a network that ends in features
    bool gather;               // record and label of sample n are those of ids[n]
};

struct fm_staging {
    struct fm_model *model;
    uint64_t serial;                     // unlike that of any other staging of this process
    struct fm_slot slots[FM_SLOTS];      // the host's view, pinned
    struct fm_cuda_slot views[FM_SLOTS]; // the device's
    cudaEvent_t uploaded[FM_SLOTS], consumed[FM_SLOTS];
    void *host, *block; // pinned and device memory of all slots
    void *resident;     // the data set on the device, or NULL
    uint32_t resident_count;
    uint64_t bytes;          // device memory: of all slots and the data set
    uint64_t resident_bytes; // of the data set alone
};

enum fm_status fm_cuda_staging_create(struct fm_model *model, uint32_t capacity,
    const struct fm_resident *resident, struct fm_staging **staging);
void fm_cuda_staging_destroy(struct fm_staging *staging);
struct fm_slot *fm_cuda_staging_slot(struct fm_staging *staging, int slot);
enum fm_status fm_cuda_slot_wait(struct fm_staging *staging, int slot);

// A batch that kernels can take: a label that is no class, or an id that is not in the resident
// set, fails with FM_DATA.
enum fm_status fm_cuda_staging_check(const struct fm_staging *staging, int slot);

// Enqueues the upload of a checked slot and makes the compute stream wait for it; and, once what
// reads the slot is enqueued there, says so. Every step calls both: the caller has made the device
// current. `soft`: with the soft targets.
enum fm_status fm_cuda_staging_upload(struct fm_staging *staging, int slot, bool soft);
enum fm_status fm_cuda_staging_consumed(struct fm_staging *staging, int slot);

// Enqueues the copy of a slot's first `samples` alone, without soft targets, on any stream; it is
// the caller's to order.
enum fm_status fm_cuda_staging_copy(
    struct fm_staging *staging, int slot, uint32_t samples, cudaStream_t stream);

#endif
