// What a network costs: the work of `fmnist bench`.
//
//   bench_plan.c   what is asked for, in words
//   bench_work.c   the network, its models, the images
//   bench_job.c    the sides, and what is measured of them
//   bench_start.c  the start, in processes of its own
//   bench_json.c   the result as JSON, and as one table of values
//   bench_print.c  the result as tables for people
//   bench_files.c  the folder of a measurement
#ifndef FM_APP_BENCH_JOB_H
#define FM_APP_BENCH_JOB_H

#include "app/bench/bench_plan.h"
#include "data/dataset.h"
#include "data/split.h"
#include "eval/timing/bench.h"
#include "report/table.h"
#include "run/run.h"

enum {
    FM_BENCH_TRAIN_BATCH = 256,
    FM_BENCH_PROFILE_MAX = 1024,
    FM_BENCH_REASON_MAX = 512,
    FM_BENCH_NOTES_MAX = 64
};

struct fm_bench_job {
    const struct fm_engine *engine;
    const struct fm_bench_plan *plan;
    const char *run;   // a finished run's folder; NULL: `model` with initial weights
    const char *model; // name; NULL where there is a run
    // The base.
    enum fm_precision precision;
    bool emulated, unfused;
    // Images that batches are made of; NULL: random ones, with random labels.
    const struct fm_dataset *dataset;
    const struct fm_split *split; // of `dataset`
    bool resident;                // training: the device keeps the images
    bool profile;
    double seconds; // of each figure
    // The command that is timed as a start (fm_bench_start()); NULL: none, for this reason.
    char *const *start;
    const char *no_start;
    int argc; // for the environment
    char *const *argv;
    void (*progress)(const char *what, int done, int total); // may be NULL
};

// From the start of a process to its first prediction.
struct fm_bench_start {
    // Seconds of the whole; count 0: not measured, `reason` says why.
    struct fm_spread whole;
    double device, network, first; // medians of its last three parts: struct fm_bench_phases
    char reason[FM_BENCH_REASON_MAX];
};

struct fm_bench_side_result {
    char name[FM_BENCH_NAME_MAX];
    enum fm_precision precision;
    bool emulated, unfused;
    char skipped[FM_BENCH_REASON_MAX]; // why it was not measured; ""
    // By batch; host.count 0: left out, notes say why.
    struct fm_bench_figure predictions[FM_BENCH_BATCHES_MAX];
    struct fm_bench_figure training[FM_BENCH_BATCHES_MAX];
};

struct fm_bench_profile {
    int batch; // 0: none was taken
    size_t count;
    struct fm_profile_entry entries[FM_BENCH_PROFILE_MAX];
};

struct fm_bench_result {
    char run[FM_PATH_MAX], model[FM_NAME_MAX]; // "" for no run
    char remarks[FM_BENCH_REASON_MAX];         // fm_remarks_learned() of the run; "": none
    size_t parameters;
    char images[FM_PATH_MAX]; // "Fashion-MNIST", "tiny"; "random"
    const char *step;         // how a training step was made up, in words
    bool tf32, resident;
    double seconds;
    struct fm_bench_batches predicted, trained;
    int side_count; // the base first
    struct fm_bench_side_result sides[FM_BENCH_VERSUS_MAX + 1];
    struct fm_bench_start start;
    // Bytes of the process that the base alone needed at most, for the largest batch and for
    // training; 0: the kernel tells none. Of the device's memory: of all that was measured.
    uint64_t predict_peak, train_peak, device_peak;
    bool clock;                          // the device has one of its own
    char no_energy[FM_BENCH_REASON_MAX]; // why no energy was measured; "" where it was
    int note_count;                      // batches that were left out, and why
    char notes[FM_BENCH_NOTES_MAX][FM_BENCH_REASON_MAX];
    struct fm_bench_profile predict_profile, train_profile;
    json_t *environment;
};

// Measures. The result is on the heap, and freed with fm_bench_free(). A side that the device does
// not have is told as skipped; FM_DATA where the run's classes are not the data set's.
enum fm_status fm_bench_run(const struct fm_bench_job *job, struct fm_bench_result **result);
void fm_bench_free(struct fm_bench_result *result); // NULL is allowed

// ---- the start

// What a process does once its command line is read, in seconds.
struct fm_bench_phases {
    double device;  // the engine was opened
    double network; // weights read or drawn, and handed to the device
    double first;   // one image predicted, with all that is compiled for it
    double ready;   // fm_clock_seconds() at the end
};
// Does it: the engine has been opened in `opened` seconds.
enum fm_status fm_bench_start_once(
    const struct fm_bench_job *job, double opened, struct fm_bench_phases *phases);
json_t *fm_bench_phases_json(const struct fm_bench_phases *phases);

// Runs `command` (command[0] is a path, the end NULL), which does the above in a process of its own
// and prints fm_bench_phases_json(), again and again for about `seconds`. What is measured is from
// the fork to the first prediction's end: loading the program, its libraries and modules, and what
// stands in struct fm_bench_phases; not the end of the process. Files come from the page cache, as
// they do for all starts but a machine's first. Never fails: start->reason.
void fm_bench_start(char *const *command, double seconds, struct fm_bench_start *start);

// ---- the result

json_t *fm_bench_json(const struct fm_bench_result *result);
// One table of all figures, a value a row: side, phase, batch, seen_by, figure, unit, value.
enum fm_status fm_bench_values(const struct fm_bench_result *result, struct fm_table **table);
// FM_FORMAT_TEXT or FM_FORMAT_MARKDOWN.
enum fm_status fm_bench_print(
    const struct fm_bench_result *result, enum fm_format format, struct fm_text *out);

// FM_EXISTS where the folder holds any file of a measurement, unless `force`.
enum fm_status fm_bench_check_folder(const char *directory, bool force);
// bench.md, bench.csv, latency.png and .svg, throughput.png and .svg and, last, bench.json.
enum fm_status fm_bench_write(const struct fm_bench_result *result, const char *directory);

#endif
