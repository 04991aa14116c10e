// Recipes. Everything goes through one table, so that a value that a file may hold is a flag, is
// checked, is printed and is part of a run's configuration, or is none of these.
#include "train/recipe.h"

#include "base/file.h"
#include "base/text.h"
#include "data/split.h"
#include "net/zoo.h"
#include "run/json.h"

#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const optimiser_names[] = {
    [FM_OPTIMISER_ADAM] = "adam", [FM_OPTIMISER_ADAMW] = "adamw", [FM_OPTIMISER_SGD] = "sgd", NULL};
static const char *const schedule_names[] = {[FM_SCHEDULE_CONSTANT] = "constant",
    [FM_SCHEDULE_ONE_CYCLE] = "one_cycle",
    [FM_SCHEDULE_COSINE] = "cosine",
    NULL};
static_assert(FM_SELECT_LEAST == 100, "as the help of --keep has it");
static const char *const init_names[] = {
    [FM_INIT_HE_UNIFORM] = "he", [FM_INIT_GLOROT_UNIFORM] = "glorot", NULL};
static const char *const keep_names[] = {[FM_KEEP_LAST] = "last", [FM_KEEP_BEST] = "best", NULL};

#define FIELD(key, flag, type, min, max, choices, help)                                            \
    {                                                                                              \
#key, flag, FM_FIELD_##type, offsetof(struct fm_recipe, key), min, max, choices, help      \
    }

const struct fm_recipe_field fm_recipe_fields[] = {
    FIELD(epochs, "epochs", INT, 1, 100000, NULL, "passes over the training images"),
    FIELD(epoch_images, "epoch-images", INT, 0, INT_MAX, NULL,
        "images of a pass, the first of its shuffled order (0: all)"),
    FIELD(
        batch, "batch", INT, 1, 65536, NULL, "images of a step; the last step takes what is left"),
    FIELD(
        optimiser, "optimiser", CHOICE, 0, 0, optimiser_names, "how gradients change the weights"),
    FIELD(
        learning_rate, "learning-rate", REAL, 0, 100, NULL, "step size; the highest of a schedule"),
    FIELD(
        beta1, "beta1", REAL, 0, 0.999999, NULL, "adam, adamw: decay of the mean of the gradients"),
    FIELD(beta2, "beta2", REAL, 0, 0.999999, NULL,
        "adam, adamw: decay of the mean of the squared gradients"),
    FIELD(epsilon, "epsilon", REAL, 1e-12, 1, NULL,
        "adam, adamw: added to the root of that mean before the division"),
    FIELD(weight_decay, "weight-decay", REAL, 0, 10, NULL,
        "adamw: decoupled; sgd: added to the gradient; not on biases and batch norm"),
    FIELD(momentum, "momentum", REAL, 0, 0.999999, NULL,
        "sgd: share of the former step that is repeated"),
    FIELD(nesterov, "nesterov", BOOL, 0, 1, NULL, "sgd: Nesterov's momentum"),
    FIELD(schedule, "schedule", CHOICE, 0, 0, schedule_names,
        "the learning rate over the steps: constant, or up, then down to 0 linearly (one_cycle) or "
        "by half a cosine (cosine)"),
    FIELD(warmup_share, "warmup-share", REAL, 0, 1, NULL,
        "one_cycle, cosine: share of all steps on the way up"),
    FIELD(ema_decay, "ema-decay", REAL, 0, 0.999999, NULL,
        "decay of the moving average of the weights, which is then what is kept (0: none)"),
    FIELD(label_smoothing, "label-smoothing", REAL, 0, 0.999, NULL,
        "share of the target that is spread evenly over the classes"),
    FIELD(shift, "shift", INT, 0, 27, NULL,
        "images are moved by up to so many pixels each way, at random"),
    FIELD(
        flip, "flip", BOOL, 0, 1, NULL, "every other image, at random, is mirrored left to right"),
    FIELD(erase, "erase", REAL, 0, 1, NULL,
        "probability that a rectangle of an image is erased, at random"),
    FIELD(erase_size, "erase-size", INT, 1, 28, NULL,
        "its longest side in pixels; each side is drawn from half of that to all of it"),
    FIELD(mix, "mix", REAL, 0, 1, NULL,
        "probability that an image and its target are mixed with those of the batch's next image, "
        "which weighs less than half: averaged (mixup), or see --mix-cut"),
    FIELD(mix_cut, "mix-cut", REAL, 0, 1, NULL,
        "share of the images mixed by --mix that take a rectangle of the next one instead "
        "(CutMix)"),
    FIELD(dropout, "dropout", REAL, -1, 0.999, NULL,
        "rate of every dropout layer (-1: the model's own rates)"),
    FIELD(init, "init", CHOICE, 0, 0, init_names,
        "initial weights: uniform after He, or after Glorot"),
    FIELD(keep, "keep", CHOICE, 0, 0, keep_names,
        "weights kept: of the last epoch, or of the best on the selection images, of which fewer "
        "than 100 choose by chance"),
    FIELD(train_eval, "train-eval", INT, 0, INT_MAX, NULL,
        "training images that train accuracy is measured on (0: all)"),
    FIELD(test_flip, "test-flip", BOOL, 0, 1, NULL,
        "measure the test images also with their mirror images, as a figure of its own"),
    {0},
};

