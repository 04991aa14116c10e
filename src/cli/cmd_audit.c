// `fmnist audit RUN`: training labels that are probably wrong, and images that stand there twice.
#include "cli/common.h"

#include "app/audit/auditing.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "run/json.h"

#include <math.h>

enum {
    PAIRS_SHOWN = 10,
    ISSUES_SHOWN = 10,
    SHORT_MAX = 32
};

// ---- Progress

static void on_train(
    void *context, int fold, int folds, const struct fm_train_progress *progress, double remaining)
{
    (void)context;
    char left[SHORT_MAX], took[SHORT_MAX];
    fm_duration(remaining, left);
    if (!progress->epoch_done)
        fm_progress("fold %d/%d, epoch %d/%d: loss %.3f, accuracy %.1f %%, %s left", fold, folds,
            progress->epoch, progress->epochs, progress->loss, 100 * progress->accuracy, left);
    else
        fm_note("fold %d/%d, epoch %d/%d: loss %.4f, accuracy %.2f %%, %s, %s left", fold, folds,
            progress->epoch, progress->epochs, progress->loss, 100 * progress->accuracy,
            fm_duration(progress->epoch_seconds, took), left);
}

static void on_near(void *context, uint32_t done, uint32_t total)
{
    (void)context;
    if (done < total)
        fm_progress(
            "looking for near duplicates: %u of %u images", (unsigned)done, (unsigned)total);
    else
        fm_progress_clear();
}

// ---- Prose

// The figures below one another: they are too many for a line.
static enum fm_status append_summary(
    struct fm_text *out, const struct fm_audit *audit, enum fm_format format)
{
    struct fm_table *row, *column = NULL;
    FM_TRY(fm_audit_summary(audit, &row));
    enum fm_status status = fm_table_transpose(row, NULL, &column);
    fm_table_free(row);
    FM_TRY(status);
    status = fm_table_print(column, format, out);
    fm_table_free(column);
    return status;
}

static enum fm_status append_planted(
    struct fm_text *out, const struct fm_audit *audit, enum fm_format format)
{
    struct fm_table *table = NULL;
    if (audit->planted_count == 0)
        return FM_OK;
    enum fm_status status = fm_audit_rules(audit, &table);
    FM_TRY(fm_append_section(out,
        "Planted errors found (others found may be real errors: precision is a lower bound)",
        format, status, table));
    table = NULL;
    status = fm_audit_ranks(audit, &table);
    return fm_append_section(
        out, "Planted errors among as many most suspicious labels", format, status, table);
}

static enum fm_status append_all(
    struct fm_text *out, const struct fm_audit *audit, enum fm_format format)
{
    struct fm_table *table = NULL;
    FM_TRY(append_summary(out, audit, format));
    enum fm_status status = fm_audit_pairs(audit, PAIRS_SHOWN, &table);
    FM_TRY(fm_append_section(out, "Estimated noise by class pair", format, status, table));
    FM_TRY(append_planted(out, audit, format));
    table = NULL;
    status = fm_audit_issues(audit, ISSUES_SHOWN, &table);
    FM_TRY(fm_append_section(out, "Most suspicious labels", format, status, table));
    table = NULL;
    status = fm_audit_overlaps(audit, false, &table);
    FM_TRY(fm_append_section(out, "Near duplicates by part", format, status, table));
    if (fm_audit_unlisted(audit) > 0) {
        fm_text_append(out, "\n");
        fm_audit_append_unlisted(audit, out);
        fm_text_append(out, "\n");
    }
    return FM_OK;
}

static enum fm_status print_prose(const struct fm_audit *audit, enum fm_format format)
{
    struct fm_text text = {0};
    enum fm_status status = append_all(&text, audit, format);
    if (status != FM_OK) {
        fm_text_free(&text);
        return status;
    }
    fm_text_append(&text, "\nTo look through: %s/audit.html, issues.csv and duplicates.csv\n",
        audit->directory);
    return fm_print_text(&text);
}

// ---- CSV: one rectangular table of everything, a value a row, which is what programs expect

static void append_value(
    struct fm_table *table, const char *measure, const char *name, const char *other, double value)
{
    fm_table_cell(table, json_string(measure), "%s", measure);
    fm_table_cell(table, json_string(name), "%s", name);
    fm_table_cell(table, json_string(other), "%s", other);
    fm_table_cell(table, floor(value) == value ? json_integer((json_int_t)value) : json_real(value),
        "%.6g", value);
}

