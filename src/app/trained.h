// A finished run put to use, or a weights file alone: its configuration, and its network ready to
// predict.
#ifndef FM_APP_TRAINED_H
#define FM_APP_TRAINED_H

#include "data/dataset.h"
#include "eval/predictor.h"
#include "run/run.h"

struct fm_trained {
    char directory[FM_PATH_MAX]; // or the file
    bool is_file;
    // With its data. Of a file what that says: model, classes, input, `full`; computed in fp32; of
    // no data.
    struct fm_run_config config;
    const char *trained_on;      // of a file, as struct fm_weights has it; NULL of a run
    enum fm_precision precision; // computed in: the run's; fp32 where the device does not have it
    bool emulated;
    struct fm_predictor predictor; // classes and their names, too
};

// Whether `path` is a file, which is then taken for a weights file (run/weights.h), not a folder.
bool fm_trained_is_file(const char *path);

// `path`: a run folder, whose weights must be those of its configuration, or a weights file.
// `batch`: struct fm_predictor_options. The engine must outlive it. FM_NOT_FOUND: there is neither.
// On failure nothing needs to be freed.
enum fm_status fm_trained_open(
    const struct fm_engine *engine, const char *path, int batch, struct fm_trained *trained);
void fm_trained_close(struct fm_trained *trained);

// The precision that the run in `path` was trained in; fp32, and a warning, on a device that does
// not have it.
enum fm_status fm_trained_precision(const struct fm_engine *engine, const char *path,
    const struct fm_run_config *config, enum fm_precision *precision, bool *emulated);

// The data set's four checksums are those that the run was trained on.
bool fm_trained_same_data(const struct fm_run_config *config, const struct fm_dataset *dataset);

#endif
