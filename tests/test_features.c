// Networks taken apart and put in at other sizes: a base and a head on its features compute what
// the whole network does, in every precision; inference that augments sees what training sees; a
// prefix that is not trained costs no backward; and what features cannot do is refused.
#include "reference/cases.h"
#include "reference/rig.h"

#include "net/zoo.h"
#include "rounding.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"

enum {
    BATCH = 6,
    STEPS = 3
};

static const struct fm_optimiser_options adam = {
    .kind = FM_OPTIMISER_ADAM, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f};

static const struct manner {
    const char *name;
    enum fm_precision precision;
    bool emulate;
} manners[] = {
    {"fp32", FM_PRECISION_FP32, false},
    {"bf16", FM_PRECISION_BF16, false},
    {"emulated bf16", FM_PRECISION_BF16, true},
    {"emulated fp16", FM_PRECISION_FP16, true},
};
enum {
    MANNERS = sizeof manners / sizeof manners[0]
};

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size);
    assert_non_null(memory);
    return memory;
}

// Whether this processor computes so; else says why not, once.
static bool is_there(const struct manner *manner)
{
    static const char *missing;
    static bool known;
    if (manner->emulate || manner->precision == FM_PRECISION_FP32)
        return true;
    if (known)
        return missing == NULL;
    struct fm_engine engine;
    const struct fm_device_options device = {.threads = 1};
    fm_module_set_directory(FM_TEST_BINARY_DIR "/modules");
    fm_rig_must(fm_engine_open("cpu", &device, &engine), "fm_engine_open");
    missing = engine.info.missing[manner->precision];
    known = true;
    if (missing)
        print_message("without %s: %s\n", manner->name, missing);
    fm_engine_close(&engine);
    return missing == NULL;
}

// A network and its weights, which parts of it take their own from by name.
struct whole {
    struct fm_net net;
    float *params, *running;
};

static void open_whole(struct whole *w)
{
    w->params = fm_case_params(&w->net, 1);
    w->running = fm_case_running(&w->net, 1);
}

static void open_zoo(struct whole *w, const char *model)
{
    assert_ok(fm_zoo_build(model, 10, &w->net));
    fm_net_set_input_statistics(&w->net, 0.5f, 0.29f);
    open_whole(w);
}

static void close_whole(struct whole *w)
{
    free(w->params);
    free(w->running);
}

static int behind(const struct fm_net *net, const char *layer)
{
    for (int l = 0; l < net->layer_count; l++)
        if (strcmp(net->layers[l].name, layer) == 0)
            return l + 1;
    fail_msg("network %s has no layer %s", net->name, layer);
    return 0;
}

// A model of `net`, which is w->net or a part of it.
static void open_rig(struct fm_rig *rig, const struct whole *w, const struct fm_net *net,
    const struct manner *manner)
{
    const struct fm_model_options options = {
        .precision = manner->precision, .emulate = manner->emulate, .optimiser = adam};
    fm_rig_open_as(rig, "cpu", net, &options, BATCH);
    for (int p = 0; p < net->param_count; p++) {
        int from = fm_net_find_param(&w->net, net->params[p].name);
        assert_true(from >= 0);
        assert_ok(rig->api->model_set(rig->model, FM_STATE_PARAM, net->params[p].name,
            w->params + w->net.params[from].offset, net->params[p].count));
    }
    for (int r = 0; r < net->running_count; r++) {
        int from = fm_net_find_running(&w->net, net->running[r].name);
        assert_true(from >= 0);
        assert_ok(rig->api->model_set(rig->model, FM_STATE_RUNNING, net->running[r].name,
            w->running + w->net.running[from].offset, net->running[r].count));
    }
}

