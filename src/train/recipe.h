// Recipes: named sets of hyperparameters, read from small JSON files, every value also a flag.
//
// One table (fm_recipe_fields) describes every value: its key in a file, its flag (--KEY with '-'
// for '_'), type, bounds and help. Files, flags, printing and the run's configuration all go
// through it.
#ifndef FM_TRAIN_RECIPE_H
#define FM_TRAIN_RECIPE_H

#include "backend/backend.h"
#include "base/status.h"
#include "net/init.h"

#include <jansson.h>
#include <stdbool.h>

enum fm_schedule {
    FM_SCHEDULE_CONSTANT,
    FM_SCHEDULE_ONE_CYCLE, // up linearly over warmup_share of the steps, down linearly to 0
};

enum fm_keep {
    FM_KEEP_LAST, // the weights after the last epoch
    FM_KEEP_BEST, // those of the epoch best on the selection split, the first of equals
};

struct fm_recipe {
    char name[FM_NAME_MAX];
    int epochs;
    int epoch_images; // an epoch takes so many of the shuffled training split; 0: all of it
    int batch;
    int optimiser; // enum fm_optimiser
    double learning_rate;
    double beta1, beta2, epsilon;
    int schedule;        // enum fm_schedule
    double warmup_share; // one-cycle: share of all steps on the way up, 0 to 1
    double label_smoothing;
    int shift;
    bool flip;
    double dropout; // of every dropout layer; -1: the model's own rates
    int init;       // enum fm_init
    int keep;       // enum fm_keep
    int train_eval; // images of the training split that train accuracy is measured on; 0: all
};

enum fm_field_type {
    FM_FIELD_INT,
    FM_FIELD_REAL,
    FM_FIELD_BOOL,
    FM_FIELD_CHOICE, // stored as int, written by name
};

struct fm_recipe_field {
    const char *key;  // "learning_rate"
    const char *flag; // "learning-rate"
    enum fm_field_type type;
    size_t offset; // in struct fm_recipe
    double min, max;
    const char *const *choices; // FM_FIELD_CHOICE: names by value, ends with NULL
    const char *help;
};

extern const struct fm_recipe_field fm_recipe_fields[]; // ends with key == NULL

// Reads the recipe for `model` by name ("quick": NAME.json in the recipe directory, which is
// "../data/recipes" or "../share/fmnist/recipes" from the program, or the one set) or by path (if
// it contains '/' or ends in ".json"). A file holds values and, under "models", values for single
// models that replace them; "about" is a line for readers; what it leaves out has a default. The
// recipe's name is the file's. Unknown keys, wrong types and values out of range fail with FM_DATA
// and file, line and key, an unknown name with FM_USAGE, a suggestion and the names there are.
// `model` NULL: none's values.
enum fm_status fm_recipe_load(const char *name, const char *model, struct fm_recipe *recipe);
void fm_recipe_set_directory(const char *directory);

// Values that contradict one another (a batch larger than an epoch): FM_USAGE. To be called when
// the flags are set.
enum fm_status fm_recipe_check(const struct fm_recipe *recipe);

// Sets one value from a flag's text; FM_USAGE names the flag. A FM_FIELD_BOOL takes true, false,
// yes, no, on, off.
enum fm_status fm_recipe_set(
    struct fm_recipe *recipe, const struct fm_recipe_field *field, const char *text);

// A new reference: "name", then all keys in table order.
json_t *fm_recipe_to_json(const struct fm_recipe *recipe);

// The values of `used` that differ from those of `named`, by key in table order; a new reference.
json_t *fm_recipe_changes(const struct fm_recipe *named, const struct fm_recipe *used);

// The learning rate of step `step` of `steps`.
double fm_schedule_rate(const struct fm_recipe *recipe, uint64_t step, uint64_t steps);

#endif
