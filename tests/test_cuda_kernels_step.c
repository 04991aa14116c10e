// The end of a training step, kernel by kernel, against plain loops with the arithmetic shared with
// the CPU: finite check, decision, update, commit. A step that does not count must leave no trace.
#include "cuda/rig.h"

#include "adam.h"
#include "loss_scale.h"
#include "sgd.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    TYPES = 3
};

// ---- finite

static uint32_t overflow_of(struct fm_cuda_finite *work, uint32_t before)
{
    struct fm_cuda_state state = {.overflow = before, .applied = 5, .loss_scale = 2.0f};
    struct fm_cuda_state after;
    rig_put(work->state, &state, sizeof state);
    rig_launched("finite", fm_launch_finite(work, rig_stream()));
    rig_get(work->state, &after, sizeof after);
    uint32_t overflow = after.overflow;
    after.overflow = before;
    rig_check("only the flag changes", !memcmp(&after, &state, sizeof state));
    return overflow;
}

static void check_finite(enum fm_cuda_type type, size_t count)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    rig_case("finite %s, %zu", rig_type_name(type), count);
    struct rig_tensor g = rig_tensor(type, count, RIG_RANDOM);
    float most = type == FM_CUDA_F16 ? 65504.0f : type == FM_CUDA_BF16 ? 3.3895314e38f : FLT_MAX;
    g.values[0] = most;
    g.values[count / 2] = -most;
    rig_write(&g, g.values);
    struct fm_cuda_finite work = {
        type, g.device, count, rig_device(NULL, sizeof(struct fm_cuda_state))};
    rig_check("the largest numbers are finite", overflow_of(&work, 0) == 0);
    rig_check("a flag that is set stays", overflow_of(&work, 1) == 1);
    size_t places[] = {0, count - 1, count / 2, rig_random() % count};
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 3; k++) {
            float before = g.values[places[i]];
            g.values[places[i]] = bad[k];
            rig_write(&g, g.values);
            rig_check("an infinity or a NaN is found", overflow_of(&work, 0) == 1);
            g.values[places[i]] = before;
        }
}

static void test_finite(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 3, 8, 31, 1024, 20003};
    for (int type = 0; type < TYPES; type++)
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
            check_finite((enum fm_cuda_type)type, counts[i]);
}

// ---- step

// The same decision as plain code, after src/backend/cpu/model.c.
static void decide(struct fm_cuda_state *s, int scaled, float beta1, float beta2)
{
    int finite = !s->overflow;
    s->overflow = 0;
    s->finite = (uint32_t)finite;
    s->gradient_scale = s->loss_scale;
    s->unscale = 1.0f / s->loss_scale;
    if (finite) {
        s->applied++;
        s->correction1 = (float)(1.0 / (1.0 - pow((double)beta1, (double)s->applied)));
        s->correction2 = (float)(1.0 / (1.0 - pow((double)beta2, (double)s->applied)));
    } else {
        s->skipped++;
        s->sums.incurable += !s->loss_finite || s->loss_scale <= FM_LOSS_SCALE_LEAST;
    }
    s->good_steps = finite ? s->good_steps + 1 : 0;
    if (!scaled)
        return;
    if (!finite) {
        s->loss_scale = s->loss_scale > 2.0f ? s->loss_scale / 2.0f : 1.0f;
    } else if (s->good_steps == 2000) {
        s->good_steps = 0;
        s->growths += s->loss_scale < 16777216.0f;
        s->loss_scale = s->loss_scale < 16777216.0f ? 2.0f * s->loss_scale : s->loss_scale;
    }
}

static void check_decisions(int scaled, float scale, uint32_t good_steps, const char *flags)
{
    rig_case("decisions %s, scaled %d, from %g after %u good steps", flags, scaled, (double)scale,
        good_steps);
    struct fm_cuda_state expected = {
        .loss_scale = scale, .good_steps = good_steps, .applied = 3, .loss_finite = 1};
    struct fm_cuda_state found, *device = rig_device(&expected, sizeof expected);
    struct fm_cuda_decision work = {device, scaled, 0.9f, 0.999f};
    for (const char *flag = flags; *flag; flag++) {
        // '.': good; 'o': overflow; 'n': the loss is no number either
        expected.overflow = *flag != '.';
        expected.loss_finite = *flag != 'n';
        rig_put(device, &expected, sizeof expected);
        rig_launched("step", fm_launch_step(&work, rig_stream()));
        decide(&expected, scaled, 0.9f, 0.999f);
        rig_get(device, &found, sizeof found);
        rig_check("the decision", !memcmp(&found, &expected, sizeof found));
    }
}

