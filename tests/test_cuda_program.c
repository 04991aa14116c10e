// Lowering and the arena: what must hold of every program, for every model, precision and kind of
// GPU, with no device.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/cuda/program.h"
#include "expect.h"
#include "net/zoo.h"

#include <stdio.h>
#include <string.h>

static const struct fm_cuda_caps h100 = {.major = 9, .workspace = FM_CUDA_WORKSPACE_LIMIT};
static const struct fm_cuda_caps t4 = {
    .major = 7, .minor = 5, .workspace = FM_CUDA_WORKSPACE_LIMIT};

// One program, and what it was made from.
struct made {
    struct fm_net net;
    struct fm_cuda_params params;
    struct fm_model_options model;
    struct fm_compile_options compile;
    struct fm_cuda_program program;
};

// Lowers m->net.
static void lower(struct made *m, enum fm_cuda_type type, const struct fm_cuda_caps *caps,
    const struct fm_compile_options *compile)
{
    fm_cuda_params_place(&m->net, type, &m->params);
    m->model = (struct fm_model_options){.ema = true};
    m->compile = *compile;
    struct fm_cuda_source source = {&m->net, &m->params, caps, &m->model, &m->compile};
    assert_ok(fm_cuda_lower(&source, &m->program));
    assert_ok(fm_cuda_arena_plan(&m->program));
}

static void make(struct made *m, const char *name, enum fm_cuda_type type,
    const struct fm_cuda_caps *caps, const struct fm_compile_options *compile, int frozen)
{
    assert_ok(fm_zoo_build(name, 10, &m->net));
    for (int i = 0; i < frozen; i++)
        m->net.params[i].trainable = false;
    lower(m, type, caps, compile);
}

static void call_for_all(void (*check)(struct made *m, const char *what))
{
    static const char *const types[] = {"fp32", "fp16", "bf16"};
    static struct made m;
    for (int model = 0; fm_zoo_names[model]; model++)
        for (int type = FM_CUDA_F32; type <= FM_CUDA_BF16; type++)
            for (int variant = 0; variant < 12; variant++) {
                struct fm_compile_options compile = {
                    .batch = 6, .mode = variant & 1 ? FM_MODE_INFER : FM_MODE_TRAIN};
                compile.unfused = variant / 4 == 1;
                compile.probe = variant / 4 == 2;
                compile.average = compile.mode == FM_MODE_INFER && variant & 2;
                const struct fm_cuda_caps *caps = variant & 2 ? &t4 : &h100;
                make(&m, fm_zoo_names[model], (enum fm_cuda_type)type, caps, &compile, 0);
                char what[96];
                snprintf(what, sizeof what, "%s %s variant %d", fm_zoo_names[model], types[type],
                    variant);
                check(&m, what);
                fm_cuda_program_free(&m.program);
            }
}

// ---- the arena

static void check_overlaps(struct made *m, const char *what)
{
    const struct fm_cuda_program *p = &m->program;
    uint64_t sum = 0;
    for (int i = 0; i < p->buffer_count; i++) {
        const struct fm_cuda_buffer *a = &p->buffers[i];
        if (a->first < 0)
            fail_msg("%s: buffer %d is used by no command", what, i);
        if (a->bytes == 0 || a->offset % 256 || a->offset + a->bytes > p->arena)
            fail_msg("%s: buffer %d lies at %llu", what, i, (unsigned long long)a->offset);
        sum += a->bytes;
        for (int k = 0; k < i; k++) {
            const struct fm_cuda_buffer *b = &p->buffers[k];
            bool same_time = a->first <= b->last && b->first <= a->last;
            bool same_place = a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
            if (same_time && same_place)
                fail_msg("%s: buffers %d and %d overlap", what, i, k);
        }
    }
    for (int i = 0; m->compile.probe && i <= m->net.layer_count; i++)
        if (!p->buffers[p->probed[i].activation].kept)
            fail_msg("%s: what layer %d puts out can be overwritten", what, i - 1);
    if (!m->compile.probe && p->arena >= sum)
        fail_msg("%s: no buffer shares memory", what);
}

