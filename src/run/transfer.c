// What a run does with weights that it begins with, as JSON and back: config.json, which a run goes
// on from, and result.json, which tells of it, hold it in the same words.
#include "run/run.h"

#include "net/files/pretrained.h"
#include "run/object.h"

#include <stdio.h>
#include <string.h>

const char *const fm_transfer_mode_names[] = {"scratch", "frozen", "finetune", NULL};
const char *const fm_unfreeze_names[] = {"last", "all", NULL};

static const char *const transfer_keys[] = {"mode", "weights", "sha256", "source", "trained_on",
    "known", "unfreeze", "base_rate", "feature_views", NULL};

enum {
    FEATURE_VIEWS_MAX = 1 << 20
};

json_t *fm_transfer_to_json(const struct fm_transfer *transfer)
{
    if (transfer->mode == FM_TRANSFER_SCRATCH)
        return json_null();
    bool finetune = transfer->mode == FM_TRANSFER_FINETUNE;
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "mode",
        fm_transfer_mode_names[transfer->mode], "weights", transfer->weights, "sha256",
        transfer->sha256, "source", transfer->source, "trained_on", transfer->trained_on, "known",
        transfer->known, "unfreeze",
        finetune ? json_string(fm_unfreeze_names[transfer->unfreeze]) : json_null(), "base_rate",
        finetune ? json_real(transfer->base_rate) : json_null(), "feature_views",
        finetune ? json_null() : json_integer(transfer->feature_views));
}

static enum fm_status get_transfer(const struct fm_object *object, struct fm_transfer *transfer)
{
    // A run from scratch has no object at all.
    static const char *const modes[] = {"frozen", "finetune", NULL};
    int mode;
    FM_TRY(fm_object_check_keys(object, transfer_keys));
    FM_TRY(fm_object_get_name(object, "mode", modes, &mode));
    transfer->mode = mode + FM_TRANSFER_FROZEN;
    FM_TRY(fm_object_get_string(object, "weights", transfer->weights, sizeof transfer->weights));
    FM_TRY(fm_object_get_sha256(object, "sha256", transfer->sha256));
    FM_TRY(fm_object_get_string(object, "source", transfer->source, sizeof transfer->source));
    if (json_object_get(object->json, "trained_on")) // absent in files of earlier versions
        FM_TRY(fm_object_get_string(
            object, "trained_on", transfer->trained_on, sizeof transfer->trained_on));
    FM_TRY(fm_object_get_string(object, "known", transfer->known, sizeof transfer->known));
    if (transfer->mode == FM_TRANSFER_FROZEN)
        return fm_object_get_int(
            object, "feature_views", 0, FEATURE_VIEWS_MAX, &transfer->feature_views);
    FM_TRY(fm_object_get_name(object, "unfreeze", fm_unfreeze_names, &transfer->unfreeze));
    return fm_object_get_number(object, "base_rate", 0, &transfer->base_rate);
}

enum fm_status fm_transfer_from_json(
    const json_t *json, const char *path, struct fm_transfer *transfer)
{
    struct fm_object object;
    memset(transfer, 0, sizeof *transfer);
    FM_TRY(fm_object_optional(json, path, "transfer", "transfer.", &object));
    return object.json ? get_transfer(&object, transfer) : FM_OK;
}

int fm_transfer_result_mode(const json_t *result)
{
    const char *name = fm_json_string(json_object_get(result, "transfer"), "mode");
    for (int mode = 0; fm_transfer_mode_names[mode]; mode++)
        if (strcmp(fm_transfer_mode_names[mode], name) == 0)
            return mode;
    return FM_TRANSFER_SCRATCH;
}

bool fm_transfer_is_own(const struct fm_transfer *transfer)
{
    const char *own = fm_pretrained_source_names[FM_PRETRAINED_FMNIST];
    return transfer->mode != FM_TRANSFER_SCRATCH && strcmp(transfer->source, own) == 0;
}

void fm_transfer_run_name(const char *model, int mode, bool taught, char out[FM_RUN_NAME_MAX])
{
    static const char *const endings[] = {
        [FM_TRANSFER_SCRATCH] = "",
        [FM_TRANSFER_FROZEN] = "-frozen",
        [FM_TRANSFER_FINETUNE] = "-finetuned",
    };
    snprintf(out, FM_RUN_NAME_MAX, "%.*s%s%s", FM_NAME_MAX - 1, model, endings[mode],
        taught ? "-taught" : "");
}

bool fm_transfer_same(const struct fm_transfer *a, const struct fm_transfer *b)
{
    if (a->mode != b->mode)
        return false;
    if (a->mode == FM_TRANSFER_SCRATCH)
        return true;
    if (strcmp(a->sha256, b->sha256) != 0)
        return false;
    if (a->mode == FM_TRANSFER_FROZEN)
        return a->feature_views == b->feature_views;
    return a->unfreeze == b->unfreeze && a->base_rate == b->base_rate;
}