static void test_step(void **state)
{
    (void)state;
    check_decisions(1, 65536.0f, 0, "..o.oo...n..");
    check_decisions(1, 65536.0f, 1997, ".....");
    check_decisions(1, 8388608.0f, 1998, "..o.");
    check_decisions(1, 16777216.0f, 1998, "....");
    check_decisions(1, 4.0f, 5, "ooooo.");
    check_decisions(0, 1.0f, 1998, ".....on.");
}

// ---- update

// A model's ranges: a few parameters with gaps of zeros behind them.
enum {
    PARAMS = 6,
    MASTER_ELEMENTS = 9000
};

static const uint32_t param_counts[PARAMS] = {1, 10, 2048, 2052, 4000, 24};

struct update {
    struct fm_cuda_update work;
    struct fm_cuda_param params[PARAMS];
    struct rig_tensor low, single, masters, moment1, moment2, average, working;
    const float *before[5]; // of masters, moment1, moment2, average, working
    struct fm_step step;
    struct fm_cuda_state state;
};

static size_t padded(uint32_t count)
{
    return (count + FM_CUDA_VECTOR - 1) / FM_CUDA_VECTOR * FM_CUDA_VECTOR;
}

// Random in the parameters, zero in the gaps.
static struct rig_tensor range(const struct update *u, enum fm_cuda_type type, enum rig_fill fill)
{
    struct rig_tensor t = rig_tensor(type, MASTER_ELEMENTS, fill);
    float *values = rig_host(MASTER_ELEMENTS * sizeof *values);
    for (int i = 0; i < PARAMS; i++)
        memcpy(values + u->params[i].offset, t.values + u->params[i].offset,
            u->params[i].count * sizeof *values);
    rig_write(&t, values);
    return t;
}

static void lay_out(struct update *u, enum fm_cuda_type type)
{
    uint64_t offset = 16;
    for (int i = 0; i < PARAMS; i++) {
        u->params[i] = (struct fm_cuda_param){
            .offset = offset,
            .gradient_offset = offset,
            .count = param_counts[i],
            .flags = (i != 3 ? FM_CUDA_PARAM_TRAINED : 0u) | (i % 2 ? FM_CUDA_PARAM_DECAYS : 0u) |
                     (i == 1 || type == FM_CUDA_F32 ? FM_CUDA_PARAM_GRADIENT_F32 : 0u),
            .lr_multiplier = i == 4 ? 0.1f : 1.0f,
        };
        offset += padded(param_counts[i]) + (i % 2 ? 64 : 0);
    }
    assert_true(offset <= MASTER_ELEMENTS);
}

static void update_begin(struct update *u, enum fm_cuda_optimiser optimiser, enum fm_cuda_type type)
{
    lay_out(u, type);
    u->low = range(u, type, RIG_RANDOM);
    u->single = range(u, FM_CUDA_F32, RIG_RANDOM);
    u->masters = range(u, FM_CUDA_F32, RIG_RANDOM);
    u->moment1 = range(u, FM_CUDA_F32, RIG_RANDOM);
    u->moment2 = range(u, FM_CUDA_F32, RIG_POSITIVE);
    u->average = range(u, FM_CUDA_F32, RIG_RANDOM);
    u->working = range(u, type, RIG_RANDOM);
    struct rig_tensor *kept[] = {&u->masters, &u->moment1, &u->moment2, &u->average, &u->working};
    for (int i = 0; i < 5; i++) {
        float *copy = rig_host(MASTER_ELEMENTS * sizeof *copy);
        memcpy(copy, kept[i]->values, MASTER_ELEMENTS * sizeof *copy);
        u->before[i] = copy;
    }
    size_t chunks = fm_cuda_chunks(u->params, PARAMS, NULL);
    struct fm_cuda_chunk *table = rig_host(chunks * sizeof *table);
    fm_cuda_chunks(u->params, PARAMS, table);
    u->step = (struct fm_step){.learning_rate = 0.01f, .weight_decay = 0.05f, .ema_decay = 0.99f};
    u->state = (struct fm_cuda_state){
        .finite = 1, .unscale = 1.0f / 1024.0f, .correction1 = 1.9f, .correction2 = 300.0f};
    bool low = type != FM_CUDA_F32;
    u->work = (struct fm_cuda_update){
        .optimiser = optimiser,
        .beta1 = 0.9f,
        .beta2 = 0.999f,
        .epsilon = 1e-8f,
        .momentum = 0.9f,
        .nesterov = optimiser == FM_CUDA_SGD && low,
        .params = rig_device(u->params, sizeof u->params),
        .chunks = rig_device(table, chunks * sizeof *table),
        .chunk_count = (int)chunks,
        .type = type,
        .low_gradients = low ? u->low.device : NULL,
        .f32_gradients = u->single.device,
        .masters = u->masters.device,
        .moment1 = u->moment1.device,
        .moment2 = optimiser == FM_CUDA_ADAM ? u->moment2.device : NULL,
        .average = u->average.device,
        .working = low ? u->working.device : NULL,
        .step = rig_device(NULL, sizeof u->step),
        .state = rig_device(NULL, sizeof u->state),
    };
}