static void test_arena(void **state)
{
    (void)state;
    call_for_all(check_overlaps);
}

static void test_arena_is_tight(void **state)
{
    (void)state;
    static struct made m;
    const struct fm_compile_options compile = {.batch = 256, .mode = FM_MODE_TRAIN};
    make(&m, "vgg16", FM_CUDA_F16, &h100, &compile, 0);
    // What lives at once, at the worst moment, is a lower bound.
    uint64_t most = 0;
    for (int c = 0; c < m.program.count; c++) {
        uint64_t live = 0;
        for (int i = 0; i < m.program.buffer_count; i++)
            if (m.program.buffers[i].first <= c && c <= m.program.buffers[i].last)
                live += m.program.buffers[i].bytes;
        most = live > most ? live : most;
    }
    assert_true(m.program.arena >= most);
    assert_true(m.program.arena <= most + most / 20);
    fm_cuda_program_free(&m.program);
}

// ---- references

// Every tensor that a command reads was written before, by a command or the model; no command of a
// library reads and writes the same memory.
static const enum fm_cuda_role written[] = {FM_TENSOR_Y, FM_TENSOR_DX, FM_TENSOR_DWEIGHT,
    FM_TENSOR_DBIAS, FM_TENSOR_DSCALE, FM_TENSOR_DSHIFT};

static bool is_written(const struct fm_cuda_command *c, int role)
{
    for (size_t i = 0; i < sizeof written / sizeof written[0]; i++)
        if ((int)written[i] == role)
            return role != FM_TENSOR_Y || c->kind != FM_COMMAND_NORM_BACKWARD;
    if (role == FM_TENSOR_MASK)
        return c->pass == FM_CUDA_FORWARD;
    if (role == FM_TENSOR_MEAN || role == FM_TENSOR_INVERSE)
        return c->pass == FM_CUDA_FORWARD;
    return role == FM_TENSOR_SCRATCH || role == FM_TENSOR_COEFFICIENTS ||
           role == FM_TENSOR_WORKSPACE || role == FM_TENSOR_BATCH_MEAN ||
           role == FM_TENSOR_BATCH_VARIANCE;
}

static void check_order(struct made *m, const char *what)
{
    bool have[512] = {false};
    const struct fm_cuda_program *p = &m->program;
    assert_true(p->buffer_count <= 512);
    for (int i = 0; i < p->count; i++) {
        const struct fm_cuda_command *c = &p->commands[i];
        for (int role = 0; role < FM_TENSOR_ROLES; role++) {
            const struct fm_cuda_ref *ref = &c->at[role];
            if (ref->space == FM_SPACE_ARENA && !is_written(c, role) && !have[ref->index])
                if (c->kind != FM_COMMAND_BIAS_FORWARD)
                    fail_msg(
                        "%s: command %d reads tensor %d, which nobody has written", what, i, role);
        }
        for (int role = 0; role < FM_TENSOR_ROLES; role++)
            if (c->at[role].space == FM_SPACE_ARENA && is_written(c, role))
                have[c->at[role].index] = true;
    }
}

static void test_tensors_are_written_before_they_are_read(void **state)
{
    (void)state;
    call_for_all(check_order);
}

// ---- gradients

// How many tensors of commands are gradients of parameters at all.
static int gradients_written(const struct made *m)
{
    int count = 0;
    for (int i = 0; i < m->program.count; i++)
        for (int role = 0; role < FM_TENSOR_ROLES; role++) {
            const struct fm_cuda_ref *ref = &m->program.commands[i].at[role];
            bool gradient = ref->space == FM_SPACE_GRADIENT_LOW ||
                            ref->space == FM_SPACE_GRADIENT_F32;
            count += gradient && m->program.commands[i].kind != FM_COMMAND_FINITE;
        }
    return count;
}

