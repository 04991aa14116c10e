// `fmnist recipe [NAME]`: the shipped recipes, or one as a file to start one's own from. Loads no
// backend.
#include "cli/common.h"

#include "run/json.h"

static enum fm_status append_recipe(struct fm_table *table, const char *name)
{
    json_t *json;
    FM_TRY(fm_recipe_to_file(name, NULL, &json));
    const char *about = fm_json_string(json, "about");
    fm_table_cell(table, json_string(name), "%s", name);
    fm_table_cell(table, json_string(about), "%s", about);
    json_decref(json);
    return FM_OK;
}

static enum fm_status list_recipes(enum fm_format format)
{
    static const struct fm_column columns[] = {
        {"name", "recipe", false},
        {"about", "about", false},
    };
    struct fm_table *table = NULL;
    char **names;
    FM_TRY(fm_recipe_names(&names));
    enum fm_status status;
    FM_TRY_GOTO(status, fm_table_create(columns, sizeof columns / sizeof columns[0], &table), out);
    for (int i = 0; names[i]; i++)
        FM_TRY_GOTO(status, append_recipe(table, names[i]), out);
    status = fm_print_table(table, format);
out:
    fm_table_free(table);
    fm_recipe_names_free(names);
    return status;
}

// Not by fm_print_json(): numbers read back equal.
static enum fm_status print_recipe(const char *name, const char *model)
{
    json_t *json;
    FM_TRY(fm_recipe_to_file(name, model, &json));
    struct fm_text text = {0};
    fm_json_dump(json, JSON_INDENT(2), &text);
    fm_text_append(&text, "\n");
    json_decref(json);
    return fm_print_text(&text);
}

enum fm_status fm_cmd_recipe(const struct fm_args *args)
{
    enum fm_format format = (enum fm_format)args->format;
    if (!args->operand && args->model)
        return fm_fail(
            FM_USAGE, "--model %s: whose values? 'recipe' needs NAME with it", args->model);
    if (!args->operand)
        return list_recipes(format);
    if (format == FM_FORMAT_MARKDOWN || format == FM_FORMAT_CSV)
        return fm_fail(FM_USAGE, "a recipe is printed as JSON, not as %s; the list of recipes is",
            fm_format_names[format]);
    return print_recipe(args->operand, args->model);
}
