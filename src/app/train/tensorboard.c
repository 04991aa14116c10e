// A run's logs as TensorBoard wants to have them told.
#include "app/train/tensorboard.h"

#include "run/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- The run's own logs

// The lines of a log as an array; an unfinished last one is left out, and so is what is no JSON:
// who goes on with the run has been told.
static enum fm_status read_lines(const char *directory, const char *name, json_t **lines)
{
    char path[FM_PATH_MAX];
    unsigned char *text = NULL;
    size_t size = 0;
    *lines = json_array();
    FM_TRY(fm_path_join(path, directory, name));
    if (!fm_path_exists(path))
        return FM_OK;
    enum fm_status status = fm_file_read(path, &text, &size);
    for (char *at = (char *)text, *end; status == FM_OK && (end = strchr(at, '\n')); at = end + 1) {
        json_t *line = json_loadb(at, (size_t)(end - at), 0, NULL);
        if (line)
            json_array_append_new(*lines, line);
    }
    free(text);
    return status;
}

// When an epoch ended, and how fast it was, as times.jsonl has it.
struct timing {
    double total_seconds, images_per_second; // NaN: not known
};

// The line of the checkpoint at the epoch's end.
static struct timing find_timing(const json_t *times, json_int_t step)
{
    size_t i;
    json_t *line;
    struct timing timing = {NAN, NAN};
    json_array_foreach(times, i, line) if (json_integer_value(json_object_get(line, "step")) ==
                                           step) timing = (struct timing){
        fm_json_number(line, "total_seconds"), fm_json_number(line, "images_per_second")};
    return timing;
}

// ---- Telling

static void add_scalar(struct fm_text *summary, const char *tag, double value)
{
    if (isfinite(value))
        fm_summary_scalar(summary, tag, value);
}

static enum fm_status tell_epoch(
    struct fm_tensorboard *board, double wall_time, const json_t *line, double images_per_second)
{
    static const char *const tags[][2] = {{"train/loss", "loss"}, {"train/accuracy", "accuracy"},
        {"select/loss", "select_nll"}, {"select/accuracy", "select_accuracy"},
        {"learning_rate", "learning_rate"}};
    struct fm_text summary = {0};
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++)
        add_scalar(&summary, tags[i][0], fm_json_number(line, tags[i][1]));
    add_scalar(&summary, "images_per_second", images_per_second);
    enum fm_status status = fm_events_put(
        &board->events, wall_time, json_integer_value(json_object_get(line, "step")), &summary);
    fm_text_free(&summary);
    return status;
}

// Configuration and recipe as a table in Markdown, in which a pipe would end a cell.
static void append_rows(struct fm_text *text, const char *group, const json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        struct fm_text dump = {0};
        if (json_is_object(value))
            continue;
        if (json_is_string(value))
            fm_text_append(&dump, "%s", json_string_value(value));
        else
            fm_json_dump(value, JSON_ENCODE_ANY, &dump);
        fm_text_append(text, "| %s%s | ", group, key);
        for (const char *c = fm_text_cstr(&dump); *c; c++)
            fm_text_append(text, "%s%c", strchr("|*_`<[\\", *c) ? "\\" : "", *c);
        fm_text_append(text, " |\n");
        fm_text_free(&dump);
    }
}

static enum fm_status tell_configuration(struct fm_tensorboard *board)
{
    struct fm_text table = {0}, summary = {0};
    json_t *config = fm_run_config_to_json(board->config);
    fm_text_append(&table, "| what | value |\n|---|---|\n");
    append_rows(&table, "", config);
    append_rows(&table, "transfer: ", json_object_get(config, "transfer"));
    append_rows(&table, "teaching: ", json_object_get(config, "teaching"));
    append_rows(&table, "recipe: ", json_object_get(config, "recipe"));
    fm_summary_text(&summary, "hparams/text_summary", fm_text_cstr(&table));
    summary.failed = summary.failed || table.failed;
    enum fm_status status = fm_events_put(&board->events, fm_events_now(), 0, &summary);
    json_decref(config);
    fm_text_free(&summary);
    fm_text_free(&table);
    return status;
}

static json_int_t step_of(const json_t *epochs, size_t index)
{
    return json_integer_value(json_object_get(json_array_get(epochs, index), "step"));
}

// The epochs from `first` on, when they ended by the times that the run has taken.
static enum fm_status tell_epochs(
    struct fm_tensorboard *board, const json_t *epochs, const json_t *times, size_t first)
{
    size_t count = json_array_size(epochs);
    double now = fm_events_now();
    for (size_t i = first; i < count; i++) {
        struct timing timing = find_timing(times, step_of(epochs, i));
        double ago = find_timing(times, step_of(epochs, count - 1)).total_seconds -
                     timing.total_seconds;
        FM_TRY(tell_epoch(board, now - (isfinite(ago) ? fmax(ago, 0) : 0),
            json_array_get(epochs, i), timing.images_per_second));
    }
    return FM_OK;
}

