// What the files of `measure` share: a program that asks a backend module directly, past the loader
// and the run folder, so that what is measured is the device's time and nothing else's.
#ifndef FM_TESTS_GPU_MEASURE_H
#define FM_TESTS_GPU_MEASURE_H

#include "backend/registry.h"
#include "data/split.h"
#include "net/net.h"

#include <jansson.h>

struct measure_options {
    const char *backend, *against; // parity: `backend` is held against `against`
    const char *modules;           // the backends' folder; NULL: where the library looks
    const char *data;
    const char *model, *precision;
    const char *batches; // latency: "1,2,4"
    const char *plans;   // the folder of the plan cache, or NULL
    int batch, steps, warmup, runs, threads;
    int warm_ms, round_ms; // milliseconds that the warm-up and a round last at least
    bool resident, unfused, profile, tf32;
};

// A backend with a model on it, its parameters drawn from a fixed seed.
struct measured {
    struct fm_engine engine;
    struct fm_model *model;
    enum fm_precision precision;
    bool emulated;
};

// The data set and the network that all commands work on.
struct measure_inputs {
    struct fm_dataset dataset;
    struct fm_split split;
    struct fm_net net;
};

// `reference`: a precision that the device does not have may be emulated, which is slow; what is
// measured may not.
enum fm_status measured_open(struct measured *m, const char *backend, bool reference,
    const struct measure_options *options, const struct fm_net *net, enum fm_optimiser optimiser);
void measured_close(struct measured *m);

// Device, libraries and precisions of an engine.
void measure_describe(const struct fm_engine *engine, json_t *result);

// Fills a slot with `batch` training images from the `first` on.
void measure_fill(
    struct fm_slot *slot, const struct fm_samples *samples, uint32_t batch, uint32_t first);

// parity.c: the same steps from the same state on two backends; how far they are apart.
enum fm_status measure_parity(
    const struct measure_options *options, const struct measure_inputs *inputs, json_t *result);

#endif