static int *int_of(struct fm_recipe *recipe, const struct fm_recipe_field *field)
{
    return (int *)((char *)recipe + field->offset);
}

static double *real_of(struct fm_recipe *recipe, const struct fm_recipe_field *field)
{
    return (double *)((char *)recipe + field->offset);
}

static bool *bool_of(struct fm_recipe *recipe, const struct fm_recipe_field *field)
{
    return (bool *)((char *)recipe + field->offset);
}

// What a value must be, for messages.
static void expected_text(const struct fm_recipe_field *field, char out[160])
{
    int used = 0;
    switch (field->type) {
    case FM_FIELD_INT:
        snprintf(out, 160, "an integer from %.0f to %.0f", field->min, field->max);
        break;
    case FM_FIELD_REAL:
        snprintf(out, 160, "a number from %g to %g%s", field->min < 0 ? 0 : field->min, field->max,
            field->min < 0 ? ", or -1" : "");
        break;
    case FM_FIELD_BOOL:
        snprintf(out, 160, "true or false");
        break;
    case FM_FIELD_CHOICE:
        for (int i = 0; field->choices[i]; i++)
            used += snprintf(out + used, 160 - (size_t)used, "%s\"%s\"",
                i == 0 ? (field->choices[1] ? "one of " : "") : ", ", field->choices[i]);
        break;
    }
}

// A lower bound of -1 stands for "not this recipe's to say": nothing between it and 0 is a value.
static bool is_within(const struct fm_recipe_field *field, double number)
{
    return number >= field->min && number <= field->max && (number >= 0 || number == -1);
}

static int choice_of(const struct fm_recipe_field *field, const char *name)
{
    for (int i = 0; name && field->choices[i]; i++) {
        if (strcmp(field->choices[i], name) == 0)
            return i;
    }
    return -1;
}

static const struct fm_recipe_field *find_field(const char *key)
{
    const struct fm_recipe_field *field = fm_recipe_fields;
    while (field->key && strcmp(field->key, key) != 0)
        field++;
    return field->key ? field : NULL;
}

// Where a JSON value stands in a file.
struct place {
    const char *path;
    const char *text;    // of the file, which gives the line; NULL: no line is told
    const char *keys[3]; // the objects around it, outermost first
    int depth;
};

// "quick.json:12: models.vgg16.shift" for a key at the place.
static void place_text(const struct place *place, const char *key, struct fm_text *out)
{
    const char *keys[4];
    for (int i = 0; i < place->depth; i++)
        keys[i] = place->keys[i];
    keys[place->depth] = key;
    int line = place->text ? fm_json_key_line(place->text, keys, place->depth + 1) : 0;
    fm_text_append(out, "%s:", place->path);
    if (line > 0)
        fm_text_append(out, "%d:", line);
    for (int i = 0; i <= place->depth; i++)
        fm_text_append(out, "%s%s", i == 0 ? " " : ".", keys[i]);
}

