// `fmnist bench`: what a network costs, and `--start`, the part of it that is run as a process of
// its own.
#include "cli/common.h"

#include "app/bench/bench_job.h"
#include "app/trained.h"
#include "backend/precision.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

// ---- what is measured

static enum fm_status check_arguments(const struct fm_args *args)
{
    static const char *const not_of_a_start[] = {"versus", "batches", "train-batches", "profile",
        "seconds", "resident", "out", "data", NULL};
    if (args->operand && args->model)
        return fm_fail(FM_USAGE, "'bench' takes a RUN or --model NAME, not both");
    if (!args->operand && !args->model)
        return fm_fail(FM_USAGE, "'bench' needs a RUN, or --model NAME");
    for (int i = 0; args->start && not_of_a_start[i]; i++)
        if (fm_args_given(args, not_of_a_start[i]))
            return fm_fail(
                FM_USAGE, "--start predicts a single image: it has no --%s", not_of_a_start[i]);
    return FM_OK;
}

// A run's own precision, unless another was asked for.
static enum fm_status choose_precision(const struct fm_args *args, struct fm_session *session)
{
    struct fm_run_config config;
    if (!args->operand || fm_args_given(args, "precision") || args->emulate)
        return FM_OK;
    FM_TRY(fm_run_read_whole_config(args->operand, &config));
    enum fm_status status = fm_trained_precision(
        &session->engine, args->operand, &config, &session->precision, &session->emulated);
    fm_run_config_free(&config);
    return status;
}

// Without a data set, and none asked for, random images do.
static enum fm_status open_data(
    const struct fm_args *args, const char *directory, struct fm_session *session, bool *found)
{
    enum fm_status status = fm_session_open_data(directory, false, session);
    *found = status == FM_OK;
    if (status != FM_NOT_FOUND || args->data)
        return status;
    fm_error_clear();
    fm_note("no data set was found: random images and labels are measured with");
    return FM_OK;
}

// ---- the command that is timed as a start

enum {
    START_ARGUMENTS_MAX = 40
};

struct start_command {
    char program[FM_PATH_MAX], threads[16], device[16], workspace[16];
    char *argv[START_ARGUMENTS_MAX];
    int argc;
};

static void add(struct start_command *command, const char *argument)
{
    command->argv[command->argc++] = (char *)argument; // exec changes none of them
}

static void add_option(struct start_command *command, const char *option, const char *value)
{
    if (!value)
        return;
    add(command, option);
    add(command, value);
}

static void add_number(struct start_command *command, const char *option, int number, char text[16])
{
    snprintf(text, 16, "%d", number);
    add_option(command, option, number ? text : NULL);
}

static void add_flag(struct start_command *command, const char *option, bool given)
{
    if (given)
        add(command, option);
}

// The program that this process runs. False where that is not fmnist, but one that has its library.
static bool find_program(char program[FM_PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", program, FM_PATH_MAX - 1);
    program[length < 0 ? 0 : length] = '\0';
    const char *slash = strrchr(program, '/');
    return slash && strcmp(slash + 1, "fmnist") == 0;
}

static bool make_start_command(
    const struct fm_args *args, const struct fm_session *session, struct start_command *command)
{
    *command = (struct start_command){0};
    if (!find_program(command->program))
        return false;
    add(command, command->program);
    add(command, "bench");
    if (args->operand)
        add(command, args->operand);
    add_option(command, "--model", args->model);
    add(command, "--start");
    add(command, "--quiet");
    add_option(command, "--format", "json");
    add_option(command, "--backend", session->engine.api->name);
    add_option(command, "--precision", fm_precision_name(session->precision));
    add_flag(command, "--emulate", session->emulated);
    add_flag(command, "--unfused", args->unfused);
    add_number(command, "--threads", args->threads, command->threads);
    add_number(command, "--device", args->device, command->device);
    add_number(command, "--workspace", args->workspace, command->workspace);
    add_flag(command, "--tf32", args->tf32);
    add_flag(command, "--allow-nondeterministic", args->nondeterministic);
    add_option(command, "--plan-cache", args->plan_cache);
    add_flag(command, "--no-plan-cache", args->no_plan_cache);
    return true;
}

// ---- --start

static enum fm_status print_phases(const struct fm_bench_phases *phases, enum fm_format format)
{
    static const struct fm_column columns[] = {
        {"device", "device opened, s", true},
        {"network", "network ready, s", true},
        {"first_prediction", "first prediction, s", true},
    };
    struct fm_table *table;
    if (format == FM_FORMAT_JSON)
        return fm_print_json(fm_bench_phases_json(phases));
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], &table));
    fm_table_cell(table, json_real(phases->device), "%.3f", phases->device);
    fm_table_cell(table, json_real(phases->network), "%.3f", phases->network);
    fm_table_cell(table, json_real(phases->first), "%.3f", phases->first);
    enum fm_status status = fm_print_table(table, format);
    fm_table_free(table);
    return status;
}

