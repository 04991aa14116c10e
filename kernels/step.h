// What changes from step to step. It travels with the batch, so that a captured graph reads it from
// the slot and never has to be changed. Plain data, the same on host and device.
#ifndef FM_KERNELS_STEP_H
#define FM_KERNELS_STEP_H

#include <stdint.h>

struct fm_step {
    uint64_t seed;       // the run's: the key of every draw
    uint32_t epoch;      // counter word of every draw
    uint32_t count;      // samples in the slot, 1 to the executor's batch
    float learning_rate; // of this step; times a parameter's own multiplier
    float weight_decay;  // AdamW: decoupled; SGD: in the gradient; where a parameter decays
    float ema_decay;     // 0: no averaging
    uint32_t reserved;   // 0
};

#endif