static enum fm_status wrong_value(
    const struct place *place, const char *key, const json_t *value, const char *expected)
{
    struct fm_text where = {0};
    place_text(place, key, &where);
    char *found = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
    enum fm_status status = fm_fail(FM_DATA, "%s: found %.60s (%s), expected %s",
        fm_text_cstr(&where), found ? found : "?", fm_json_type_name(value), expected);
    free(found);
    fm_text_free(&where);
    return status;
}

static enum fm_status unknown_key(
    const struct place *place, const char *key, const char *what, const char *const *candidates)
{
    struct fm_text where = {0};
    place_text(place, key, &where);
    const char *nearest = fm_nearest_name(key, candidates);
    enum fm_status status = fm_fail(FM_DATA, "%s: unknown %s%s%s%s", fm_text_cstr(&where), what,
        nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
    fm_text_free(&where);
    return status;
}

static enum fm_status unknown_field(const struct place *place, const char *key)
{
    const char *keys[sizeof fm_recipe_fields / sizeof fm_recipe_fields[0]];
    size_t count = 0;
    for (const struct fm_recipe_field *field = fm_recipe_fields; field->key; field++)
        keys[count++] = field->key;
    keys[count] = NULL;
    return unknown_key(place, key, "key", keys);
}

static enum fm_status set_from_json(struct fm_recipe *recipe, const struct fm_recipe_field *field,
    const json_t *value, const struct place *place)
{
    double number = json_number_value(value); // 0 for what is none
    bool within = is_within(field, number);
    int choice;
    switch (field->type) {
    case FM_FIELD_INT:
        if (json_is_integer(value) && within) {
            *int_of(recipe, field) = (int)json_integer_value(value);
            return FM_OK;
        }
        break;
    case FM_FIELD_REAL:
        if (json_is_number(value) && within) {
            *real_of(recipe, field) = number;
            return FM_OK;
        }
        break;
    case FM_FIELD_BOOL:
        if (json_is_boolean(value)) {
            *bool_of(recipe, field) = json_is_true(value);
            return FM_OK;
        }
        break;
    case FM_FIELD_CHOICE:
        choice = choice_of(field, json_string_value(value));
        if (choice >= 0) {
            *int_of(recipe, field) = choice;
            return FM_OK;
        }
        break;
    }
    char expected[160];
    expected_text(field, expected);
    return wrong_value(place, field->key, value, expected);
}

// Values that contradict one another: what is wrong, and the keys that are concerned, ending with
// NULL, the one that is likelier to be meant first.
struct contradiction {
    const char *keys[4];
    char message[160];
};

#define CONTRADICTS(out, ...) (snprintf((out)->message, sizeof(out)->message, __VA_ARGS__), true)

static bool contradicts_itself(const struct fm_recipe *recipe, struct contradiction *out)
{
    if (recipe->epoch_images > 0 && recipe->epoch_images < recipe->batch) {
        *out = (struct contradiction){.keys = {"batch", "epoch_images"}};
        return CONTRADICTS(out,
            "an epoch of %d images (epoch_images) holds no batch of %d; lower --batch",
            recipe->epoch_images, recipe->batch);
    }
    if (recipe->optimiser == FM_OPTIMISER_ADAM && recipe->weight_decay != 0) {
        *out = (struct contradiction){.keys = {"weight_decay", "optimiser"}};
        return CONTRADICTS(out,
            "a weight_decay of %g with the optimiser adam, which has none: use --optimiser adamw, "
            "or --weight-decay 0",
            recipe->weight_decay);
    }
    if (recipe->optimiser == FM_OPTIMISER_SGD && recipe->nesterov && recipe->momentum == 0) {
        *out = (struct contradiction){.keys = {"momentum", "nesterov", "optimiser"}};
        return CONTRADICTS(
            out, "nesterov with a momentum of 0: use --momentum above 0, or --nesterov false");
    }
    if (recipe->mix_cut > 0 && recipe->mix == 0) {
        *out = (struct contradiction){.keys = {"mix_cut", "mix"}};
        return CONTRADICTS(out,
            "a mix_cut of %g, and no images are mixed that could be cut: use --mix above 0, or "
            "--mix-cut 0",
            recipe->mix_cut);
    }
    return false;
}

enum fm_status fm_recipe_check(const struct fm_recipe *recipe)
{
    struct contradiction found;
    return contradicts_itself(recipe, &found) ? fm_fail(FM_USAGE, "%s", found.message) : FM_OK;
}

struct fm_augment fm_recipe_augment(const struct fm_recipe *recipe)
{
    return (struct fm_augment){.shift = recipe->shift,
        .flip = recipe->flip,
        .erase = (float)recipe->erase,
        .erase_size = recipe->erase_size};
}

struct fm_mix fm_recipe_mix(const struct fm_recipe *recipe)
{
    return (struct fm_mix){.share = (float)recipe->mix, .cut_share = (float)recipe->mix_cut};
}

// The same for values that stand in `object` at the place, or else in the object `outer` at
// `around`, or else are defaults. The innermost key is named: without it there was no
// contradiction.
static enum fm_status check_object(const struct fm_recipe *recipe, const json_t *object,
    const struct place *place, const json_t *outer, const struct place *around)
{
    struct contradiction found;
    if (!contradicts_itself(recipe, &found))
        return FM_OK;
    const json_t *const objects[] = {object, outer};
    const struct place *const places[] = {place, around};
    struct fm_text where = {0};
    for (int i = 0; i < 2 && where.length == 0; i++) {
        for (int k = 0; found.keys[k] && where.length == 0; k++) {
            if (json_object_get(objects[i], found.keys[k]))
                place_text(places[i], found.keys[k], &where);
        }
    }
    enum fm_status status = fm_fail(FM_DATA, "%s: %s", fm_text_cstr(&where), found.message);
    fm_text_free(&where);
    return status;
}

// What a file that leaves a value out means by that: the usual values of Adam, and no extras.
static const struct fm_recipe defaults = {
    .epochs = 1,
    .batch = 256,
    .optimiser = FM_OPTIMISER_ADAM,
    .learning_rate = 1e-3,
    .beta1 = 0.9,
    .beta2 = 0.999,
    .epsilon = 1e-8,
    .schedule = FM_SCHEDULE_CONSTANT,
    .momentum = 0.9,
    .nesterov = true,
    .warmup_share = 0.25,
    .erase_size = 12,
    .dropout = -1,
    .init = FM_INIT_HE_UNIFORM,
    .keep = FM_KEEP_LAST,
};

// Sets the values of an object; "about" and "models" are left to the caller where `top`.
static enum fm_status apply_object(
    const json_t *object, const struct place *place, bool top, struct fm_recipe *recipe)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        if (top && (strcmp(key, "about") == 0 || strcmp(key, "models") == 0))
            continue;
        const struct fm_recipe_field *field = find_field(key);
        if (!field)
            return unknown_field(place, key);
        FM_TRY(set_from_json(recipe, field, value, place));
    }
    return FM_OK;
}