// What `net` puts out for the records: [count][outputs]; the caller frees.
static float *predict(const struct whole *w, const struct fm_net *net, const struct manner *manner,
    bool unfused, const void *records, uint32_t count)
{
    struct fm_rig rig;
    open_rig(&rig, w, net, manner);
    struct fm_executor *e = fm_rig_compile(&rig,
        &(struct fm_compile_options){.batch = BATCH, .mode = FM_MODE_INFER, .unfused = unfused});
    float *out = allocate(count * (size_t)net->outputs, sizeof *out);
    fm_rig_predict(&rig, e, 0, records, count, out);
    rig.api->executor_destroy(e);
    fm_rig_close(&rig);
    return out;
}

// ---- base and head are the whole

static void assert_same(const char *what, const float *found, const float *expected, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(expected[i]) || memcmp(found + i, expected + i, sizeof *found) != 0)
            fail_msg("%s: element %zu of %zu is %.9g, expected %.9g", what, i, count,
                (double)found[i], (double)expected[i]);
}

static void check_split(
    const struct whole *w, const char *layer, const struct manner *manner, bool unfused)
{
    struct fm_net base, head;
    char what[160];
    uint32_t count = BATCH - 1; // a part of a batch
    snprintf(what, sizeof what, "%s in %s%s, cut behind %s", w->net.name, manner->name,
        unfused ? ", unfused" : "", layer);
    assert_ok(fm_net_base(&w->net, behind(&w->net, layer), &base));
    assert_ok(fm_net_head(&w->net, behind(&w->net, layer), &head));
    struct fm_case_batch drawn = fm_case_batch(&w->net, BATCH, 3, false);
    float *features = predict(w, &base, manner, unfused, drawn.records, count);
    float *logits = predict(w, &head, manner, unfused, features, count);
    float *expected = predict(w, &w->net, manner, unfused, drawn.records, count);
    assert_same(what, logits, expected, count * (size_t)w->net.outputs);
    free(features);
    free(logits);
    free(expected);
    fm_case_batch_free(&drawn);
}

static void splits_of_models(void **state)
{
    (void)state;
    struct whole w;
    open_zoo(&w, "vgg16");
    for (int m = 0; m < MANNERS; m++)
        if (is_there(&manners[m]))
            check_split(&w, "mean", &manners[m], false);
    close_whole(&w);
    open_zoo(&w, "deeper");
    for (int m = 0; m < MANNERS; m++)
        if (is_there(&manners[m]))
            check_split(&w, "relu7", &manners[m], false);
    close_whole(&w);
}

// Behind each layer that can be cut behind, fused and not. The same bits also where a ReLU is fused
// in the whole and on its own in the head: it rounds nothing.
static void splits_anywhere(void **state)
{
    (void)state;
    struct whole w;
    fm_case_net("10x9>s3x12x12 c5k3p1b r p c20k3p0 n r p d0.3 f24b r d0.5 f16b r f4b", &w.net);
    open_whole(&w);
    for (int count = behind(&w.net, "p7"); count < w.net.layer_count; count++)
        for (int m = 0; m < MANNERS; m++)
            for (int unfused = 0; is_there(&manners[m]) && unfused < 2; unfused++)
                check_split(&w, w.net.layers[count - 1].name, &manners[m], unfused == 1);
    close_whole(&w);
}

// ---- features against the reference

static float round_to(enum fm_precision precision, float x)
{
    if (precision == FM_PRECISION_BF16)
        return fm_round_bf16(x);
    return precision == FM_PRECISION_FP16 ? fm_round_fp16(x) : x;
}

static struct fm_plain *plain_of(const struct whole *w, const struct fm_net *net)
{
    struct fm_plain *plain = fm_plain_create(net);
    for (int p = 0; p < net->param_count; p++) {
        const char *name = net->params[p].name;
        fm_plain_set_param(
            plain, name, w->params + w->net.params[fm_net_find_param(&w->net, name)].offset);
    }
    for (int r = 0; r < net->running_count; r++) {
        const char *name = net->running[r].name;
        fm_plain_set_running(
            plain, name, w->running + w->net.running[fm_net_find_running(&w->net, name)].offset);
    }
    return plain;
}

