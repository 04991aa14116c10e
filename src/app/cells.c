// One wording for what stands in more than one table.
#include "app/cells.h"

#include "run/json.h"

#include <string.h>

void fm_text_cell(struct fm_table *table, const char *text)
{
    fm_table_cell(table, text ? fm_json_text(text) : NULL, "%s", text ? text : "-");
}

void fm_precision_cell(struct fm_table *table, const json_t *result)
{
    struct fm_text text = {0};
    const char *precision = fm_json_string(result, "precision");
    bool tf32 = json_is_true(json_object_get(result, "tf32")) && strcmp(precision, "fp32") == 0;
    fm_text_append(&text, "%s%s%s", precision,
        json_is_true(json_object_get(result, "emulate")) ? ", by rounding" : "",
        tf32 ? ", products in TF32" : "");
    fm_text_cell(table, fm_text_cstr(&text));
    fm_text_free(&text);
}
