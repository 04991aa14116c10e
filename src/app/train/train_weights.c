// Weights of others that a job begins with. A frozen base and its head are trained apart: the
// base's features are computed once (features.h), the head is a network of its own on them, and at
// the end both are one model again, as if they had never been two.
#include "app/train/training.h"

#include "base/log.h"
#include "net/zoo.h"
#include "run/checkpoint.h"
#include "run/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool augments(const struct fm_recipe *recipe)
{
    const struct fm_augment augment = fm_recipe_augment(recipe);
    return fm_augment_any(&augment);
}

enum fm_status fm_training_check_transfer(const struct fm_job *job)
{
    const struct fm_transfer *transfer = &job->transfer;
    if (transfer->mode == FM_TRANSFER_SCRATCH)
        return FM_OK;
    if (strcmp(job->model, FM_TRANSFER_MODEL) != 0)
        return fm_fail(
            FM_USAGE, "--weights is for model '" FM_TRANSFER_MODEL "', not for '%s'", job->model);
    if (transfer->mode != FM_TRANSFER_FROZEN)
        return FM_OK;
    if (augments(&job->recipe) && transfer->feature_views == 0)
        return fm_fail(FM_USAGE,
            "recipe '%s' augments images, and the features of a frozen base are computed once: "
            "--feature-views K computes those of K augmented views of each, --shift 0 --flip false "
            "--erase 0 leaves the images as they are",
            job->recipe.name);
    if (!augments(&job->recipe) && transfer->feature_views > 0)
        return fm_fail(FM_USAGE,
            "--feature-views %d: recipe '%s' augments nothing, so that all views would be the "
            "same: "
            "--shift N, --flip true or --erase P does",
            transfer->feature_views, job->recipe.name);
    if (job->recipe.mix > 0 && job->recipe.mix_cut > 0)
        return fm_fail(FM_USAGE,
            "mix_cut is %g: rectangles of images would be mixed (CutMix), but the head of a frozen "
            "base sees features, not pixels: --mix-cut 0 averages these",
            job->recipe.mix_cut);
    return FM_OK;
}

// ---- The file

static enum fm_status read_file(const char *path, int classes, struct fm_pretrained *weights)
{
    struct fm_net net;
    FM_TRY(fm_zoo_build(FM_TRANSFER_MODEL, classes, &net));
    return fm_pretrained_read(path, &net, weights);
}

static void identify(const struct fm_pretrained *weights, struct fm_transfer *transfer)
{
    snprintf(transfer->sha256, sizeof transfer->sha256, "%s", weights->sha256);
    snprintf(transfer->source, sizeof transfer->source, "%s",
        fm_pretrained_source_names[weights->source]);
    snprintf(transfer->trained_on, sizeof transfer->trained_on, "%s", weights->trained_on);
    snprintf(transfer->known, sizeof transfer->known, "%s", weights->known);
}

// What a file of this project's may have been trained on: a base would tell of images that are held
// out here. `full`: none are.
static enum fm_status check_images(const struct fm_pretrained *weights, bool full)
{
    if (weights->source != FM_PRETRAINED_FMNIST || full)
        return FM_OK;
    if (strcmp(weights->trained_on, FM_WEIGHTS_ALL) == 0)
        return fm_fail(FM_DATA,
            "%s: these weights were trained with --full, on images that are held out here: take "
            "those of a run without, or train with --full, too",
            weights->path);
    if (weights->trained_on[0] == '\0')
        fm_warn("%s: does not say what it was trained on: it may know images that are held out "
                "here, and figures on them be too good",
            weights->path);
    return FM_OK;
}

enum fm_status fm_job_identify(struct fm_transfer *transfer, bool full)
{
    enum {
        ANY_CLASSES = 10 // the base does not depend on them
    };
    struct fm_pretrained weights;
    if (transfer->mode == FM_TRANSFER_SCRATCH || transfer->sha256[0])
        return FM_OK;
    FM_TRY(read_file(transfer->weights, ANY_CLASSES, &weights));
    identify(&weights, transfer);
    enum fm_status status = check_images(&weights, full);
    fm_pretrained_free(&weights);
    return status;
}

// What the run in the folder was normalised by when it began.
static enum fm_status statistics_of_run(struct fm_training *t)
{
    struct fm_run_config before;
    FM_TRY(fm_run_read_whole_config(t->directory, &before));
    for (int c = 0; c < FM_CHANNELS_MAX; c++) {
        t->config.data.input_mean[c] = before.data.input_mean[c];
        t->config.data.input_deviation[c] = before.data.input_deviation[c];
    }
    fm_run_config_free(&before);
    return FM_OK;
}