// Features in C, H, W order, with channels that fill no block, widened from what is stored.
static void check_features(
    const struct whole *w, const struct fm_net *base, const struct manner *manner, bool unfused)
{
    static const double allowed[FM_PRECISION_COUNT] = {2e-5, 0.03, 0.004};
    struct fm_plain *plain = plain_of(w, base);
    struct fm_case_batch drawn = fm_case_batch(&w->net, BATCH, 8, false);
    uint32_t sizes[] = {BATCH, 1};
    char what[160];
    snprintf(what, sizeof what, "%d layers of %s in %s%s", base->layer_count, w->net.name,
        manner->name, unfused ? ", unfused" : "");
    for (int s = 0; s < 2; s++) {
        size_t count = sizes[s] * (size_t)base->outputs;
        float *found = predict(w, base, manner, unfused, drawn.records, sizes[s]);
        const double *expected = fm_plain_infer(plain, drawn.records, sizes[s]);
        assert_true(fm_case_close(what, found, expected, count, allowed[manner->precision], 1e-6));
        for (size_t i = 0; i < count; i++)
            if (base->classes == 0 && round_to(manner->precision, found[i]) != found[i])
                fail_msg("%s: %.9g is not representable", what, (double)found[i]);
        free(found);
    }
    fm_case_batch_free(&drawn);
    fm_plain_destroy(plain);
}

static void features_of_every_layer(void **state)
{
    (void)state;
    struct whole w;
    struct fm_net base;
    fm_case_net("9x8>s2x10x9 c5k3p1b r p c20k3p0 n r m d0.3 f7b r f4b", &w.net);
    open_whole(&w);
    for (int count = 1; count < w.net.layer_count; count++) {
        assert_ok(fm_net_base(&w.net, count, &base));
        for (int m = 0; m < MANNERS; m++)
            for (int unfused = 0; is_there(&manners[m]) && unfused < 2; unfused++)
                check_features(&w, &base, &manners[m], unfused == 1);
    }
    close_whole(&w);
}

// ---- a head trains as the end of the whole does

static void train(const struct whole *w, const struct fm_net *net, const struct manner *manner,
    const void *records, const struct fm_case_batch *drawn, float *params)
{
    struct fm_rig rig;
    open_rig(&rig, w, net, manner);
    struct fm_executor *e = fm_rig_compile(
        &rig, &(struct fm_compile_options){
                  .batch = BATCH, .mode = FM_MODE_TRAIN, .label_smoothing = 0.1f});
    for (uint32_t s = 0; s < STEPS; s++) {
        struct fm_step step = {
            .seed = 5, .epoch = s, .count = BATCH, .learning_rate = 1e-2f, .weight_decay = 0.01f};
        const struct fm_plain_batch batch = {.records = records,
            .labels = drawn->labels,
            .ids = drawn->ids,
            .step = &step,
            .label_smoothing = 0.1f};
        fm_rig_step(&rig, e, (int)s % FM_SLOTS, &batch);
    }
    struct fm_counters counters;
    assert_ok(rig.api->counters_get(rig.model, &counters));
    assert_true(counters.applied > 0);
    fm_rig_get(&rig, FM_STATE_PARAM, params);
    rig.api->executor_destroy(e);
    fm_rig_close(&rig);
}

struct plans {
    char lines[64][FM_NAME_MAX + 128];
    int count;
};

// Keeps "conv2 forward: jit:avx2". A max-pool that inference does on the way changes no bit.
static void keep_forward(void *context, const char *line)
{
    struct plans *plans = context;
    if (!strstr(line, " forward: "))
        return;
    assert_true(plans->count < 64);
    const char *pool = strstr(line, "+maxpool");
    int before = pool ? (int)(pool - line) : (int)strlen(line);
    snprintf(plans->lines[plans->count++], sizeof plans->lines[0], "%.*s%s", before, line,
        pool ? pool + strlen("+maxpool") : "");
}