// How many commands write the gradient of a parameter.
static int writers(const struct made *m, int param)
{
    const struct fm_cuda_place *place = &m->params.places[param];
    if (!place->has_gradient) // so its offset says nothing
        return 0;
    enum fm_cuda_space space = place->gradient_f32 ? FM_SPACE_GRADIENT_F32 : FM_SPACE_GRADIENT_LOW;
    size_t size = place->gradient_f32 ? 4 : fm_cuda_size(m->params.type);
    int count = 0;
    for (int i = 0; i < m->program.count; i++)
        for (int role = 0; role < FM_TENSOR_ROLES; role++) {
            const struct fm_cuda_ref *ref = &m->program.commands[i].at[role];
            count += ref->space == space && ref->offset == place->gradient_offset * size &&
                     m->program.commands[i].kind != FM_COMMAND_FINITE;
        }
    return count;
}

static void check_gradients(struct made *m, const char *what)
{
    if (m->compile.mode != FM_MODE_TRAIN)
        return;
    for (int i = 0; i < m->net.param_count; i++)
        if (writers(m, i) != 1)
            fail_msg("%s: %d commands write the gradient of %s", what, writers(m, i),
                m->net.params[i].name);
}

static void test_each_parameter_has_one_gradient(void **state)
{
    (void)state;
    call_for_all(check_gradients);
}

// Which commands there are, and what they write: of VGG16, whose first `frozen` parameters are not
// trained, which are those of the layers in front of `first`.
static void check_prefix(int frozen, const char *first)
{
    static struct made m;
    const struct fm_compile_options compile = {.batch = 2, .mode = FM_MODE_TRAIN};
    make(&m, "vgg16", FM_CUDA_F16, &h100, &compile, frozen);
    int layer = 0;
    while (strcmp(m.net.layers[layer].name, first) != 0)
        layer++;
    uint64_t trained = 0;
    for (int i = 0; i < m.net.param_count; i++) {
        assert_int_equal(writers(&m, i), i < frozen ? 0 : 1);
        trained += i < frozen ? 0 : (m.params.places[i].count + 7) / 8 * 8;
    }
    assert_int_equal(gradients_written(&m), m.net.param_count - frozen);
    assert_int_equal(m.params.low_elements, trained); // the model keeps no others
    for (int i = 0; i < m.program.count; i++) {
        const struct fm_cuda_command *c = &m.program.commands[i];
        if (c->layer >= layer || c->layer < 0)
            continue;
        assert_int_equal(c->pass, FM_CUDA_FORWARD);
        assert_int_equal(c->at[FM_TENSOR_DX].space, FM_SPACE_NONE);
        assert_int_equal(c->at[FM_TENSOR_MASK].space, FM_SPACE_NONE); // for a backward
    }
    for (int i = 0; i < layer; i++) // the input and the layers whose output is not looked at
        assert_int_equal(m.program.probed[i].gradient, -1);
    fm_cuda_program_free(&m.program);
}

static void test_a_frozen_prefix_has_no_backward(void **state)
{
    (void)state;
    check_prefix(26, "fc1"); // the base
    check_prefix(20, "conv5_1");
    check_prefix(14, "conv4_1");
}

// What a frozen prefix needs is less, in the arena and of gradients.
static void test_a_frozen_prefix_takes_less_memory(void **state)
{
    (void)state;
    static struct made m;
    const struct fm_compile_options compile = {.batch = 256, .mode = FM_MODE_TRAIN};
    uint64_t arena[3];
    static const int frozen[3] = {0, 20, 26};
    for (int i = 0; i < 3; i++) {
        make(&m, "vgg16", FM_CUDA_F16, &h100, &compile, frozen[i]);
        arena[i] = m.program.arena;
        fm_cuda_program_free(&m.program);
    }
    // Of the prefix no more lives at once than the widest convolution's input and output.
    const uint64_t widest = 256 * 32 * 32 * 64 * 2;
    assert_int_equal(arena[1], 2 * widest);
    assert_int_equal(arena[2], 2 * widest);
    assert_true(arena[0] > 3 * widest);
}

