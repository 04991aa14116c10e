// Predicting from a source of images: see prediction.h. Those that cannot be read keep their place
// among the others.
#include "app/prediction.h"

#include "base/file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHOWN_NAME_MAX = 200 // bytes of a name in a file's, of the 255 that file systems allow
};

struct batch {
    size_t count, good;
    char *names[FM_PREDICTION_BATCH], *errors[FM_PREDICTION_BATCH]; // owned
    uint8_t *records;     // [FM_PREDICTION_BATCH][FM_IMAGE_BYTES], of the good ones
    float *probabilities; // [FM_PREDICTION_BATCH][classes], likewise
    struct fm_predicted images[FM_PREDICTION_BATCH];
};

static enum fm_status batch_make(int classes, struct batch **out)
{
    size_t row = (size_t)classes * sizeof(float);
    struct batch *batch = calloc(1, sizeof *batch);
    *out = batch;
    if (batch) {
        batch->records = malloc((size_t)FM_PREDICTION_BATCH * FM_IMAGE_BYTES);
        batch->probabilities = malloc(FM_PREDICTION_BATCH * row);
    }
    if (batch && batch->records && batch->probabilities)
        return FM_OK;
    return fm_fail_memory("a batch of images", FM_PREDICTION_BATCH * (row + FM_IMAGE_BYTES));
}

static void batch_clear(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        free(batch->names[i]);
        free(batch->errors[i]);
        batch->names[i] = batch->errors[i] = NULL;
    }
    batch->count = batch->good = 0;
}

static void batch_free(struct batch *batch)
{
    if (!batch)
        return;
    batch_clear(batch);
    free(batch->records);
    free(batch->probabilities);
    free(batch);
}

static enum fm_status batch_add(struct batch *batch, const struct fm_source_item *item)
{
    size_t at = batch->count++;
    batch->names[at] = strdup(item->name);
    if (item->error)
        batch->errors[at] = strdup(item->error);
    if (!batch->names[at] || (item->error && !batch->errors[at]))
        return fm_fail_memory("an image's name", strlen(item->name));
    if (!item->error)
        memcpy(batch->records + FM_IMAGE_BYTES * batch->good++, item->record, FM_IMAGE_BYTES);
    return FM_OK;
}

static enum fm_status read_batch(struct fm_source *source, const struct fm_prediction_hooks *hooks,
    uint32_t before, uint32_t total, struct batch *batch)
{
    struct fm_source_item item;
    batch_clear(batch);
    while (batch->count < FM_PREDICTION_BATCH) {
        FM_TRY(fm_source_next(source, &item));
        if (!item.name)
            break;
        FM_TRY(batch_add(batch, &item));
        if (hooks->progress)
            hooks->progress(hooks->context, before + (uint32_t)batch->count, total);
    }
    return FM_OK;
}

static enum fm_status predict_batch(struct fm_predictor *predictor, struct batch *batch,
    const struct fm_prediction_hooks *hooks, struct fm_prediction_counts *counts)
{
    size_t good = 0;
    FM_TRY(fm_predictor_run(predictor, batch->records, batch->good, batch->probabilities));
    for (size_t i = 0; i < batch->count; i++) {
        struct fm_predicted *image = &batch->images[i];
        *image = (struct fm_predicted){
            .number = ++counts->images, .name = batch->names[i], .error = batch->errors[i]};
        counts->failed += image->error != NULL;
        if (image->error)
            continue;
        image->record = batch->records + good * FM_IMAGE_BYTES;
        image->probabilities = batch->probabilities + good * (size_t)predictor->classes;
        good++;
    }
    return hooks->take(hooks->context, batch->images, batch->count);
}

enum fm_status fm_predict_source(struct fm_predictor *predictor, struct fm_source *source,
    const struct fm_prediction_hooks *hooks, struct fm_prediction_counts *counts)
{
    struct batch *batch;
    uint32_t total = fm_source_total(source);
    *counts = (struct fm_prediction_counts){0};
    enum fm_status status = batch_make(predictor->classes, &batch);
    while (status == FM_OK) {
        status = read_batch(source, hooks, counts->images, total, batch);
        if (status != FM_OK || batch->count == 0)
            break;
        status = predict_batch(predictor, batch, hooks, counts);
    }
    batch_free(batch);
    return status;
}

void fm_top_classes(const float *probabilities, int classes, int count, int *top)
{
    bool taken[FM_CLASSES_MAX] = {false};
    for (int i = 0; i < count; i++) {
        int best = -1;
        for (int k = 0; k < classes; k++)
            if (!taken[k] && (best < 0 || probabilities[k] > probabilities[best]))
                best = k;
        taken[best] = true;
        top[i] = best;
    }
}

// ---- Showing

// The last part of a path, or what stands for one, without the ending of a picture.
static size_t shown_name(const char *name, const char **start)
{
    const char *slash = strrchr(name, '/');
    *start = strcmp(name, "-") == 0 ? "stdin" : slash ? slash + 1 : name;
    return strlen(*start) - fm_picture_ending(*start);
}

// What no file's name should have becomes '_'.
static void append_file_name(struct fm_text *out, const char *name)
{
    const char *at;
    size_t length = shown_name(name, &at);
    if (length > SHOWN_NAME_MAX)
        length = SHOWN_NAME_MAX;
    for (const char *end = at + length; at < end;) {
        int bytes = fm_utf8_length(at);
        if (bytes == 0 || at + bytes > end || fm_utf8_is_control(at)) {
            fm_text_append(out, "_");
            at++;
            continue;
        }
        fm_text_append_bytes(out, at, (size_t)bytes);
        at += bytes;
    }
}

static enum fm_status create(const char *path, const struct fm_text *png)
{
    enum fm_status status = fm_file_create(path, png->data, png->length);
    if (status != FM_EXISTS)
        return status;
    fm_error_clear(); // of a message that does not say what to do
    return fm_fail(FM_EXISTS,
        "%s is there already: --force replaces what has the same name, or name another folder with "
        "--show",
        path);
}

enum fm_status fm_show_record(const char *directory, const struct fm_predicted *image, bool replace)
{
    struct fm_text name = {0}, png = {0};
    char path[FM_PATH_MAX];
    enum fm_status status;
    fm_text_append(&name, "%" PRIu32 "-", image->number);
    append_file_name(&name, image->name);
    fm_text_append(&name, ".png");
    FM_TRY_GOTO(status, fm_png_encode_grey(image->record, FM_IMAGE_SIDE, FM_IMAGE_SIDE, &png), out);
    FM_TRY_GOTO(status, fm_path_join(path, directory, fm_text_cstr(&name)), out);
    if (name.failed || png.failed)
        status = fm_fail_memory(image->name, FM_IMAGE_BYTES);
    else
        status = replace ? fm_file_write(path, png.data, png.length) : create(path, &png);
out:
    fm_text_free(&name);
    fm_text_free(&png);
    return status;
}
