// See parity.h: two backends opened on one net, their state in and out, batches and steps.
#include "parity/parity.h"

#include "backend/precision.h"
#include "net/init.h"
#include "net/zoo.h"
#include "philox.h"
#include "scratch.h"
#include "simcuda.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CLASSES = 10,
    STREAM_STATE = 3000,
    STREAM_SOFT = 3001,
    APPLIED = 5 // steps that an initial state has behind it
};

bool parity_long;
static const char *backend = "cuda", *modules;
static struct fm_dataset data;
// Plans are kept from test to test: choosing them takes longer than a step.
static char plans[SCRATCH_PATH_MAX];

void parity_must_(enum fm_status status, const char *call)
{
    if (status != FM_OK)
        fail_msg("%s: %s: %s", call, fm_status_text(status), fm_error_message());
}

void *parity_allocate(size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size);
    assert_non_null(memory);
    return memory;
}

// ---- the command line and the data

void parity_arguments(int argc, char **argv)
{
    parity_long = argc > 1 && strcmp(argv[1], "--long") == 0;
    int next = parity_long ? 2 : 1;
    if (argc > next + 1 && strcmp(argv[next], "--only") == 0) {
        cmocka_set_test_filter(argv[next + 1]);
        next += 2;
    }
    backend = argc > next ? argv[next] : backend;
    modules = argc > next + 1 ? argv[next + 1] : NULL;
}

int parity_begin(void **state)
{
    (void)state;
    const char *kept = getenv("FM_PARITY_PLANS");
    if (kept)
        snprintf(plans, sizeof plans, "%s", kept);
    else
        scratch_make(plans, "parity");
    if (fm_dataset_open(FM_TEST_SOURCE_DIR "/data/tiny", &data) == FM_OK)
        return 0;
    fprintf(stderr, "%s\n", fm_error_message());
    return -1;
}

int parity_end(void **state)
{
    (void)state;
    fm_dataset_close(&data);
    if (!getenv("FM_PARITY_PLANS"))
        scratch_remove(plans);
    return 0;
}

// ---- state

static const enum fm_state_kind kinds[PARITY_RANGES] = {
    [PARITY_PARAM] = FM_STATE_PARAM,
    [PARITY_MOMENT1] = FM_STATE_MOMENT1,
    [PARITY_MOMENT2] = FM_STATE_MOMENT2,
    [PARITY_AVERAGE] = FM_STATE_EMA,
    [PARITY_AVERAGE_RUNNING] = FM_STATE_EMA,
    [PARITY_RUNNING] = FM_STATE_RUNNING,
    [PARITY_GRADIENT] = FM_STATE_GRAD,
};

static bool is_running(enum parity_range range)
{
    return range == PARITY_RUNNING || range == PARITY_AVERAGE_RUNNING;
}

int parity_tensors(const struct fm_net *net, enum parity_range range)
{
    return is_running(range) ? net->running_count : net->param_count;
}

struct parity_tensor parity_tensor(const struct fm_net *net, enum parity_range range, int index)
{
    const struct fm_running *r = &net->running[index];
    if (is_running(range))
        return (struct parity_tensor){r->name, r->offset, r->count};
    const struct fm_param *p = &net->params[index];
    return (struct parity_tensor){p->name, p->offset, p->count};
}

static struct parity_state *empty_state(const struct fm_net *net)
{
    struct parity_state *state = parity_allocate(1, sizeof *state);
    state->net = net;
    for (int r = 0; r < PARITY_RANGES; r++)
        state->range[r] = parity_allocate(
            is_running(r) ? net->running_elements : net->param_elements, sizeof(float));
    return state;
}

void parity_free(struct parity_state *state)
{
    for (int r = 0; r < PARITY_RANGES; r++)
        free(state->range[r]);
    free(state);
}

static float uniform(enum parity_range range, int tensor, size_t element, float low, float high)
{
    uint32_t draw = fm_draw(1, (uint32_t)range, (uint32_t)tensor, STREAM_STATE, (uint32_t)element);
    return low + (high - low) * fm_draw_unit(draw);
}

