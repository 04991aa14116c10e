// `fmnist train`: one training from the data to a finished run folder.
#include "cli/common.h"

#include "app/train_job.h"
#include "run/json.h"

enum {
    SHORT_MAX = 32
};

static void percent_cell(struct fm_table *table, const json_t *object, const char *key)
{
    double share = json_number_value(json_object_get(object, key));
    fm_table_cell(table, json_real(share), "%.2f %%", 100 * share);
}

// "2", or "2 of 15" where --max-minutes ended the training.
static void epochs_cell(struct fm_table *table, const json_t *result)
{
    int epochs = (int)json_integer_value(json_object_get(result, "epochs"));
    int planned = (int)json_integer_value(json_object_get(result, "epochs_planned"));
    if (json_is_true(json_object_get(result, "ended_early")))
        fm_table_cell(table, json_integer(epochs), "%d of %d", epochs, planned);
    else
        fm_table_cell(table, json_integer(epochs), "%d", epochs);
}

// The row that people want at the end; result.json has all the rest.
static void append_result(struct fm_table *table, const json_t *result, const char *directory)
{
    char time[SHORT_MAX];
    const char *model = fm_json_string(result, "model");
    const char *data = fm_json_string(json_object_get(result, "data"), "name");
    double seconds = json_number_value(json_object_get(result, "seconds"));
    fm_table_cell(table, json_string(model), "%s", model);
    fm_table_cell(table, json_string(data), "%s", data);
    percent_cell(table, json_object_get(result, "test"), "accuracy");
    percent_cell(table, result, "select_accuracy");
    percent_cell(table, result, "train_accuracy");
    epochs_cell(table, result);
    fm_table_cell(table, json_real(seconds), "%s", fm_duration(seconds, time));
    fm_table_cell(table, json_string(directory), "%s", directory);
}

static enum fm_status print_table(
    const json_t *result, const char *directory, enum fm_format format)
{
    static const struct fm_column columns[] = {
        {"model", "model", false},
        {"data", "data", false},
        {"test_accuracy", "test", true},
        {"select_accuracy", "selection", true},
        {"train_accuracy", "train", true},
        {"epochs", "epochs", true},
        {"training_seconds", "training time", true},
        {"run", "run folder", false},
    };
    struct fm_table *table;
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], &table));
    append_result(table, result, directory);
    enum fm_status status = fm_print_table(table, format);
    fm_table_free(table);
    return status;
}

// Steals the result. JSON is result.json with the folder that it lies in.
static enum fm_status print_result(json_t *result, const char *path, enum fm_format format)
{
    struct fm_text directory = {0};
    enum fm_status status;
    fm_clean_append(&directory, path);
    if (format == FM_FORMAT_JSON) {
        json_object_set_new(result, "run", json_string(fm_text_cstr(&directory)));
        status = fm_print_json(result);
    } else {
        status = print_table(result, fm_text_cstr(&directory), format);
        json_decref(result);
    }
    fm_text_free(&directory);
    return status;
}

enum fm_status fm_cmd_train(const struct fm_args *args)
{
    struct fm_session session;
    struct fm_job job = {
        .model = args->model,
        .seed = (uint64_t)args->seed,
        .max_minutes = args->max_minutes,
        .directory = args->out,
        .force = args->force,
        .argc = args->argc,
        .argv = args->argv,
    };
    FM_TRY(fm_resolve_recipe(args, args->model, &job.named, &job.recipe));
    FM_TRY(fm_session_open(args, &session));
    job.precision = session.precision;

    char directory[FM_PATH_MAX];
    json_t *result = NULL;
    const struct fm_job_hooks hooks = fm_progress_hooks();
    enum fm_status status = fm_job_run(
        &session.engine, &session.dataset, &session.split, &job, &hooks, directory, &result);
    if (status == FM_OK)
        status = print_result(result, directory, (enum fm_format)args->format);
    fm_session_close(&session);
    return status;
}