static struct fm_bench_job job_of(const struct fm_args *args, const struct fm_session *session)
{
    return (struct fm_bench_job){.engine = &session->engine,
        .run = args->operand,
        .model = args->model,
        .precision = session->precision,
        .emulated = session->emulated,
        .unfused = args->unfused,
        .resident = args->resident,
        .profile = args->profile,
        .seconds = args->seconds,
        .argc = args->argc,
        .argv = args->argv};
}

static enum fm_status start(const struct fm_args *args)
{
    struct fm_session session;
    struct fm_bench_phases phases;
    double begin = fm_clock_seconds();
    FM_TRY(fm_session_open_device(args, NULL, &session));
    double opened = fm_clock_seconds() - begin;
    enum fm_status status = choose_precision(args, &session);
    if (status == FM_OK) {
        const struct fm_bench_job job = job_of(args, &session);
        status = fm_bench_start_once(&job, opened, &phases);
    }
    fm_session_close(&session);
    return status == FM_OK ? print_phases(&phases, (enum fm_format)args->format) : status;
}

// ---- the whole

static void tell(const char *what, int done, int total)
{
    fm_progress("measuring %s: %d of %d", what, done + 1, total);
}

static enum fm_status print_result(const struct fm_bench_result *result, enum fm_format format)
{
    if (format == FM_FORMAT_JSON)
        return fm_print_json(fm_bench_json(result));
    if (format == FM_FORMAT_CSV) {
        struct fm_table *table;
        FM_TRY(fm_bench_values(result, &table));
        enum fm_status status = fm_print_table(table, format);
        fm_table_free(table);
        return status;
    }
    struct fm_text text = {0};
    enum fm_status status = fm_bench_print(result, format, &text);
    if (status == FM_OK)
        return fm_print_text(&text);
    fm_text_free(&text);
    return status;
}

static enum fm_status measure(const struct fm_args *args, const struct fm_bench_plan *plan,
    const struct fm_session *session, bool has_data)
{
    struct start_command command;
    struct fm_bench_result *result;
    struct fm_bench_job job = job_of(args, session);
    job.plan = plan;
    job.dataset = has_data ? &session->dataset : NULL;
    job.split = &session->split;
    job.start = make_start_command(args, session, &command) ? command.argv : NULL;
    job.no_start = "the program that runs is not fmnist, but another with its library";
    job.progress = tell;
    enum fm_status status = fm_bench_run(&job, &result);
    fm_progress_clear();
    FM_TRY(status);
    if (args->out)
        status = fm_bench_write(result, args->out);
    // What took minutes to measure is told whether or not it could be kept.
    enum fm_status printed = print_result(result, (enum fm_format)args->format);
    fm_bench_free(result);
    return status == FM_OK ? printed : status;
}

// What another program takes of the processor is missed more than its share: where a layer is
// computed by two threads, the one waits for the other.
static void tell_of_load(void)
{
    double load;
    if (getloadavg(&load, 1) == 1 && load >= 0.5)
        fm_note(
            "the load average is %.1f: what other programs compute meanwhile makes times longer, "
            "those of single images many times",
            load);
}

static enum fm_status bench(const struct fm_args *args, const struct fm_bench_plan *plan)
{
    struct fm_session session;
    struct fm_args as_run = *args;
    char data[FM_PATH_MAX];
    bool has_data = false;
    if (args->operand)
        FM_TRY(fm_take_from_run(&as_run, data));
    as_run.tf32 = args->tf32; // fp32 is fp32 here, whatever a run was trained with
    FM_TRY(fm_session_open_device(&as_run, NULL, &session));
    enum fm_status status = choose_precision(&as_run, &session);
    if (status == FM_OK)
        status = open_data(args, as_run.data, &session, &has_data);
    if (status == FM_OK) {
        tell_of_load();
        status = measure(&as_run, plan, &session, has_data);
    }
    fm_session_close(&session);
    return status;
}

enum fm_status fm_cmd_bench(const struct fm_args *args)
{
    struct fm_bench_plan plan;
    FM_TRY(check_arguments(args));
    FM_TRY(fm_bench_plan_parse(args->batches, args->train_batches, args->versus, &plan));
    if (args->out)
        FM_TRY(fm_bench_check_folder(args->out, args->force));
    if (args->operand)
        FM_TRY(fm_check_run(args->operand));
    return args->start ? start(args) : bench(args, &plan);
}
