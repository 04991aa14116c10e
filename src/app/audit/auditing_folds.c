// Out-of-sample probabilities: a network for each fold, trained on the others. A fold that is done
// is a file, and one under way a folder with checkpoints, so that a stop loses next to nothing.
#include "app/audit/auditing_parts.h"

#include "base/clock.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "data/folds.h"
#include "eval/predictor.h"
#include "net/safetensors.h"
#include "run/network.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLD_FORMAT "1"
#define PROBABILITIES "probabilities"

enum {
    CHUNK = 2048 // images predicted between two looks at whether to stop
};
static const double checkpoint_seconds = 60;

// A fold under way.
struct fold {
    struct fm_auditing *all;
    int index; // from 0
    char folder[FM_PATH_MAX], file[FM_PATH_MAX];
    uint32_t *ids, count;  // held out
    float *probabilities;  // [count][classes]
    struct fm_split split; // the others
    struct fm_net net;
};

// ---- Training

static enum fm_status on_train(void *context, const struct fm_train_progress *progress)
{
    const struct fold *f = context;
    const struct fm_audit_hooks *hooks = &f->all->options->hooks;
    int folds = f->all->audit->folds;
    enum fm_status status = FM_OK;
    if (progress->epoch_done) { // what a resumed training looks for
        json_t *line = fm_train_epoch_json(progress);
        status = line ? fm_run_log(f->folder, FM_RUN_LOG, line)
                      : fm_fail(FM_NUMERIC, "epoch %d: a figure is not finite", progress->epoch);
        json_decref(line);
    }
    double of_fold = progress->elapsed + progress->remaining;
    if (status == FM_OK && hooks->train)
        hooks->train(hooks->context, f->index + 1, folds, progress,
            progress->remaining + of_fold * (folds - f->index - 1));
    return status;
}

// The folds begin with what the run began with: read when the first is trained, for those that are
// done need it no more.
static enum fm_status read_weights(struct fm_auditing *a)
{
    const struct fm_transfer *transfer = &a->audit->config.transfer;
    struct fm_net net;
    if (transfer->mode == FM_TRANSFER_SCRATCH || a->weights.count > 0)
        return FM_OK;
    FM_TRY(fm_run_config_net(&a->audit->config, &net));
    enum fm_status status = fm_pretrained_read(transfer->weights, &net, &a->weights);
    if (status != FM_OK)
        return fm_context(status, "the weights that the run began with");
    if (strcmp(a->weights.sha256, transfer->sha256) == 0)
        return FM_OK;
    return fm_fail(FM_DATA,
        "%s: is not the file that the run %s began with: its SHA-256 is %s, expected %s",
        transfer->weights, a->audit->run, a->weights.sha256, transfer->sha256);
}

// As the weights were trained that the run began with, or as the fold's images are.
static void choose_statistics(
    const struct fold *f, float mean[FM_CHANNELS_MAX], float deviation[FM_CHANNELS_MAX])
{
    const struct fm_run_config *config = &f->all->audit->config;
    bool begins = config->transfer.mode != FM_TRANSFER_SCRATCH;
    for (int c = 0; c < FM_CHANNELS_MAX; c++) {
        mean[c] = (float)(begins ? config->data.input_mean[c] : f->split.mean);
        deviation[c] = (float)(begins ? config->data.input_deviation[c] : f->split.deviation);
    }
}

static enum fm_status build_net(struct fold *f)
{
    const struct fm_audit *audit = f->all->audit;
    const struct fm_run_config *config = &audit->config;
    float mean[FM_CHANNELS_MAX], deviation[FM_CHANNELS_MAX];
    if (!(f->split.deviation > 0))
        return fm_fail(FM_DATA, "fold %d: the images trained on are all of one grey", f->index + 1);
    choose_statistics(f, mean, deviation);
    FM_TRY(fm_run_build_net(
        config->model, audit->classes, config->input_size, mean, deviation, &f->net));
    if (audit->recipe.dropout >= 0)
        fm_net_set_dropout(&f->net, (float)audit->recipe.dropout);
    return fm_run_set_trained(&config->transfer, &f->net);
}

