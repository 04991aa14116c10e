// `fmnist train`: trainings from the data to finished run folders.
//
// A new one is begun by making its folders; from there on it is what `--resume` is: each folder of
// the list is gone on with, from wherever it stands.
#include "cli/common.h"

#include "app/train/seeds.h"
#include "app/train/tensorboard.h"
#include "app/train/train_job.h"
#include "app/train/train_table.h"
#include "app/trained.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/trace.h"
#include "report/charts/chart.h"
#include "run/weights.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

// What may stand beside --resume; the rest is the run's own.
static enum fm_status check_resume(const struct fm_args *args)
{
    static const char *const beside[] = {"resume", "data", "backend", "threads", "device",
        "resident", "plan-cache", "no-plan-cache", "weights", "teacher", "feature-cache",
        "no-feature-cache", "max-minutes", "checkpoint-seconds", "strict", "tensorboard", "trace",
        "quiet", "format", NULL};
    for (int i = 0; i < args->given_count; i++) {
        int k = 0;
        while (beside[k] && strcmp(beside[k], args->given[i]) != 0)
            k++;
        if (!beside[k])
            return fm_fail(FM_USAGE,
                "--%s cannot stand beside --resume, which goes on with the run's own configuration",
                args->given[i]);
    }
    return FM_OK;
}

// ---- Beginning: the device is open, the folders are made

// Options that mean something in one mode alone.
static enum fm_status check_mode(const struct fm_args *args, int mode)
{
    static const struct {
        const char *option;
        int mode;
    } of_modes[] = {
        {"unfreeze", FM_TRANSFER_FINETUNE},
        {"base-rate", FM_TRANSFER_FINETUNE},
        {"feature-views", FM_TRANSFER_FROZEN},
        {"feature-cache", FM_TRANSFER_FROZEN},
        {"no-feature-cache", FM_TRANSFER_FROZEN},
    };
    for (size_t i = 0; i < sizeof of_modes / sizeof of_modes[0]; i++)
        if (fm_args_given(args, of_modes[i].option) && of_modes[i].mode != mode)
            return fm_fail(FM_USAGE, "--%s is for --mode %s, not for %s", of_modes[i].option,
                fm_transfer_mode_names[of_modes[i].mode], fm_transfer_mode_names[mode]);
    return FM_OK;
}

// Whether --force would remove it: a run's files lie in its folder, those of several in seed-N/.
static bool is_replaced(const char *at, const char *out, bool several)
{
    size_t length = strlen(out);
    if (strncmp(at, out, length) != 0)
        return false;
    const char *rest = at + length;
    return several ? strncmp(rest, "/seed-", 6) == 0
                   : rest[0] == '\0' || strcmp(rest, "/" FM_WEIGHTS_FILE) == 0;
}

// What a run begins with may not lie where it takes the place of another.
static enum fm_status check_stays(const struct fm_args *args, const char *what, const char *path)
{
    char out[FM_PATH_MAX], at[FM_PATH_MAX];
    if (!args->force || !args->out || !path)
        return FM_OK;
    fm_path_absolute(out, args->out);
    fm_path_absolute(at, path);
    if (!is_replaced(at, out, args->seeds > 1))
        return FM_OK;
    return fm_fail(FM_USAGE, "--force would remove the %s %s: another --out leaves it", what, at);
}

static enum fm_status take_mode(const struct fm_args *args, struct fm_job *job)
{
    const char *const models[] = {args->model, NULL};
    int mode = fm_args_given(args, "mode") ? args->mode
               : args->weights             ? FM_TRANSFER_FROZEN
                                           : FM_TRANSFER_SCRATCH;
    FM_TRY(fm_check_transfer(args, models));
    if (!args->weights && mode != FM_TRANSFER_SCRATCH)
        return fm_fail(FM_USAGE, "--mode %s begins with the weights of a file: --weights FILE",
            fm_transfer_mode_names[mode]);
    if (args->weights && mode == FM_TRANSFER_SCRATCH)
        return fm_fail(FM_USAGE,
            "--mode scratch draws all weights: without --weights, or with --mode frozen or "
            "finetune");
    FM_TRY(check_mode(args, mode));
    fm_take_transfer(args, mode, &job->transfer);
    job->input_size = args->input_size;
    return check_stays(args, "weights", args->weights);
}

