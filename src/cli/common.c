// What every command does before and after its own work: see common.h.
#include "cli/common.h"

#include "app/trained.h"
#include "backend/precision.h"
#include "base/log.h"
#include "net/files/pretrained.h"
#include "net/files/tensors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const uint64_t mebibyte = 1024 * 1024;

static enum fm_status write_all(const char *data, size_t size)
{
    if (fwrite(data, 1, size, stdout) != size)
        return fm_fail(FM_IO, "cannot write to standard output: %s", strerror(errno));
    return FM_OK;
}

enum fm_status fm_print_text(struct fm_text *text)
{
    struct fm_text clean = {0};
    enum fm_status status = FM_OK;
    fm_text_append_lines(&clean, fm_text_cstr(text));
    if (text->failed || clean.failed)
        status = fm_fail(FM_MEMORY, "out of memory while printing the result");
    else
        status = write_all(fm_text_cstr(&clean), clean.length);
    fm_text_free(&clean);
    fm_text_free(text);
    return status;
}

// Columns of the terminal that standard output is, or 0.
static int terminal_width(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

enum fm_status fm_append_table(
    struct fm_text *out, const struct fm_table *table, enum fm_format format)
{
    if (format == FM_FORMAT_TEXT)
        return fm_table_print_within(table, terminal_width(), out);
    return fm_table_print(table, format, out);
}

enum fm_status fm_print_table(const struct fm_table *table, enum fm_format format)
{
    struct fm_text text = {0};
    enum fm_status status = fm_append_table(&text, table, format);
    if (status == FM_OK)
        return fm_print_text(&text);
    fm_text_free(&text);
    return status;
}

enum fm_status fm_append_section(struct fm_text *out, const char *heading, enum fm_format format,
    enum fm_status status, struct fm_table *table)
{
    FM_TRY(status);
    fm_text_append(out, format == FM_FORMAT_MARKDOWN ? "\n### %s\n\n" : "\n%s\n\n", heading);
    status = fm_table_print(table, format, out);
    fm_table_free(table);
    return status;
}

enum fm_status fm_print_json(json_t *json)
{
    struct fm_text text = {0};
    char *dump = json ? json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(json);
    if (!dump)
        return fm_fail(FM_MEMORY, "out of memory while printing JSON");
    fm_text_append(&text, "%s\n", dump);
    free(dump);
    return fm_print_text(&text);
}

enum fm_status fm_print_end(void)
{
    errno = 0;
    bool failed = ferror(stdout) != 0;
    if (fclose(stdout) != 0 || failed)
        return fm_fail(FM_IO, "cannot write to standard output: %s",
            errno ? strerror(errno) : "an earlier write failed");
    return FM_OK;
}

// "cpu: AMD EPYC 9R14, 2 threads, avx2 fma, oneDNN 2.6.3 (compiled against 2.6.3)".
static void describe_engine(const struct fm_engine *engine, struct fm_text *out)
{
    struct fm_text text = {0};
    fm_text_append(&text, "%s: %s", engine->api->name, engine->info.name);
    if (engine->info.details[0])
        fm_text_append(&text, ", %s", engine->info.details);
    if (engine->info.libraries[0])
        fm_text_append(&text, ", %s", engine->info.libraries);
    fm_text_append_lines(out, fm_text_cstr(&text));
    fm_text_free(&text);
}

static void note_session(const struct fm_session *session)
{
    const struct fm_split *split = &session->split;
    struct fm_text line = {0};
    char digits[32];
    fm_text_append_lines(&line, session->dataset.directory);
    fm_text_append(&line, ", %s images to train on", fm_group_digits(split->train_count, digits));
    if (split->select_count > 0) {
        fm_text_append(&line, ", %s to select", fm_group_digits(split->select_count, digits));
        fm_text_append(&line, ", %s to calibrate", fm_group_digits(split->calibrate_count, digits));
    }
    fm_text_append(&line, ", %s to test", fm_group_digits(session->dataset.test.count, digits));
    fm_note("data: %s, %d classes, read in %s", fm_text_cstr(&line), session->dataset.classes,
        fm_duration(session->dataset.load_seconds, digits));
    fm_text_free(&line);
    if (split->untrained > 0)
        fm_warn("%d of %d classes have no image to train on: with so few, their only one is held "
                "out to select or to calibrate on",
            split->untrained, session->dataset.classes);
}

enum fm_status fm_cache_folder(
    const char *option, const char *named, bool none, char out[FM_PATH_MAX])
{
    const char *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    out[0] = '\0';
    if (none && named)
        return fm_fail(FM_USAGE, "--%s and --no-%s exclude each other", option, option);
    if (none)
        return FM_OK;
    if (named)
        return fm_path_copy(out, named);
    if (xdg && xdg[0] == '/') // a relative path is to be ignored
        return fm_path_join(out, xdg, "fmnist");
    return home && home[0] == '/' ? fm_path_join(out, home, ".cache/fmnist") : FM_OK;
}

// A run stays on its backend unless it is moved.
static const char *backend_of(const struct fm_args *args, const struct fm_run_config *run)
{
    return run && !fm_args_given(args, "backend") ? run->backend : args->backend;
}

// `plan_cache` must live as long as the engine that is opened with the options.
static struct fm_device_options device_options(
    const struct fm_args *args, const struct fm_run_config *run, const char *plan_cache)
{
    struct fm_device_options options = {
        .index = args->device,
        .threads = args->threads,
        .tf32 = run ? run->tf32 : args->tf32,
        .nondeterministic = run ? run->nondeterministic : args->nondeterministic,
        .workspace = run ? run->workspace : (uint64_t)args->workspace * mebibyte,
        .plan_cache = plan_cache[0] ? plan_cache : NULL,
    };
    if (run && !args->threads)
        options.threads = run->threads;
    if (run && !fm_args_given(args, "device") && strcmp(backend_of(args, run), run->backend) == 0)
        options.index = run->device_index; // another backend counts others
    return options;
}

// An option that does nothing here was given in the hope of something.
static void note_idle_options(const struct fm_args *args, const struct fm_engine *engine)
{
    static const char *const of_a_gpu[] = {
        "tf32", "allow-nondeterministic", "workspace", "plan-cache", "resident", NULL};
    struct fm_text names = {0};
    int count = 0;
    for (int i = 0; of_a_gpu[i]; i++)
        if (fm_args_given(args, of_a_gpu[i]))
            fm_text_append(&names, "%s--%s", count++ ? ", " : "", of_a_gpu[i]);
    if (count > 0 && engine->info.threads > 0) // threads are a processor's
        fm_note("%s: for GPUs alone, without effect on backend '%s'", fm_text_cstr(&names),
            engine->api->name);
    fm_text_free(&names);
}

static enum fm_status choose_for_run(
    const struct fm_run_config *run, bool emulate, struct fm_session *session)
{
    return fm_precision_choose(
        run->precision, &session->engine, emulate, &session->precision, &session->emulated);
}

// A run keeps its precision. Where it is moved to another backend it computes as it began, if that
// can, natively or by rounding, else in the other way.
static enum fm_status choose_precision(
    const struct fm_args *args, const struct fm_run_config *run, struct fm_session *session)
{
    if (!run)
        return fm_precision_choose(args->precision, &session->engine, args->emulate,
            &session->precision, &session->emulated);
    enum fm_status status = choose_for_run(run, run->emulate, session);
    if (status == FM_UNSUPPORTED && strcmp(session->engine.api->name, run->backend) != 0) {
        fm_error_clear();
        status = choose_for_run(run, !run->emulate, session);
    }
    if (status == FM_OK && run->emulate && !session->emulated)
        fm_note("%s natively: the run was begun by rounding fp32", run->precision);
    if (status != FM_UNSUPPORTED)
        return status;
    fm_error_clear(); // which names options that cannot stand beside --resume
    return fm_fail(FM_UNSUPPORTED,
        "the run in %s was begun in %s, which this device does not compute in: it can go on only "
        "where one does",
        args->resume, run->precision);
}

enum fm_status fm_session_open_device(
    const struct fm_args *args, const struct fm_run_config *run, struct fm_session *session)
{
    *session = (struct fm_session){0};
    FM_TRY(
        fm_cache_folder("plan-cache", args->plan_cache, args->no_plan_cache, session->plan_cache));
    const struct fm_device_options options = device_options(args, run, session->plan_cache);
    enum fm_status status = fm_engine_open(backend_of(args, run), &options, &session->engine);
    if (status != FM_OK)
        return run && !fm_args_given(args, "backend")
                   ? fm_context(status,
                         "the run in %s was begun on backend '%s' (--backend moves it)",
                         args->resume, run->backend)
                   : status;

    struct fm_text line = {0};
    describe_engine(&session->engine, &line);
    fm_note("%s", fm_text_cstr(&line));
    fm_text_free(&line);

    note_idle_options(args, &session->engine);

    status = choose_precision(args, run, session);
    if (status == FM_OK && session->emulated)
        fm_note("%s by rounding fp32: its numbers, not its speed",
            fm_precision_name(session->precision));
    if (status != FM_OK)
        fm_session_close(session);
    return status;
}

enum fm_status fm_session_open_data(const char *directory, bool full, struct fm_session *session)
{
    FM_TRY(fm_dataset_open(directory, &session->dataset));
    const struct fm_samples *samples = &session->dataset.train;
    int classes = session->dataset.classes;
    FM_TRY(full ? fm_split_all(samples, classes, &session->split)
                : fm_split_make(samples, classes, &session->split));
    note_session(session);
    return FM_OK;
}

enum fm_status fm_session_open(const struct fm_args *args, struct fm_session *session)
{
    FM_TRY(fm_session_open_device(args, NULL, session));
    enum fm_status status = fm_session_open_data(args->data, false, session);
    if (status != FM_OK)
        fm_session_close(session);
    return status;
}

void fm_session_close(struct fm_session *session)
{
    fm_split_free(&session->split);
    fm_dataset_close(&session->dataset);
    fm_engine_close(&session->engine);
}

enum fm_status fm_resolve_recipe(const struct fm_args *args, const char *model,
    struct fm_recipe *named, struct fm_recipe *recipe)
{
    FM_TRY(fm_recipe_load(args->recipe, model, named));
    *recipe = *named;
    for (int i = 0; i < args->recipe_flag_count; i++)
        FM_TRY(fm_recipe_set(recipe, args->recipe_flags[i].field, args->recipe_flags[i].text));
    FM_TRY(fm_recipe_check(recipe));
    if (!args->full || recipe->keep != FM_KEEP_BEST)
        return FM_OK;
    if (fm_args_given(args, "keep"))
        return fm_fail(
            FM_USAGE, "--full leaves no images to choose the best epoch on: --keep last");
    recipe->keep = FM_KEEP_LAST;
    return FM_OK;
}

// ---- Runs put to use

enum fm_status fm_check_run(const char *directory)
{
    char group[FM_PATH_MAX];
    FM_TRY(fm_path_join(group, directory, FM_GROUP_FILE));
    if (fm_path_exists(group))
        return fm_fail(FM_NOT_FOUND,
            "%s holds the runs of several seeds: name one of the folders in it", directory);
    if (fm_trained_is_file(directory))
        return fm_fail(FM_NOT_FOUND,
            "%s is a file, expected a run folder: this command needs what the folder says of the "
            "training (eval, predict and export take a weights file alone)",
            directory);
    FM_TRY(fm_run_check_is_run(directory));
    if (!fm_run_is_finished(directory))
        return fm_fail(FM_NOT_FOUND,
            "the run in %s is not finished: there is no result.json in it; 'fmnist train --resume "
            "%s' goes on with it",
            directory, directory);
    return FM_OK;
}

enum fm_status fm_check_run_or_file(const char *path)
{
    if (!fm_trained_is_file(path))
        return fm_check_run(path);
    struct fm_tensors tensors;
    FM_TRY(fm_tensors_open(path, &tensors)); // says what else it is
    enum fm_tensors_format format = tensors.format;
    fm_tensors_close(&tensors);
    if (format == FM_TENSORS_SAFETENSORS)
        return FM_OK;
    return fm_fail(FM_DATA,
        "%s is a file of format %s, expected a run folder or a weights file as fmnist writes it "
        "(safetensors); 'fmnist inspect %s' says what is in it",
        path, fm_tensors_format_names[format], path);
}

void fm_note_file(const char *path)
{
    struct fm_tensors tensors;
    if (!fm_trained_is_file(path))
        return;
    if (fm_tensors_open(path, &tensors) != FM_OK) { // told of by whoever reads the weights
        fm_error_clear();
        return;
    }
    const char *said = fm_weights_trained_on(fm_tensors_metadata(&tensors, FM_WEIGHTS_TRAINED_ON));
    fm_note("%s is taken for a weights file: computed in fp32; %s", path,
        strcmp(said, FM_WEIGHTS_ALL) == 0
            ? "it says that it was trained on all training images (--full), not of which data"
        : strcmp(said, FM_WEIGHTS_SPLIT) == 0
            ? "it says that it was trained on the training split, not of which data"
            : "what it was trained on is not known");
    fm_tensors_close(&tensors);
}

enum fm_status fm_take_from_run(struct fm_args *args, char directory[FM_PATH_MAX])
{
    struct fm_run_config config;
    directory[0] = '\0';
    if (fm_trained_is_file(args->operand))
        return FM_OK;
    FM_TRY(fm_run_read_whole_config(args->operand, &config));
    snprintf(directory, FM_PATH_MAX, "%s", config.data.directory);
    args->tf32 = args->tf32 || config.tf32;
    fm_run_config_free(&config);
    if (!args->data && directory[0] && fm_path_is_dir(directory))
        args->data = directory;
    return FM_OK;
}