static enum fm_status append_figures(const struct fm_audit *audit, struct fm_table *out)
{
    struct fm_table *row;
    FM_TRY(fm_audit_summary(audit, &row));
    for (int k = 1; k < fm_table_columns(row); k++) // the first names the data
        append_value(
            out, fm_table_column(row, k).key, "", "", json_number_value(fm_table_value(row, 0, k)));
    fm_table_free(row);
    return FM_OK;
}

// The columns from the second on that hold numbers, each as a measure of its row.
static enum fm_status append_rows(
    const char *prefix, int names, enum fm_status made, struct fm_table *rows, struct fm_table *out)
{
    FM_TRY(made);
    for (int i = 0; i < fm_table_rows(rows); i++)
        for (int k = names; k < fm_table_columns(rows); k++) {
            struct fm_text measure = {0};
            fm_text_append(&measure, "%s_%s", prefix, fm_table_column(rows, k).key);
            if (json_is_number(fm_table_value(rows, i, k)))
                append_value(out, fm_text_cstr(&measure), fm_table_text(rows, i, 0),
                    names > 1 ? fm_table_text(rows, i, 1) : "",
                    json_number_value(fm_table_value(rows, i, k)));
            fm_text_free(&measure);
        }
    fm_table_free(rows);
    return FM_OK;
}

static enum fm_status append_measures(const struct fm_audit *audit, struct fm_table *out)
{
    struct fm_table *rows = NULL;
    FM_TRY(append_figures(audit, out));
    enum fm_status status = fm_audit_pairs(audit, audit->pair_count, &rows);
    FM_TRY(append_rows("noise", 2, status, rows, out));
    if (audit->planted_count > 0) {
        rows = NULL;
        status = fm_audit_rules(audit, &rows);
        FM_TRY(append_rows("rule", 1, status, rows, out));
        rows = NULL;
        status = fm_audit_ranks(audit, &rows);
        FM_TRY(append_rows("rank", 1, status, rows, out));
    }
    rows = NULL;
    status = fm_audit_overlaps(audit, true, &rows);
    return append_rows("duplicates", 2, status, rows, out);
}

static enum fm_status print_csv(const struct fm_audit *audit)
{
    static const struct fm_column columns[] = {
        {"measure", "measure", false},
        {"of", "of", false},
        {"other", "other", false},
        {"value", "value", true},
    };
    struct fm_table *table;
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], &table));
    enum fm_status status = append_measures(audit, table);
    if (status == FM_OK)
        status = fm_print_table(table, FM_FORMAT_CSV);
    fm_table_free(table);
    return status;
}

static enum fm_status print_json(const struct fm_audit *audit)
{
    json_t *json = fm_audit_json(audit);
    if (json)
        json_object_set_new(json, "directory", fm_json_text(audit->directory));
    return fm_print_json(json);
}

static enum fm_status print_audit(const struct fm_audit *audit, enum fm_format format)
{
    if (format == FM_FORMAT_JSON)
        return print_json(audit);
    return format == FM_FORMAT_CSV ? print_csv(audit) : print_prose(audit, format);
}

enum fm_status fm_cmd_audit(const struct fm_args *args)
{
    struct fm_session session;
    struct fm_audit audit;
    char data[FM_PATH_MAX];
    FM_TRY(fm_check_run(args->operand));
    struct fm_args as_run = *args;
    FM_TRY(fm_take_from_run(&as_run, data));
    FM_TRY(fm_session_open(&as_run, &session));
    const struct fm_audit_options options = {.run = args->operand,
        .directory = args->out,
        .folds = args->folds,
        .plant = args->plant,
        .seed = (uint64_t)args->seed,
        .force = args->force,
        .interrupted = fm_interrupt_signal,
        .hooks = {.train = on_train, .near = on_near},
        .argc = args->argc,
        .argv = args->argv};
    fm_interrupt_catch();
    enum fm_status status = fm_audit_run(
        &session.engine, &session.dataset, &session.split, &options, &audit);
    if (status == FM_OK) {
        status = print_audit(&audit, (enum fm_format)args->format);
        fm_audit_free(&audit);
    }
    fm_session_close(&session);
    return status;
}