static void list_plans(const struct whole *w, const struct fm_net *net, const struct manner *manner,
    enum fm_mode mode, struct plans *plans)
{
    struct fm_rig rig;
    open_rig(&rig, w, net, manner);
    struct fm_executor *e = fm_rig_compile(
        &rig, &(struct fm_compile_options){.batch = BATCH, .mode = mode});
    plans->count = 0;
    rig.api->executor_plans(e, keep_forward, plans);
    assert_true(plans->count > 0);
    rig.api->executor_destroy(e);
    fm_rig_close(&rig);
}

// Whether training takes the base's layers by the same primitives as inference does. oneDNN 3 with
// AVX2 convolves by others in inference alone, "brgconv", which sum in another order.
static bool infers_as_it_trains(
    const struct whole *w, const struct fm_net *base, const struct manner *manner)
{
    struct plans inference, training;
    list_plans(w, base, manner, FM_MODE_INFER, &inference);
    list_plans(w, &w->net, manner, FM_MODE_TRAIN, &training);
    for (int i = 0; i < inference.count; i++) {
        bool found = false;
        for (int t = 0; t < training.count && !found; t++)
            found = strcmp(inference.lines[i], training.lines[t]) == 0;
        if (!found && !strstr(inference.lines[i], ": brgconv:"))
            fail_msg("%s: in inference alone, %s", manner->name, inference.lines[i]);
        if (!found) {
            print_message("%s: in inference alone, %s\n", manner->name, inference.lines[i]);
            return false;
        }
    }
    return true;
}

static void assert_near(const char *what, const float *found, const float *expected, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(found[i] - expected[i]) <= 1e-4f))
            fail_msg("%s: element %zu of %zu is %.9g, expected about %.9g", what, i, count,
                (double)found[i], (double)expected[i]);
}

// The same draws of dropout, the same steps, for either way: to the bit where the frozen base's
// training and inference are of the same primitives, as Debian's oneDNN's are.
// The head of a network, whose base is frozen, behind that layer.
static void check_head(const char *network, const char *cut)
{
    struct whole w;
    struct fm_net base, head;
    fm_case_net(network, &w.net);
    open_whole(&w);
    int count = behind(&w.net, cut);
    assert_ok(fm_net_base(&w.net, count, &base));
    assert_ok(fm_net_head(&w.net, count, &head));
    struct fm_case_batch drawn = fm_case_batch(&w.net, BATCH, 3, false);
    float *all = allocate(w.net.param_elements, sizeof *all);
    float *own = allocate(head.param_elements, sizeof *own);
    for (int m = 0; m < MANNERS; m++) {
        if (!is_there(&manners[m]))
            continue;
        float *features = predict(&w, &base, &manners[m], false, drawn.records, BATCH);
        train(&w, &w.net, &manners[m], drawn.records, &drawn, all);
        train(&w, &head, &manners[m], features, &drawn, own);
        assert_same("the base", all, w.params, base.param_elements);
        (infers_as_it_trains(&w, &base, &manners[m]) ? assert_same : assert_near)(
            manners[m].name, own, all + base.param_elements, head.param_elements);
        for (int p = 0; p < head.param_count; p++)
            assert_memory_not_equal(own + head.params[p].offset,
                w.params + base.param_elements + head.params[p].offset,
                head.params[p].count * sizeof *own);
        free(features);
    }
    free(all);
    free(own);
    fm_case_batch_free(&drawn);
    close_whole(&w);
}

// Behind one pixel, behind several, whose features a head has in another order, and where a layer
// of the head's own comes first.
static void heads_train(void **state)
{
    (void)state;
    check_head(
        "12x12>s3x16x16 c16k3p1b r p c32k3p1b r p d0 m x f24b r d0.5 f16b r d0.25 f4b", "m8");
    check_head("12x12>s3x16x16 c16k3p1b r p c32k3p1b r p x f24b r f16b r f4b", "p6");
    check_head("12x12>s3x16x16 c20k3p1b r m x n r f16b r f4b", "m3");
    check_head("12x12>s3x16x16 c32k3p1b r p c32k3p1b r p d0 m x f24b r d0.5 f4b", "m8");
}

