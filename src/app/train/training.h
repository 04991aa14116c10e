// What the files of app/train/train_job.h share.
//
//   train_job.c      the order of a job: data, training, weights, the test images once, the result
//   train_config.c   what it is, as config.json and data.json hold it, and its folder
//   train_weights.c  what weights of others it begins with, and what becomes of them
//   train_teachers.c  the finished runs that it is taught by
//   train_result.c   what result.json says
#ifndef FM_APP_TRAINING_H
#define FM_APP_TRAINING_H

#include "app/train/features.h"
#include "app/train/tensorboard.h"
#include "app/train/train_job.h"
#include "app/trained.h"
#include "eval/evaluate.h"
#include "net/files/pretrained.h"

// A job under way: what it was given, and what has come of it so far.
struct fm_training {
    const struct fm_engine *engine;
    const struct fm_dataset *dataset;
    const struct fm_split *split;
    const struct fm_job *job;
    const struct fm_job_hooks *hooks; // never NULL
    const char *directory;
    struct fm_net net;
    struct fm_run_config config;
    struct fm_pretrained weights; // of others, that it begins with; zero: there are none
    struct fm_trained *taught_by; // [config.teaching.count], NULL before they are opened
    struct fm_model *model;
    struct fm_train_result trained;
    double feature_seconds;    // of a frozen base: that the features took, in this call
    uint64_t feature_computed; // images and views that were computed; the others were kept
    struct fm_metrics metrics; // on the test images
    struct fm_metrics flipped; // on these and their mirror images, if the recipe wants that
    struct fm_latency latency;
    struct fm_tensorboard board;
    uint64_t memory_peak, memory_free; // struct fm_backend
};

// train_weights.c

// Usage errors of a transfer and the job's recipe: augmentation of a frozen base without views, and
// views of nothing that is augmented.
enum fm_status fm_training_check_transfer(const struct fm_job *job);
// Reads the weights that the job begins with into t->weights, and puts what they were normalised by
// into t->config.data. A job that goes on from a checkpoint that holds them all takes the latter
// from data.json. FM_DATA: the file is not the one that the run began with.
enum fm_status fm_training_open_weights(struct fm_training *t);
// Trains the head on the features of a frozen base; t->model becomes the whole network. `options`
// are those of an ordinary training.
enum fm_status fm_training_train_head(
    struct fm_training *t, const struct fm_train_options *options);

// train_teachers.c

// FM_USAGE: teachers, and a frozen base, whose head sees no images.
enum fm_status fm_training_check_teaching(const struct fm_job *job);
// Opens the runs that the job is taught by. FM_DATA: one was trained on other data, on images that
// are held out here, or is not the one that the run began with.
enum fm_status fm_training_open_teacher_runs(struct fm_training *t);
// Puts them into `options`, which then refer to `teachers`.
void fm_training_take_teachers(const struct fm_training *t,
    struct fm_teacher teachers[FM_TEACHERS_MAX], struct fm_train_options *options);
void fm_training_close_teacher_runs(struct fm_training *t);

// train_result.c. A new reference; NULL where a figure is not finite, or out of memory.
json_t *fm_training_result(const struct fm_training *t);

#endif
