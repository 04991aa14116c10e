// A run folder: everything a training leaves behind.
//
//   config.json     resolved configuration, written before data is trained on
//   log.jsonl       a line of JSON an epoch
//   model.safetensors   the weights kept (parameters and running statistics), canonical layout
//   result.json     written last: its presence says that the run is finished
//
// docs/formats.md gives the keys. Files appear whole or not at all.
#ifndef FM_RUN_RUN_H
#define FM_RUN_RUN_H

#include "backend/registry.h"
#include "base/file.h"
#include "base/machine.h"
#include "data/dataset.h"
#include "net/net.h"

#include <jansson.h>

// What a run is: which of it decides whether a finished run can be reused, fm_run_config_same()
// says; the rest is told.
struct fm_run_config {
    char model[FM_NAME_MAX];
    int classes;
    char *class_names[FM_CLASSES_MAX]; // owned
    // Of the training split, u8/255. Files keep 9 significant digits: the same fp32, which is what
    // a net takes.
    double input_mean, input_deviation;
    char backend[16];
    char precision[16];
    char device[128];
    int threads;
    uint64_t seed;
    json_t *recipe; // owned; src/train gives it meaning
    char data_directory[FM_PATH_MAX];
    uint32_t data_crc32[4]; // of the four files, as in struct fm_dataset
};

void fm_run_config_free(struct fm_run_config *config);

// JSON and back. Writing gives NULL for text that is not UTF-8. Reading checks every key and type:
// FM_DATA names file and key.
json_t *fm_run_config_to_json(const struct fm_run_config *config);
enum fm_status fm_run_config_from_json(
    const json_t *json, const char *path, struct fm_run_config *config);

// True when two runs would train the same thing: model, classes, precision, backend, seed, recipe,
// data checksums. Threads, device and places do not count.
bool fm_run_config_same(const struct fm_run_config *a, const struct fm_run_config *b);

// Makes the folder and writes config.json. A folder that holds any file that a run or its
// evaluation writes fails with FM_EXISTS unless `force`, which removes those (and nothing else). Of
// several that want one folder at the same time one gets it.
enum fm_status fm_run_create(const char *directory, const struct fm_run_config *config, bool force);

enum fm_status fm_run_read_config(const char *directory, struct fm_run_config *config);
bool fm_run_is_run(const char *directory);      // config.json is there
bool fm_run_is_finished(const char *directory); // result.json is there

enum fm_status fm_run_log(const char *directory, const json_t *line);
enum fm_status fm_run_write_result(const char *directory, const json_t *result);
enum fm_status fm_run_read_result(const char *directory, json_t **result);

// The weights kept, from and to a model of the net, which has the input statistics; class_names
// [net->classes]. What is read is checked (run/weights.h, which reads the file alone).
enum fm_status fm_run_save_weights(const char *directory, const struct fm_net *net,
    char *const *class_names, const struct fm_backend *api, struct fm_model *model);
enum fm_status fm_run_load_weights(const char *directory, const struct fm_net *net,
    const struct fm_backend *api, struct fm_model *model);

// The part of result.json that says where it was measured: machine, processor features, threads,
// device, library versions, build, command line (argv, joined). New reference.
json_t *fm_run_environment(const struct fm_engine *engine, int argc, char *const *argv);
json_t *fm_run_machine(void); // its key "machine" alone

// Finds under `root` the newest finished run of the same configuration whose result.json can be
// read and satisfies `accepts` (NULL: every one does): FM_NOT_FOUND (no message recorded) if there
// is none.
enum fm_status fm_run_find(const char *root, const struct fm_run_config *config,
    bool (*accepts)(const json_t *result, const void *context), const void *context,
    char out[FM_PATH_MAX]);

#endif
