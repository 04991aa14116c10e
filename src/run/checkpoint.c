// Writing streams tensor by tensor through one buffer; reading checks the whole file before the
// model is touched.
#include "run/checkpoint.h"

#include "run/json.h"
#include "run/states.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define CHECKPOINT_FORMAT "1"

// A tensor of the file: where it comes from, or goes to.
struct entry {
    enum fm_state_kind kind;
    bool best; // lies in checkpoint->best, not in the model
    struct fm_state_item item;
    char name[FM_NAME_MAX + 16];
};

struct contents {
    const struct fm_backend *api;
    struct fm_model *model;
    const struct fm_checkpoint *checkpoint;
    struct entry *entries;
    int count;
    float *buffer; // of the largest tensor; NULL where tensors are read where they lie
};

static void add_part(struct contents *c, const struct fm_net *net, const char *part,
    enum fm_state_kind param_kind, enum fm_state_kind running_kind, bool best)
{
    bool has_running = param_kind != FM_STATE_MOMENT1 && param_kind != FM_STATE_MOMENT2;
    int count = has_running ? fm_state_count(net) : net->param_count;
    for (int i = 0; i < count; i++) {
        struct entry *entry = &c->entries[c->count++];
        entry->item = fm_state_at(net, i);
        entry->kind = entry->item.running ? running_kind : param_kind;
        entry->best = best;
        snprintf(entry->name, sizeof entry->name, "%s/%s", part, entry->item.name);
    }
}

static enum fm_status list_contents(struct contents *c, const struct fm_net *net)
{
    enum {
        PARTS_MAX = 5
    };
    size_t most = (size_t)fm_state_count(net) * PARTS_MAX, largest = 0;
    c->entries = calloc(most, sizeof *c->entries);
    if (!c->entries)
        return fm_fail_memory("a checkpoint's list", most * sizeof *c->entries);
    add_part(c, net, "param", FM_STATE_PARAM, FM_STATE_RUNNING, false);
    add_part(c, net, "moment1", FM_STATE_MOMENT1, FM_STATE_MOMENT1, false);
    if (c->checkpoint->moment2)
        add_part(c, net, "moment2", FM_STATE_MOMENT2, FM_STATE_MOMENT2, false);
    if (c->checkpoint->ema)
        add_part(c, net, "ema", FM_STATE_EMA, FM_STATE_EMA, false);
    if (c->checkpoint->best)
        add_part(c, net, "best", FM_STATE_PARAM, FM_STATE_RUNNING, true);
    for (int i = 0; i < c->count; i++)
        largest = c->entries[i].item.count > largest ? c->entries[i].item.count : largest;
    if (c->api->model_memory)
        return FM_OK;
    c->buffer = malloc(largest * sizeof *c->buffer);
    return c->buffer ? FM_OK : fm_fail_memory("a tensor", largest * sizeof *c->buffer);
}

static void free_contents(struct contents *c)
{
    free(c->buffer);
    free(c->entries);
}

// ---- The position as text. Numbers of C that JSON's do not hold exactly are hexadecimal texts.

static json_t *exact(double value)
{
    return json_sprintf("%a", value);
}

static json_t *state_to_json(const struct fm_checkpoint *c)
{
    return json_pack("{s:I, s:I, s:i, s:I, s:o, s:i, s:o, s:o, s:{s:I, s:I, s:I, s:I, s:o}, "
                     "s:{s:o, s:I, s:I, s:I}}",
        "step", (json_int_t)c->step, "epoch_step", (json_int_t)c->epoch_step, "epochs", c->epochs,
        "images", (json_int_t)c->images, "loss", exact(c->loss), "kept_epoch", c->kept_epoch,
        "kept_accuracy", exact(c->kept_accuracy), "kept_nll", exact(c->kept_nll), "counters",
        "applied", (json_int_t)c->counters.applied, "skipped", (json_int_t)c->counters.skipped,
        "growths", (json_int_t)c->counters.growths, "good_steps",
        (json_int_t)c->counters.good_steps, "loss_scale", exact((double)c->counters.loss_scale),
        "sums", "loss", exact(c->sums.loss), "correct", (json_int_t)c->sums.correct, "count",
        (json_int_t)c->sums.count, "incurable", (json_int_t)c->sums.incurable);
}

