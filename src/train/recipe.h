// Recipes: named sets of hyperparameters, read from small JSON files, every value also a flag.
//
// One table (fm_recipe_fields) describes every value: its key in a file, its flag (--KEY with '-'
// for '_'), type, bounds and help. Files, flags, printing and the run's configuration all go
// through it.
#ifndef FM_TRAIN_RECIPE_H
#define FM_TRAIN_RECIPE_H

#include "backend/backend.h"
#include "base/file.h"
#include "base/status.h"
#include "net/init.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum fm_schedule {
    FM_SCHEDULE_CONSTANT,
    FM_SCHEDULE_ONE_CYCLE, // up linearly over warmup_share of the steps, down linearly to 0
    FM_SCHEDULE_COSINE,    // up linearly over warmup_share of the steps, down to 0 by half a cosine
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
    // Adamw: decoupled (Loshchilov and Hutter 2019, arXiv:1711.05101); sgd: times the weight, added
    // to its gradient. Not on biases and batch norm.
    double weight_decay;
    double momentum;     // sgd
    bool nesterov;       // sgd: look ahead by the momentum
    int schedule;        // enum fm_schedule
    double warmup_share; // one-cycle, cosine: share of all steps on the way up, 0 to 1
    double ema_decay;    // of the moving average of the weights (fm_recipe_ema_decay()); 0: none
    double label_smoothing;
    int shift; // random translation by up to so many pixels each way
    bool flip; // random horizontal flip, probability 1/2
    // Random erasing (Zhong et al. 2020, arXiv:1708.04896): with this probability a rectangle of an
    // image is replaced. Each of its sides is drawn uniformly from the integers from
    // ceil(erase_size / 2) to erase_size, in pixels.
    double erase;
    int erase_size;
    // With this probability an image and its target are mixed with the next one's of the batch
    // (kernels/mix.h): averaged (mixup: Zhang et al. 2018, arXiv:1710.09412) or, this share of
    // them, by a rectangle of the next one (CutMix: Yun et al. 2019, arXiv:1905.04899).
    double mix, mix_cut;
    double dropout; // of every dropout layer; -1: the model's own rates
    int init;       // enum fm_init
    int keep;       // enum fm_keep
    int train_eval; // images of the training split that train accuracy is measured on; 0: all
    bool test_flip; // test-time augmentation: as a figure of its own, the test images are also
                    // evaluated by the mean of
                    // the probabilities of an image and of its mirror image
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
    size_t offset;   // in struct fm_recipe
    double min, max; // a min of -1: -1 itself, which has a meaning of its own, and nothing up to 0
    const char *const *choices; // FM_FIELD_CHOICE: names by value, ends with NULL
    const char *help;
};

extern const struct fm_recipe_field fm_recipe_fields[]; // ends with key == NULL

// Reads the recipe for `model` by name ("quick": NAME.json in the folder of the shipped recipes,
// found from libfmnist's own place, or in the one set) or by path (if it contains '/' or ends in
// ".json"). A file holds values and, under "models", values for single models that replace them;
// "about" is a line for readers; what it leaves out has a default. The recipe's name is the file's.
// Unknown keys, wrong types, values out of range and values that contradict one another, for
// whichever model, fail with FM_DATA and file, line and key, an unknown name with FM_USAGE, a
// suggestion and the names there are. `model` NULL: none's values.
enum fm_status fm_recipe_load(const char *name, const char *model, struct fm_recipe *recipe);
void fm_recipe_set_directory(const char *directory);

// The file of a name or path, as fm_recipe_load() takes it; and the names of the shipped recipes,
// sorted, ending with NULL, to be freed with fm_recipe_names_free().
enum fm_status fm_recipe_find(const char *name, char path[FM_PATH_MAX]);
enum fm_status fm_recipe_names(char ***names);
void fm_recipe_names_free(char **names);

// What a recipe file may hold that says the same as the recipe `name` (a name or path) does: its
// "about", all values in table order and its "models"; or, with `model`, that model's values alone.
// A new reference.
enum fm_status fm_recipe_to_file(const char *name, const char *model, json_t **json);

// Values that contradict one another (a batch larger than an epoch, weight decay with adam):
// FM_USAGE. To be called when the flags are set.
enum fm_status fm_recipe_check(const struct fm_recipe *recipe);

// Sets one value from a flag's text; FM_USAGE names the flag. A FM_FIELD_BOOL takes true and false.
enum fm_status fm_recipe_set(
    struct fm_recipe *recipe, const struct fm_recipe_field *field, const char *text);

// A new reference: "name", then all keys in table order.
json_t *fm_recipe_to_json(const struct fm_recipe *recipe);

// The other way round: `json` is the member "recipe" of the file `path`. A missing or unknown key,
// a wrong type, a value out of range and values that fm_recipe_check() refuses fail with FM_DATA
// and path and key.
enum fm_status fm_recipe_from_json(const json_t *json, const char *path, struct fm_recipe *recipe);

// The values of `used` that differ from those of `named`, by key in table order; a new reference.
json_t *fm_recipe_changes(const struct fm_recipe *named, const struct fm_recipe *used);

// What the recipe does to images.
struct fm_augment fm_recipe_augment(const struct fm_recipe *recipe);
struct fm_mix fm_recipe_mix(const struct fm_recipe *recipe);

// The learning rate of step `step`, from 0, of `steps`. A step is taken at its middle,
// t = step + 0.5, so that no rate is 0; the way up ends at w = warmup_share * steps. Where t < w:
//     learning_rate * t / w
// and from there on, with x = (t - w) / (steps - w):
//     one-cycle: learning_rate * (1 - x)
//     cosine:    learning_rate * (1 + cos(pi * x)) / 2
// the latter after Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5, without restarts.
double fm_schedule_rate(const struct fm_recipe *recipe, uint64_t step, uint64_t steps);

// The decay of the moving average of the weights at submitted step `step`, from 0:
//     min(ema_decay, (1 + step) / (10 + step))
// so that the average is not held back by the initial weights, as TensorFlow's
// tf.train.ExponentialMovingAverage does with num_updates = step. 0 where there is no average.
float fm_recipe_ema_decay(const struct fm_recipe *recipe, uint64_t step);

#endif