// Leaves the weights in the fold's folder, where the predictor reads them.
static enum fm_status train(struct fold *f)
{
    const struct fm_audit *audit = f->all->audit;
    const struct fm_engine *engine = f->all->engine;
    struct fm_samples samples = audit->dataset->train;
    samples.labels = audit->labels;
    FM_TRY(read_weights(f->all));
    // No teachers: those of the run may have seen the labels that the fold holds out.
    const struct fm_train_options options = {
        .recipe = &audit->recipe,
        .seed = audit->seed,
        .precision = audit->precision,
        .emulate = audit->emulated,
        .initial = f->all->weights.tensors,
        .initial_count = f->all->weights.count,
        .directory = f->folder,
        .checkpoint_seconds = checkpoint_seconds,
        .interrupted = f->all->options->interrupted,
        .progress = on_train,
        .context = f,
    };
    struct fm_model *model = NULL;
    struct fm_train_result result;
    FM_TRY(fm_folds_split(&samples, audit->fold, f->index, &f->split));
    FM_TRY(build_net(f));
    FM_TRY(fm_make_dirs(f->folder));
    FM_TRY(fm_run_sweep(f->folder));
    FM_TRY(fm_train(engine, &f->net, &samples, &f->split, &options, &model, &result));
    enum fm_status status = fm_run_save_weights(
        f->folder, &f->net, audit->dataset->class_names, FM_WEIGHTS_ALL, engine->api, model);
    engine->api->model_destroy(model);
    f->all->audit->train_seconds += result.total_seconds;
    return status;
}

// ---- Predicting

static enum fm_status predict_with(struct fold *f, struct fm_predictor *predictor)
{
    const struct fm_audit *audit = f->all->audit;
    const uint8_t *records = audit->dataset->train.records;
    size_t classes = (size_t)audit->classes;
    uint8_t *images = malloc((size_t)CHUNK * FM_IMAGE_BYTES);
    if (!images)
        return fm_fail_memory("images of a fold", (size_t)CHUNK * FM_IMAGE_BYTES);
    enum fm_status status = FM_OK;
    for (uint32_t done = 0; done < f->count && status == FM_OK;) {
        uint32_t now = f->count - done < CHUNK ? f->count - done : CHUNK;
        for (uint32_t k = 0; k < now; k++)
            memcpy(images + (size_t)k * FM_IMAGE_BYTES,
                records + (size_t)f->ids[done + k] * FM_IMAGE_BYTES, FM_IMAGE_BYTES);
        status = fm_predictor_run(predictor, images, now, f->probabilities + done * classes);
        done += now;
        if (status == FM_OK)
            status = fm_audit_check_interrupt(f->all->options, "predicting a fold");
    }
    free(images);
    return status;
}

static enum fm_status predict(struct fold *f)
{
    const struct fm_audit *audit = f->all->audit;
    char weights[FM_PATH_MAX];
    struct fm_predictor predictor;
    const struct fm_predictor_options options = {
        .precision = audit->precision, .emulate = audit->emulated};
    FM_TRY(fm_path_join(weights, f->folder, FM_WEIGHTS_FILE));
    FM_TRY(fm_predictor_open(f->all->engine, weights, &options, &predictor));
    enum fm_status status = predict_with(f, &predictor);
    fm_predictor_close(&predictor);
    return status;
}

// ---- Keeping

static enum fm_status write_fold(const struct fold *f)
{
    char number[16];
    int classes = f->all->audit->classes;
    snprintf(number, sizeof number, "%d", f->index + 1);
    struct fm_tensor tensor = {.name = PROBABILITIES,
        .ndims = 2,
        .dims = {f->count, classes},
        .count = (size_t)f->count * (size_t)classes,
        .data = f->probabilities};
    const char *const metadata[] = {"fmnist_audit", FOLD_FORMAT, "fold", number, NULL};
    return fm_safetensors_write(f->file, &tensor, 1, metadata);
}

