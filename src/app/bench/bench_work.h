// What the files of a measurement (app/bench/bench_job.h) share: the network, its models and the
// images, made as training and evaluation make them, so that what is measured is what they do.
#ifndef FM_APP_BENCH_WORK_H
#define FM_APP_BENCH_WORK_H

#include "app/bench/bench_job.h"
#include "train/recipe.h"

enum {
    FM_BENCH_SEED = 1
};

struct fm_bench_work {
    const struct fm_bench_job *job;
    struct fm_bench_result *result;
    struct fm_run_config config; // of the run
    struct fm_net net;
    bool has_recipe;
    struct fm_recipe recipe; // the run's
    struct fm_samples predicted, trained;
    uint8_t *random; // what the samples are where there is no data set
    struct fm_model *models[FM_BENCH_VERSUS_MAX + 1];
    int places[FM_BENCH_VERSUS_MAX + 1]; // of the sides measured, among the result's
    int measured;
    struct fm_bench_figure figures[FM_BENCH_VERSUS_MAX + 1];
    int done, total; // figures, for progress
};

// Reads the run's configuration and recipe, where there is a run;
// fm_run_config_free(&work->config).
enum fm_status fm_bench_build_net(struct fm_bench_work *work);
// A model of it, with the run's weights or initial ones.
enum fm_status fm_bench_make_model(
    struct fm_bench_work *work, const struct fm_model_options *options, struct fm_model **model);
// The data set's test and training images, or random ones; free(work->random).
enum fm_status fm_bench_find_samples(struct fm_bench_work *work);

// What the base's predictions and training steps are measured with, and what a model is made with
// for either.
struct fm_timer_options fm_bench_predict_options(const struct fm_bench_work *work, int batch);
struct fm_timer_options fm_bench_train_options(const struct fm_bench_work *work, int batch);
struct fm_model_options fm_bench_model_options(
    const struct fm_bench_work *work, const struct fm_bench_side_result *side, enum fm_mode mode);

#endif
