// A start can only be measured from outside the process that starts: the program is run again, and
// tells by the clock that both share when its first prediction was there.
#include "app/bench/bench_work.h"

#include "base/clock.h"
#include "run/json.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum {
    STARTS_LEAST = 3,
    STARTS_MOST = 25,
    SAID_MAX = 4096
};

json_t *fm_bench_phases_json(const struct fm_bench_phases *phases)
{
    return json_pack("{s:f, s:f, s:f, s:f}", "device", phases->device, "network", phases->network,
        "first_prediction", phases->first, "ready", phases->ready);
}

// ---- what is timed

// One grey image is enough: what the network makes of it is not looked at.
static enum fm_status predict_once(struct fm_bench_work *w, struct fm_model **model)
{
    static const uint8_t record[FM_IMAGE_BYTES], label;
    const struct fm_samples one = {1, FM_IMAGE_BYTES, record, &label};
    struct fm_timer_options options = fm_bench_predict_options(w, 1);
    struct fm_timer timer = {0};
    double seconds;
    options.samples = &one;
    FM_TRY(fm_timer_open(w->job->engine, *model, &options, &timer));
    enum fm_status status = fm_timer_predict(&timer, &seconds);
    fm_timer_close(&timer);
    return status;
}

static enum fm_status go_through(
    struct fm_bench_work *w, double opened, struct fm_bench_phases *phases, struct fm_model **model)
{
    const struct fm_bench_side_result base = {
        .precision = w->job->precision, .emulated = w->job->emulated};
    const struct fm_model_options options = fm_bench_model_options(w, &base, FM_MODE_INFER);
    double begin = fm_clock_seconds();
    FM_TRY(fm_bench_build_net(w));
    FM_TRY(fm_bench_make_model(w, &options, model));
    double made = fm_clock_seconds();
    FM_TRY(predict_once(w, model));
    double ready = fm_clock_seconds();
    *phases = (struct fm_bench_phases){
        .device = opened, .network = made - begin, .first = ready - made, .ready = ready};
    return FM_OK;
}

enum fm_status fm_bench_start_once(
    const struct fm_bench_job *job, double opened, struct fm_bench_phases *phases)
{
    struct fm_bench_work *w = calloc(1, sizeof *w);
    struct fm_model *model = NULL;
    if (!w)
        return fm_fail_memory("the measurements", sizeof *w);
    w->job = job;
    enum fm_status status = go_through(w, opened, phases, &model);
    job->engine->api->model_destroy(model);
    fm_run_config_free(&w->config);
    free(w);
    return status;
}

// ---- a process

// Its standard output into `said`, to the end.
static void read_all(int fd, char said[SAID_MAX])
{
    size_t length = 0;
    ssize_t got;
    char rest[256];
    for (;;) {
        bool full = length == SAID_MAX - 1;
        got = read(fd, full ? rest : said + length, full ? sizeof rest : SAID_MAX - 1 - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        length += full ? 0 : (size_t)got;
    }
    said[length] = '\0';
}

static int spawn(char *const *command, int out, pid_t *child)
{
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error)
        return error;
    error = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    if (!error)
        error = posix_spawn(child, command[0], &actions, NULL, command, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    return error;
}

// False: `reason` says why. `begin` is taken right before the process is there.
static bool run_process(char *const *command, char said[SAID_MAX], double *begin, char *reason)
{
    int ends[2], status = 0;
    pid_t child;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        snprintf(reason, FM_BENCH_REASON_MAX, "no pipe: %s", strerror(errno));
        return false;
    }
    *begin = fm_clock_seconds();
    int error = spawn(command, ends[1], &child);
    (void)close(ends[1]);
    if (error == 0) {
        read_all(ends[0], said);
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            continue;
    }
    (void)close(ends[0]);
    if (error != 0)
        snprintf(reason, FM_BENCH_REASON_MAX, "%s could not be started: %s", command[0],
            strerror(error));
    else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        snprintf(reason, FM_BENCH_REASON_MAX, "a start of its own failed");
    return error == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// ---- several

struct starts {
    int count;
    double whole[STARTS_MOST], device[STARTS_MOST], network[STARTS_MOST], first[STARTS_MOST];
};

static bool start_once(char *const *command, struct starts *starts, char *reason)
{
    char said[SAID_MAX];
    double begin;
    if (!run_process(command, said, &begin, reason))
        return false;
    json_t *json = json_loads(said, JSON_REJECT_DUPLICATES, NULL);
    double ready = fm_json_number(json, "ready");
    int i = starts->count;
    starts->whole[i] = ready - begin;
    starts->device[i] = fm_json_number(json, "device");
    starts->network[i] = fm_json_number(json, "network");
    starts->first[i] = fm_json_number(json, "first_prediction");
    json_decref(json);
    bool told = starts->whole[i] > 0 && starts->device[i] >= 0 && starts->network[i] >= 0 &&
                starts->first[i] >= 0; // false of NaN, too
    if (!told)
        snprintf(reason, FM_BENCH_REASON_MAX, "a start of its own did not tell its times");
    starts->count += told;
    return told;
}

void fm_bench_start(char *const *command, double seconds, struct fm_bench_start *start)
{
    struct starts *starts = calloc(1, sizeof *starts);
    const double end = fm_clock_seconds() + seconds;
    *start = (struct fm_bench_start){0};
    if (!starts) {
        snprintf(start->reason, sizeof start->reason, "out of memory");
        return;
    }
    while (
        starts->count < STARTS_LEAST || (starts->count < STARTS_MOST && fm_clock_seconds() < end))
        if (!start_once(command, starts, start->reason))
            break;
    if (!start->reason[0]) {
        start->whole = fm_spread_of(starts->whole, starts->count);
        start->device = fm_spread_of(starts->device, starts->count).p50;
        start->network = fm_spread_of(starts->network, starts->count).p50;
        start->first = fm_spread_of(starts->first, starts->count).p50;
    }
    free(starts);
}