static enum fm_status take_tensor(struct fold *f, const struct fm_tensor_file *file)
{
    const char *format = fm_safetensors_metadata(file, "fmnist_audit");
    const struct fm_tensor *tensor = fm_safetensors_find(file, PROBABILITIES);
    int classes = f->all->audit->classes;
    if (!format || strcmp(format, FOLD_FORMAT) != 0 || !tensor || tensor->ndims != 2 ||
        tensor->dims[0] != (int64_t)f->count || tensor->dims[1] != classes)
        return fm_fail(FM_DATA,
            "%s: expected \"" PROBABILITIES "\" of [%u, %d] and the metadata \"fmnist_audit\" "
            "\"" FOLD_FORMAT "\": remove the file, and its fold is predicted again",
            f->file, (unsigned)f->count, classes);
    memcpy(f->probabilities, tensor->data, tensor->count * sizeof *tensor->data);
    return FM_OK;
}

static enum fm_status read_fold(struct fold *f)
{
    struct fm_tensor_file file;
    FM_TRY(fm_safetensors_read(f->file, &file));
    enum fm_status status = take_tensor(f, &file);
    fm_safetensors_free(&file);
    return status;
}

// ---- All folds

static enum fm_status open_fold(struct fm_auditing *a, int index, struct fold *f)
{
    const struct fm_audit *audit = a->audit;
    *f = (struct fold){.all = a, .index = index};
    FM_TRY(fm_audit_fold_folder(audit, index, f->folder));
    FM_TRY(fm_audit_fold_path(audit, index, f->file));
    size_t held = 0, classes = (size_t)audit->classes;
    for (uint32_t i = 0; i < audit->count; i++)
        held += audit->fold[i] == index;
    f->ids = malloc((held ? held : 1) * sizeof *f->ids);
    f->probabilities = malloc((held ? held : 1) * classes * sizeof *f->probabilities);
    if (!f->ids || !f->probabilities)
        return fm_fail_memory("a fold", held * classes * sizeof *f->probabilities);
    for (uint32_t i = 0; i < audit->count; i++)
        if (audit->fold[i] == index)
            f->ids[f->count++] = i;
    return FM_OK;
}

static void close_fold(struct fold *f)
{
    fm_split_free(&f->split);
    free(f->probabilities);
    free(f->ids);
}

static enum fm_status compute_fold(struct fold *f)
{
    FM_TRY(train(f));
    FM_TRY(predict(f));
    FM_TRY(write_fold(f));
    return fm_run_remove(f->folder); // nothing more is to be gone on with
}

static enum fm_status do_fold(struct fold *f)
{
    struct fm_audit *audit = f->all->audit;
    size_t classes = (size_t)audit->classes;
    if (fm_path_exists(f->file)) {
        FM_TRY(read_fold(f));
        fm_note("fold %d/%d: taken from %s", f->index + 1, audit->folds, f->file);
        audit->folds_reused++;
    } else {
        FM_TRY(compute_fold(f));
    }
    for (uint32_t k = 0; k < f->count; k++)
        memcpy(audit->probabilities + f->ids[k] * classes, f->probabilities + k * classes,
            classes * sizeof *f->probabilities);
    return FM_OK;
}

enum fm_status fm_audit_predict(struct fm_auditing *a)
{
    for (int index = 0; index < a->audit->folds; index++) {
        struct fold f;
        enum fm_status status = open_fold(a, index, &f);
        if (status == FM_OK)
            status = do_fold(&f);
        close_fold(&f);
        if (status != FM_OK)
            return fm_context(status, "fold %d of %d", index + 1, a->audit->folds);
    }
    return FM_OK;
}
