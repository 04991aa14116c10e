// A staging slot: where the loader puts a batch and the device takes it from. Plain data, so that
// the loader needs no backend and a backend needs no loader.
#ifndef FM_DATA_SLOT_H
#define FM_DATA_SLOT_H

#include "step.h"

#include <stdint.h>

// Memory owned by the backend that handed the slot out (pinned where that helps).
struct fm_slot {
    uint32_t capacity;    // samples it can hold
    uint32_t record_size; // bytes a sample
    uint8_t *records;     // [capacity][record_size]; NULL where the device keeps the data set
    uint8_t *labels;      // [capacity]; the same
    uint32_t *ids;        // [capacity]: in the data set; the counter of the samples' draws
    struct fm_step *step;
    // [capacity][classes], each row a distribution over the classes: filled by who trains
    // (src/train/teachers.c), never by the loader; read by submit() of an executor with a
    // soft_share. NULL of a network that ends in features.
    float *soft_targets;
};

enum {
    FM_SLOTS = 2
};

#endif
