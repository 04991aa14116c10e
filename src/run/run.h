// A run folder: everything a training leaves behind, in the order in which it appears.
//
//   config.json     what was asked for: written before any data is read; makes the folder a run
//   data.json       what the data turned out to be: classes, statistics, checksums
//   compute.json    what computes: build, device, threads, libraries, plans (run/compute.h)
//   log.jsonl       a line an epoch, without times
//   times.jsonl     a line a checkpoint: the time taken so far
//   last.safetensors, previous.safetensors   the two newest checkpoints (run/checkpoint.h)
//   model.safetensors   the weights kept (run/weights.h)
//   events.out.tfevents   and a number each: for TensorBoard, where asked for (run/events.h)
//   result.json     written last: its presence says that the run is finished
//
// docs/formats.md gives the keys. Files appear whole or not at all. Two runs of the same
// configuration that the same machine computes leave the same bytes in log.jsonl and the three
// files of tensors: these hold no time, path or name of a machine.
#ifndef FM_RUN_RUN_H
#define FM_RUN_RUN_H

#include "backend/registry.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/machine.h"
#include "data/dataset.h"
#include "net/net.h"

#include <jansson.h>

// What the data of a run turned out to be.
struct fm_run_data {
    char directory[FM_PATH_MAX];
    int classes;
    char *class_names[FM_CLASSES_MAX]; // owned
    // How the network's input is normalised, of u8/255, by channel: of the training split, the same
    // in each; or what weights that the run begins with were trained on. Files keep 9 significant
    // digits: the same fp32, which is what a net takes.
    double input_mean[FM_CHANNELS_MAX], input_deviation[FM_CHANNELS_MAX];
    uint32_t crc32[4]; // of the four files, as in struct fm_dataset
};

// The model that there are weights of others for.
#define FM_TRANSFER_MODEL "vgg16"

// What a run does with weights that it begins with.
enum fm_transfer_mode {
    FM_TRANSFER_SCRATCH,  // there are none: all are drawn
    FM_TRANSFER_FROZEN,   // the base stays as it is; the head alone is trained, on its features
    FM_TRANSFER_FINETUNE, // the base, or its last block, is trained on
};
extern const char
    *const fm_transfer_mode_names[]; // "scratch", "frozen", "finetune"; ends with NULL

// Which layers of the base FM_TRANSFER_FINETUNE trains.
enum fm_unfreeze {
    FM_UNFREEZE_LAST, // the last block
    FM_UNFREEZE_ALL,
};
extern const char *const fm_unfreeze_names[]; // "last", "all"; ends with NULL

struct fm_transfer {
    int mode;                  // enum fm_transfer_mode; SCRATCH: nothing below counts
    char weights[FM_PATH_MAX]; // the file, absolute
    char sha256[65];           // of the file
    char source[16];           // one of fm_pretrained_source_names
    char trained_on[8];        // struct fm_pretrained
    char known[96];            // what a file of this checksum is known as; "" of others
    int unfreeze;              // FINETUNE: enum fm_unfreeze
    double base_rate;          // FINETUNE: times the learning rate, for the layers of the base
    int feature_views;         // FROZEN: augmented views of each image; 0: none, the image as it is
};

// The finished runs that a run is taught by (struct fm_train_options).
enum {
    FM_TEACHERS_MAX = 8
};
#define FM_TEACHER_SHARE_MIN 0.001
struct fm_run_teacher {
    char run[FM_PATH_MAX];       // the folder, absolute
    char model[FM_NAME_MAX];     // its name
    char sha256[FM_SHA256_SIZE]; // of its weights file
    char source[16]; // what it began with, one of fm_pretrained_source_names; "": drawn weights
};
struct fm_teaching {
    int count;    // 0: none, nothing below counts
    double share; // of their mean in each target, 0.001 to 1; 0 without any
    struct fm_run_teacher teachers[FM_TEACHERS_MAX];
};