static bool exact_from(const char *text, double *value)
{
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0';
}

static bool state_from_json(json_t *json, struct fm_checkpoint *c)
{
    json_int_t step, epoch_step, images, applied, skipped, growths, good_steps, correct, count,
        incurable;
    const char *loss, *accuracy, *nll, *scale, *sum;
    double loss_scale = 0;
    int failed = json_unpack(json,
        "{s:I, s:I, s:i, s:I, s:s, s:i, s:s, s:s, s:{s:I, s:I, s:I, s:I, s:s}, "
        "s:{s:s, s:I, s:I, s:I}}",
        "step", &step, "epoch_step", &epoch_step, "epochs", &c->epochs, "images", &images, "loss",
        &loss, "kept_epoch", &c->kept_epoch, "kept_accuracy", &accuracy, "kept_nll", &nll,
        "counters", "applied", &applied, "skipped", &skipped, "growths", &growths, "good_steps",
        &good_steps, "loss_scale", &scale, "sums", "loss", &sum, "correct", &correct, "count",
        &count, "incurable", &incurable);
    if (failed || !exact_from(loss, &c->loss) || !exact_from(accuracy, &c->kept_accuracy) ||
        !exact_from(nll, &c->kept_nll) || !exact_from(scale, &loss_scale) ||
        !exact_from(sum, &c->sums.loss))
        return false;
    c->step = (uint64_t)step;
    c->epoch_step = (uint64_t)epoch_step;
    c->images = (uint64_t)images;
    c->counters = (struct fm_counters){.applied = (uint64_t)applied,
        .skipped = (uint64_t)skipped,
        .growths = (uint64_t)growths,
        .good_steps = (uint32_t)good_steps,
        .loss_scale = (float)loss_scale};
    c->sums.correct = (uint64_t)correct;
    c->sums.count = (uint64_t)count;
    c->sums.incurable = (uint64_t)incurable;
    return true;
}

// ---- Writing

static enum fm_status entry_data(void *context, int index, const float **data)
{
    struct contents *c = context;
    const struct entry *entry = &c->entries[index];
    if (entry->best) {
        *data = c->checkpoint->best + entry->item.offset;
        return FM_OK;
    }
    float *memory = c->buffer;
    if (c->api->model_memory)
        FM_TRY(c->api->model_memory(
            c->model, entry->kind, entry->item.name, entry->item.count, &memory));
    else
        FM_TRY(
            c->api->model_get(c->model, entry->kind, entry->item.name, memory, entry->item.count));
    *data = memory;
    return FM_OK;
}

static uint32_t text_crc32(const char *text)
{
    return (uint32_t)crc32_z(0, (const unsigned char *)text, strlen(text));
}

static uint32_t more_crc32(uint32_t crc, const float *data, size_t count)
{
    return (uint32_t)crc32_z(crc, (const unsigned char *)data, count * sizeof *data);
}

static enum fm_status checksum(struct contents *c, const char *state, char out[16])
{
    uint32_t crc = text_crc32(state);
    for (int i = 0; i < c->count; i++) {
        const float *data;
        FM_TRY(entry_data(c, i, &data));
        crc = more_crc32(crc, data, c->entries[i].item.count);
    }
    snprintf(out, 16, "%08" PRIx32, crc);
    return FM_OK;
}

static enum fm_status write_file(
    const char *path, const struct fm_net *net, struct contents *c, const char *state)
{
    char digits[16];
    FM_TRY(checksum(c, state, digits));
    struct fm_tensor *tensors = calloc((size_t)c->count, sizeof *tensors);
    if (!tensors)
        return fm_fail_memory("a checkpoint's header", (size_t)c->count * sizeof *tensors);
    for (int i = 0; i < c->count; i++) {
        const struct fm_state_item *item = &c->entries[i].item;
        snprintf(tensors[i].name, sizeof tensors[i].name, "%s", c->entries[i].name);
        tensors[i].ndims = item->ndims;
        tensors[i].count = item->count;
        memcpy(tensors[i].dims, item->dims, sizeof item->dims);
    }
    const char *const metadata[] = {"fmnist_checkpoint", CHECKPOINT_FORMAT, "model", net->name,
        "state", state, "crc32", digits, NULL};
    enum fm_status status = fm_safetensors_write_from(
        path, tensors, c->count, metadata, entry_data, c);
    free(tensors);
    return status;
}