// ---- features, in and out

static const struct fm_cuda_command *find_kind(
    const struct fm_cuda_program *p, enum fm_cuda_command_kind kind)
{
    for (int i = 0; i < p->count; i++)
        if (p->commands[i].kind == kind)
            return &p->commands[i];
    return NULL;
}

// VGG16 up to `last`, which leaves c x h x h features.
static void check_base(const char *last, int c, int h, enum fm_cuda_type type)
{
    static struct made m;
    struct fm_net whole;
    const struct fm_compile_options compile = {.batch = 6, .mode = FM_MODE_INFER};
    assert_ok(fm_zoo_build("vgg16", 10, &whole));
    int count = 0;
    while (strcmp(whole.layers[count++].name, last) != 0)
        continue;
    assert_ok(fm_net_base(&whole, count, &m.net));
    lower(&m, type, &h100, &compile);
    assert_null(find_kind(&m.program, FM_COMMAND_METRICS));
    const struct fm_cuda_command *end = &m.program.commands[m.program.count - 1];
    assert_int_equal(end->kind, h == 1 ? FM_COMMAND_CAST : FM_COMMAND_LAYOUT);
    assert_int_equal(end->at[FM_TENSOR_Y].index, m.program.compact);
    assert_int_equal(m.program.buffers[m.program.compact].bytes, 6 * c * h * h * 4);
    if (h > 1) {
        assert_int_equal(end->of.layout.rows, h * h);
        assert_int_equal(end->of.layout.columns, c);
    }
    check_overlaps(&m, last);
    check_order(&m, last);
    fm_cuda_program_free(&m.program);
}

static void test_a_base_ends_in_features(void **state)
{
    (void)state;
    for (int type = FM_CUDA_F32; type <= FM_CUDA_BF16; type++) {
        check_base("mean", 512, 1, (enum fm_cuda_type)type);
        check_base("pool4", 512, 2, (enum fm_cuda_type)type);
        check_base("conv1_1", 64, 32, (enum fm_cuda_type)type);
    }
}

static void test_a_head_begins_with_features(void **state)
{
    (void)state;
    static struct made m;
    struct fm_net whole;
    const struct fm_compile_options compile = {.batch = 6, .mode = FM_MODE_TRAIN};
    assert_ok(fm_zoo_build("vgg16", 10, &whole));
    assert_ok(fm_net_head(&whole, whole.layer_count - 4, &m.net));
    lower(&m, FM_CUDA_F16, &h100, &compile);
    assert_null(find_kind(&m.program, FM_COMMAND_INPUT));
    assert_null(find_kind(&m.program, FM_COMMAND_GRAPH)); // nothing of it is cuDNN's
    const struct fm_cuda_command *begin = find_kind(&m.program, FM_COMMAND_FEATURES);
    assert_ptr_equal(begin, m.program.commands);
    assert_int_equal(begin->of.features.count, 512);
    assert_int_equal(begin->of.features.samples, 6);
    assert_string_equal(fm_cuda_command_layer(begin, &m.net), "input");
    for (int i = 0; i < m.net.param_count; i++)
        assert_int_equal(writers(&m, i), 1);
    check_overlaps(&m, "head");
    check_order(&m, "head");
    fm_cuda_program_free(&m.program);
}

// ---- what is fused

static int count_kind(const struct fm_cuda_program *p, enum fm_cuda_command_kind kind)
{
    int count = 0;
    for (int i = 0; i < p->count; i++)
        count += p->commands[i].kind == kind;
    return count;
}