// All models' sections are checked, whichever is wanted: a file is right or wrong for all. `file`
// is what they stand in, and `recipe` has its values.
static enum fm_status apply_models(
    const json_t *file, const struct place *root, const char *model, struct fm_recipe *recipe)
{
    const json_t *models = json_object_get(file, "models");
    if (!models)
        return FM_OK;
    if (!json_is_object(models))
        return wrong_value(root, "models", models, "an object");
    struct place place = *root;
    place.keys[0] = "models";
    place.depth = 1;
    const struct fm_recipe base = *recipe;
    const char *name;
    json_t *values;
    json_object_foreach((json_t *)models, name, values)
    {
        place.depth = 1;
        if (!fm_zoo_find(name))
            return unknown_key(&place, name, "model", fm_zoo_names);
        if (!json_is_object(values))
            return wrong_value(&place, name, values, "an object");
        place.keys[1] = name;
        place.depth = 2;
        struct fm_recipe own = base;
        FM_TRY(apply_object(values, &place, false, &own));
        FM_TRY(check_object(&own, values, &place, file, root));
        if (model && strcmp(model, name) == 0)
            *recipe = own;
    }
    return FM_OK;
}

static enum fm_status apply_file(
    const json_t *json, const struct place *place, const char *model, struct fm_recipe *recipe)
{
    const json_t *about = json_object_get(json, "about");
    if (about && !json_is_string(about))
        return wrong_value(place, "about", about, "a string");
    FM_TRY(apply_object(json, place, true, recipe));
    FM_TRY(check_object(recipe, json, place, NULL, NULL));
    return apply_models(json, place, model, recipe);
}