static void run_update(void *context)
{
    struct update *u = context;
    struct rig_tensor *kept[] = {&u->masters, &u->moment1, &u->moment2, &u->average, &u->working};
    for (int i = 0; i < 5; i++)
        rig_write(kept[i], u->before[i]);
    rig_put((void *)(uintptr_t)u->work.step, &u->step, sizeof u->step);
    rig_put((void *)(uintptr_t)u->work.state, &u->state, sizeof u->state);
    rig_launched("update", fm_launch_update(&u->work, rig_stream()));
}

struct element {
    float master, moment1, moment2;
};

static void train_element(
    const struct update *u, const struct fm_cuda_param *p, float gradient, struct element *e)
{
    const struct fm_cuda_update *w = &u->work;
    float rate = u->step.learning_rate * p->lr_multiplier;
    float decay = p->flags & FM_CUDA_PARAM_DECAYS ? u->step.weight_decay : 0.0f;
    if (w->optimiser == FM_CUDA_ADAM) {
        struct fm_adam_step step = {w->beta1, w->beta2, w->epsilon, rate, decay,
            u->state.correction1, u->state.correction2, u->state.unscale};
        e->master = fm_adam_element(e->master, &e->moment1, &e->moment2, gradient, step);
    } else {
        struct fm_sgd_step step = {w->momentum, rate, decay, u->state.unscale, w->nesterov};
        e->master = fm_sgd_element(e->master, &e->moment1, gradient, step);
    }
}

static void expect_update(const struct update *u, float *const expected[5])
{
    for (int i = 0; i < 5; i++)
        memcpy(expected[i], u->before[i], MASTER_ELEMENTS * sizeof(float));
    if (!u->state.finite)
        return;
    float decay = u->step.ema_decay;
    for (int i = 0; i < PARAMS; i++) {
        const struct fm_cuda_param *p = &u->params[i];
        for (uint64_t at = p->offset; at < p->offset + p->count; at++) {
            struct element e = {expected[0][at], expected[1][at], expected[2][at]};
            bool single = p->flags & FM_CUDA_PARAM_GRADIENT_F32;
            if (p->flags & FM_CUDA_PARAM_TRAINED) {
                train_element(u, p, single ? u->single.values[at] : u->low.values[at], &e);
                expected[0][at] = e.master;
                expected[1][at] = e.moment1;
                expected[2][at] = e.moment2;
                if (u->work.working)
                    expected[4][at] = e.master;
                if (u->work.average && decay > 0.0f)
                    expected[3][at] = fmaf(decay, expected[3][at], (1.0f - decay) * e.master);
            }
        }
    }
}

static void check_update(struct update *u)
{
    struct rig_tensor *found[] = {&u->masters, &u->moment1, &u->moment2, &u->average, &u->working};
    static const char *const names[] = {
        "masters", "first moments", "second moments", "averages", "working copies"};
    float *expected[5];
    for (int i = 0; i < 5; i++)
        expected[i] = rig_host(MASTER_ELEMENTS * sizeof(float));
    rig_orders(run_update, u, found, 5);
    expect_update(u, expected);
    for (int i = 0; i < 5; i++)
        rig_same(names[i], found[i], expected[i]);
}

static void test_update(void **state)
{
    (void)state;
    for (int optimiser = 0; optimiser < 2; optimiser++)
        for (int type = 0; type < TYPES; type++)
            for (int variant = 0; variant < 4; variant++) {
                static const char *const variants[] = {"as it is", "without an average",
                    "averaging by 0", "a step that does not count"};
                rig_case("update %s %s, %s", optimiser ? "SGD" : "Adam",
                    rig_type_name((enum fm_cuda_type)type), variants[variant]);
                struct update u;
                update_begin(&u, (enum fm_cuda_optimiser)optimiser, (enum fm_cuda_type)type);
                u.work.average = variant == 1 ? NULL : u.work.average;
                u.step.ema_decay = variant == 2 ? 0.0f : u.step.ema_decay;
                u.state.finite = variant != 3;
                check_update(&u);
            }
}

// ---- commit

