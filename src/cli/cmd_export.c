// `fmnist export RUN`: a run's network for other programs.
#include "cli/common.h"

#include "app/export/export.h"
#include "base/log.h"

#include <math.h>
#include <stdio.h>

static void note_model(const struct fm_export_result *result)
{
    const char *before = result->remarks[0] ? "; " : "";
    if (isfinite(result->test_accuracy))
        fm_note("%s, test accuracy %.2f %%%s%s", result->model, 100.0 * result->test_accuracy,
            before, result->remarks);
    else
        fm_note("%s%s%s", result->model, before, result->remarks);
}

// "4.8 MB": as files are counted elsewhere.
static void append_size(struct fm_text *text, uint64_t bytes)
{
    if (bytes < 1000)
        fm_text_append(text, "%d bytes", (int)bytes);
    else if (bytes < 1000000)
        fm_text_append(text, "%.1f kB", (double)bytes / 1e3);
    else
        fm_text_append(text, "%.1f MB", (double)bytes / 1e6);
}

static enum fm_status print_files(const struct fm_export_result *result)
{
    struct fm_text text = {0};
    for (int i = 0; i < result->count; i++) {
        const struct fm_export_file *file = &result->files[i];
        fm_text_append(&text, "%s (", file->path);
        append_size(&text, file->bytes);
        fm_text_append(&text, "): %s\n", file->use);
    }
    return fm_print_text(&text);
}

enum fm_status fm_cmd_export(const struct fm_args *args)
{
    const struct fm_export_options options = {.source = args->operand,
        .format = args->export_format,
        .directory = args->out,
        .triton = args->triton,
        .force = args->force};
    struct fm_export_result result;
    if (!fm_path_exists(args->operand) || fm_path_is_dir(args->operand))
        FM_TRY(fm_check_run(args->operand));
    FM_TRY(fm_export_run(&options, &result));
    note_model(&result);
    return print_files(&result);
}