static enum fm_status take_teachers(const struct fm_args *args, struct fm_teaching *teaching)
{
    static_assert((int)FM_ARGS_DIRS_MAX == FM_TEACHERS_MAX, "as many as a run can have");
    const struct fm_dirs *given = &args->teachers;
    if (given->count == 0 && fm_args_given(args, "teacher-share"))
        return fm_fail(FM_USAGE, "--teacher-share needs a teacher: --teacher RUN names one");
    teaching->count = given->count;
    teaching->share = given->count > 0 ? args->teacher_share : 0;
    for (int i = 0; i < given->count; i++) {
        FM_TRY(fm_check_run(given->at[i]));
        fm_path_absolute(teaching->teachers[i].run, given->at[i]);
        FM_TRY(check_stays(args, "teacher", teaching->teachers[i].run));
        for (int k = 0; k < i; k++)
            if (strcmp(teaching->teachers[k].run, teaching->teachers[i].run) == 0)
                return fm_fail(FM_USAGE, "--teacher %s is given twice", given->at[i]);
    }
    return FM_OK;
}

// What is there is removed for a run that can be trained, not for a mistyped --data or --trace. The
// trace is begun then, unless there is nothing to remove: it may be meant for the new folder.
static enum fm_status check_replacement(
    const struct fm_args *args, const struct fm_job *job, struct fm_session *session)
{
    FM_TRY(fm_session_open_data(args->data, args->full, session));
    FM_TRY(fm_job_check_teachers(&job->teaching, &session->dataset));
    FM_TRY(fm_charts_load());
    return args->out && fm_path_exists(args->out) ? fm_trace_open(args->trace) : FM_OK;
}

static enum fm_status begin_new(
    const struct fm_args *args, struct fm_session *session, char directory[FM_PATH_MAX])
{
    struct fm_job job = {
        .model = args->model,
        .seed = (uint64_t)args->seed,
        .full = args->full,
        .max_minutes = args->max_minutes,
        .data = args->data,
        .directory = args->out,
        .force = args->force,
    };
    if (args->strict)
        return fm_fail(FM_USAGE, "--strict is for --resume: a new run has nothing to compare with");
    FM_TRY(take_mode(args, &job));
    FM_TRY(take_teachers(args, &job.teaching));
    FM_TRY(fm_resolve_recipe(args, args->model, &job.named, &job.recipe));
    FM_TRY(fm_session_open_device(args, NULL, session));
    job.precision = session->precision;
    job.emulate = session->emulated;
    enum fm_status status = args->force ? check_replacement(args, &job, session) : FM_OK;
    if (status == FM_OK)
        status = args->seeds > 1 ? fm_seeds_begin(&session->engine, &job, args->seeds, directory)
                                 : fm_job_begin(&session->engine, &job, directory);
    if (status != FM_OK) {
        (void)fm_trace_close();
        fm_session_close(session);
    }
    return status;
}

static enum fm_status open_as(
    const struct fm_args *args, const struct fm_run_config *config, struct fm_session *session)
{
    FM_TRY(fm_session_open_device(args, config, session));
    const char *backend = session->engine.api->name;
    if (!args->strict || strcmp(backend, config->backend) == 0)
        return FM_OK;
    return fm_fail(FM_UNSUPPORTED,
        "the run in %s was begun on backend '%s': on '%s' it ends in other bits, which --strict "
        "refuses",
        args->resume, config->backend, backend);
}

// What computed a run computes it again, unless --backend says otherwise.
static enum fm_status open_again(
    const struct fm_args *args, const struct fm_seeds *seeds, struct fm_session *session)
{
    struct fm_run_config config;
    if (seeds->group)
        return open_as(args, &seeds->config, session);
    FM_TRY(fm_run_read_config(seeds->directory, &config));
    enum fm_status status = open_as(args, &config, session);
    fm_run_config_free(&config);
    return status;
}

// ---- Resuming

// What says where the weights and the features are means nothing to a run that has none.
static enum fm_status check_moved(const struct fm_args *args, int mode)
{
    if (args->weights && mode == FM_TRANSFER_SCRATCH)
        return fm_fail(FM_USAGE,
            "--weights: the run in %s began with drawn weights, and goes on so", args->resume);
    return check_mode(args, mode);
}