// The newest gets a second name, the former second is let go. Where a file system has no hard
// links, the newest is renamed: for a moment there is the second alone.
static enum fm_status keep_previous(const char *last, const char *directory)
{
    char previous[FM_PATH_MAX];
    FM_TRY(fm_path_join(previous, directory, FM_CHECKPOINT_PREVIOUS));
    if (!fm_path_exists(last))
        return FM_OK;
    FM_TRY(fm_file_remove(previous));
    if (link(last, previous) != 0 && rename(last, previous) != 0)
        return fm_fail(FM_IO, "%s: cannot keep as %s: %s", last, previous, strerror(errno));
    return FM_OK;
}

// Written whole under a name of its own first, so that what is there is given up for something.
static enum fm_status replace(
    const char *directory, const struct fm_net *net, struct contents *c, const char *state)
{
    char last[FM_PATH_MAX], fresh[FM_PATH_MAX];
    FM_TRY(fm_path_join(last, directory, FM_CHECKPOINT_LAST));
    FM_TRY(fm_path_join(fresh, directory, FM_CHECKPOINT_LAST FM_TEMPORARY_MARK "new"));
    FM_TRY(write_file(fresh, net, c, state));
    enum fm_status status = keep_previous(last, directory);
    if (status == FM_OK && rename(fresh, last) != 0)
        status = fm_fail(
            FM_IO, "%s: cannot put the checkpoint in place: %s", last, strerror(errno));
    if (status != FM_OK)
        unlink(fresh);
    else
        fm_sync_parent(last);
    return status;
}

enum fm_status fm_checkpoint_write(const char *directory, const struct fm_net *net,
    const struct fm_backend *api, struct fm_model *model, const struct fm_checkpoint *checkpoint)
{
    struct contents c = {.api = api, .model = model, .checkpoint = checkpoint};
    json_t *json = state_to_json(checkpoint);
    char *state = json ? json_dumps(json, JSON_COMPACT) : NULL;
    enum fm_status status = state ? list_contents(&c, net)
                                  : fm_fail(FM_MEMORY, "out of memory for a checkpoint");
    if (status == FM_OK)
        status = replace(directory, net, &c, state);
    free_contents(&c);
    free(state);
    json_decref(json);
    return status;
}

enum fm_status fm_checkpoint_finish(const char *directory)
{
    char previous[FM_PATH_MAX];
    FM_TRY(fm_path_join(previous, directory, FM_CHECKPOINT_PREVIOUS));
    FM_TRY(fm_file_remove(previous));
    return FM_OK;
}

bool fm_checkpoint_exists(const char *directory)
{
    static const char *const names[] = {FM_CHECKPOINT_LAST, FM_CHECKPOINT_PREVIOUS};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[FM_PATH_MAX];
        if (fm_path_join(path, directory, names[i]) == FM_OK && fm_path_exists(path))
            return true;
    }
    return false;
}

// ---- Reading

static enum fm_status check_value(
    const char *path, const struct fm_tensor_file *file, const char *key, const char *expected)
{
    const char *found = fm_safetensors_metadata(file, key);
    if (found && strcmp(found, expected) == 0)
        return FM_OK;
    return fm_fail(FM_DATA, "%s: metadata \"%s\": found %s%s%s, expected \"%s\"", path, key,
        found ? "\"" : "", found ? found : "nothing", found ? "\"" : "", expected);
}