// ---- inference that augments

static void fill(struct fm_rig *rig, const struct fm_case_batch *drawn, uint32_t epoch)
{
    struct fm_slot *slot = rig->api->staging_slot(rig->staging, 0);
    memcpy(slot->records, drawn->records, BATCH * (size_t)slot->record_size);
    memcpy(slot->labels, drawn->labels, BATCH);
    memcpy(slot->ids, drawn->ids, BATCH * sizeof *slot->ids);
    *slot->step = (struct fm_step){.seed = 12, .epoch = epoch, .count = BATCH};
}

static void read_input(struct fm_rig *rig, struct fm_executor *e, float *data, size_t count)
{
    assert_ok(rig->api->executor_read(e, -1, FM_PROBE_ACTIVATION, data, count));
}

// The input that training sees and inference, for the same seed, epoch and ids.
static void check_augmented(const struct fm_augment *augment)
{
    struct whole w;
    struct fm_rig rig;
    fm_case_net("12x12>s3x16x16 c8k3p1b r m f4b", &w.net);
    open_whole(&w);
    open_rig(&rig, &w, &w.net, &manners[0]);
    struct fm_case_batch drawn = fm_case_batch(&w.net, BATCH, 3, false);
    struct fm_compile_options options = {
        .batch = BATCH, .mode = FM_MODE_TRAIN, .probe = true, .augment = *augment};
    struct fm_executor *training = fm_rig_compile(&rig, &options);
    options.mode = FM_MODE_INFER;
    struct fm_executor *inference = fm_rig_compile(&rig, &options);
    options.augment = (struct fm_augment){0};
    struct fm_executor *as_it_is = fm_rig_compile(&rig, &options);
    size_t count = BATCH * (size_t)(3 * 16 * 16);
    float *seen[2], *expected = allocate(count, sizeof *expected), logits[3][BATCH * 4];
    for (uint32_t epoch = 0; epoch < 2; epoch++) {
        fill(&rig, &drawn, epoch);
        seen[epoch] = allocate(count, sizeof *expected);
        assert_ok(rig.api->predict(inference, rig.staging, 0, logits[epoch]));
        read_input(&rig, inference, seen[epoch], count);
        assert_ok(rig.api->submit(training, rig.staging, 0)); // of learning rate 0
        read_input(&rig, training, expected, count);
        assert_same("augmented input", seen[epoch], expected, count);
        assert_ok(rig.api->predict(as_it_is, rig.staging, 0, logits[2]));
        read_input(&rig, as_it_is, expected, count);
        assert_memory_not_equal(seen[epoch], expected, count * sizeof *expected);
        assert_memory_not_equal(logits[epoch], logits[2], sizeof logits[2]);
    }
    assert_memory_not_equal(seen[0], seen[1], count * sizeof *expected);
    assert_memory_not_equal(logits[0], logits[1], sizeof logits[0]);
    for (int i = 0; i < 2; i++)
        free(seen[i]);
    free(expected);
    fm_case_batch_free(&drawn);
    rig.api->executor_destroy(training);
    rig.api->executor_destroy(inference);
    rig.api->executor_destroy(as_it_is);
    fm_rig_close(&rig);
    close_whole(&w);
}

static void inference_augments(void **state)
{
    (void)state;
    check_augmented(&(struct fm_augment){.shift = 2});
    check_augmented(&(struct fm_augment){.flip = true});
    check_augmented(&(struct fm_augment){.erase = 0.75f, .erase_size = 6});
    check_augmented(&(struct fm_augment){.shift = 3, .flip = true, .erase = 0.5f, .erase_size = 4});
}

