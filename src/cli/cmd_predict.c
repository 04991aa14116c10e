// `fmnist predict`: labels for pictures, told of batch by batch.
#include "cli/common.h"

#include "app/prediction.h"
#include "app/trained.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    COLUMN_NAME_MAX = 32
};

struct output {
    const struct fm_args *args;
    const struct fm_predictor *predictor;
    int top;                            // classes told of
    bool begun;                         // the table's head is printed
    int widths[1 + 2 * FM_CLASSES_MAX]; // of its columns, as text
};

// Six decimals: more are the noise of fp32.
static json_t *probability_json(float probability)
{
    return json_real(round((double)probability * 1e6) / 1e6);
}

// As it is where that can be said in JSON, which escapes what would do harm.
static json_t *name_json(const char *name)
{
    json_t *json = json_string(name);
    if (json)
        return json;
    struct fm_text line = {0};
    fm_text_append_line(&line, name);
    json = json_string(fm_text_cstr(&line));
    fm_text_free(&line);
    return json;
}

// ---- JSON: a line an image

static json_t *image_json(const struct output *output, const struct fm_predicted *image)
{
    int top[FM_CLASSES_MAX];
    json_t *object = json_pack("{s:o}", "name", name_json(image->name));
    if (image->error) {
        json_object_set_new(object, "error", name_json(image->error));
        return object;
    }
    json_t *list = json_array();
    fm_top_classes(image->probabilities, output->predictor->classes, output->top, top);
    for (int i = 0; i < output->top; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:o}", "class", output->predictor->class_names[top[i]],
                      "probability", probability_json(image->probabilities[top[i]])));
    json_object_set_new(object, "top", list);
    return object;
}

static void append_json_lines(const struct output *output, const struct fm_predicted *images,
    size_t count, struct fm_text *text)
{
    for (size_t i = 0; i < count; i++) {
        json_t *object = image_json(output, &images[i]);
        char *dump = object ? json_dumps(object, JSON_REAL_PRECISION(15)) : NULL;
        if (dump)
            fm_text_append(text, "%s\n", dump);
        else
            text->failed = true;
        free(dump);
        json_decref(object);
    }
}

// ---- Tables: a row an image

// image, then class and probability of each rank, then, for programs, the error.
static enum fm_status make_table(const struct output *output, struct fm_table **table)
{
    int count = 1 + 2 * output->top + (output->args->format == FM_FORMAT_CSV);
    struct fm_column *columns = calloc((size_t)count, sizeof *columns);
    char(*names)[COLUMN_NAME_MAX] = calloc((size_t)count, sizeof *names);
    enum fm_status status = FM_OK;
    if (!columns || !names) {
        status = fm_fail_memory("a table", (size_t)count * sizeof *columns);
        goto out;
    }
    columns[0] = (struct fm_column){"image", "image", false};
    for (int i = 0; i < output->top; i++) {
        char *class = names[2 * i], *probability = names[2 * i + 1];
        char rank[16] = "";
        if (i > 0)
            snprintf(rank, sizeof rank, "_%d", i + 1);
        snprintf(class, COLUMN_NAME_MAX, "class%s", rank);
        snprintf(probability, COLUMN_NAME_MAX, "probability%s", rank);
        columns[1 + 2 * i] = (struct fm_column){class, "class", false};
        columns[2 + 2 * i] = (struct fm_column){probability, "probability", true};
    }
    if (output->args->format == FM_FORMAT_CSV)
        columns[count - 1] = (struct fm_column){"error", "error", false};
    status = fm_table_create(columns, count, table);
out:
    free(columns);
    free(names);
    return status;
}

static void append_cell(struct fm_table *table, const char *string)
{
    struct fm_text line = {0};
    fm_text_append_line(&line, string);
    fm_table_cell(table, json_string(fm_text_cstr(&line)), "%s", fm_text_cstr(&line));
    fm_text_free(&line);
}

static void append_row(
    const struct output *output, const struct fm_predicted *image, struct fm_table *table)
{
    int top[FM_CLASSES_MAX];
    append_cell(table, image->name);
    if (!image->error)
        fm_top_classes(image->probabilities, output->predictor->classes, output->top, top);
    for (int i = 0; i < output->top; i++) {
        if (image->error) {
            fm_table_cell(table, NULL, "%s", "");
            fm_table_cell(table, NULL, "%s", "");
            continue;
        }
        float probability = image->probabilities[top[i]];
        append_cell(table, output->predictor->class_names[top[i]]);
        fm_table_cell(table, probability_json(probability), "%.1f %%", 100 * (double)probability);
    }
    if (output->args->format == FM_FORMAT_CSV && image->error)
        append_cell(table, image->error);
    else if (output->args->format == FM_FORMAT_CSV)
        fm_table_cell(table, NULL, "%s", "");
}