enum fm_status fm_training_open_weights(struct fm_training *t)
{
    struct fm_transfer *transfer = &t->config.transfer;
    if (transfer->mode == FM_TRANSFER_SCRATCH)
        return FM_OK;
    if (transfer->mode == FM_TRANSFER_FINETUNE && fm_checkpoint_exists(t->directory))
        return statistics_of_run(t);
    enum fm_status status = read_file(transfer->weights, t->dataset->classes, &t->weights);
    if (status != FM_OK && !fm_path_exists(transfer->weights))
        return fm_context(status,
            "the run began with weights of SHA-256 %.16s..., and --weights FILE names where they "
            "are now",
            transfer->sha256);
    FM_TRY(status);
    if (strcmp(t->weights.sha256, transfer->sha256) != 0)
        return fm_fail(FM_DATA,
            "%s: its SHA-256 is %.16s..., the run began with weights of %.16s...: --weights FILE "
            "names where they are now",
            transfer->weights, t->weights.sha256, transfer->sha256);
    for (int c = 0; c < FM_CHANNELS_MAX; c++) {
        t->config.data.input_mean[c] = t->weights.mean[c];
        t->config.data.input_deviation[c] = t->weights.deviation[c];
    }
    return FM_OK;
}

// ---- A frozen base

static void on_features(void *context, const struct fm_features_progress *progress)
{
    const struct fm_training *t = context;
    if (t->hooks->features)
        t->hooks->features(t->hooks->context, progress);
}

static enum fm_status open_features(
    struct fm_training *t, const struct fm_net *base, struct fm_features *features)
{
    const struct fm_features_options options = {
        .engine = t->engine,
        .base = base,
        .weights = t->weights.tensors,
        .weight_count = t->weights.count,
        .precision = t->job->precision,
        .emulate = t->job->emulate,
        .images = &t->dataset->train,
        .views = (uint32_t)t->config.transfer.feature_views,
        .augment = fm_recipe_augment(&t->job->recipe),
        .seed = t->job->seed,
        .weights_sha256 = t->weights.sha256,
        .crc32 = t->config.data.crc32,
        .cache = t->job->feature_cache,
        .interrupted = t->job->interrupted,
        .progress = on_features,
        .context = t,
    };
    FM_TRY(fm_features_open(&options, features));
    t->feature_seconds = features->seconds;
    t->feature_computed = features->computed;
    return FM_OK;
}

// The values of a parameter of the whole network: the file's, or the head's trained ones.
static enum fm_status value_of(
    const struct fm_training *t, struct fm_model *head, const struct fm_param *param, float *values)
{
    for (int i = 0; i < t->weights.count; i++) {
        const struct fm_tensor *tensor = &t->weights.tensors[i];
        if (strcmp(tensor->name, param->name) == 0) {
            memcpy(values, tensor->data, param->count * sizeof *values);
            return FM_OK;
        }
    }
    return t->engine->api->model_get(head, FM_STATE_PARAM, param->name, values, param->count);
}

static enum fm_status fill_whole(
    const struct fm_training *t, struct fm_model *head, struct fm_model *whole)
{
    enum fm_status status = FM_OK;
    for (int i = 0; status == FM_OK && i < t->net.param_count; i++) {
        const struct fm_param *param = &t->net.params[i];
        float *values = malloc(param->count * sizeof *values);
        if (!values)
            return fm_fail_memory(param->name, param->count * sizeof *values);
        status = value_of(t, head, param, values);
        if (status == FM_OK)
            status = t->engine->api->model_set(
                whole, FM_STATE_PARAM, param->name, values, param->count);
        free(values);
    }
    return status;
}

// Base and head as one model, which is tested and saved like any other. It is not trained any more.
static enum fm_status join(struct fm_training *t, struct fm_model *head)
{
    const struct fm_model_options options = {.precision = t->job->precision,
        .emulate = t->job->emulate,
        .optimiser = {.kind = FM_OPTIMISER_SGD}}; // keeps the fewest moments
    FM_TRY(t->engine->api->model_create(t->engine->device, &t->net, &options, &t->model));
    return fill_whole(t, head, t->model); // on failure the job destroys it
}

enum fm_status fm_training_train_head(struct fm_training *t, const struct fm_train_options *options)
{
    struct fm_net base, head;
    struct fm_features features;
    struct fm_model *model = NULL;
    struct fm_recipe recipe =
        t->job->recipe; // whose augmentation is in the views already; features are mixed
    struct fm_train_options of_head = *options;
    int layers = fm_run_base_layers(&t->net);
    FM_TRY(fm_net_base(&t->net, layers, &base));
    FM_TRY(fm_net_head(&t->net, layers, &head));
    FM_TRY(open_features(t, &base, &features));
    recipe.shift = 0;
    recipe.flip = false;
    recipe.erase = 0;
    of_head.recipe = &recipe;
    of_head.initial = NULL; // the file's are the base's
    of_head.initial_count = 0;
    of_head.views = (uint32_t)t->config.transfer.feature_views;
    enum fm_status status = fm_train(
        t->engine, &head, &features.samples, t->split, &of_head, &model, &t->trained);
    fm_features_free(&features);
    if (status == FM_OK)
        status = join(t, model);
    t->engine->api->model_destroy(model);
    return status;
}
