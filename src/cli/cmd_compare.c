// `fmnist compare`: the models side by side, and the original's claims beside what is measured.
#include "cli/common.h"

#include "app/compare/compare.h"
#include "app/report/report.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/trace.h"

#include <string.h>

enum {
    ENTRIES_MAX = FM_ARGS_MODELS_MAX + 1 // a model may have two rows
};

static enum fm_status add_entry(
    const struct fm_args *args, const char *model, int mode, struct fm_compare_entry *entry)
{
    *entry = (struct fm_compare_entry){.model = model};
    fm_take_transfer(args, mode, &entry->transfer);
    if (strcmp(model, FM_TRANSFER_MODEL) == 0)
        entry->input_size = args->input_size;
    return fm_resolve_recipe(args, model, &entry->named, &entry->recipe);
}

// Resolves the recipe of each model that was asked for. Of the one that --weights is for there is
// the original's row, and beside it the one that trains these weights on.
static enum fm_status make_entries(
    const struct fm_args *args, struct fm_compare_entry entries[ENTRIES_MAX], int *count)
{
    const char *const *models = args->models[0] ? args->models : fm_compare_models;
    *count = 0;
    FM_TRY(fm_check_transfer(args, models));
    for (int i = 0; models[i] && i < FM_ARGS_MODELS_MAX; i++) {
        bool begins = args->weights && strcmp(models[i], FM_TRANSFER_MODEL) == 0;
        int mode = begins ? FM_TRANSFER_FROZEN : FM_TRANSFER_SCRATCH;
        FM_TRY(add_entry(args, models[i], mode, &entries[(*count)++]));
        if (begins)
            FM_TRY(add_entry(args, models[i], FM_TRANSFER_FINETUNE, &entries[(*count)++]));
    }
    return FM_OK;
}

static void note_row(void *context, int index, int count, const char *name,
    enum fm_row_source source, const char *directory)
{
    static const char *const what[] = {
        [FM_ROW_TRAINED] = "training",
        [FM_ROW_RESUMED] = "going on with ",
        [FM_ROW_FINISHED] = "reusing the finished run ",
    };
    (void)context;
    struct fm_text folder = {0};
    if (directory)
        fm_text_append_lines(&folder, directory);
    fm_note("%s (%d of %d): %s%s", name, index + 1, count, what[source], fm_text_cstr(&folder));
    fm_text_free(&folder);
}

static enum fm_status print_comparison(
    const struct fm_comparison *comparison, enum fm_format format)
{
    struct fm_text text = {0};
    enum fm_status status = fm_comparison_print(comparison, format, &text);
    if (status != FM_OK) {
        fm_text_free(&text);
        return status;
    }
    struct fm_text folder = {0};
    fm_text_append_lines(&folder, comparison->directory);
    fm_note("written to %s; its page: %s/" FM_REPORT_PAGE, fm_text_cstr(&folder),
        fm_text_cstr(&folder));
    fm_text_free(&folder);
    return fm_print_text(&text);
}

enum fm_status fm_cmd_compare(const struct fm_args *args)
{
    struct fm_session session;
    struct fm_comparison comparison;
    static struct fm_compare_entry entries[ENTRIES_MAX]; // paths are long
    char features[FM_PATH_MAX];
    int count;
    FM_TRY(make_entries(args, entries, &count));
    FM_TRY(fm_cache_folder("feature-cache", args->feature_cache, args->no_feature_cache, features));
    FM_TRY(fm_session_open(args, &session));

    const struct fm_compare_options options = {
        .entries = entries,
        .entry_count = count,
        .seed = (uint64_t)args->seed,
        .precision = session.precision,
        .emulate = session.emulated,
        .resident = args->resident,
        .checkpoint_seconds = args->checkpoint_seconds,
        .interrupted = fm_interrupt_signal,
        .tensorboard = args->tensorboard,
        .feature_cache = features[0] ? features : NULL,
        .feature_cache_named = args->feature_cache != NULL,
        .data = args->data,
        .max_minutes = args->max_minutes,
        .root = args->runs,
        .directory = args->out,
        .fresh = args->fresh,
        .force = args->force,
        .argc = args->argc,
        .argv = args->argv,
        .row = note_row,
        .hooks = fm_progress_hooks(),
    };
    fm_interrupt_catch();
    enum fm_status status = fm_trace_open(args->trace), traced = FM_OK;
    if (status == FM_OK) {
        status = fm_compare(
            &session.engine, &session.dataset, &session.split, &options, &comparison);
        traced = fm_trace_close(); // a trace that failed costs the exit status, not the result
    }
    if (status == FM_OK) {
        status = print_comparison(&comparison, (enum fm_format)args->format);
        fm_comparison_free(&comparison);
    }
    fm_session_close(&session);
    return status != FM_OK ? status : traced;
}
