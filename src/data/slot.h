// A staging slot: where the loader puts a batch and the device takes it from, in one upload.
// Plain data, so that the loader needs no backend and a backend needs no loader.
#ifndef FM_DATA_SLOT_H
#define FM_DATA_SLOT_H

#include <stdint.h>

// What changes from step to step. It travels with the batch, so that a captured graph reads it from
// the slot and never has to be changed.
struct fm_step {
    uint64_t seed;       // the run's: the key of every draw
    uint32_t epoch;      // counter word of every draw
    uint32_t count;      // samples in the slot, 1 to the executor's batch
    float learning_rate; // of this step; times a parameter's own multiplier
    float weight_decay;  // decoupled (AdamW), on parameters that decay
    float ema_decay;     // 0: no averaging
    uint32_t reserved;   // 0
};

// Memory owned by the backend that handed the slot out (pinned where that helps).
struct fm_slot {
    uint32_t capacity;    // samples it can hold
    uint32_t record_size; // bytes a sample
    uint8_t *records;     // [capacity][record_size]
    uint8_t *labels;      // [capacity]
    uint32_t *ids;        // [capacity]: in the data set; the counter of the samples' draws
    struct fm_step *step;
};

enum {
    FM_SLOTS = 2
};

#endif