// A run that goes on tells its last epoch again: what an earlier file says of it and of what came
// after it, be it an epoch whose checkpoint was never written or the test, is taken back. Every
// file has a start: TensorBoard takes the first it meets for the run's, and only later ones for
// restarts.
static enum fm_status tell_before(
    struct fm_tensorboard *board, const json_t *epochs, const json_t *times)
{
    size_t count = json_array_size(epochs), first = 0;
    if (board->events.before && count > 0)
        first = count - 1;
    FM_TRY(
        fm_events_start(&board->events, fm_events_now(), first > 0 ? step_of(epochs, first) : 1));
    if (!board->events.before) // at step 0, which no start takes back
        FM_TRY(tell_configuration(board));
    return tell_epochs(board, epochs, times, first);
}

// ---- From outside

enum fm_status fm_tensorboard_open(
    const char *directory, const struct fm_run_config *config, struct fm_tensorboard *board)
{
    *board = (struct fm_tensorboard){.directory = directory, .config = config};
    FM_TRY(fm_events_open(directory, &board->events));
    board->wanted = true;
    return FM_OK;
}

void fm_tensorboard_close(struct fm_tensorboard *board)
{
    if (board->wanted)
        fm_events_close(&board->events);
    board->wanted = false;
}

enum fm_status fm_tensorboard_begin(struct fm_tensorboard *board)
{
    json_t *epochs = NULL, *times = NULL;
    if (!board->wanted || board->begun)
        return FM_OK;
    board->begun = true;
    enum fm_status status = read_lines(board->directory, FM_RUN_LOG, &epochs);
    if (status == FM_OK)
        status = read_lines(board->directory, FM_RUN_TIMES, &times);
    if (status == FM_OK)
        status = tell_before(board, epochs, times);
    json_decref(times);
    json_decref(epochs);
    return status;
}

enum fm_status fm_tensorboard_epoch(
    struct fm_tensorboard *board, const json_t *line, double images_per_second)
{
    if (!board->wanted)
        return FM_OK;
    return tell_epoch(board, fm_events_now(), line, images_per_second);
}

static uint32_t big_endian(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

// The picture that the test has drawn, if it is there: its size stands in the PNG's first chunk.
static enum fm_status add_confusion(const struct fm_tensorboard *board, struct fm_text *summary)
{
    enum {
        WIDTH_AT = 16,
        HEIGHT_AT = 20,
        HEAD = 24
    };
    char path[FM_PATH_MAX];
    unsigned char *png;
    size_t size;
    FM_TRY(fm_path_join(path, board->directory, "confusion-test.png"));
    if (!fm_path_exists(path))
        return FM_OK;
    FM_TRY(fm_file_read(path, &png, &size));
    if (size >= HEAD)
        fm_summary_png(summary, "test/confusion", png, size, big_endian(png + WIDTH_AT),
            big_endian(png + HEIGHT_AT));
    free(png);
    return FM_OK;
}

enum fm_status fm_tensorboard_test(struct fm_tensorboard *board, const json_t *test, uint64_t step)
{
    struct fm_text summary = {0};
    if (!board->wanted)
        return FM_OK;
    FM_TRY(fm_tensorboard_begin(board));
    add_scalar(&summary, "test/accuracy", fm_json_number(test, "accuracy"));
    add_scalar(&summary, "test/loss", fm_json_number(test, "nll"));
    enum fm_status status = add_confusion(board, &summary);
    if (status == FM_OK)
        status = fm_events_put(&board->events, fm_events_now(), (int64_t)step, &summary);
    fm_text_free(&summary);
    return status;
}

static enum fm_status tell_finished(const char *directory, const struct fm_run_config *config)
{
    struct fm_tensorboard board;
    json_t *result;
    FM_TRY(fm_run_read_result(directory, &result));
    enum fm_status status = fm_tensorboard_open(directory, config, &board);
    if (status == FM_OK)
        status = fm_tensorboard_test(&board, json_object_get(result, "test"),
            (uint64_t)json_integer_value(json_object_get(result, "steps")));
    fm_tensorboard_close(&board);
    json_decref(result);
    return status;
}

enum fm_status fm_tensorboard_of_finished(const char *directory)
{
    struct fm_run_config config;
    if (fm_events_exist(directory))
        return FM_OK;
    FM_TRY(fm_run_read_config(directory, &config));
    enum fm_status status = tell_finished(directory, &config);
    fm_run_config_free(&config);
    return status;
}