static void test_batch_norm_is_cudnns_where_it_has_engines(void **state)
{
    (void)state;
    static struct made m;
    const struct fm_compile_options compile = {.batch = 4, .mode = FM_MODE_TRAIN};
    make(&m, "deeper", FM_CUDA_F16, &h100, &compile, 0);
    assert_int_equal(count_kind(&m.program, FM_COMMAND_NORM_TRAINING), 0);
    fm_cuda_program_free(&m.program);
    make(&m, "deeper", FM_CUDA_F16, &t4, &compile, 0);
    assert_int_equal(count_kind(&m.program, FM_COMMAND_NORM_TRAINING), 6);
    assert_int_equal(count_kind(&m.program, FM_COMMAND_NORM_BACKWARD), 6);
    fm_cuda_program_free(&m.program);
    make(&m, "deeper", FM_CUDA_F32, &h100, &compile, 0);
    assert_int_equal(count_kind(&m.program, FM_COMMAND_NORM_TRAINING), 6);
    fm_cuda_program_free(&m.program);
}

static void test_inference_folds_batch_norm(void **state)
{
    (void)state;
    static struct made m;
    const struct fm_compile_options compile = {.batch = 4, .mode = FM_MODE_INFER};
    make(&m, "deeper", FM_CUDA_F16, &h100, &compile, 0);
    assert_int_equal(m.program.renew, 6);
    // The input, six convolutions, three pools, three dense layers, the metrics.
    assert_int_equal(m.program.count - m.program.renew, 14);
    fm_cuda_program_free(&m.program);
}

static void test_dense_gradients_go_into_the_products(void **state)
{
    (void)state;
    static struct made m;
    const struct fm_compile_options compile = {.batch = 4, .mode = FM_MODE_TRAIN};
    make(&m, "deeper", FM_CUDA_F16, &h100, &compile, 0);
    int gated = 0;
    for (int i = 0; i < m.program.count; i++)
        gated += m.program.commands[i].kind == FM_COMMAND_DENSE &&
                 m.program.commands[i].of.dense.epilogue == FM_EPILOGUE_GATE_DBIAS;
    assert_int_equal(gated, 2);
    assert_int_equal(count_kind(&m.program, FM_COMMAND_RELU_BACKWARD), 0);
    assert_int_equal(count_kind(&m.program, FM_COMMAND_BIAS_BACKWARD), 0);
    fm_cuda_program_free(&m.program);
}

// How many commands of `kind` belong to layers of one kind.
static int count_of(const struct made *m, enum fm_layer_kind layer, enum fm_cuda_command_kind kind)
{
    int count = 0;
    for (int i = 0; i < m->program.count; i++) {
        const struct fm_cuda_command *c = &m->program.commands[i];
        count += c->kind == kind && c->layer >= 0 && m->net.layers[c->layer].kind == layer;
    }
    return count;
}

// How many bias gradients do their ReLU's backward, too: in place, so that whatever comes next
// reads what they let pass. The others only read.
static int count_gated(const struct fm_cuda_program *p)
{
    int count = 0;
    for (int i = 0; i < p->count; i++) {
        const struct fm_cuda_command *c = &p->commands[i];
        if (c->kind != FM_COMMAND_BIAS_BACKWARD)
            continue;
        bool gated = c->at[FM_TENSOR_GATE].space != FM_SPACE_NONE;
        assert_int_equal(c->pass, gated ? FM_CUDA_PREPARE : FM_CUDA_WEIGHTS);
        assert_int_equal(c->at[FM_TENSOR_DX].space, gated ? FM_SPACE_ARENA : FM_SPACE_NONE);
        if (!gated)
            continue;
        assert_int_equal(c->at[FM_TENSOR_DX].index, c->at[FM_TENSOR_DY].index);
        assert_int_not_equal(c->at[FM_TENSOR_GATE].index, c->at[FM_TENSOR_DY].index);
        count++;
    }
    return count;
}

