// The network and the images of a measurement. A run brings its recipe, and training steps are made
// up as that has it; initial weights come with a plain step.
#include "app/bench/bench_work.h"

#include "app/data_label.h"
#include "net/init.h"
#include "net/zoo.h"
#include "run/network.h"

#include "philox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CLASSES = 10, // of a model with initial weights, without a data set
    RANDOM_SAMPLES = 4096
};

// ---- the network

static enum fm_status read_recipe(struct fm_bench_work *w)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, w->job->run, "config.json"));
    w->has_recipe = true;
    return fm_recipe_from_json(w->config.recipe, path, &w->recipe);
}

static enum fm_status build_run_net(struct fm_bench_work *w)
{
    FM_TRY(fm_run_read_whole_config(w->job->run, &w->config));
    FM_TRY(read_recipe(w));
    FM_TRY(fm_run_config_net(&w->config, &w->net));
    if (w->recipe.dropout >= 0)
        fm_net_set_dropout(&w->net, (float)w->recipe.dropout);
    return fm_run_set_trained(&w->config.transfer, &w->net);
}

enum fm_status fm_bench_build_net(struct fm_bench_work *w)
{
    const struct fm_bench_job *job = w->job;
    if (job->run)
        return build_run_net(w);
    FM_TRY(fm_zoo_build(job->model, job->dataset ? job->dataset->classes : CLASSES, &w->net));
    if (job->dataset)
        fm_net_set_input_statistics(&w->net, (float)job->split->mean, (float)job->split->deviation);
    else
        fm_net_set_input_statistics(&w->net, 0.5f, 0.288675f); // of bytes drawn evenly
    return FM_OK;
}

static enum fm_status draw_parameters(struct fm_bench_work *w, struct fm_model *model)
{
    enum fm_status status = FM_OK;
    for (int p = 0; p < w->net.param_count && status == FM_OK; p++) {
        const struct fm_param *param = &w->net.params[p];
        float *values = malloc(param->count * sizeof *values);
        if (!values)
            return fm_fail_memory(param->name, param->count * sizeof *values);
        fm_init_param(&w->net, p, FM_INIT_HE_UNIFORM, FM_BENCH_SEED, values);
        status = w->job->engine->api->model_set(
            model, FM_STATE_PARAM, param->name, values, param->count);
        free(values);
    }
    return status;
}

enum fm_status fm_bench_make_model(
    struct fm_bench_work *w, const struct fm_model_options *options, struct fm_model **model)
{
    const struct fm_engine *engine = w->job->engine;
    FM_TRY(engine->api->model_create(engine->device, &w->net, options, model));
    return w->job->run ? fm_run_load_weights(w->job->run, &w->net, engine->api, *model)
                       : draw_parameters(w, *model);
}

// ---- the images

static enum fm_status draw_samples(struct fm_bench_work *w)
{
    const size_t bytes = (size_t)RANDOM_SAMPLES * FM_IMAGE_BYTES;
    w->random = malloc(bytes + RANDOM_SAMPLES);
    if (!w->random)
        return fm_fail_memory("random images", bytes + RANDOM_SAMPLES);
    for (size_t i = 0; i < bytes + RANDOM_SAMPLES; i += 4) {
        const struct fm_draws draws = fm_philox(FM_BENCH_SEED, 0, (uint32_t)(i / 4), 0, 0);
        memcpy(w->random + i, &draws.v[0], 4);
    }
    uint8_t *labels = w->random + bytes;
    for (int i = 0; i < RANDOM_SAMPLES; i++)
        labels[i] = (uint8_t)(labels[i] % w->net.classes);
    w->predicted = (struct fm_samples){RANDOM_SAMPLES, FM_IMAGE_BYTES, w->random, labels};
    w->trained = w->predicted;
    snprintf(w->result->images, sizeof w->result->images, "random");
    return FM_OK;
}

enum fm_status fm_bench_find_samples(struct fm_bench_work *w)
{
    const struct fm_dataset *dataset = w->job->dataset;
    if (!dataset)
        return draw_samples(w);
    if (dataset->classes != w->net.classes)
        return fm_fail(FM_DATA,
            "%s: the data set has %d classes, the run %s was trained on %d: name its data with "
            "--data DIR (it was %s)",
            dataset->directory, dataset->classes, w->job->run, w->net.classes,
            w->config.data.directory);
    w->predicted = dataset->test;
    w->trained = dataset->train;
    fm_data_label(dataset, w->result->images);
    return FM_OK;
}

// ---- options of the two halves

struct fm_timer_options fm_bench_predict_options(const struct fm_bench_work *w, int batch)
{
    return (struct fm_timer_options){.samples = &w->predicted,
        .classes = w->net.classes,
        .batch = batch,
        .mode = FM_MODE_INFER,
        .unfused = w->job->unfused};
}

struct fm_timer_options fm_bench_train_options(const struct fm_bench_work *w, int batch)
{
    struct fm_timer_options options = {.samples = &w->trained,
        .classes = w->net.classes,
        .batch = batch,
        .mode = FM_MODE_TRAIN,
        .unfused = w->job->unfused,
        .resident = w->job->resident,
        .step = {.seed = FM_BENCH_SEED, .learning_rate = 1e-3f}};
    if (!w->has_recipe)
        return options;
    const struct fm_recipe *recipe = &w->recipe;
    options.augment = fm_recipe_augment(recipe);
    options.label_smoothing = (float)recipe->label_smoothing;
    options.mix = fm_recipe_mix(recipe);
    options.step.learning_rate = (float)recipe->learning_rate;
    options.step.weight_decay = (float)recipe->weight_decay;
    options.step.ema_decay = (float)recipe->ema_decay;
    return options;
}

struct fm_model_options fm_bench_model_options(
    const struct fm_bench_work *w, const struct fm_bench_side_result *side, enum fm_mode mode)
{
    struct fm_model_options options = {.precision = side->precision, .emulate = side->emulated};
    if (mode == FM_MODE_INFER) {
        options.optimiser.kind = FM_OPTIMISER_SGD; // never steps
        return options;
    }
    options.optimiser = (struct fm_optimiser_options){
        .kind = FM_OPTIMISER_ADAM, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f};
    if (!w->has_recipe)
        return options;
    const struct fm_recipe *recipe = &w->recipe;
    options.optimiser = (struct fm_optimiser_options){.kind = (enum fm_optimiser)recipe->optimiser,
        .beta1 = (float)recipe->beta1,
        .beta2 = (float)recipe->beta2,
        .epsilon = (float)recipe->epsilon,
        .momentum = (float)recipe->momentum,
        .nesterov = recipe->nesterov};
    options.ema = recipe->ema_decay > 0;
    return options;
}