static void check_commit(size_t count, uint32_t finite, float ema_decay, bool with_average)
{
    rig_case("commit of %zu, finite %u, decay %g, average %d", count, finite, (double)ema_decay,
        with_average);
    struct rig_tensor batch = rig_tensor(FM_CUDA_F32, count, finite ? RIG_RANDOM : RIG_SPECIAL);
    struct rig_tensor running = rig_tensor(FM_CUDA_F32, count, RIG_RANDOM);
    struct rig_tensor average = rig_tensor(FM_CUDA_F32, count, RIG_RANDOM);
    float *want = rig_host(count * sizeof *want), *averaged = rig_host(count * sizeof *averaged);
    float keep = 1.0f - 0.1f;
    for (size_t i = 0; i < count; i++) {
        want[i] = running.values[i];
        averaged[i] = average.values[i];
        if (!finite)
            continue;
        want[i] = fmaf(keep, want[i], (1.0f - keep) * batch.values[i]);
        if (with_average && ema_decay > 0.0f)
            averaged[i] = fmaf(ema_decay, averaged[i], (1.0f - ema_decay) * want[i]);
    }
    struct fm_step step = {.ema_decay = ema_decay};
    struct fm_cuda_state state = {.finite = finite};
    struct fm_cuda_commit work = {
        .count = count,
        .momentum = 0.1f,
        .batch = batch.device,
        .running = running.device,
        .average = with_average ? average.device : NULL,
        .step = rig_device(&step, sizeof step),
        .state = rig_device(&state, sizeof state),
    };
    rig_launched("commit", fm_launch_commit(&work, rig_stream()));
    rig_read(&running);
    rig_read(&average);
    rig_same("running", &running, want);
    rig_same("average", &average, averaged);
}

static void test_commit(void **state)
{
    (void)state;
    check_commit(1792, 1, 0.999f, true);
    check_commit(5, 1, 0.0f, true);
    check_commit(300, 1, 0.9f, false);
    check_commit(1792, 0, 0.999f, true);
}

// ---- all of it, enqueued at once: what one kernel leaves in the state is what the next needs

static struct fm_cuda_state run_chain(struct update *u, const float *gradients, int steps)
{
    struct fm_cuda_state after, before = {.loss_scale = 1024.0f, .loss_finite = 1};
    struct fm_cuda_state *device = (struct fm_cuda_state *)(uintptr_t)u->work.state;
    struct fm_cuda_finite low = {FM_CUDA_F16, u->low.device, MASTER_ELEMENTS, device};
    struct fm_cuda_finite single = {FM_CUDA_F32, u->single.device, MASTER_ELEMENTS, device};
    struct fm_cuda_decision decision = {device, 1, 0.9f, 0.999f};
    rig_put((void *)(uintptr_t)u->work.step, &u->step, sizeof u->step);
    rig_put(device, &before, sizeof before);
    rig_write(&u->low, gradients);
    for (int i = 0; i < steps; i++) {
        rig_launched("finite", fm_launch_finite(&low, rig_stream()));
        rig_launched("finite", fm_launch_finite(&single, rig_stream()));
        rig_launched("step", fm_launch_step(&decision, rig_stream()));
        rig_launched("update", fm_launch_update(&u->work, rig_stream()));
    }
    rig_get(device, &after, sizeof after);
    return after;
}

static void test_chain(void **state)
{
    (void)state;
    rig_case("three steps at once");
    struct update u;
    update_begin(&u, FM_CUDA_ADAM, FM_CUDA_F16);
    float *gradients = rig_host(MASTER_ELEMENTS * sizeof *gradients);
    memcpy(gradients, u.low.values, MASTER_ELEMENTS * sizeof *gradients);
    gradients[u.params[5].offset] = INFINITY;
    struct fm_cuda_state after = run_chain(&u, gradients, 3);
    rig_check("three steps are skipped", after.skipped == 3 && after.applied == 0);
    rig_check("the scale is halved three times", after.loss_scale == 128.0f);
    struct rig_tensor *kept[] = {&u.masters, &u.moment1, &u.moment2, &u.average, &u.working};
    for (int i = 0; i < 5; i++) {
        rig_read(kept[i]);
        rig_same("what a skipped step leaves alone", kept[i], u.before[i]);
    }
    gradients[u.params[5].offset] = 1.0f;
    after = run_chain(&u, gradients, 3);
    rig_check("three steps are applied", after.skipped == 0 && after.applied == 3);
    // The same steps as plain loops.
    float *expected[5];
    for (int i = 0; i < 5; i++)
        expected[i] = rig_host(MASTER_ELEMENTS * sizeof(float));
    u.state = (struct fm_cuda_state){.loss_scale = 1024.0f, .loss_finite = 1};
    for (int i = 0; i < 3; i++) {
        decide(&u.state, 1, 0.9f, 0.999f);
        expect_update(&u, expected);
        for (int k = 0; k < 5; k++)
            memcpy((float *)(uintptr_t)u.before[k], expected[k], MASTER_ELEMENTS * sizeof(float));
    }
    for (int i = 0; i < 5; i++) {
        rig_read(kept[i]);
        rig_same("after three steps", kept[i], expected[i]);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, rig_test_end)
    const struct CMUnitTest tests[] = {
        TEST(test_finite),
        TEST(test_step),
        TEST(test_update),
        TEST(test_commit),
        TEST(test_chain),
    };
    return cmocka_run_group_tests(tests, rig_begin, rig_end);
}
