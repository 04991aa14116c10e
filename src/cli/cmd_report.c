// `fmnist report RUN...`: a page of finished runs, and its pictures.
#include "cli/common.h"

#include "app/report/report.h"
#include "base/log.h"

#include <string.h>

// The data of the runs, where they were, unless --data says otherwise.
static enum fm_status open_session(const struct fm_args *args, struct fm_session *session)
{
    char data[FM_PATH_MAX];
    struct fm_args as_run = *args;
    FM_TRY(fm_take_from_run(&as_run, data));
    enum fm_status status = fm_session_open(&as_run, session);
    if (status == FM_NOT_FOUND && !as_run.data)
        return fm_context(status,
            "the data of %s are no longer in %s (--data DIR says where they are)", args->operand,
            data);
    return status;
}

static enum fm_status print_page(const char *directory)
{
    char path[FM_PATH_MAX];
    struct fm_text text = {0};
    FM_TRY(fm_path_join(path, directory, FM_REPORT_PAGE));
    fm_text_append(&text, "%s\n", path);
    return fm_print_text(&text);
}

enum fm_status fm_cmd_report(const struct fm_args *args)
{
    struct fm_session session;
    char directory[FM_PATH_MAX], what[] = "the test images";
    const struct fm_report_options options = {
        .runs = args->operands,
        .run_count = args->operand_count,
        .directory = args->out,
        .force = args->force,
        .argc = args->argc,
        .argv = args->argv,
        .progress = fm_progress_evaluate,
        .context = what,
    };
    for (int i = 0; i < args->operand_count; i++)
        FM_TRY(fm_check_run(args->operands[i]));
    FM_TRY(fm_report_check(&options, directory));
    FM_TRY(open_session(args, &session));
    enum fm_status status = fm_report_write(&session.engine, &session.dataset, &options, directory);
    fm_session_close(&session);
    FM_TRY(status);
    return print_page(directory);
}
