// Predictions for callers that bring any number of images: whole batches, and for what is left the
// smallest executor that holds it, so that a single image does not cost as much as a batch.
#include "eval/predictor.h"

#include "eval/softmax.h"

#include <stdlib.h>
#include <string.h>

static enum fm_status build_model(const struct fm_weights *weights,
    const struct fm_predictor_options *asked, struct fm_predictor *p)
{
    const struct fm_model_options options = {.precision = asked->precision,
        .emulate = asked->emulate,
        .optimiser = {.kind = FM_OPTIMISER_SGD}}; // never steps; SGD keeps the fewest moments
    const struct fm_backend *api = p->engine->api;
    FM_TRY(api->model_create(p->engine->device, &p->net, &options, &p->state));
    FM_TRY(fm_weights_apply(weights, &p->net, api, p->state));
    FM_TRY(api->staging_create(p->state, (uint32_t)p->batch, NULL, &p->staging));
    size_t bytes = (size_t)p->batch * (size_t)p->net.classes * sizeof *p->logits;
    p->logits = malloc(bytes);
    return p->logits ? FM_OK : fm_fail_memory("the logits", bytes);
}

static enum fm_status copy_names(const struct fm_weights *weights, struct fm_predictor *p)
{
    memcpy(p->model, weights->model, sizeof p->model);
    p->classes = weights->classes;
    for (int k = 0; k < weights->classes; k++) {
        p->class_names[k] = strdup(weights->class_names[k]);
        if (!p->class_names[k])
            return fm_fail_memory("class names", strlen(weights->class_names[k]) + 1);
    }
    return FM_OK;
}

enum fm_status fm_predictor_open_net(const struct fm_engine *engine,
    const struct fm_weights *weights, const struct fm_net *net,
    const struct fm_predictor_options *options, struct fm_predictor *p)
{
    memset(p, 0, sizeof *p);
    p->engine = engine;
    p->net = *net;
    p->batch = options->batch ? options->batch : FM_PREDICTOR_BATCH;
    enum fm_status status = build_model(weights, options, p);
    if (status == FM_OK)
        status = copy_names(weights, p);
    if (status != FM_OK)
        fm_predictor_close(p);
    return status;
}

enum fm_status fm_predictor_open(const struct fm_engine *engine, const char *path,
    const struct fm_predictor_options *options, struct fm_predictor *p)
{
    struct fm_weights weights;
    struct fm_net net;
    memset(p, 0, sizeof *p);
    FM_TRY(fm_weights_open(path, &weights));
    enum fm_status status = fm_weights_net(&weights, &net);
    if (status == FM_OK)
        status = fm_predictor_open_net(engine, &weights, &net, options, p);
    fm_weights_free(&weights);
    return status;
}

void fm_predictor_close(struct fm_predictor *p)
{
    if (p->engine) {
        const struct fm_backend *api = p->engine->api;
        for (int i = 0; i < FM_PREDICTOR_SIZES_MAX; i++)
            api->executor_destroy(p->executors[i]);
        api->staging_destroy(p->staging);
        api->model_destroy(p->state);
    }
    free(p->logits);
    for (int k = 0; k < FM_CLASSES_MAX; k++)
        free(p->class_names[k]);
    memset(p, 0, sizeof *p);
}

// The executor for up to `count` images: of the next power of two, or of the whole batch.
static enum fm_status executor_for(
    struct fm_predictor *p, size_t count, struct fm_executor **executor)
{
    int size = 1, index = 0;
    for (; (size_t)size < count && size < p->batch; index++)
        size *= 2;
    if (size >= p->batch) {
        size = p->batch;
        index = FM_PREDICTOR_SIZES_MAX - 1;
    }
    if (!p->executors[index]) {
        const struct fm_compile_options options = {.batch = size, .mode = FM_MODE_INFER};
        FM_TRY(p->engine->api->compile(p->state, &options, &p->executors[index]));
    }
    *executor = p->executors[index];
    return FM_OK;
}

// One batch of `count` images, the first of which is image `first` of the call.
static enum fm_status run_batch(struct fm_predictor *p, const uint8_t *images, uint32_t count,
    size_t first, float *probabilities)
{
    const struct fm_backend *api = p->engine->api;
    struct fm_executor *executor;
    FM_TRY(executor_for(p, count, &executor));
    FM_TRY(api->slot_wait(p->staging, 0));
    struct fm_slot *slot = api->staging_slot(p->staging, 0);
    memcpy(slot->records, images, (size_t)count * slot->record_size);
    memset(slot->labels, 0, count);
    memset(slot->ids, 0, count * sizeof *slot->ids);
    *slot->step = (struct fm_step){.count = count};
    FM_TRY(api->predict(executor, p->staging, 0, p->logits));
    for (uint32_t i = 0; i < count; i++) {
        size_t row = (size_t)i * (size_t)p->classes;
        double exact[FM_CLASSES_MAX];
        enum fm_status status = fm_softmax(p->logits + row, p->classes, exact);
        if (status != FM_OK)
            return fm_context(status, "image %zu", first + i);
        for (int k = 0; k < p->classes; k++)
            probabilities[row + (size_t)k] = (float)exact[k];
    }
    return FM_OK;
}

enum fm_status fm_predictor_run(
    struct fm_predictor *p, const uint8_t *images, size_t count, float *probabilities)
{
    for (size_t done = 0; done < count;) {
        size_t left = count - done;
        uint32_t now = (uint32_t)(left < (size_t)p->batch ? left : (size_t)p->batch);
        FM_TRY(run_batch(p, images + done * FM_IMAGE_BYTES, now, done,
            probabilities + done * (size_t)p->classes));
        done += now;
    }
    return FM_OK;
}