// Where the run's teachers are now.
static enum fm_status move_teachers(const struct fm_args *args, struct fm_teaching *teaching)
{
    const struct fm_dirs *given = &args->teachers;
    if (given->count > 0 && teaching->count == 0)
        return fm_fail(
            FM_USAGE, "--teacher: the run in %s has no teachers, and goes on so", args->resume);
    if (given->count > 0 && given->count != teaching->count)
        return fm_fail(FM_USAGE,
            "--teacher is to be given once for each teacher of the run in %s: found %d, expected "
            "%d",
            args->resume, given->count, teaching->count);
    for (int i = 0; i < given->count; i++)
        fm_path_absolute(teaching->teachers[i].run, given->at[i]);
    return FM_OK;
}

struct work {
    const struct fm_args *args;
    struct fm_session *session;
    const struct fm_seeds *seeds;
    json_t **results;           // [seeds->count]
    bool has_data;              // the session's is open
    struct fm_run_config first; // of the first run that has its data, if `begun`
    bool begun;
};

// The data of the first run of a group are those of all.
static enum fm_status find_first(struct work *w)
{
    for (int i = 0; i < w->seeds->count && !w->begun; i++) {
        FM_TRY(fm_run_read_config(w->seeds->directories[i], &w->first));
        w->begun = w->first.has_data;
        if (!w->begun)
            fm_run_config_free(&w->first);
    }
    return FM_OK;
}

static enum fm_status check_group_data(const struct work *w)
{
    if (!w->begun || fm_trained_same_data(&w->first, &w->session->dataset))
        return FM_OK;
    return fm_fail(FM_DATA,
        "%s: the data in %s are not those that the first of its runs has been trained on (%s): "
        "--data DIR names the folder of the right ones",
        w->seeds->directory, w->session->dataset.directory, w->first.data.directory);
}

static enum fm_status open_data(struct work *w, const struct fm_run_config *config)
{
    const char *directory = w->args->data               ? w->args->data
                            : config->has_data          ? config->data.directory
                            : w->begun                  ? w->first.data.directory
                            : config->data_directory[0] ? config->data_directory
                                                        : NULL;
    if (w->has_data)
        return FM_OK;
    w->has_data = true;
    return fm_session_open_data(directory, config->full, w->session);
}

static enum fm_status resume_run(struct work *w, int index)
{
    const struct fm_args *args = w->args;
    const char *directory = w->seeds->directories[index];
    struct fm_run_config config;
    struct fm_job job;
    char features[FM_PATH_MAX];
    FM_TRY(fm_cache_folder("feature-cache", args->feature_cache, args->no_feature_cache, features));
    FM_TRY(fm_job_read(directory, &config, &job));
    if (args->weights)
        fm_path_absolute(job.transfer.weights, args->weights);
    enum fm_status status = check_moved(args, job.transfer.mode);
    if (status == FM_OK)
        status = move_teachers(args, &job.teaching);
    if (status == FM_OK)
        status = open_data(w, &config);
    if (status == FM_OK && w->seeds->group)
        status = check_group_data(w);
    job.feature_cache = features[0] ? features : NULL;
    job.feature_cache_named = args->feature_cache != NULL;
    job.teachers_named = args->teachers.count > 0;
    job.precision = w->session->precision;
    job.emulate = w->session->emulated;
    job.resident = args->resident;
    job.checkpoint_seconds = args->checkpoint_seconds;
    job.strict = args->strict;
    job.interrupted = fm_interrupt_signal;
    job.tensorboard = args->tensorboard;
    job.resume = w->seeds->directory;
    job.argc = args->argc;
    job.argv = args->argv;
    if (args->max_minutes > 0)
        job.max_minutes = args->max_minutes;
    const struct fm_job_hooks hooks = fm_progress_hooks();
    if (status == FM_OK)
        status = fm_job_run(&w->session->engine, &w->session->dataset, &w->session->split, &job,
            &hooks, directory, &w->results[index]);
    fm_run_config_free(&config);
    return status;
}