// The file's name without folder and ".json".
static enum fm_status name_of_path(const char *path, char name[FM_NAME_MAX])
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    size_t length = strlen(base);
    if (length > 5 && strcmp(base + length - 5, ".json") == 0)
        length -= 5;
    if (length == 0 || length >= FM_NAME_MAX)
        return fm_fail(FM_USAGE, "%s: a recipe's file name has 1 to %d bytes before .json", path,
            FM_NAME_MAX - 1);
    snprintf(name, FM_NAME_MAX, "%.*s", (int)length, base);
    return FM_OK;
}

// `file` (NULL: not wanted) gets what the file holds, a new reference.
static enum fm_status load_file(
    const char *path, const char *model, struct fm_recipe *recipe, json_t **file)
{
    *recipe = defaults;
    FM_TRY(name_of_path(path, recipe->name));
    json_t *json;
    char *text;
    FM_TRY(fm_json_read_file(path, &json, &text));
    struct place place = {.path = path, .text = text};
    enum fm_status status = apply_file(json, &place, model, recipe);
    if (status == FM_OK && file)
        *file = json_incref(json);
    free(text);
    json_decref(json);
    return status;
}

enum fm_status fm_recipe_load(const char *name, const char *model, struct fm_recipe *recipe)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_recipe_find(name, path));
    return load_file(path, model, recipe, NULL);
}