// Most ReLUs are far from where they open, on either side: one that opens on one backend alone, for
// a last bit, changes all gradients in front of it. Few bits, so that bf16 holds the same.
static float draw_offset(int tensor, size_t element)
{
    float size = 2.0f - (float)(int)uniform(PARITY_PARAM, tensor, element, 0.0f, 8.0f) / 16.0f;
    return uniform(PARITY_GRADIENT, tensor, element, -1.0f, 1.0f) < 0.0f ? -size : size;
}

static void draw_param(struct parity_state *state, int index)
{
    const struct fm_param *p = &state->net->params[index];
    float *param = state->range[PARITY_PARAM] + p->offset;
    fm_init_param(state->net, index, FM_INIT_HE_UNIFORM, 4, param);
    for (size_t i = 0; i < p->count; i++) {
        if (p->kind == FM_PARAM_SCALE)
            param[i] += uniform(PARITY_PARAM, index, i, -0.1f, 0.1f);
        if (p->kind == FM_PARAM_SHIFT || p->kind == FM_PARAM_BIAS)
            param[i] = draw_offset(index, i);
        state->range[PARITY_MOMENT1][p->offset + i] = uniform(
            PARITY_MOMENT1, index, i, 1e-4f, 1e-3f);
        state->range[PARITY_MOMENT2][p->offset + i] = uniform(
            PARITY_MOMENT2, index, i, 5e-6f, 1.5e-5f);
        state->range[PARITY_AVERAGE][p->offset + i] = 0.9f * param[i];
    }
}

// Moments as large as the gradient of their tensor, so that a step neither drowns it nor is a
// matter of its signs alone.
static void draw_moments(struct parity_state *state, const struct parity_state *after)
{
    for (int p = 0; p < state->net->param_count; p++) {
        const struct parity_tensor t = parity_tensor(state->net, PARITY_GRADIENT, p);
        const float *gradient = after->range[PARITY_GRADIENT] + t.offset;
        double squares = 0.0;
        for (size_t i = 0; i < t.count; i++)
            squares += (double)gradient[i] * (double)gradient[i] / (double)t.count;
        float mean = (float)squares, size = sqrtf(mean);
        for (size_t i = 0; i < t.count; i++) {
            size_t at = t.offset + i;
            state->range[PARITY_MOMENT1][at] = size * uniform(PARITY_MOMENT1, p, i, 0.1f, 1.0f);
            if (state->range[PARITY_MOMENT2][at] > 0.0f)
                state->range[PARITY_MOMENT2][at] = mean * uniform(PARITY_MOMENT2, p, i, 0.5f, 1.5f);
        }
    }
}

static void draw_running(struct parity_state *state, int index)
{
    const struct fm_running *r = &state->net->running[index];
    for (size_t i = 0; i < r->count; i++) {
        float value = r->initial + uniform(PARITY_RUNNING, index, i, -0.1f, 0.1f);
        state->range[PARITY_RUNNING][r->offset + i] = value;
        state->range[PARITY_AVERAGE_RUNNING][r->offset + i] = 1.1f * value;
    }
}

static struct parity_state *draw_state(const struct parity *p)
{
    struct parity_state *state = empty_state(&p->net);
    for (int i = 0; i < p->net.param_count; i++)
        draw_param(state, i);
    for (int i = 0; i < p->net.running_count; i++)
        draw_running(state, i);
    if (p->what.optimiser == FM_OPTIMISER_SGD)
        memset(state->range[PARITY_MOMENT2], 0, p->net.param_elements * sizeof(float));
    state->counters = (struct fm_counters){.applied = APPLIED,
        .good_steps = APPLIED,
        // Small enough for no step to overflow, great enough for little to vanish.
        .loss_scale = p->what.precision == FM_PRECISION_FP16 ? 1024.0f : 1.0f};
    return state;
}