// A finished run's result, again.
static enum fm_status read_result(const struct work *w, int index)
{
    const char *directory = w->seeds->directories[index];
    if (w->args->tensorboard)
        FM_TRY(fm_tensorboard_of_finished(directory));
    FM_TRY(fm_run_read_result(directory, &w->results[index]));
    const json_t *result = w->results[index];
    if (json_is_true(json_object_get(result, "ended_early")))
        fm_note("%s: finished, ended by --max-minutes at epoch %lld of %lld; its result again",
            directory, (long long)json_integer_value(json_object_get(result, "epochs")),
            (long long)json_integer_value(json_object_get(result, "epochs_planned")));
    else
        fm_note("%s: finished; its result again", directory);
    return FM_OK;
}

static enum fm_status resume_all(struct work *w)
{
    for (int i = 0; i < w->seeds->count; i++)
        FM_TRY(fm_seeds_check_run(w->seeds, i));
    FM_TRY(find_first(w));
    for (int i = 0; i < w->seeds->count; i++) {
        if (fm_run_is_finished(w->seeds->directories[i]))
            FM_TRY(read_result(w, i));
        else
            FM_TRY(resume_run(w, i));
    }
    return FM_OK;
}

static bool all_finished(const struct fm_seeds *seeds)
{
    for (int i = 0; i < seeds->count; i++)
        if (!fm_run_is_finished(seeds->directories[i]))
            return false;
    return true;
}

// ---- The end

static enum fm_status print_results(const struct work *w, enum fm_format format)
{
    struct fm_table *table;
    FM_TRY(fm_train_table(w->seeds, w->results, &table));
    enum fm_status status = FM_OK;
    if (w->seeds->group)
        status = fm_train_write_summary(w->seeds, table);
    if (status == FM_OK)
        status = format == FM_FORMAT_JSON ? fm_print_json(fm_train_json(w->seeds, w->results))
                                          : fm_print_table(table, format);
    fm_table_free(table);
    return status;
}

// The session's device is open unless all is finished.
static enum fm_status train_all(
    const struct fm_args *args, const struct fm_seeds *seeds, struct fm_session *session)
{
    struct work w = {
        .args = args, .session = session, .seeds = seeds, .has_data = session->dataset.classes > 0};
    w.results = calloc((size_t)seeds->count, sizeof *w.results);
    enum fm_status status = w.results ? FM_OK : fm_fail_memory("the results", sizeof *w.results);
    fm_interrupt_catch();
    // What is not trained is not traced; check_replacement() may have begun.
    if (status == FM_OK && !fm_trace_is_open() && !all_finished(seeds))
        status = fm_trace_open(args->trace);
    if (status == FM_OK)
        status = resume_all(&w);
    enum fm_status traced = fm_trace_close(); // one that failed costs the exit status alone
    if (status == FM_OK)
        status = print_results(&w, (enum fm_format)args->format);
    // A new run that has not come to its data, or was refused them, has nothing to keep.
    if (status != FM_OK && !args->resume && (session->dataset.classes == 0 || status == FM_DATA))
        fm_seeds_discard(seeds);
    if (w.begun)
        fm_run_config_free(&w.first);
    for (int i = 0; w.results && i < seeds->count; i++)
        json_decref(w.results[i]);
    free(w.results);
    return status != FM_OK ? status : traced;
}

static enum fm_status resume(const struct fm_args *args)
{
    struct fm_session session = {0};
    struct fm_seeds seeds;
    FM_TRY(check_resume(args));
    FM_TRY(fm_seeds_read(args->resume, &seeds));
    enum fm_status status = fm_seeds_complete(&seeds);
    if (status == FM_OK && !all_finished(&seeds))
        status = open_again(args, &seeds, &session);
    if (status == FM_OK)
        status = train_all(args, &seeds, &session);
    fm_session_close(&session);
    fm_seeds_free(&seeds);
    return status;
}

enum fm_status fm_cmd_train(const struct fm_args *args)
{
    struct fm_session session;
    struct fm_seeds seeds;
    char directory[FM_PATH_MAX];
    if (args->resume)
        return resume(args);
    FM_TRY(begin_new(args, &session, directory));
    enum fm_status status = fm_seeds_read(directory, &seeds);
    if (status == FM_OK) {
        status = train_all(args, &seeds, &session);
        fm_seeds_free(&seeds);
    }
    (void)fm_trace_close(); // of a run that could not be read again
    fm_session_close(&session);
    return status;
}
