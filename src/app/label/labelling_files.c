// The folder of labels. What an earlier call has put there goes first, so that no page or table of
// other thresholds is left among the new ones; label.json comes last and says that all is there.
#include "app/label/labelling_parts.h"

#include "app/output.h"
#include "base/file.h"
#include "run/json.h"

#include <math.h>

static const char *const own_files[] = {"label.json", "auto.csv", "review.csv", "review.html",
    "failed.csv", "labels.csv", "risk-coverage.png", "risk-coverage.svg", NULL};

enum fm_status fm_labelling_check_folder(const char *directory, bool force)
{
    char path[FM_PATH_MAX];
    if (fm_path_exists(directory) && !fm_path_is_dir(directory))
        return fm_fail(FM_EXISTS, "%s: is a file, expected a folder", directory);
    for (int i = 0; own_files[i]; i++) {
        FM_TRY(fm_path_join(path, directory, own_files[i]));
        if (fm_path_exists(path) && !force)
            return fm_fail(FM_EXISTS,
                "%s: holds labels already (%s); --force replaces them, --out DIR takes another "
                "folder",
                directory, own_files[i]);
    }
    return FM_OK;
}

static enum fm_status clear_folder(const char *directory)
{
    char path[FM_PATH_MAX];
    for (int i = 0; own_files[i]; i++) {
        FM_TRY(fm_path_join(path, directory, own_files[i]));
        FM_TRY(fm_file_remove(path));
    }
    return FM_OK;
}

static void text_cell(struct fm_table *table, const char *text)
{
    fm_table_cell(table, json_string(text), "%s", text);
}

// Four digits that count, of what may be tiny.
static void number_cell(struct fm_table *table, double value)
{
    double scale = value > 0 ? pow(10, 3 - floor(log10(value))) : 1;
    fm_table_cell(table, json_real(round(value * scale) / scale), "%.4g", value);
}

static enum fm_status write_auto(const struct fm_labelling *l)
{
    static const struct fm_column columns[] = {
        {"name", "name", false}, {"label", "label", false}, {"probability", "probability", true}};
    struct fm_table *table;
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], &table));
    for (uint32_t i = 0; i < l->pictures.count; i++) {
        const struct fm_guess *guess = &l->guesses[i];
        if (!fm_selective_takes(&l->selective, guess))
            continue;
        text_cell(table, l->names[i]);
        text_cell(table, l->trained.predictor.class_names[guess->best]);
        number_cell(table, (double)guess->probability);
    }
    enum fm_status status = fm_output_csv(l->options.out, "auto.csv", table);
    fm_table_free(table);
    return status;
}

static enum fm_status write_review(const struct fm_labelling *l)
{
    static const struct fm_column columns[] = {{"name", "name", false},
        {"suggestion", "suggestion", false}, {"probability", "probability", true},
        {"second", "second", false}, {"second_probability", "probability", true},
        {"worth", "worth", true}};
    char *const *classes = l->trained.predictor.class_names;
    struct fm_table *table;
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], &table));
    for (uint32_t i = 0; i < l->review_count; i++) {
        const struct fm_guess *guess = &l->guesses[l->review[i]];
        text_cell(table, l->names[l->review[i]]);
        text_cell(table, classes[guess->best]);
        number_cell(table, (double)guess->probability);
        text_cell(table, classes[guess->second]);
        number_cell(table, (double)guess->second_probability);
        number_cell(table, fm_label_worth(guess));
    }
    enum fm_status status = fm_output_csv(l->options.out, "review.csv", table);
    fm_table_free(table);
    return status;
}

static enum fm_status write_failed(const struct fm_labelling *l)
{
    static const struct fm_column columns[] = {{"name", "name", false}, {"error", "error", false}};
    struct fm_table *table;
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], &table));
    for (uint32_t i = 0; i < l->pictures.failed; i++) {
        struct fm_text error = {0};
        fm_text_append_line(&error, l->pictures.errors[i]);
        text_cell(table, l->names[l->pictures.count + i]);
        text_cell(table, fm_text_cstr(&error));
        fm_text_free(&error);
    }
    enum fm_status status = fm_output_csv(l->options.out, "failed.csv", table);
    fm_table_free(table);
    return status;
}

static enum fm_status write_labels(const struct fm_labelling *l)
{
    static const struct fm_column columns[] = {
        {"name", "name", false}, {"label", "label", false}, {"by", "by", false}};
    struct fm_table *table;
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], &table));
    for (uint32_t i = 0; i < l->pictures.count + l->pictures.failed; i++) {
        if (l->labels[i] == FM_LABEL_NONE)
            continue;
        text_cell(table, l->names[i]);
        text_cell(table, l->trained.predictor.class_names[l->labels[i]]);
        text_cell(table, l->by_person[i] ? "person" : "auto");
    }
    enum fm_status status = fm_output_csv(l->options.out, "labels.csv", table);
    fm_table_free(table);
    return status;
}

static enum fm_status write_json(const struct fm_labelling *l)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, l->options.out, "label.json"));
    json_t *json = fm_labelling_json(l);
    if (!json)
        return fm_fail(FM_MEMORY, "%s: out of memory", path);
    enum fm_status status = fm_json_write_file(path, json);
    json_decref(json);
    return status;
}

enum fm_status fm_labelling_write(struct fm_labelling *l)
{
    FM_TRY(fm_make_dirs(l->options.out));
    FM_TRY(clear_folder(l->options.out));
    if (l->options.source) {
        FM_TRY(write_auto(l));
        FM_TRY(write_review(l));
        FM_TRY(fm_labelling_page(l));
    }
    if (l->pictures.failed > 0)
        FM_TRY(write_failed(l));
    if (l->labels)
        FM_TRY(write_labels(l));
    if (l->measure.count > 0)
        FM_TRY(fm_labelling_chart(l));
    return write_json(l);
}