struct parity_state *parity_copy(const struct parity_state *state)
{
    struct parity_state *copy = empty_state(state->net);
    for (int r = 0; r < PARITY_RANGES; r++)
        memcpy(copy->range[r], state->range[r],
            (is_running(r) ? state->net->running_elements : state->net->param_elements) *
                sizeof(float));
    copy->counters = state->counters;
    copy->sums = state->sums;
    return copy;
}

// Whether the model on `side` has it: SGD's has no second moment.
static bool has_range(const struct parity_side *side, enum parity_range range)
{
    if (range != PARITY_MOMENT2)
        return true;
    const struct parity_tensor tensor = parity_tensor(side->net, range, 0);
    float *probe = parity_allocate(tensor.count, sizeof *probe);
    enum fm_status status = side->api->model_get(
        side->model, kinds[range], tensor.name, probe, tensor.count);
    free(probe);
    if (status == FM_NOT_FOUND)
        fm_error_clear();
    else
        parity_must_(status, "model_get of a second moment");
    return status == FM_OK;
}

struct parity_state *parity_get(const struct parity_side *side)
{
    struct parity_state *state = empty_state(side->net);
    for (int r = 0; r < PARITY_RANGES; r++)
        for (int i = 0; has_range(side, r) && i < parity_tensors(side->net, r); i++) {
            const struct parity_tensor tensor = parity_tensor(side->net, r, i);
            parity_must(side->api->model_get(
                side->model, kinds[r], tensor.name, state->range[r] + tensor.offset, tensor.count));
        }
    parity_must(side->api->counters_get(side->model, &state->counters));
    parity_must(side->api->sums_get(side->model, true, &state->sums));
    return state;
}

void parity_set(const struct parity_side *side, const struct parity_state *state)
{
    for (int r = 0; r < PARITY_KEPT; r++)
        for (int i = 0; has_range(side, r) && i < parity_tensors(side->net, r); i++) {
            const struct parity_tensor tensor = parity_tensor(side->net, r, i);
            parity_must(side->api->model_set(
                side->model, kinds[r], tensor.name, state->range[r] + tensor.offset, tensor.count));
        }
    parity_must(side->api->counters_set(side->model, &state->counters));
    parity_must(side->api->sums_set(side->model, &state->sums));
}

// ---- steps

struct parity_batch parity_batch(uint32_t first, int count, uint32_t step)
{
    return (struct parity_batch){first, (uint32_t)count,
        {.seed = 17,
            .epoch = 1 + step / 4,
            .learning_rate = 1e-3f / (float)(1 + step % 3), // so that a stale one is seen
            .weight_decay = 2.0f,
            .ema_decay = 0.9f}};
}

uint32_t parity_samples(void)
{
    return data.train.count;
}

// In no order of the data's: 331 is coprime with their number.
uint32_t parity_sample(uint32_t place)
{
    return place * 331 % data.train.count;
}

// A teacher's answer to a sample, another in each epoch, and as sure as one mostly is: gradients to
// even targets are small, and mostly rounding.
static void draw_soft_targets(const struct parity_batch *batch, uint32_t id, float out[CLASSES])
{
    float sum = 0.0f;
    for (int k = 0; k < CLASSES; k++) {
        uint32_t draw = fm_draw(batch->step.seed, batch->step.epoch, id, STREAM_SOFT, (uint32_t)k);
        out[k] = powf((float)(1 + fm_draw_below(draw, 100)), 4.0f);
        sum += out[k];
    }
    for (int k = 0; k < CLASSES; k++)
        out[k] /= sum;
}

void parity_fill(const struct parity_side *side, int index, const struct parity_batch *batch)
{
    struct fm_slot *slot = side->api->staging_slot(side->staging, index);
    parity_must(side->api->slot_wait(side->staging, index));
    assert_true(batch->count <= slot->capacity);
    for (uint32_t i = 0; i < batch->count; i++) {
        uint32_t id = parity_sample(batch->first + i);
        slot->ids[i] = id;
        if (slot->soft_targets) // not of a network that ends in features
            draw_soft_targets(batch, id, slot->soft_targets + (size_t)i * CLASSES);
        if (!slot->records)
            continue; // the device keeps the data
        memcpy(slot->records + (size_t)i * slot->record_size,
            side->records + (size_t)id * slot->record_size, slot->record_size);
        slot->labels[i] = data.train.labels[id];
    }
    *slot->step = batch->step;
    slot->step->count = batch->count;
}

