// What the commands share: printing a result, opening the device and the data, and telling
// progress.
#ifndef FM_CLI_COMMON_H
#define FM_CLI_COMMON_H

#include "cli/args.h"

#include "app/train/train_job.h"
#include "backend/registry.h"
#include "data/dataset.h"
#include "data/split.h"
#include "report/table.h"

#include <jansson.h>

// Names from outside (data, run folders, files) reach a terminal only as UTF-8 without control
// characters, through fm_text_append_lines(), which what is printed here goes through.

// Writes to standard output and frees the text; FM_IO when it could not be written, FM_MEMORY when
// the text had failed.
enum fm_status fm_print_text(struct fm_text *text);
// The table in this format; as text, fitted to the terminal if standard output is one. Frees
// nothing.
enum fm_status fm_print_table(const struct fm_table *table, enum fm_format format);
enum fm_status fm_append_table(
    struct fm_text *out, const struct fm_table *table, enum fm_format format);
// A section of a result in prose: a heading, then the table, which is freed here. `status` is that
// of making the table.
enum fm_status fm_append_section(struct fm_text *out, const char *heading, enum fm_format format,
    enum fm_status status, struct fm_table *table);
// An object or array, indented; steals the reference. NULL fails with FM_MEMORY.
enum fm_status fm_print_json(json_t *json);
// Everything printed has reached its destination, or FM_IO. Called once, at the end.
enum fm_status fm_print_end(void);

// The folder of a cache: that of --<option> DIR if it is `named`; none, "", with --no-<option> or
// where neither variable of the environment says where a user's caches are.
enum fm_status fm_cache_folder(
    const char *option, const char *named, bool none, char out[FM_PATH_MAX]);

// The options of weights that others have trained (fm_transfer_options, --mode) agree with each
// other: FM_USAGE names the one that does not. `models` ends with NULL.
enum fm_status fm_check_transfer(const struct fm_args *args, const char *const *models);
// struct fm_transfer as they ask for it, of this mode; the file's path alone, not what is in it.
void fm_take_transfer(const struct fm_args *args, int mode, struct fm_transfer *transfer);

// What a computing command works with. The first line on standard error names the backend, the
// device and the libraries; the second the data.
struct fm_session {
    char plan_cache[FM_PATH_MAX]; // "" for none; the engine may read it as long as it is open
    struct fm_engine engine;
    struct fm_dataset dataset;
    struct fm_split split;
    enum fm_precision precision;
    bool emulated; // the precision, by rounding
};
enum fm_status fm_session_open(const struct fm_args *args, struct fm_session *session);
// The same in two steps: the device, then the data. `run`: one to go on with, which is computed as
// it was begun, whatever `args` say of that but for the backend; NULL: none. `full`: all images to
// train on.
enum fm_status fm_session_open_device(
    const struct fm_args *args, const struct fm_run_config *run, struct fm_session *session);
enum fm_status fm_session_open_data(const char *directory, bool full, struct fm_session *session);
// Closes what is open of it.
void fm_session_close(struct fm_session *session);

// Of a command that puts a finished run to use: FM_NOT_FOUND, and what to do, where there is none.
// A wrong folder is the likeliest mistake; it is told before a device is opened and data is read.
enum fm_status fm_check_run(const char *directory);
// The same of one that takes a weights file as well; and, once the device has been told of, what is
// to be known of such a file: what it says that it was trained on.
enum fm_status fm_check_run_or_file(const char *path);
void fm_note_file(const char *path);
// Into `args`, where nothing else was asked for: the data of the run args->operand, as long as they
// are where they were, and TF32 where it was trained so. `directory` keeps the path. A weights file
// has nothing to give.
enum fm_status fm_take_from_run(struct fm_args *args, char directory[FM_PATH_MAX]);

// The recipe of --recipe for `model`: `named` as its file has it, `recipe` with the flags' values.
enum fm_status fm_resolve_recipe(const struct fm_args *args, const char *model,
    struct fm_recipe *named, struct fm_recipe *recipe);

// Hooks that tell a training's progress on standard error: a line an epoch and, on a terminal, one
// line redrawn in place.
struct fm_job_hooks fm_progress_hooks(void);
// The same for an evaluation: `context` is the name of what is evaluated.
enum fm_status fm_progress_evaluate(void *context, uint32_t done, uint32_t total);

#endif