// What a run is: which of it decides whether a finished run can be reused, fm_run_config_same()
// says; the rest is told.
struct fm_run_config {
    char model[FM_NAME_MAX];
    char backend[16];
    char precision[16];
    bool emulate; // struct fm_model_options
    char device[128];
    int device_index;
    int threads;
    // Of a GPU, as struct fm_device_options has them:
    bool tf32, nondeterministic;
    uint64_t workspace;
    uint64_t seed;
    bool full;          // trained on all training images: nothing is selected on
    double max_minutes; // 0: no limit
    int input_size; // of a model that takes several, the side of what its first layer sees; 0: its
                    // own
    struct fm_transfer transfer;
    struct fm_teaching teaching;
    json_t *recipe;                   // owned; src/train gives it meaning
    json_t *changes;                  // owned; values of the recipe that differ from its file's
    char data_directory[FM_PATH_MAX]; // as asked for; "" where it was looked for
    bool has_data;                    // `data` is set
    struct fm_run_data data;
};

void fm_run_config_free(struct fm_run_config *config);

enum {
    FM_INPUT_SIZE_MAX = 1024 // of what files say: more pixels than any model takes
};

// Sets the same statistics for every channel.
void fm_run_data_set_input(struct fm_run_data *data, double mean, double deviation);

// The two files as JSON: all but `data`, and `data`. NULL for text that is not UTF-8.
json_t *fm_run_config_to_json(const struct fm_run_config *config);
json_t *fm_run_data_to_json(const struct fm_run_data *data);
// And back. Every key and type is checked: FM_DATA names file and key. The first clears `config`,
// the second sets config->data; on failure either frees it.
enum fm_status fm_run_config_from_json(
    const json_t *json, const char *path, struct fm_run_config *config);
enum fm_status fm_run_data_from_json(
    const json_t *json, const char *path, struct fm_run_config *config);

// A transfer as config.json and result.json hold it: an object with the members of struct
// fm_transfer, null where the mode has no use for one; null for FM_TRANSFER_SCRATCH. A new
// reference; NULL for a path that is not UTF-8. And back: NULL, which is what files of earlier
// versions have, is FM_TRANSFER_SCRATCH. FM_DATA names file and key.
json_t *fm_transfer_to_json(const struct fm_transfer *transfer);
enum fm_status fm_transfer_from_json(
    const json_t *json, const char *path, struct fm_transfer *transfer);
// The mode of a run by its result.json; earlier versions knew of none.
int fm_transfer_result_mode(const json_t *result);
// Whether it begins with weights of a run of this project's.
bool fm_transfer_is_own(const struct fm_transfer *transfer);
// What a run is called beside others of its model: "vgg16", "vgg16-frozen", "vgg16-finetuned",
// "simple-taught".
enum {
    FM_RUN_NAME_MAX = FM_NAME_MAX + 24
};
void fm_transfer_run_name(const char *model, int mode, bool taught, char out[FM_RUN_NAME_MAX]);
// True when two runs begin with the same weights and do the same with them; where the files are
// does not count.
bool fm_transfer_same(const struct fm_transfer *a, const struct fm_transfer *b);

// What a run is taught by, as config.json and result.json hold it: {"share", "teachers": [{"run",
// "model", "sha256"}]}, or null. A new reference; NULL for a path that is not UTF-8. And back:
// NULL, which is what files of earlier versions have, is none. FM_DATA names file and key.
json_t *fm_teaching_to_json(const struct fm_teaching *teaching);
enum fm_status fm_teaching_from_json(
    const json_t *json, const char *path, struct fm_teaching *teaching);
// True when two runs are taught by the same weights, in the same order and with the same share;
// where the folders are does not count.
bool fm_teaching_same(const struct fm_teaching *a, const struct fm_teaching *b);

// True when two runs, both with their data, would train the same thing: model, classes, input size,
// transfer, teaching, backend, precision, emulate, tf32, nondeterministic, seed, full, recipe, data
// checksums. Threads, device, workspace, places and max_minutes do not count.
bool fm_run_config_same(const struct fm_run_config *a, const struct fm_run_config *b);
// The same but for what computes: backend, emulate, tf32, nondeterministic. A checkpoint of the one
// is one of the other.
bool fm_run_config_goes_on(const struct fm_run_config *a, const struct fm_run_config *b);
// The same but for the data, which a run that has only begun does not know yet.
bool fm_run_config_begins_same(const struct fm_run_config *a, const struct fm_run_config *b);

