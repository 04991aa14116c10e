// One wording for the comparison and for reports, made of what result.json says.
#include "app/remarks.h"

#include "data/split.h"
#include "run/json.h"
#include "run/run.h"

#include <stdio.h>
#include <string.h>

static const char *separator(const struct fm_text *out)
{
    return out->length ? "; " : "";
}

// "recipe quick, changed: epochs 2, batch 32" where options changed values of the recipe.
static void append_changes(const json_t *result, struct fm_text *out)
{
    json_t *changes = json_object_get(result, "recipe_changes");
    const char *key, *before = ": ";
    json_t *value;
    if (json_object_size(changes) == 0)
        return;
    fm_text_append(out, "%srecipe %s", separator(out), fm_json_string(result, "recipe"));
    json_object_foreach(changes, key, value)
    {
        fm_text_append(out, "%s%s ", before, key);
        if (json_is_string(value))
            fm_text_append(out, "%s", json_string_value(value));
        else
            fm_json_dump(value, JSON_ENCODE_ANY, out);
        before = ", ";
    }
}

// What a model that others have trained the base of begins with.
static void append_beginning(const json_t *result, struct fm_text *out)
{
    const json_t *transfer = json_object_get(result, "transfer");
    const char *path = fm_json_string(transfer, "weights"), *slash = strrchr(path, '/');
    const char *source = fm_json_string(transfer, "source"), *file = slash ? slash + 1 : path;
    double views = fm_json_number(transfer, "feature_views");
    bool all = strcmp(fm_json_string(transfer, "unfreeze"), fm_unfreeze_names[FM_UNFREEZE_ALL]) ==
               0;
    switch (fm_transfer_result_mode(result)) {
    case FM_TRANSFER_SCRATCH:
        fm_text_append(out, "%sfrom scratch, no ImageNet weights", separator(out));
        break;
    case FM_TRANSFER_FROZEN:
        fm_text_append(out, "%sbase of %s (%s), frozen", separator(out), file, source);
        if (views > 0)
            fm_text_append(out, ", its features of %.0f augmented views", views);
        break;
    default:
        fm_text_append(out, "%sfine-tuned from %s (%s): %s, the base at %g times the rate",
            separator(out), file, source, all ? "all layers" : "the last block and the head",
            fm_json_number(transfer, "base_rate"));
    }
}

void fm_remarks_append_teaching(const json_t *result, struct fm_text *out)
{
    const json_t *teaching = json_object_get(result, "teaching");
    const json_t *teachers = json_object_get(teaching, "teachers"), *teacher;
    size_t i, count = json_array_size(teachers);
    json_array_foreach(teachers, i, teacher)
    {
        const char *join = i == 0 ? "" : i + 1 < count ? ", " : " and ";
        const char *source = fm_json_string(teacher, "source");
        fm_text_append(out, "%s%s", join, fm_json_string(teacher, "model"));
        if (source[0])
            fm_text_append(out, " (begun with weights of %s)", source);
    }
    double share = fm_json_number(teaching, "share");
    if (count > 0 && share < 1)
        fm_text_append(out, ", %g of the targets", share);
    else if (count > 0)
        fm_text_append(out, ", all of the targets");
}

bool fm_remarks_chosen_by_few(const json_t *result)
{
    double images = fm_json_number(json_object_get(result, "data"), "select_images");
    return images > 0 && images < FM_SELECT_LEAST &&
           fm_json_number(result, "kept_epoch") < fm_json_number(result, "epochs");
}

static void append_choice(const json_t *result, struct fm_text *out)
{
    double images = fm_json_number(json_object_get(result, "data"), "select_images");
    if (fm_remarks_chosen_by_few(result))
        fm_text_append(out, "%sepoch %.0f of %.0f is kept, chosen on %.0f image%s", separator(out),
            fm_json_number(result, "kept_epoch"), fm_json_number(result, "epochs"), images,
            images > 1 ? "s" : "");
}

static void append_taught(const json_t *result, struct fm_text *out)
{
    if (!json_is_object(json_object_get(result, "teaching")))
        return;
    fm_text_append(out, "%staught by ", separator(out));
    fm_remarks_append_teaching(result, out);
}

static void append_full(const json_t *result, struct fm_text *out)
{
    if (json_is_true(json_object_get(json_object_get(result, "data"), "full")))
        fm_text_append(out, "%strained on all training images (--full), none held out to select on",
            separator(out));
}

void fm_remarks_learned(const json_t *result, char *out, size_t size)
{
    struct fm_text text = {0};
    append_taught(result, &text);
    append_full(result, &text);
    snprintf(out, size, "%s", fm_text_cstr(&text));
    fm_text_free(&text);
}

void fm_remarks_append(const json_t *result, struct fm_text *out)
{
    if (strcmp(fm_json_string(result, "model"), FM_TRANSFER_MODEL) == 0)
        append_beginning(result, out);
    append_taught(result, out);
    if (fm_json_number(result, "input_size") > 0)
        fm_text_append(out, "%simages of %.0fx%.0f pixels", separator(out),
            fm_json_number(result, "input_size"), fm_json_number(result, "input_size"));
    if (json_is_true(json_object_get(result, "ended_early")))
        fm_text_append(out, "%sended at epoch %.0f of %.0f by --max-minutes %g", separator(out),
            fm_json_number(result, "epochs"), fm_json_number(result, "epochs_planned"),
            fm_json_number(result, "max_minutes"));
    append_changes(result, out);
    append_choice(result, out);
    append_full(result, out);
}

void fm_remarks_append_data(const json_t *result, struct fm_text *out)
{
    const json_t *data = json_object_get(result, "data");
    if (!json_is_true(json_object_get(data, "fashion_mnist")))
        fm_text_append(out, "%smeasured on %s, not on Fashion-MNIST", separator(out),
            fm_json_string(data, "name"));
}