struct fm_executor *parity_compile(
    const struct parity_side *side, const struct fm_compile_options *options)
{
    struct fm_executor *executor = NULL;
    parity_must(side->api->compile(side->model, options, &executor));
    return executor;
}

struct fm_compile_options parity_training(int batch)
{
    return (struct fm_compile_options){.batch = batch,
        .mode = FM_MODE_TRAIN,
        .augment = {.shift = 2, .flip = true, .erase = 0.5f, .erase_size = 8},
        .label_smoothing = 0.1f,
        .mix = {.share = 0.5f}};
}

struct fm_compile_options parity_training_of(const struct parity *p)
{
    struct fm_compile_options options = parity_training(p->what.batch);
    options.soft_share = p->what.soft_share;
    options.mix.cut_share = p->what.mix_cut;
    if (p->net.input.features > 0)
        options.augment = (struct fm_augment){0};
    return options;
}

void parity_submit(const struct parity_side *side, struct fm_executor *executor, int slot,
    const struct parity_batch *batch)
{
    parity_fill(side, slot, batch);
    parity_must(side->api->submit(executor, side->staging, slot));
}

struct fm_sums parity_sums(const struct parity_side *side)
{
    struct fm_sums sums;
    parity_must(side->api->sums_get(side->model, true, &sums));
    return sums;
}

// ---- opening and closing

