// One wording for the comparison and for reports, made of what result.json says.
#include "app/remarks.h"

#include "run/json.h"

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

void fm_remarks_append(const json_t *result, struct fm_text *out)
{
    if (strcmp(fm_json_string(result, "model"), "vgg16") == 0)
        fm_text_append(out, "%sfrom scratch, no ImageNet weights", separator(out));
    if (json_is_true(json_object_get(result, "ended_early")))
        fm_text_append(out, "%sended at epoch %.0f of %.0f by --max-minutes %g", separator(out),
            fm_json_number(result, "epochs"), fm_json_number(result, "epochs_planned"),
            fm_json_number(result, "max_minutes"));
    append_changes(result, out);
    if (json_is_true(json_object_get(json_object_get(result, "data"), "full")))
        fm_text_append(out, "%strained on all training images (--full), none held out to select on",
            separator(out));
}

void fm_remarks_append_data(const json_t *result, struct fm_text *out)
{
    const json_t *data = json_object_get(result, "data");
    if (!json_is_true(json_object_get(data, "fashion_mnist")))
        fm_text_append(out, "%smeasured on %s, not on Fashion-MNIST", separator(out),
            fm_json_string(data, "name"));
}
