// `fmnist drift`: whether new images are still like the training set. Exit status 3 says that they
// are not, so that a cron job need not read the answer.
#include "cli/common.h"

#include "app/drift/drift_job.h"
#include "base/log.h"

#include <inttypes.h>

enum {
    FURTHEST = 10, // images listed
    FAILED = 5     // images named that could not be compared
};

static enum fm_status tell_read(void *context, uint32_t done, uint32_t total)
{
    (void)context;
    if (total)
        fm_progress("reading images: %" PRIu32 " of %" PRIu32, done, total);
    else
        fm_progress("reading images: %" PRIu32, done);
    return FM_OK;
}

static enum fm_status tell(void *context, const char *what, uint32_t done, uint32_t total)
{
    (void)context;
    if (done < total)
        fm_progress("drift, %s: %" PRIu32 " of %" PRIu32, what, done, total);
    else
        fm_progress_clear();
    return FM_OK;
}

// ---- Printing

static enum fm_status append_all(
    struct fm_text *out, const struct fm_drift_job *job, enum fm_format format)
{
    const struct fm_drift *drift = &job->drift;
    struct fm_table *table = NULL;
    char count[32], reference[32];
    fm_text_append(out,
        "%s images against %s calibration images, level %g: ", fm_group_digits(drift->count, count),
        fm_group_digits(drift->reference, reference), drift->level);
    fm_drift_verdict(drift, out);
    fm_text_append(out, ".\n");
    enum fm_status status = fm_drift_tests_table(drift, false, &table);
    FM_TRY(fm_append_section(out, "Tests", format, status, table));
    table = NULL;
    status = fm_drift_classes_table(job, &table);
    FM_TRY(fm_append_section(out, "Images given each class", format, status, table));
    table = NULL;
    status = fm_drift_images_table(job, FURTHEST, &table);
    return fm_append_section(out, "Images furthest off", format, status, table);
}

static enum fm_status print_prose(const struct fm_drift_job *job, enum fm_format format)
{
    struct fm_text text = {0};
    enum fm_status status = append_all(&text, job, format);
    if (status == FM_OK)
        return fm_print_text(&text);
    fm_text_free(&text);
    return status;
}

static enum fm_status print_csv(const struct fm_drift_job *job)
{
    struct fm_table *table;
    FM_TRY(fm_drift_tests_table(&job->drift, true, &table));
    enum fm_status status = fm_print_table(table, FM_FORMAT_CSV);
    fm_table_free(table);
    return status;
}

static enum fm_status print_answer(const struct fm_drift_job *job, enum fm_format format)
{
    if (format == FM_FORMAT_JSON)
        return fm_print_json(fm_drift_json(job));
    return format == FM_FORMAT_CSV ? print_csv(job) : print_prose(job, format);
}

static void warn_of_failed(const struct fm_pictures *pictures)
{
    fm_warn_passed_over(NULL, pictures->passed_over);
    for (uint32_t i = 0; i < pictures->failed && i < FAILED; i++) {
        struct fm_text line = {0};
        fm_text_append(&line, "%s: %s", pictures->failed_names[i], pictures->errors[i]);
        struct fm_text clean = {0};
        fm_text_append_lines(&clean, fm_text_cstr(&line));
        fm_warn("%s", fm_text_cstr(&clean));
        fm_text_free(&clean);
        fm_text_free(&line);
    }
    if (pictures->failed > FAILED)
        fm_warn("%" PRIu32 " more images could not be compared", pictures->failed - FAILED);
}

// ---- The command

// What the exit status is to say. Drift comes first: it was found in the images that could be
// compared.
static enum fm_status conclude(const struct fm_drift_job *job)
{
    const struct fm_pictures *pictures = job->pictures;
    if (job->drift.drifted) {
        struct fm_text verdict = {0};
        fm_drift_verdict(&job->drift, &verdict);
        fm_fail(FM_DRIFT, "%s", fm_text_cstr(&verdict));
        fm_text_free(&verdict);
        return FM_DRIFT;
    }
    if (pictures->failed)
        return fm_fail(FM_DATA,
            "no drift in %" PRIu32 " images, but %" PRIu32 " more could not be compared",
            pictures->count, pictures->failed);
    return FM_OK;
}

static enum fm_status run(const struct fm_args *args, const struct fm_session *session,
    const struct fm_pictures *pictures)
{
    struct fm_drift_job job;
    const struct fm_drift_job_options options = {
        .directory = args->operand, .level = args->level, .progress = tell};
    FM_TRY(fm_drift_job_run(
        &session->engine, &session->dataset, &session->split, pictures, &options, &job));
    fm_progress_clear();
    enum fm_status status = FM_OK;
    if (args->out)
        status = fm_drift_write(&job, args->out);
    if (status == FM_OK)
        status = print_answer(&job, (enum fm_format)args->format);
    if (status == FM_OK)
        status = conclude(&job);
    fm_drift_job_free(&job);
    return status;
}

static enum fm_status run_on(struct fm_args *args, const struct fm_pictures *pictures)
{
    struct fm_session session;
    char data[FM_PATH_MAX];
    warn_of_failed(pictures);
    if (pictures->count == 0)
        return fm_fail(
            FM_DATA, "none of the %" PRIu32 " images could be compared", pictures->failed);
    FM_TRY(fm_take_from_run(args, data));
    FM_TRY(fm_session_open(args, &session));
    enum fm_status status = run(args, &session, pictures);
    fm_session_close(&session);
    return status;
}

enum fm_status fm_cmd_drift(const struct fm_args *args)
{
    struct fm_pictures pictures;
    struct fm_args as_run = *args;
    const struct fm_source_options source = {.names = args->operands + 1,
        .count = args->operand_count - 1,
        .list = args->list,
        .convert = (enum fm_convert)args->convert};
    FM_TRY(fm_check_run(args->operand));
    FM_TRY(fm_drift_check_run(args->operand));
    if (args->out)
        FM_TRY(fm_drift_check_folder(args->out, args->force));
    FM_TRY(fm_pictures_read(&source, tell_read, NULL, &pictures));
    fm_progress_clear();
    enum fm_status status = run_on(&as_run, &pictures);
    fm_pictures_free(&pictures);
    return status;
}