// ---- other input sizes

static void input_sizes(void **state)
{
    (void)state;
    static const int sides[] = {32, 48, 64};
    struct whole w;
    fm_case_net("28x28>s3x32x32 c8k3p1b r p c16k3p1b r p c24k3p1b r p m f16b r f10b", &w.net);
    open_whole(&w);
    for (int s = 0; s < 3; s++) {
        assert_ok(fm_net_set_input_size(&w.net, sides[s]));
        for (int m = 0; m < MANNERS; m++)
            for (int unfused = 0; is_there(&manners[m]) && unfused < 2; unfused++)
                check_features(&w, &w.net, &manners[m], unfused == 1);
    }
    close_whole(&w);
}

// ---- what is not trained costs nothing

// The plans of the backward, of which only the layer `from` and those behind it may have any.
struct backward {
    const char *from;
    int plans;
    const struct fm_net *net;
};

static void check_behind(const struct backward *b, const char *layer, const char *what)
{
    if (behind(b->net, layer) < behind(b->net, b->from))
        fail_msg("layer %s is not trained, but: %s", layer, what);
}

static void note_backward(void *context, const char *line)
{
    struct backward *b = context;
    char layer[FM_NAME_MAX];
    if (!strstr(line, " backward "))
        return;
    snprintf(layer, sizeof layer, "%.*s", (int)strcspn(line, " "), line);
    check_behind(b, layer, line);
    b->plans++;
}

// Compiles and takes a step; returns the executor's bytes.
static uint64_t train_once(
    const struct whole *w, const struct fm_case_batch *drawn, struct backward *backward)
{
    struct fm_rig rig;
    open_rig(&rig, w, &w->net, &manners[0]);
    struct fm_executor *e = fm_rig_compile(
        &rig, &(struct fm_compile_options){.batch = BATCH, .mode = FM_MODE_TRAIN, .profile = true});
    uint64_t bytes = rig.api->executor_memory(e);
    rig.api->executor_plans(e, note_backward, backward);
    fill(&rig, drawn, 0);
    assert_ok(rig.api->submit(e, rig.staging, 0));
    struct fm_profile_entry entries[256];
    size_t count = 0;
    assert_ok(rig.api->executor_profile(e, entries, 256, &count));
    assert_true(count <= 256);
    for (size_t i = 0; i < count; i++)
        if (strncmp(entries[i].pass, "backward", 8) == 0)
            check_behind(backward, entries[i].layer, entries[i].pass);
    rig.api->executor_destroy(e);
    fm_rig_close(&rig);
    return bytes;
}

static void untrained_prefixes(void **state)
{
    (void)state;
    struct whole w;
    open_zoo(&w, "vgg16");
    struct fm_case_batch drawn = fm_case_batch(&w.net, BATCH, 4, false);
    struct fm_rig rig;
    open_rig(&rig, &w, &w.net, &manners[0]);
    struct fm_executor *e = fm_rig_compile(
        &rig, &(struct fm_compile_options){.batch = BATCH, .mode = FM_MODE_INFER});
    uint64_t inference = rig.api->executor_memory(e);
    rig.api->executor_destroy(e);
    fm_rig_close(&rig);

    // Two primitives of every trained convolution and dense layer, but one of the first.
    static const struct backward rows[] = {
        {"fc1", 3, NULL}, {"conv5_1", 9, NULL}, {"conv1_1", 29, NULL}};
    uint64_t bytes[3];
    for (int i = 0; i < 3; i++) {
        struct backward found = {rows[i].from, 0, &w.net};
        int from = behind(&w.net, found.from) - 1;
        for (int l = 0; l < w.net.layer_count; l++) {
            if (w.net.layers[l].weight < 0)
                continue;
            w.net.params[w.net.layers[l].weight].trainable = l >= from;
            w.net.params[w.net.layers[l].bias].trainable = l >= from;
        }
        bytes[i] = train_once(&w, &drawn, &found);
        assert_int_equal(found.plans, rows[i].plans);
    }
    // The head's training: what inference has, and little more: the largest output of a convolution
    // that inference takes a max-pool of at once. But where AddressSanitizer watches, each of its
    // tensors has memory of its own, and all five such outputs come to twice that. What the others
    // need besides activations is for their primitives to say.
    uint64_t largest = BATCH * 64 * 32 * 32 * sizeof(float);
#if defined(__SANITIZE_ADDRESS__)
    uint64_t more = (1 << 21) + 2 * largest;
#else
    uint64_t more = (1 << 17) + largest;
#endif
    if (bytes[0] > inference + more || bytes[1] >= bytes[2] || bytes[2] < 2 * inference)
        fail_msg("the head %llu bytes, the last block %llu, all %llu, inference %llu",
            (unsigned long long)bytes[0], (unsigned long long)bytes[1],
            (unsigned long long)bytes[2], (unsigned long long)inference);
    fm_case_batch_free(&drawn);
    close_whole(&w);
}