static void open_engine(struct fm_engine *engine, const char *name, const char *folder, int threads)
{
    char path[FM_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", FM_TEST_BINARY_DIR, folder);
    fm_module_set_directory(modules ? modules : path);
    const struct fm_device_options options = {.threads = threads, .plan_cache = plans};
    parity_must(fm_engine_open(name, &options, engine));
}

static void create_model(const struct parity *p, struct parity_side *side)
{
    const struct parity_case *what = &p->what;
    bool native = side->tested && side->engine.info.precisions[what->precision];
    struct fm_model_options options = {.precision = what->precision,
        // The reference rounds what the other stores, but sums in fp32 whatever the processor has.
        .emulate = what->precision != FM_PRECISION_FP32 && !native,
        .ema = true,
        .optimiser = {.kind = what->optimiser,
            // Gradients must weigh in the second moment, too.
            .beta1 = 0.8f,
            .beta2 = 0.9f,
            .epsilon = 1e-8f,
            .momentum = 0.9f,
            .nesterov = true}};
    side->api = side->engine.api;
    side->net = &p->net;
    side->records = what->records ? what->records : data.train.records;
    const struct fm_resident all = {side->records, data.train.labels, data.train.count,
        (uint32_t)fm_input_record_size(&p->net.input)};
    parity_must(side->api->model_create(side->engine.device, &p->net, &options, &side->model));
    parity_must(side->api->staging_create(side->model, (uint32_t)what->batch,
        side->tested && what->resident ? &all : NULL, &side->staging));
}

static void open_side(struct parity *p, struct parity_side *side)
{
    if (side->tested) // two threads where both are the CPU's: sums in another order
        open_engine(
            &side->engine, backend, strcmp(backend, "cpu") ? "tests/modules-sim" : "modules", 2);
    else
        open_engine(&side->engine, "cpu", "modules", 1);
    create_model(p, side);
}

// Gives both sides the moments that suit the gradients of the reference's first step.
static void settle_moments(struct parity *p)
{
    const struct fm_compile_options options = parity_training_of(p);
    const struct parity_batch samples = parity_batch(0, p->what.batch, 0);
    struct fm_executor *executor = parity_compile(&p->reference, &options);
    parity_set(&p->reference, p->begin);
    parity_submit(&p->reference, executor, 0, &samples);
    struct parity_state *after = parity_get(&p->reference);
    draw_moments(p->begin, after);
    parity_free(after);
    p->reference.api->executor_destroy(executor);
}

// ---- the network

static int find_layer(const struct fm_net *net, const char *name)
{
    int layer = 0;
    while (layer < net->layer_count && strcmp(net->layers[layer].name, name) != 0)
        layer++;
    assert_int_not_equal(layer, net->layer_count);
    return layer;
}

static void set_training(struct fm_net *net, const struct parity_case *what)
{
    int first = what->trained_from ? fm_net_find_param(net, what->trained_from) : 0;
    assert_int_not_equal(first, -1);
    for (int i = 0; i < first; i++)
        net->params[i].trainable = false;
    int end = what->base_rate > 0.0f ? find_layer(net, what->cut) : -1;
    for (int l = 0; l <= end; l++) {
        if (net->layers[l].weight >= 0)
            net->params[net->layers[l].weight].lr_multiplier = what->base_rate;
        if (net->layers[l].bias >= 0)
            net->params[net->layers[l].bias].lr_multiplier = what->base_rate;
    }
}

static void build_net(struct parity *p)
{
    const struct parity_case *what = &p->what;
    struct fm_net whole;
    parity_must(fm_zoo_build(what->model, CLASSES, &whole));
    fm_net_set_input_statistics(&whole, 0.286f, 0.353f); // Fashion-MNIST's
    if (what->input_size > 0)
        parity_must(fm_net_set_input_size(&whole, what->input_size));
    set_training(&whole, what);
    p->net = whole;
    if (what->part == PARITY_BASE)
        parity_must(fm_net_base(&whole, find_layer(&whole, what->cut) + 1, &p->net));
    if (what->part == PARITY_HEAD)
        parity_must(fm_net_head(&whole, find_layer(&whole, what->cut) + 1, &p->net));
}

static struct parity *open_pair(const struct parity_case *what, bool both)
{
    static const char *const parts[] = {
        [PARITY_WHOLE] = "", [PARITY_BASE] = "'s base", [PARITY_HEAD] = "'s head"};
    sim_reset();
    assert_true(
        sim_pose_as(what->device)); // on a real device: skips, unless it stands for this one
    struct parity *p = parity_allocate(1, sizeof *p);
    p->what = *what;
    snprintf(p->name, sizeof p->name, "%s%s %s on %s, batch %d", what->model, parts[what->part],
        fm_precision_name(what->precision), what->device, what->batch);
    build_net(p);
    p->tested.tested = true;
    p->begin = draw_state(p);
    open_side(p, &p->tested);
    parity_set(&p->tested, p->begin);
    if (both) {
        open_side(p, &p->reference);
        if (p->net.classes > 0)
            settle_moments(p);
        parity_set(&p->reference, p->begin);
        parity_set(&p->tested, p->begin);
    }
    return p;
}

struct parity *parity_open(const struct parity_case *what)
{
    return open_pair(what, true);
}

struct parity *parity_open_tested(const struct parity_case *what)
{
    return open_pair(what, false);
}

struct parity_side parity_beside(const struct parity *p, const struct parity_side *side)
{
    struct parity_side beside = {.tested = side->tested, .engine = side->engine};
    create_model(p, &beside);
    return beside;
}

void parity_side_close(struct parity_side *side)
{
    if (!side->api)
        return;
    side->api->staging_destroy(side->staging);
    side->api->model_destroy(side->model);
}

void parity_close(struct parity *p)
{
    struct parity_side *const sides[] = {&p->reference, &p->tested};
    for (int i = 0; i < 2; i++) {
        parity_side_close(sides[i]);
        fm_engine_close(&sides[i]->engine);
    }
    parity_free(p->begin);
    free(p);
    parity_report();
    assert_int_equal(sim_take_failures() + sim_report_leaks(), 0);
}