static void test_bias_gradients_do_their_relus_backward(void **state)
{
    (void)state;
    static struct made m;
    const struct fm_compile_options compile = {.batch = 4, .mode = FM_MODE_TRAIN};
    make(&m, "vgg16", FM_CUDA_F16, &h100, &compile, 0);
    // Of thirteen convolutions, five have a max-pool behind, which does their ReLU's backward.
    assert_int_equal(count_of(&m, FM_LAYER_CONV, FM_COMMAND_BIAS_BACKWARD), 13);
    assert_int_equal(count_gated(&m.program), 13 - 5);
    assert_int_equal(count_of(&m, FM_LAYER_CONV, FM_COMMAND_RELU_BACKWARD), 0);
    // The bias's gradient of a dense layer comes out of the product.
    assert_int_equal(count_of(&m, FM_LAYER_DENSE, FM_COMMAND_BIAS_BACKWARD), 0);
    assert_int_equal(count_of(&m, FM_LAYER_DENSE, FM_COMMAND_RELU_BACKWARD), 1);
    fm_cuda_program_free(&m.program);
}

// Frozen: all biases, or all weights. `first` is the first of them among the parameters.
static void make_frozen(struct made *m, const char *name, int first)
{
    const struct fm_compile_options compile = {.batch = 4, .mode = FM_MODE_TRAIN};
    assert_ok(fm_zoo_build(name, 10, &m->net));
    for (int i = first; i < m->net.param_count; i += 2)
        m->net.params[i].trainable = false;
    lower(m, FM_CUDA_F16, &h100, &compile);
    for (int i = 0; i < m->net.param_count; i++)
        assert_int_equal(writers(m, i), i % 2 == first ? 0 : 1);
}

static void test_frozen_parameters_and_relus(void **state)
{
    (void)state;
    static struct made m;
    make_frozen(&m, "vgg16", 1); // the biases: a ReLU's backward is needed all the same
    assert_int_equal(count_kind(&m.program, FM_COMMAND_BIAS_BACKWARD), 0);
    assert_int_equal(count_of(&m, FM_LAYER_CONV, FM_COMMAND_RELU_BACKWARD), 13 - 5);
    assert_int_equal(count_of(&m, FM_LAYER_DENSE, FM_COMMAND_RELU_BACKWARD), 1);
    fm_cuda_program_free(&m.program);
    make_frozen(&m, "vgg16", 0); // the weights: no product makes a dense bias's gradient
    assert_int_equal(count_of(&m, FM_LAYER_CONV, FM_COMMAND_BIAS_BACKWARD), 13);
    assert_int_equal(count_of(&m, FM_LAYER_DENSE, FM_COMMAND_BIAS_BACKWARD), 2);
    assert_int_equal(count_gated(&m.program), 13 - 5 + 1);
    assert_int_equal(count_kind(&m.program, FM_COMMAND_RELU_BACKWARD), 0);
    fm_cuda_program_free(&m.program);
}

// The rate of the dropout whose backward this layer's does.
static float rate_behind(const struct made *m, const char *layer)
{
    for (int i = 0; i < m->program.count; i++) {
        const struct fm_cuda_command *c = &m->program.commands[i];
        if (c->layer < 0 || strcmp(m->net.layers[c->layer].name, layer) != 0)
            continue;
        if (c->kind == FM_COMMAND_MAXPOOL_BACKWARD || c->kind == FM_COMMAND_RELU_BACKWARD) {
            assert_int_equal(c->at[FM_TENSOR_GATE].space, FM_SPACE_ARENA);
            return c->kind == FM_COMMAND_MAXPOOL_BACKWARD ? c->of.maxpool.dropout_rate
                                                          : c->of.relu.dropout_rate;
        }
    }
    fail_msg("%s: no gated gradient", layer);
    return 0.0f;
}