// ---- refusals

static void refusals(void **state)
{
    (void)state;
    struct whole w;
    struct fm_net base, head;
    struct fm_rig rig;
    fm_case_net("8x8>1x8x8 c4k3p1b r m f4b", &w.net);
    open_whole(&w);
    assert_ok(fm_net_base(&w.net, 3, &base));
    assert_ok(fm_net_head(&w.net, 3, &head));
    struct fm_executor *none = NULL;
    struct fm_compile_options options = {.batch = BATCH, .mode = FM_MODE_TRAIN};

    open_rig(&rig, &w, &base, &manners[0]);
    assert_fails(rig.api->compile(rig.model, &options, &none), FM_USAGE,
        "ends in features, not in classes: it has no loss to train by");
    options.mode = FM_MODE_INFER;
    struct fm_executor *e = fm_rig_compile(&rig, &options);
    rig.api->staging_slot(rig.staging, 0)->step->count = 1;
    assert_fails(rig.api->score(e, rig.staging, 0), FM_USAGE, "ends in features, not in classes");
    rig.api->executor_destroy(e);
    options.augment.flip = options.mirror = true;
    assert_fails(rig.api->compile(rig.model, &options, &none), FM_USAGE,
        "`mirror` is for images as they are");
    fm_rig_close(&rig);

    open_rig(&rig, &w, &head, &manners[0]);
    assert_int_equal(rig.api->staging_slot(rig.staging, 1)->record_size, 4 * sizeof(float));
    assert_int_equal((uintptr_t)rig.api->staging_slot(rig.staging, 1)->records % 64, 0);
    options.augment.flip = false;
    assert_fails(rig.api->compile(rig.model, &options, &none), FM_USAGE, "only images can be");
    options.mirror = false;
    options.augment.shift = 1;
    assert_fails(rig.api->compile(rig.model, &options, &none), FM_USAGE, "only images can be");
    options.mode = FM_MODE_TRAIN;
    assert_fails(rig.api->compile(rig.model, &options, &none), FM_USAGE, "only images can be");
    options.augment = (struct fm_augment){.erase = 0.5f, .erase_size = 3};
    assert_fails(rig.api->compile(rig.model, &options, &none), FM_USAGE, "only images can be");
    options.augment = (struct fm_augment){0};
    options.mix = (struct fm_mix){.share = 0.5f, .cut_share = 0.5f};
    assert_fails(rig.api->compile(rig.model, &options, &none), FM_USAGE, "mixed by rectangles");
    fm_rig_close(&rig);
    close_whole(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_of_models),
        cmocka_unit_test(splits_anywhere),
        cmocka_unit_test(features_of_every_layer),
        cmocka_unit_test(heads_train),
        cmocka_unit_test(inference_augments),
        cmocka_unit_test(input_sizes),
        cmocka_unit_test(untrained_prefixes),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
