// Of a run more is known than its weights say: how well it did, and how it was computed. A weights
// file alone will do all the same.
#include "app/export/export_source.h"

#include "app/remarks.h"
#include "net/files/pretrained.h"
#include "run/json.h"
#include "run/run.h"
#include "run/states.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

// What is known is text of at most so many characters; the rest is left out.
static void add(struct fm_export_source *source, const char *key, const char *value)
{
    int pairs = 0;
    while (source->metadata[2 * pairs])
        pairs++;
    assert(pairs < FM_EXPORT_METADATA_MAX);
    char *copy = source->values[pairs];
    snprintf(copy, sizeof source->values[pairs], "%s", value);
    source->metadata[2 * pairs] = key;
    source->metadata[2 * pairs + 1] = copy;
}

// As JSON has numbers, whatever the locale.
static void add_number(struct fm_export_source *source, const char *key, double value)
{
    json_t *json = json_real(value);
    struct fm_text text = {0};
    fm_json_dump(json, JSON_ENCODE_ANY, &text);
    add(source, key, fm_text_cstr(&text));
    fm_text_free(&text);
    json_decref(json);
}

static enum fm_status know_result(const char *directory, struct fm_export_source *source)
{
    json_t *result;
    FM_TRY(fm_run_read_result(directory, &result));
    source->test_accuracy = fm_json_number(json_object_get(result, "test"), "accuracy");
    if (isfinite(source->test_accuracy))
        add_number(source, "test_accuracy", source->test_accuracy);
    double epochs = fm_json_number(result, "kept_epoch");
    if (isfinite(epochs))
        add_number(source, "kept_epoch", epochs);
    const char *recipe = fm_json_string(result, "recipe");
    if (recipe[0])
        add(source, "recipe", recipe);
    struct fm_text teachers = {0};
    fm_remarks_append_teaching(result, &teachers);
    if (teachers.length > 0)
        add(source, "taught_by", fm_text_cstr(&teachers));
    fm_text_free(&teachers);
    fm_remarks_learned(result, source->remarks, sizeof source->remarks);
    json_decref(result);
    return FM_OK;
}

static enum fm_status know_run(const char *directory, struct fm_export_source *source)
{
    struct fm_run_config config;
    char seed[32];
    FM_TRY(fm_run_read_whole_config(directory, &config));
    add(source, "precision", config.precision);
    add(source, "backend", config.backend);
    snprintf(seed, sizeof seed, "%" PRIu64, config.seed);
    add(source, "seed", seed);
    source->dropout = fm_json_number(config.recipe, "dropout");
    const char *trained_on = fm_run_trained_on(&config);
    if (trained_on)
        add(source, FM_WEIGHTS_TRAINED_ON, trained_on);
    fm_run_config_free(&config);
    return know_result(directory, source);
}

static enum fm_status place(const char *path, struct fm_export_source *source)
{
    if (fm_path_is_dir(path)) {
        FM_TRY(fm_path_copy(source->directory, path));
        return fm_path_join(source->weights_path, path, FM_WEIGHTS_FILE);
    }
    FM_TRY(fm_path_copy(source->weights_path, path));
    FM_TRY(fm_path_copy(source->directory, path));
    char *slash = strrchr(source->directory, '/');
    if (slash)
        slash[slash == source->directory] = '\0';
    else
        snprintf(source->directory, sizeof source->directory, ".");
    return FM_OK;
}

// What the file says itself is all that is known of one that lies alone.
static void know_file(struct fm_export_source *source)
{
    const char *trained_on = source->weights.trained_on;
    if (trained_on[0])
        add(source, FM_WEIGHTS_TRAINED_ON, trained_on);
    if (strcmp(trained_on, FM_WEIGHTS_ALL) == 0)
        snprintf(source->remarks, sizeof source->remarks,
            "says that it was trained on all training images (--full)");
}

static enum fm_status open_weights(struct fm_export_source *source)
{
    struct fm_weights *weights = &source->weights;
    FM_TRY(fm_weights_read(source->weights_path, weights));
    FM_TRY(fm_weights_net(weights, &source->net));
    for (int i = 0; i < fm_state_count(&source->net); i++) {
        struct fm_state_item item = fm_state_at(&source->net, i);
        FM_TRY(fm_state_check(source->weights_path, item.name, &item,
            fm_safetensors_find(&weights->tensors, item.name)));
    }
    return FM_OK;
}

enum fm_status fm_export_source_open(const char *path, struct fm_export_source *source)
{
    enum fm_status status;
    memset(source, 0, sizeof *source);
    source->test_accuracy = NAN;
    source->dropout = -1;
    if (!fm_path_exists(path))
        return fm_fail(
            FM_NOT_FOUND, "%s: no such file or folder: expected a run or a weights file", path);
    FM_TRY(place(path, source));
    if (fm_path_is_dir(path))
        FM_TRY(know_run(path, source));
    FM_TRY_GOTO(status, open_weights(source), out);
    if (source->dropout >= 0) // of those who train on with it
        fm_net_set_dropout(&source->net, (float)source->dropout);
    if (!fm_path_is_dir(path))
        know_file(source);
    source->model = (struct fm_format_model){.net = &source->net,
        .tensors = &source->weights.tensors,
        .class_names = source->weights.class_names,
        .metadata = source->metadata};
out:
    if (status != FM_OK)
        fm_export_source_close(source);
    return status;
}

void fm_export_source_close(struct fm_export_source *source)
{
    fm_weights_free(&source->weights);
    memset(source, 0, sizeof *source);
}
