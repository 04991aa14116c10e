// What a run tells TensorBoard: the figures of its log.jsonl, epoch by epoch, its configuration,
// and at the end those of the test.
//
// Event files follow log.jsonl: what has been cut off there is taken back here, and a run that has
// none yet is told from its first epoch on. They are of this call of the program and hold times;
// nothing else in the run's folder depends on whether they are written.
#ifndef FM_APP_TENSORBOARD_H
#define FM_APP_TENSORBOARD_H

#include "run/events.h"
#include "run/run.h"

#include <jansson.h>

struct fm_tensorboard {
    const char *directory;
    const struct fm_run_config *config;
    bool wanted; // false: the functions below do nothing
    bool begun;
    struct fm_events events;
};

// Begins an event file in the run's folder; `directory` and `config` must stay. Nothing is said yet
// of what the run did before: the log is cut back to the checkpoint only when training goes on.
enum fm_status fm_tensorboard_open(
    const char *directory, const struct fm_run_config *config, struct fm_tensorboard *board);
// Does nothing where it is not open (zeroed).
void fm_tensorboard_close(struct fm_tensorboard *board);

// Says what the run did before this call, once, from its logs. To be called when these are cut,
// before anything is added to them.
enum fm_status fm_tensorboard_begin(struct fm_tensorboard *board);
// An epoch, by its line of log.jsonl.
enum fm_status fm_tensorboard_epoch(
    struct fm_tensorboard *board, const json_t *line, double images_per_second);
// The figures on the test images (the "test" of result.json) and their confusion matrix.
enum fm_status fm_tensorboard_test(struct fm_tensorboard *board, const json_t *test, uint64_t step);

// A finished run that has no event files gets them, from its logs and its result.
enum fm_status fm_tensorboard_of_finished(const char *directory);

#endif