// Makes the folder and writes config.json. A folder that holds any file that a run or its
// evaluation writes fails with FM_EXISTS unless `force`, which removes those (and nothing else). So
// does a group's folder in any case. Of several that want one folder at the same time one gets it.
enum fm_status fm_run_create(const char *directory, const struct fm_run_config *config, bool force);

// The file that makes a folder a group of runs (app/train/seeds.h); no run is made in such a
// folder.
#define FM_GROUP_FILE "seeds.json"

// Removes a run's files, and the folder if that leaves it empty.
enum fm_status fm_run_remove(const char *directory);

// Undoes fm_run_create() of a run that has read no data: removes config.json, then the folder if
// that leaves it empty; parents stay. With data.json there it does nothing. Records no failure.
void fm_run_discard(const char *directory);

// Writes data.json.
enum fm_status fm_run_write_data(const char *directory, const struct fm_run_data *data);

// Reads config.json and, where it is there, data.json.
enum fm_status fm_run_read_config(const char *directory, struct fm_run_config *config);
// The same of a run that must have its data: one that never read any fails with FM_NOT_FOUND.
enum fm_status fm_run_read_whole_config(const char *directory, struct fm_run_config *config);
bool fm_run_is_run(const char *directory); // config.json is there
// FM_NOT_FOUND where it is not, which tells a misspelt name from a folder without a run in it.
enum fm_status fm_run_check_is_run(const char *directory);
bool fm_run_is_finished(const char *directory); // result.json is there

// Keeps every other process from training in the folder as long as `*lock` is not closed with
// fm_run_unlock(): FM_EXISTS where one does already.
enum fm_status fm_run_lock(const char *directory, int *lock);
void fm_run_unlock(int lock); // negative: nothing

// Takes away what a killed process has left half written. With the lock held.
enum fm_status fm_run_sweep(const char *directory);

// Appends a line to one of the two logs.
#define FM_RUN_LOG "log.jsonl"
#define FM_RUN_TIMES "times.jsonl"
enum fm_status fm_run_log(const char *directory, const char *name, const json_t *line);
// Cuts off the lines of a log that came after a checkpoint: those whose "step" or "epoch" is
// greater, and a last one that was not finished. `*last` (may be NULL) gets the last line kept, a
// new reference, NULL if there is none. A line that is no JSON object with both keys fails with
// FM_DATA and its number.
enum fm_status fm_run_cut_log(
    const char *directory, const char *name, uint64_t step, int epoch, json_t **last);

enum {
    FM_RESULT_FORMAT = 1
};
enum fm_status fm_run_write_result(const char *directory, const json_t *result);
// FM_DATA for a file that is no result of this version's format.
enum fm_status fm_run_read_result(const char *directory, json_t **result);

// The weights kept, from and to a model of the net, which has the input statistics; class_names
// [net->classes]. `trained_on`: FM_WEIGHTS_ALL or FM_WEIGHTS_SPLIT (net/files/pretrained.h); NULL:
// not known. What is read is checked (run/weights.h, which reads the file alone).
enum fm_status fm_run_save_weights(const char *directory, const struct fm_net *net,
    char *const *class_names, const char *trained_on, const struct fm_backend *api,
    struct fm_model *model);
// What a run's weights were trained on, in these words, its base included.
const char *fm_run_trained_on(const struct fm_run_config *config);
enum fm_status fm_run_load_weights(const char *directory, const struct fm_net *net,
    const struct fm_backend *api, struct fm_model *model);

// The part of result.json that says where it was measured: machine, processor features, threads,
// device, library versions, build, command line (argv, joined). New reference.
json_t *fm_run_environment(const struct fm_engine *engine, int argc, char *const *argv);
json_t *fm_run_machine(void); // its key "machine" alone

// Finds under `root` the newest finished run of the same configuration, and not ended on another
// backend, whose result.json can be read and satisfies `accepts` (NULL: every one does):
// FM_NOT_FOUND (no message recorded) if there is none.
enum fm_status fm_run_find(const char *root, const struct fm_run_config *config,
    bool (*accepts)(const json_t *result, const void *context), const void *context,
    char out[FM_PATH_MAX]);
// The same of the runs that were begun last, have their data, are not finished, and in which no
// process is training.
enum fm_status fm_run_find_unfinished(
    const char *root, const struct fm_run_config *config, char out[FM_PATH_MAX]);

#endif