// Every tensor that there must be, with its shape, none else, and the checksum over all of them.
static enum fm_status check_file(const char *path, const struct fm_net *net,
    const struct contents *c, const struct fm_tensor_file *file)
{
    FM_TRY(check_value(path, file, "fmnist_checkpoint", CHECKPOINT_FORMAT));
    FM_TRY(check_value(path, file, "model", net->name));
    const char *state = fm_safetensors_metadata(file, "state");
    if (!state)
        return fm_fail(FM_DATA, "%s: metadata \"state\" is missing", path);
    uint32_t crc = text_crc32(state);
    for (int i = 0; i < c->count; i++) {
        const struct entry *entry = &c->entries[i];
        const struct fm_tensor *tensor = fm_safetensors_find(file, entry->name);
        FM_TRY(fm_state_check(path, entry->name, &entry->item, tensor));
        crc = more_crc32(crc, tensor->data, tensor->count);
    }
    if (file->count != c->count)
        return fm_fail(FM_DATA, "%s: found %d tensors, expected %d", path, file->count, c->count);
    char digits[16];
    snprintf(digits, sizeof digits, "%08" PRIx32, crc);
    const char *told = fm_safetensors_metadata(file, "crc32");
    if (!told || strcmp(told, digits) != 0)
        return fm_fail(FM_DATA, "%s: its checksum says %s, its contents have %s", path,
            told ? told : "nothing", digits);
    return FM_OK;
}

static enum fm_status read_state(
    const char *path, const struct fm_tensor_file *file, struct fm_checkpoint *checkpoint)
{
    json_t *json = json_loads(fm_safetensors_metadata(file, "state"), 0, NULL);
    bool good = json && state_from_json(json, checkpoint);
    json_decref(json);
    return good ? FM_OK : fm_fail(FM_DATA, "%s: its \"state\" is not a checkpoint's", path);
}

static enum fm_status apply(const struct contents *c, const struct fm_tensor_file *file,
    const struct fm_checkpoint *checkpoint)
{
    for (int i = 0; i < c->count; i++) {
        const struct entry *entry = &c->entries[i];
        const float *data = fm_safetensors_find(file, entry->name)->data;
        size_t count = entry->item.count;
        if (entry->best)
            memcpy(checkpoint->best + entry->item.offset, data, count * sizeof *data);
        else
            FM_TRY(c->api->model_set(c->model, entry->kind, entry->item.name, data, count));
    }
    FM_TRY(c->api->counters_set(c->model, &checkpoint->counters));
    return c->api->sums_set(c->model, &checkpoint->sums);
}

static enum fm_status read_file(
    const char *path, const struct fm_net *net, struct contents *c, struct fm_checkpoint *out)
{
    struct fm_tensor_file file;
    FM_TRY(fm_safetensors_read(path, &file));
    struct fm_checkpoint read = *out;
    enum fm_status status = check_file(path, net, c, &file);
    if (status == FM_OK)
        status = read_state(path, &file, &read);
    if (status == FM_OK)
        status = apply(c, &file, &read);
    if (status == FM_OK)
        *out = read;
    fm_safetensors_free(&file);
    return status;
}

// What can be done about a newest checkpoint that cannot be read; `last`: under its usual name, so
// that there may be one before it.
static enum fm_status fail_damaged(enum fm_status status, const char *directory, bool last)
{
    char previous[FM_PATH_MAX];
    FM_TRY(fm_path_join(previous, directory, FM_CHECKPOINT_PREVIOUS));
    const char *then = last && fm_path_exists(previous)
                           ? "the training goes on from " FM_CHECKPOINT_PREVIOUS
                           : "the training starts again at step 0";
    return fm_context(
        status, "the newest checkpoint cannot be used (without it %s: move it away)", then);
}

enum fm_status fm_checkpoint_read(const char *directory, const struct fm_net *net,
    const struct fm_backend *api, struct fm_model *model, struct fm_checkpoint *checkpoint,
    char path[FM_PATH_MAX])
{
    FM_TRY(fm_path_join(path, directory, FM_CHECKPOINT_LAST));
    bool last = fm_path_exists(path);
    if (!last)
        FM_TRY(fm_path_join(path, directory, FM_CHECKPOINT_PREVIOUS));
    if (!fm_path_exists(path))
        return FM_NOT_FOUND;
    struct contents c = {.api = api, .model = model, .checkpoint = checkpoint};
    enum fm_status status = list_contents(&c, net);
    if (status == FM_OK)
        status = read_file(path, net, &c, checkpoint);
    free_contents(&c);
    return status == FM_OK ? FM_OK : fail_damaged(status, directory, last);
}