// The head stands above the first rows alone: titles and, but for CSV, the line below them.
static const char *behind_head(const char *printed, enum fm_format format)
{
    for (int lines = format == FM_FORMAT_CSV ? 1 : 2; lines > 0; lines--)
        printed = strchr(printed, '\n') + 1;
    return printed;
}

static enum fm_status append_table(
    struct output *output, const struct fm_predicted *images, size_t count, struct fm_text *text)
{
    enum fm_format format = (enum fm_format)output->args->format;
    struct fm_table *table;
    struct fm_text printed = {0};
    enum fm_status status = FM_OK;
    FM_TRY(make_table(output, &table));
    for (size_t i = 0; i < count; i++)
        if (!images[i].error || format == FM_FORMAT_CSV)
            append_row(output, &images[i], table);
    if (fm_table_rows(table) > 0) {
        status = format == FM_FORMAT_TEXT ? fm_table_print_wide(table, output->widths, &printed)
                                          : fm_table_print(table, format, &printed);
        if (status == FM_OK)
            fm_text_append(text, "%s",
                output->begun ? behind_head(printed.data, format) : fm_text_cstr(&printed));
        output->begun = true;
    }
    fm_text_free(&printed);
    fm_table_free(table);
    return status;
}

// ---- The command

static void tell_failure(const struct fm_predicted *image)
{
    struct fm_text line = {0};
    fm_text_append_line(&line, image->name);
    fm_text_append(&line, ": ");
    fm_text_append_line(&line, image->error);
    fm_warn("%s", fm_text_cstr(&line));
    fm_text_free(&line);
}

static enum fm_status take(void *context, const struct fm_predicted *images, size_t count)
{
    struct output *output = context;
    struct fm_text text = {0};
    enum fm_status status = FM_OK;
    fm_progress_clear();
    for (size_t i = 0; i < count; i++)
        if (images[i].error)
            tell_failure(&images[i]);
        else if (output->args->show)
            FM_TRY(fm_show_record(output->args->show, &images[i], output->args->force));
    if (output->args->format == FM_FORMAT_JSON)
        append_json_lines(output, images, count, &text);
    else
        status = append_table(output, images, count, &text);
    if (status != FM_OK) {
        fm_text_free(&text);
        return status;
    }
    FM_TRY(fm_print_text(&text));
    if (fflush(stdout) != 0)
        return fm_fail(FM_IO, "cannot write to standard output: %s", strerror(errno));
    return FM_OK;
}

static void progress(void *context, uint32_t done, uint32_t total)
{
    (void)context;
    if (total > 1)
        fm_progress("predicting: %" PRIu32 " of %" PRIu32 " images", done, total);
}

static enum fm_status predict(
    const struct fm_args *args, const struct fm_session *session, struct fm_source *source)
{
    struct fm_trained trained;
    struct fm_prediction_counts counts;
    FM_TRY(fm_trained_open(&session->engine, args->operand, FM_PREDICTION_BATCH, &trained));
    int classes = trained.predictor.classes;
    struct output output = {.args = args,
        .predictor = &trained.predictor,
        .top = args->top < classes ? args->top : classes};
    const struct fm_prediction_hooks hooks = {
        .take = take, .progress = progress, .context = &output};
    enum fm_status status = fm_predict_source(&trained.predictor, source, &hooks, &counts);
    fm_progress_clear();
    fm_trained_close(&trained);
    if (status == FM_OK && counts.failed > 0)
        return fm_fail(FM_DATA, "%" PRIu32 " of %" PRIu32 " image%s could not be classified",
            counts.failed, counts.images, counts.images == 1 ? "" : "s");
    return status;
}

// Whoever forgets the run names a picture in its place.
static enum fm_status check_operand(const char *path)
{
    enum fm_status status = fm_check_run_or_file(path);
    if (status != FM_DATA || !fm_picture_begins(path))
        return status;
    char *said = fm_error_take();
    fm_fail(status, "%s; predict takes a RUN before the pictures: 'fmnist predict RUN %s'",
        said ? said : path, path);
    free(said);
    return status;
}

enum fm_status fm_cmd_predict(const struct fm_args *args)
{
    struct fm_session session;
    struct fm_source *source;
    char data[FM_PATH_MAX];
    struct fm_args as_run = *args;
    const struct fm_source_options options = {.names = args->operands + 1,
        .count = args->operand_count - 1,
        .list = args->list,
        .convert = (enum fm_convert)args->convert};
    FM_TRY(check_operand(args->operand));
    FM_TRY(fm_source_open(&options, &source));
    enum fm_status status;
    fm_warn_passed_over(NULL, fm_source_passed_over(source));
    FM_TRY_GOTO(status, args->show ? fm_make_dirs(args->show) : FM_OK, out);
    FM_TRY_GOTO(status, fm_take_from_run(&as_run, data), out);
    FM_TRY_GOTO(status, fm_session_open_device(&as_run, NULL, &session), out);
    fm_note_file(args->operand);
    status = predict(args, &session, source);
    fm_session_close(&session);
out:
    fm_source_close(source);
    return status;
}
