// `fmnist eval RUN`: what a finished run's weights, or a weights file, are worth on a part of the
// data.
#include "cli/common.h"

#include "app/evaluation.h"
#include "base/log.h"

#include <stdio.h>

enum {
    CONFUSED_PAIRS = 5
};

static enum fm_status append_all(
    struct fm_text *out, const struct fm_evaluation *evaluation, enum fm_format format)
{
    struct fm_table *table = NULL;
    enum fm_status status = fm_evaluation_summary(evaluation, &table);
    FM_TRY(status);
    status = fm_append_table(out, table, format);
    fm_table_free(table);
    FM_TRY(status);

    table = NULL;
    status = fm_evaluation_classes(evaluation, &table);
    FM_TRY(fm_append_section(out, "Classes", format, status, table));
    table = NULL;
    status = fm_evaluation_confusion(evaluation, &table);
    FM_TRY(fm_append_section(out, "Confusion matrix (rows: actual class, columns: predicted class)",
        format, status, table));
    table = NULL;
    status = fm_evaluation_confused(evaluation, CONFUSED_PAIRS, &table);
    return fm_append_section(out, "Most confused pairs", format, status, table);
}

static enum fm_status print_prose(const struct fm_evaluation *evaluation, enum fm_format format)
{
    struct fm_text text = {0};
    enum fm_status status = append_all(&text, evaluation, format);
    if (status != FM_OK) {
        fm_text_free(&text);
        return status;
    }
    if (fm_evaluation_of_other_data(evaluation))
        fm_text_append(&text, "\nThe data are not those that the run was trained on.\n");
    if (evaluation->picture[0])
        fm_text_append(&text, "\nConfusion matrix as a picture: %s\n", evaluation->picture);
    return fm_print_text(&text);
}

static void append_value(struct fm_table *table, const char *measure, const char *class_name,
    const char *predicted, json_t *value, double shown)
{
    fm_table_cell(table, json_string(measure), "%s", measure);
    fm_table_cell(table, json_string(class_name), "%s", class_name);
    fm_table_cell(table, json_string(predicted), "%s", predicted);
    fm_table_cell(table, value, "%.6g", shown);
}

static void append_real(
    struct fm_table *table, const char *measure, const char *class_name, double value)
{
    append_value(table, measure, class_name, "", json_real(value), value);
}

static void append_count(struct fm_table *table, const char *measure, const char *class_name,
    const char *predicted, uint64_t value)
{
    append_value(
        table, measure, class_name, predicted, json_integer((json_int_t)value), (double)value);
}

static void append_classes(struct fm_table *table, const struct fm_evaluation *evaluation)
{
    const struct fm_metrics *metrics = &evaluation->metrics;
    char *const *names = evaluation->config.data.class_names;
    for (int i = 0; i < metrics->classes; i++) {
        const struct fm_class_metrics *one = &metrics->per_class[i];
        append_count(table, "support", names[i], "", one->support);
        append_real(table, "precision", names[i], one->precision);
        append_real(table, "recall", names[i], one->recall);
        append_real(table, "f1", names[i], one->f1);
    }
    for (int i = 0; i < metrics->classes; i++)
        for (int j = 0; j < metrics->classes; j++)
            append_count(table, "confusion", names[i], names[j],
                metrics->confusion[(size_t)i * (size_t)metrics->classes + (size_t)j]);
}

// One rectangular table of everything, a value a row, which is what programs that read CSV expect.
static enum fm_status print_csv(const struct fm_evaluation *evaluation)
{
    static const struct fm_column columns[] = {
        {"measure", "measure", false},
        {"class", "class", false},
        {"predicted", "predicted", false},
        {"value", "value", true},
    };
    const struct fm_metrics *metrics = &evaluation->metrics;
    struct fm_table *table;
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], &table));
    append_count(table, "count", "", "", metrics->count);
    append_count(table, "correct", "", "", metrics->correct);
    if (fm_evaluation_knows_full(evaluation))
        append_count(table, "full", "", "", evaluation->config.full);
    if (!evaluation->is_file) { // which knows neither
        append_count(table, "taught", "", "", evaluation->config.teaching.count > 0);
        append_count(table, "same_data", "", "", evaluation->same_data);
    }
    append_real(table, "accuracy", "", metrics->accuracy);
    append_real(table, "nll", "", metrics->nll);
    append_real(table, "ece", "", metrics->ece);
    append_real(table, "macro_precision", "", metrics->macro_precision);
    append_real(table, "macro_recall", "", metrics->macro_recall);
    append_real(table, "macro_f1", "", metrics->macro_f1);
    append_classes(table, evaluation);
    enum fm_status status = fm_print_table(table, FM_FORMAT_CSV);
    fm_table_free(table);
    return status;
}

static enum fm_status print_evaluation(
    const struct fm_evaluation *evaluation, enum fm_format format)
{
    if (format == FM_FORMAT_JSON)
        return fm_print_json(fm_evaluation_json(evaluation));
    return format == FM_FORMAT_CSV ? print_csv(evaluation) : print_prose(evaluation, format);
}

enum fm_status fm_cmd_eval(const struct fm_args *args)
{
    struct fm_session session;
    struct fm_evaluation evaluation;
    enum fm_part part = (enum fm_part)args->split;
    char data[FM_PATH_MAX];
    FM_TRY(fm_check_run_or_file(args->operand));
    struct fm_args as_run = *args;
    FM_TRY(fm_take_from_run(&as_run, data));
    FM_TRY(fm_session_open(&as_run, &session));
    fm_note_file(args->operand);

    char what[64];
    snprintf(what, sizeof what, "the %s images", fm_part_names[part]);
    const struct fm_evaluation_options options = {.directory = args->operand,
        .part = part,
        .progress = fm_progress_evaluate,
        .context = what};
    enum fm_status status = fm_evaluation_run(
        &session.engine, &session.dataset, &session.split, &options, &evaluation);
    if (status == FM_OK) {
        if (fm_evaluation_of_other_data(&evaluation))
            fm_warn("the data in %s are not those that the run was trained on (%s); no picture is "
                    "drawn",
                session.dataset.directory, evaluation.config.data.directory);
        status = print_evaluation(&evaluation, (enum fm_format)args->format);
        fm_evaluation_free(&evaluation);
    }
    fm_session_close(&session);
    return status;
}