static void test_dropouts_backward_is_that_in_front(void **state)
{
    (void)state;
    static struct made m;
    struct fm_compile_options compile = {.batch = 4, .mode = FM_MODE_TRAIN};
    make(&m, "simple", FM_CUDA_F16, &h100, &compile, 0);
    assert_int_equal(count_kind(&m.program, FM_COMMAND_DROPOUT_FORWARD), 2);
    assert_int_equal(count_kind(&m.program, FM_COMMAND_DROPOUT_BACKWARD), 0);
    assert_true(rate_behind(&m, "pool1") == 0.25f);
    assert_true(rate_behind(&m, "fc1") == 0.5f);
    for (int i = 0; i < m.program.count; i++) // so no bits are kept for it
        if (m.program.commands[i].kind == FM_COMMAND_DROPOUT_FORWARD)
            assert_int_equal(m.program.commands[i].at[FM_TENSOR_MASK].space, FM_SPACE_NONE);
    fm_cuda_program_free(&m.program);
    make(&m, "deeper", FM_CUDA_F16, &h100, &compile, 0); // its ReLU is batch norm's
    assert_int_equal(count_kind(&m.program, FM_COMMAND_DROPOUT_BACKWARD), 0);
    assert_true(rate_behind(&m, "pool3") == 0.5f);
    fm_cuda_program_free(&m.program);
    make(&m, "deeper-ref", FM_CUDA_F16, &h100, &compile, 0); // behind a convolution
    assert_int_equal(count_kind(&m.program, FM_COMMAND_DROPOUT_BACKWARD), 1);
    fm_cuda_program_free(&m.program);
    compile.unfused = true;
    make(&m, "simple", FM_CUDA_F16, &h100, &compile, 0); // not in place
    assert_int_equal(count_kind(&m.program, FM_COMMAND_DROPOUT_BACKWARD), 2);
    fm_cuda_program_free(&m.program);
    make_frozen(&m, "simple", 0); // fc1's weights: its bias's gradient is a sum
    assert_int_equal(count_kind(&m.program, FM_COMMAND_DROPOUT_BACKWARD), 1);
    fm_cuda_program_free(&m.program);
}

// ---- parameters

static void test_parameters_are_aligned_and_apart(void **state)
{
    (void)state;
    static struct made m;
    const struct fm_compile_options compile = {.batch = 2, .mode = FM_MODE_INFER};
    make(&m, "simple", FM_CUDA_BF16, &h100, &compile, 0);
    uint64_t end = 0;
    for (int i = 0; i < m.net.param_count; i++) {
        const struct fm_cuda_place *p = &m.params.places[i];
        assert_int_equal(p->offset % FM_CUDA_VECTOR, 0);
        assert_true(p->offset >= end);
        end = p->offset + p->count;
        assert_int_equal(
            (size_t)p->outer * (size_t)p->rows * (size_t)p->columns, m.net.params[i].count);
    }
    assert_true(m.params.elements >= end);
    assert_int_equal(m.params.pitch, 16);
    const struct fm_cuda_place *head = &m.params.places[m.net.param_count - 2];
    assert_int_equal(head->outer, 10);
    assert_int_equal(head->outer_to, 16);
    assert_int_equal(head->count, 16 * 128);
    fm_cuda_program_free(&m.program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_arena_is_tight),
        cmocka_unit_test(test_tensors_are_written_before_they_are_read),
        cmocka_unit_test(test_each_parameter_has_one_gradient),
        cmocka_unit_test(test_a_frozen_prefix_has_no_backward),
        cmocka_unit_test(test_a_frozen_prefix_takes_less_memory),
        cmocka_unit_test(test_a_base_ends_in_features),
        cmocka_unit_test(test_a_head_begins_with_features),
        cmocka_unit_test(test_batch_norm_is_cudnns_where_it_has_engines),
        cmocka_unit_test(test_inference_folds_batch_norm),
        cmocka_unit_test(test_dense_gradients_go_into_the_products),
        cmocka_unit_test(test_bias_gradients_do_their_relus_backward),
        cmocka_unit_test(test_frozen_parameters_and_relus),
        cmocka_unit_test(test_dropouts_backward_is_that_in_front),
        cmocka_unit_test(test_parameters_are_aligned_and_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