static enum fm_status bad_flag(const struct fm_recipe_field *field, const char *text)
{
    char expected[160];
    expected_text(field, expected);
    const char *nearest = field->choices ? fm_nearest_name(text, field->choices) : NULL;
    return fm_fail(FM_USAGE, "invalid value '%s' for --%s: expected %s%s%s%s", text, field->flag,
        expected, nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

static enum fm_status parse_bool(const struct fm_recipe_field *field, const char *text, bool *out)
{
    bool yes = strcmp(text, "true") == 0;
    if (!yes && strcmp(text, "false") != 0)
        return bad_flag(field, text);
    *out = yes;
    return FM_OK;
}

enum fm_status fm_recipe_set(
    struct fm_recipe *recipe, const struct fm_recipe_field *field, const char *text)
{
    char flag[FM_NAME_MAX + 2];
    snprintf(flag, sizeof flag, "--%s", field->flag);
    int64_t integer;
    double real;
    int choice;
    switch (field->type) {
    case FM_FIELD_INT:
        FM_TRY(fm_parse_int(flag, text, (int64_t)field->min, (int64_t)field->max, &integer));
        *int_of(recipe, field) = (int)integer;
        return FM_OK;
    case FM_FIELD_REAL:
        FM_TRY(fm_parse_double(flag, text, field->min, field->max, &real));
        if (!is_within(field, real))
            return bad_flag(field, text);
        *real_of(recipe, field) = real;
        return FM_OK;
    case FM_FIELD_BOOL:
        return parse_bool(field, text, bool_of(recipe, field));
    case FM_FIELD_CHOICE:
        choice = choice_of(field, text);
        if (choice < 0)
            return bad_flag(field, text);
        *int_of(recipe, field) = choice;
        return FM_OK;
    }
    return bad_flag(field, text);
}

static json_t *field_to_json(struct fm_recipe *recipe, const struct fm_recipe_field *field)
{
    switch (field->type) {
    case FM_FIELD_INT:
        return json_integer(*int_of(recipe, field));
    case FM_FIELD_REAL:
        return json_real(*real_of(recipe, field));
    case FM_FIELD_BOOL:
        return json_boolean(*bool_of(recipe, field));
    case FM_FIELD_CHOICE:
        return json_string(field->choices[*int_of(recipe, field)]);
    }
    return NULL;
}

json_t *fm_recipe_to_json(const struct fm_recipe *recipe)
{
    struct fm_recipe copy = *recipe; // the accessors of a value are for writing, too
    json_t *json = json_pack("{s:s}", "name", recipe->name);
    for (const struct fm_recipe_field *field = fm_recipe_fields; json && field->key; field++) {
        if (json_object_set_new(json, field->key, field_to_json(&copy, field)) != 0) {
            json_decref(json);
            json = NULL;
        }
    }
    return json;
}

enum fm_status fm_recipe_to_file(const char *name, const char *model, json_t **json)
{
    char path[FM_PATH_MAX];
    struct fm_recipe recipe;
    json_t *file;
    FM_TRY(fm_recipe_find(name, path));
    FM_TRY(load_file(path, model, &recipe, &file));

    json_t *values = fm_recipe_to_json(&recipe), *about = json_object_get(file, "about");
    json_t *models = model ? NULL : json_object_get(file, "models");
    *json = json_object();
    bool complete = values && *json;
    complete = complete && json_object_del(values, "name") == 0; // a file's name is the recipe's
    complete = complete && (!about || json_object_set(*json, "about", about) == 0);
    complete = complete && json_object_update(*json, values) == 0;
    complete = complete && (!models || json_object_set(*json, "models", models) == 0);
    json_decref(values);
    json_decref(file);
    if (complete)
        return FM_OK;
    json_decref(*json);
    *json = NULL;
    return fm_fail(FM_MEMORY, "out of memory for the recipe %s", name);
}

static enum fm_status missing_key(const struct place *place, const char *key)
{
    struct fm_text where = {0};
    place_text(place, key, &where);
    enum fm_status status = fm_fail(FM_DATA, "%s: the key is missing", fm_text_cstr(&where));
    fm_text_free(&where);
    return status;
}

// What runs of earlier versions do not have, and did not do: its default is 0.
static bool came_later(const struct fm_recipe_field *field)
{
    return strcmp(field->key, "mix") == 0 || strcmp(field->key, "mix_cut") == 0;
}

// Strict both ways, but for what came later: a run that another version wrote, with a value more or
// less, is not gone on with under values that nobody chose.
enum fm_status fm_recipe_from_json(const json_t *json, const char *path, struct fm_recipe *recipe)
{
    const struct place root = {.path = path};
    const struct place place = {.path = path, .keys = {"recipe"}, .depth = 1};
    *recipe = defaults;
    if (!json_is_object(json))
        return json ? wrong_value(&root, "recipe", json, "an object")
                    : missing_key(&root, "recipe");

    const json_t *name = json_object_get(json, "name");
    size_t length = json_string_length(name); // 0 for what is no string
    if (!name)
        return missing_key(&place, "name");
    if (length == 0 || length >= FM_NAME_MAX)
        return wrong_value(&place, "name", name, "a recipe's name");
    snprintf(recipe->name, sizeof recipe->name, "%s", json_string_value(name));

    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json, key, value)
    {
        if (strcmp(key, "name") != 0 && !find_field(key))
            return unknown_field(&place, key);
    }
    for (const struct fm_recipe_field *field = fm_recipe_fields; field->key; field++) {
        value = json_object_get(json, field->key);
        if (!value && came_later(field))
            continue;
        if (!value)
            return missing_key(&place, field->key);
        FM_TRY(set_from_json(recipe, field, value, &place));
    }
    return check_object(recipe, json, &place, NULL, NULL);
}

json_t *fm_recipe_changes(const struct fm_recipe *named, const struct fm_recipe *used)
{
    json_t *before = fm_recipe_to_json(named), *changes = fm_recipe_to_json(used);
    const char *key;
    json_t *value;
    json_object_del(changes, "name");
    json_object_foreach(before, key, value)
    {
        if (json_equal(value, json_object_get(changes, key)))
            json_object_del(changes, key);
    }
    json_decref(before);
    return changes;
}
