// What computes a run: all that decides its bits beside configuration and data.
#ifndef FM_RUN_COMPUTE_H
#define FM_RUN_COMPUTE_H

#include "backend/registry.h"

#include <jansson.h>

#define FM_COMPUTE_FILE "compute.json"

// Build, backend, device, threads, instruction set, what a GPU may do, libraries, and every plan
// that the executors [0, count) have chosen. A new reference.
json_t *fm_compute_describe(
    const struct fm_engine *engine, struct fm_executor *const *executors, int count);

// Writes compute.json; or, where the folder has one, compares. A run that is `resumed` without one
// is warned of, or refused with `strict`. What differs is warned of, noted in the file under
// "changed" and replaces what was there: from here on the bits may be others. With `strict` it
// fails instead, with FM_UNSUPPORTED, and changes nothing.
enum fm_status fm_compute_record(
    const char *directory, const json_t *compute, bool resumed, bool strict);

#endif
