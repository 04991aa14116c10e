// Kernels that sum, each alone, against plain loops in double precision: gradients of biases, batch
// norm, the loss, metrics. Their sums must be the same bits under every order of blocks and
// threads.
#include "cuda/rig.h"

#include "cross_entropy.h"
#include "mix.h"
#include "simcuda.h"

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

// What rounding to the type may change, relative.
static double epsilon_of(enum fm_cuda_type type)
{
    return type == FM_CUDA_F32 ? 1e-6 : type == FM_CUDA_F16 ? 1e-3 : 8e-3;
}

// How far a loss may be from the same sum of the host's own expf() and logf(), relative: a device's
// round otherwise, each in the last bit or two.
static double loss_tolerance(void)
{
    return sim_is_here() ? 1e-9 : 1e-6;
}

static const int column_shapes[][2] = { // rows, channels
    {1, 1}, {3, 16}, {33, 16}, {256, 128}, {1000, 10}, {700, 3}, {9000, 8}, {32800, 3}, {40000, 8},
    {70, 520}, {64, 24}, {300, 16}};

enum {
    COLUMN_SHAPES = sizeof column_shapes / sizeof column_shapes[0]
};

// ---- gradient of a bias

static void run_bias(void *context)
{
    rig_launched("bias backward", fm_launch_bias_backward(context, rig_stream()));
}

static void check_bias(
    int rows, int channels, enum fm_cuda_type type, enum fm_cuda_type bias_type, bool special)
{
    size_t n = (size_t)channels;
    if (rig_skips((size_t)rows * n))
        return;
    rig_case("gradient of a bias, %s to %s, %dx%d%s", rig_type_name(type), rig_type_name(bias_type),
        rows, channels, special ? ", special" : "");
    struct rig_tensor dy = rig_tensor(type, (size_t)rows * n, RIG_RANDOM);
    if (special) {
        dy.values[0] = NAN;
        dy.values[dy.count - 1] = INFINITY;
        rig_write(&dy, dy.values);
    }
    struct rig_tensor gradient = rig_tensor(bias_type, n, RIG_UNSET);
    double *expected = rig_host(n * sizeof *expected);
    for (size_t i = 0; i < dy.count; i++)
        expected[i % n] += (double)dy.values[i];
    struct fm_cuda_bias work = {
        .type = type,
        .rows = rows,
        .channels = channels,
        .bias_type = bias_type,
        .dy = dy.device,
        .gradient = gradient.device,
        .scratch = rig_device(NULL, (size_t)fm_cuda_column_chunks((size_t)rows) * n * 4),
    };
    struct rig_tensor *found[] = {&gradient};
    rig_orders(run_bias, &work, found, 1);
    rig_close("gradient", &gradient, expected, epsilon_of(bias_type), sqrt((double)rows));
}

static void test_bias(void **state)
{
    (void)state;
    for (int type = 0; type < TYPES; type++)
        for (int i = 0; i < COLUMN_SHAPES; i++) {
            const int *shape = column_shapes[i];
            check_bias(shape[0], shape[1], (enum fm_cuda_type)type, FM_CUDA_F32, false);
            check_bias(shape[0], shape[1], (enum fm_cuda_type)type, (enum fm_cuda_type)type, true);
        }
}

// ---- gradient of a bias with a ReLU behind it

struct gated {
    struct fm_cuda_bias work;
    struct rig_tensor y, dy, dx, gradient;
    float *before; // what dy holds each time
};

static void run_gated(void *context)
{
    struct gated *g = context;
    rig_write(&g->dy, g->before);
    rig_launched("gated bias backward", fm_launch_bias_backward(&g->work, rig_stream()));
}

// Puts a NaN and an infinity where the gate is shut, at its first and last such place, and where it
// is open.
static void put_special(float *dy, const float *gate, size_t count)
{
    for (int open = 0; open < 2; open++) {
        size_t first = count, last = count;
        for (size_t i = 0; i < count; i++)
            if ((gate[i] > 0.0f) == (open == 1)) {
                first = first < count ? first : i;
                last = i;
            }
        if (last < count) {
            dy[last] = INFINITY;
            dy[first] = NAN;
        }
    }
}

static void gated_begin(struct gated *g, const int *shape, enum fm_cuda_type type,
    enum fm_cuda_type bias_type, bool special)
{
    size_t n = (size_t)shape[1], count = (size_t)shape[0] * n;
    g->y = rig_tensor(type, count, special ? RIG_SPECIAL : RIG_TIES);
    g->dy = rig_tensor(type, count, RIG_RANDOM);
    g->dx = rig_tensor(type, count, RIG_UNSET);
    g->gradient = rig_tensor(bias_type, n, RIG_UNSET);
    g->before = rig_host(count * sizeof *g->before);
    memcpy(g->before, g->dy.values, count * sizeof *g->before);
    if (special)
        put_special(g->before, g->y.values, count);
    g->work = (struct fm_cuda_bias){
        .type = type,
        .rows = shape[0],
        .channels = shape[1],
        .bias_type = bias_type,
        .dy = g->dy.device,
        .gate = g->y.device,
        .dx = g->dx.device,
        .gradient = g->gradient.device,
        .scratch = rig_device(NULL, (size_t)fm_cuda_column_chunks((size_t)shape[0]) * n * 4),
    };
}

// The two kernels that it stands for make the same bits.
static void check_apart(struct gated *g)
{
    struct rig_tensor between = rig_tensor_of(g->dy.type, g->dy.count, g->before);
    struct rig_tensor apart = rig_tensor(g->gradient.type, g->gradient.count, RIG_UNSET);
    struct fm_cuda_relu relu = {.type = g->dy.type,
        .count = g->dy.count,
        .gate = g->y.device,
        .dy = between.device,
        .dx = between.device};
    rig_launched("relu backward", fm_launch_relu_backward(&relu, rig_stream()));
    struct fm_cuda_bias bias = g->work;
    bias.dy = between.device;
    bias.gate = bias.dx = NULL;
    bias.gradient = apart.device;
    rig_launched("bias backward", fm_launch_bias_backward(&bias, rig_stream()));
    rig_read(&apart);
    rig_same("gradient by two kernels", &apart, g->gradient.values);
}

static void check_gated(const int *shape, enum fm_cuda_type type, enum fm_cuda_type bias_type,
    bool special, bool in_place)
{
    size_t n = (size_t)shape[1], count = (size_t)shape[0] * n;
    if (rig_skips(count))
        return;
    rig_case("gradients of a bias and a ReLU, %s to %s, %dx%d%s%s", rig_type_name(type),
        rig_type_name(bias_type), shape[0], shape[1], special ? ", special" : "",
        in_place ? ", in place" : "");
    struct gated g;
    gated_begin(&g, shape, type, bias_type, special);
    float *passed = rig_host(count * sizeof *passed);
    double *sums = rig_host(n * sizeof *sums);
    for (size_t i = 0; i < count; i++) {
        passed[i] = g.y.values[i] > 0.0f ? g.before[i] : 0.0f;
        sums[i % n] += (double)passed[i];
    }
    if (in_place)
        g.work.dx = g.dy.device;
    struct rig_tensor *found[] = {in_place ? &g.dy : &g.dx, &g.gradient};
    rig_orders(run_gated, &g, found, 2);
    rig_same("dx", found[0], passed);
    rig_close("gradient", &g.gradient, sums, epsilon_of(bias_type), sqrt((double)shape[0]));
    rig_read(&g.dy);
    rig_same("dy", &g.dy, in_place ? passed : g.before);
    check_apart(&g);
}

static void test_gated_bias(void **state)
{
    (void)state;
    for (int type = 0; type < TYPES; type++)
        for (int i = 0; i < COLUMN_SHAPES; i++)
            for (int in_place = 0; in_place < 2; in_place++) {
                const int *shape = column_shapes[i];
                check_gated(shape, (enum fm_cuda_type)type, FM_CUDA_F32, false, in_place);
                check_gated(
                    shape, (enum fm_cuda_type)type, (enum fm_cuda_type)type, true, in_place);
            }
}

static void test_gated_bias_refuses(void **state)
{
    (void)state;
    rig_case("refused gradients of a bias and a ReLU");
    struct rig_tensor y = rig_tensor(FM_CUDA_F16, 64, RIG_RANDOM);
    struct rig_tensor dy = rig_tensor(FM_CUDA_F16, 64, RIG_RANDOM);
    struct rig_tensor gradient = rig_tensor(FM_CUDA_F16, 16, RIG_UNSET);
    const struct fm_cuda_bias good = {.type = FM_CUDA_F16,
        .rows = 4,
        .channels = 16,
        .bias_type = FM_CUDA_F16,
        .dy = dy.device,
        .gate = y.device,
        .dx = dy.device,
        .gradient = gradient.device,
        .scratch = rig_device(NULL, 16 * sizeof(float))};
    struct fm_cuda_bias bad = good;
    bad.dx = NULL;
    rig_refused("a gate, and nowhere to write", fm_launch_bias_backward(&bad, rig_stream()));
    bad = good;
    bad.gate = NULL;
    rig_refused("somewhere to write, and no gate", fm_launch_bias_backward(&bad, rig_stream()));
    bad = good;
    bad.gate = (const char *)y.device + 2;
    rig_refused("a misaligned gate", fm_launch_bias_backward(&bad, rig_stream()));
    bad = good;
    bad.dx = (char *)dy.device + 2;
    rig_refused("a misaligned dx", fm_launch_bias_backward(&bad, rig_stream()));
    rig_launched("as it should be", fm_launch_bias_backward(&good, rig_stream()));
}

// ---- batch norm

struct norm {
    struct fm_cuda_norm work;
    struct rig_tensor x, y, gamma, beta, mean, inverse, batch_mean, batch_variance, running_mean,
        running_variance, dy, dx, dgamma, dbeta;
    double *center, *variance; // of the batch, [channels]
};

static void norm_begin(struct norm *n, int rows, int channels, enum fm_cuda_type type, int relu)
{
    size_t c = (size_t)channels, all = (size_t)rows * c;
    size_t scratch = 2 * (size_t)fm_cuda_column_chunks((size_t)rows) * c * sizeof(float);
    n->x = rig_tensor(type, all, RIG_RANDOM);
    n->y = rig_tensor(type, all, RIG_UNSET);
    n->dy = rig_tensor(type, all, RIG_RANDOM);
    n->dx = rig_tensor(type, all, RIG_UNSET);
    struct rig_tensor *made[] = {
        &n->mean, &n->inverse, &n->batch_mean, &n->batch_variance, &n->dgamma, &n->dbeta};
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++)
        *made[i] = rig_tensor(FM_CUDA_F32, c, RIG_UNSET);
    n->gamma = rig_tensor(FM_CUDA_F32, c, RIG_POSITIVE);
    n->beta = rig_tensor(FM_CUDA_F32, c, RIG_RANDOM);
    n->running_mean = rig_tensor(FM_CUDA_F32, c, RIG_RANDOM);
    n->running_variance = rig_tensor(FM_CUDA_F32, c, RIG_POSITIVE);
    n->center = rig_host(c * sizeof(double));
    n->variance = rig_host(c * sizeof(double));
    n->work = (struct fm_cuda_norm){
        .type = type,
        .rows = rows,
        .channels = channels,
        .relu = relu,
        .epsilon = 1e-5f,
        .x = n->x.device,
        .y = n->y.device,
        .gamma = n->gamma.device,
        .beta = n->beta.device,
        .mean = n->mean.device,
        .inverse = n->inverse.device,
        .batch_mean = n->batch_mean.device,
        .batch_variance = n->batch_variance.device,
        .running_mean = n->running_mean.device,
        .running_variance = n->running_variance.device,
        .dy = n->dy.device,
        .dx = n->dx.device,
        .dgamma = n->dgamma.device,
        .dbeta = n->dbeta.device,
        .coefficients = rig_device(NULL, 3 * c * sizeof(float)),
        .scratch = rig_device(NULL, scratch),
    };
}

static void run_training(void *context)
{
    struct norm *n = context;
    rig_launched("training", fm_launch_norm_training(&n->work, rig_stream()));
}

static void run_backward(void *context)
{
    struct norm *n = context;
    rig_launched("backward", fm_launch_norm_backward(&n->work, rig_stream()));
}

static void expect_statistics(struct norm *n)
{
    size_t c = (size_t)n->work.channels;
    double rows = (double)n->work.rows;
    for (size_t i = 0; i < n->x.count; i++)
        n->center[i % c] += (double)n->x.values[i] / rows;
    for (size_t i = 0; i < n->x.count; i++) {
        double d = (double)n->x.values[i] - n->center[i % c];
        n->variance[i % c] += d * d / rows;
    }
}

// y of statistics given.
static void expect_applied(
    const struct norm *n, const double *center, const double *variance, double *y)
{
    size_t c = (size_t)n->work.channels;
    for (size_t i = 0; i < n->x.count; i++) {
        double xhat = ((double)n->x.values[i] - center[i % c]) / sqrt(variance[i % c] + 1e-5);
        y[i] = (double)n->gamma.values[i % c] * xhat + (double)n->beta.values[i % c];
        y[i] = n->work.relu && y[i] < 0.0 ? 0.0 : y[i];
    }
}

static void check_training(struct norm *n, double scale)
{
    size_t c = (size_t)n->work.channels;
    double rows = (double)n->work.rows, *y = rig_host(n->x.count * sizeof *y);
    double *inverse = rig_host(c * sizeof *inverse), *unbiased = rig_host(c * sizeof *unbiased);
    struct rig_tensor *found[] = {&n->y, &n->mean, &n->inverse, &n->batch_mean, &n->batch_variance};
    rig_orders(run_training, n, found, 5);
    expect_statistics(n);
    for (size_t k = 0; k < c; k++) {
        inverse[k] = 1.0 / sqrt(n->variance[k] + 1e-5);
        unbiased[k] = n->variance[k] * (rows > 1.0 ? rows / (rows - 1.0) : 1.0);
    }
    expect_applied(n, n->center, n->variance, y);
    rig_close("mean", &n->mean, n->center, 1e-6, scale);
    rig_close("batch mean", &n->batch_mean, n->center, 1e-6, scale);
    rig_close("batch variance", &n->batch_variance, unbiased, 1e-5 * scale, 0.1);
    rig_close("inverse", &n->inverse, inverse, 1e-5 * scale, 1e-3);
    // y is x * scale + shift. One row has no variance, so mean * scale is up to 2 * 2 / sqrt(1e-5)
    // = 1265, and rounding that and shift leaves up to 2 * 2^-24 * 1265 = 1.5e-4 = 4e-6 * 38 in y.
    double size = n->work.rows > 1 ? 1.0 : 40.0;
    rig_close("y", &n->y, y, 4 * epsilon_of(n->work.type) * scale, size);
}

static void check_backward(struct norm *n)
{
    size_t c = (size_t)n->work.channels;
    double rows = (double)n->work.rows;
    double *dgamma = rig_host(c * sizeof *dgamma), *dbeta = rig_host(c * sizeof *dbeta);
    double *dx = rig_host(n->x.count * sizeof *dx), *g = rig_host(n->x.count * sizeof *g);
    double *xhat = rig_host(n->x.count * sizeof *xhat);
    struct rig_tensor *found[] = {&n->dx, &n->dgamma, &n->dbeta};
    rig_orders(run_backward, n, found, 3);
    for (size_t i = 0; i < n->x.count; i++) {
        size_t k = i % c;
        g[i] = !n->work.relu || n->y.values[i] > 0.0f ? (double)n->dy.values[i] : 0.0;
        xhat[i] = ((double)n->x.values[i] - n->center[k]) / sqrt(n->variance[k] + 1e-5);
        dbeta[k] += g[i];
        dgamma[k] += g[i] * xhat[i];
    }
    for (size_t i = 0; i < n->x.count; i++) {
        size_t k = i % c;
        double inverse = 1.0 / sqrt(n->variance[k] + 1e-5);
        dx[i] = (double)n->gamma.values[k] * inverse *
                (g[i] - dbeta[k] / rows - xhat[i] * dgamma[k] / rows);
    }
    double scale = sqrt(rows);
    rig_close("dbeta", &n->dbeta, dbeta, 2e-6, scale);
    rig_close("dgamma", &n->dgamma, dgamma, 2e-5, scale);
    // Three rows or fewer may lie so close together that their inverse deviation is large.
    double spread = n->work.rows < 4 ? 300.0 : 1.0;
    rig_close("dx", &n->dx, dx, 4 * epsilon_of(n->work.type) + 1e-5, spread);
    n->work.dx = (void *)(uintptr_t)n->work.dy; // in place
    rig_launched("backward", fm_launch_norm_backward(&n->work, rig_stream()));
    rig_read(&n->dy);
    rig_same("dx in place", &n->dy, n->dx.values);
}

static void check_inference(struct norm *n)
{
    size_t c = (size_t)n->work.channels;
    double *y = rig_host(n->x.count * sizeof *y), *mean = rig_host(c * sizeof *mean);
    double *variance = rig_host(c * sizeof *variance);
    for (size_t k = 0; k < c; k++) {
        mean[k] = (double)n->running_mean.values[k];
        variance[k] = (double)n->running_variance.values[k];
    }
    rig_launched("inference", fm_launch_norm_inference(&n->work, rig_stream()));
    rig_read(&n->y);
    expect_applied(n, mean, variance, y);
    rig_close("y in inference", &n->y, y, 4 * epsilon_of(n->work.type), 1.0);
}

static void test_norm(void **state)
{
    (void)state;
    for (int type = 0; type < TYPES; type++)
        for (int i = 0; i < COLUMN_SHAPES; i++) {
            int rows = column_shapes[i][0], channels = column_shapes[i][1], relu = i % 2;
            if (rig_skips((size_t)(rows * channels)))
                continue;
            rig_case("batch norm %s %dx%d relu %d", rig_type_name((enum fm_cuda_type)type), rows,
                channels, relu);
            struct norm n;
            norm_begin(&n, rows, channels, (enum fm_cuda_type)type, relu);
            check_training(&n, 1.0);
            check_backward(&n);
            check_inference(&n);
        }
}

// A variance of 1/3 about a mean of 1000: summing squares in fp32 would lose it.
static void test_norm_far_from_zero(void **state)
{
    (void)state;
    rig_case("batch norm about 1000");
    struct norm n;
    norm_begin(&n, rig_is_thorough() ? 3000 : 100, 16, FM_CUDA_F32, 0);
    for (size_t i = 0; i < n.x.count; i++)
        n.x.values[i] = 1000.0f + 0.5f * n.x.values[i];
    rig_write(&n.x, n.x.values);
    check_training(&n, 100.0);
}

// A NaN or an infinity spoils its channel and no other.
static void test_norm_special(void **state)
{
    (void)state;
    for (int type = 0; type < TYPES; type++) {
        rig_case("batch norm %s with NaN and Inf", rig_type_name((enum fm_cuda_type)type));
        struct norm n;
        norm_begin(&n, 300, 16, (enum fm_cuda_type)type, 1);
        n.x.values[5 * 16 + 3] = NAN;
        n.x.values[9 * 16 + 7] = INFINITY;
        rig_write(&n.x, n.x.values);
        run_training(&n);
        rig_read(&n.y);
        rig_read(&n.batch_mean);
        for (int k = 0; k < 16; k++) {
            bool spoiled = k == 3 || k == 7;
            rig_check("a mean is finite where its channel is",
                (bool)isfinite(n.batch_mean.values[k]) != spoiled);
            rig_check("y is a NaN where its channel is", (bool)isnan(n.y.values[k]) == spoiled);
        }
    }
}

// ---- the loss

enum {
    LABELS = 700 // of the data set that is gathered from; more than any case has rows
};

struct loss_case {
    int rows, classes, pitch;
    enum fm_cuda_type type, gradient_type;
    float smoothing, scale;
    bool gather;
    float mix, soft;
};

static const struct loss_case loss_cases[] = {
    {256, 10, 16, FM_CUDA_F16, FM_CUDA_F16, 0.0f, 65536.0f, false, 0.0f, 0.0f},
    {240, 10, 16, FM_CUDA_F16, FM_CUDA_F16, 0.1f, 1024.0f, true, 0.0f, 0.0f},
    {37, 10, 10, FM_CUDA_F32, FM_CUDA_F32, 0.1f, 1.0f, false, 0.0f, 0.0f},
    {600, 10, 16, FM_CUDA_F32, FM_CUDA_BF16, 0.0f, 1.0f, false, 0.0f, 0.0f},
    {1, 2, 8, FM_CUDA_BF16, FM_CUDA_BF16, 0.2f, 1.0f, true, 0.0f, 0.0f},
    {45, 256, 256, FM_CUDA_F32, FM_CUDA_F16, 0.1f, 8.0f, false, 0.0f, 0.0f},
    {5, 3, 3, FM_CUDA_F32, FM_CUDA_F32, 0.0f, 16777216.0f, false, 0.0f, 0.0f},
    {256, 10, 16, FM_CUDA_F16, FM_CUDA_F16, 0.0f, 65536.0f, false, 0.6f, 0.0f},
    {600, 10, 16, FM_CUDA_F32, FM_CUDA_F32, 0.1f, 1.0f, true, 1.0f, 0.0f},
    {1, 3, 8, FM_CUDA_F32, FM_CUDA_F32, 0.1f, 1.0f, true, 1.0f, 0.0f},
    {256, 10, 16, FM_CUDA_F16, FM_CUDA_F16, 0.1f, 65536.0f, true, 0.0f, 0.9f},
    {600, 10, 16, FM_CUDA_F32, FM_CUDA_BF16, 0.1f, 1.0f, true, 0.6f, 0.5f},
    {45, 256, 256, FM_CUDA_F32, FM_CUDA_F16, 0.0f, 8.0f, false, 0.0f, 1.0f},
};

struct loss {
    struct fm_cuda_cross_entropy work;
    struct fm_cuda_state before, *state; // state: on the device
};

static void run_loss(void *context)
{
    struct loss *l = context;
    rig_put(l->state, &l->before, sizeof l->before);
    rig_launched("loss", fm_launch_cross_entropy(&l->work, rig_stream()));
}

// A row's loss, and its gradient times `scale`, in double precision.
static double expect_loss(
    const float *z, const struct loss_case *it, const struct fm_target *wanted, double *gradient)
{
    double most = (double)z[0], sum = 0.0, loss = 0.0, share = (double)it->smoothing / it->classes;
    for (int k = 1; k < it->classes; k++)
        most = (double)z[k] > most ? (double)z[k] : most;
    for (int k = 0; k < it->classes; k++)
        sum += exp((double)z[k] - most);
    for (int k = 0; k < it->classes; k++) {
        double p = exp((double)z[k] - most) / sum;
        double certain = (k == wanted->label ? 1.0 - (double)wanted->weight : 0.0) +
                         (k == wanted->other ? (double)wanted->weight : 0.0);
        double target = share + (1.0 - (double)it->smoothing) * certain;
        if (it->soft > 0.0f)
            target = (1.0 - (double)it->soft) * target +
                     (double)it->soft * ((1.0 - (double)wanted->weight) * (double)wanted->soft[k] +
                                            (double)wanted->weight * (double)wanted->other_soft[k]);
        loss -= target * ((double)z[k] - most - log(sum));
        gradient[k] = (double)it->scale / it->rows * (p - target);
    }
    return loss;
}

// What a batch comes to: in the arithmetic shared with the CPU, and by the formula.
struct loss_expected {
    float *gradient;
    double *exact_gradient, total, exact_total;
    uint64_t correct;
};

// What is known of the samples.
struct loss_input {
    uint8_t labels[LABELS];
    uint32_t ids[LABELS];
    float *soft; // [rows][classes]
};

static struct loss_input draw_loss_input(const struct loss_case *it)
{
    struct loss_input in = {.soft = rig_host((size_t)(it->rows * it->classes) * sizeof *in.soft)};
    for (int i = 0; i < LABELS; i++) {
        in.labels[i] = (uint8_t)(rig_random() % (uint32_t)it->classes);
        in.ids[i] = rig_random() % LABELS;
    }
    for (int n = 0; n < it->rows; n++) {
        float *row = in.soft + n * it->classes, sum = 0.0f;
        for (int k = 0; k < it->classes; k++)
            sum += row[k] = (float)(1 + rig_random() % 100);
        for (int k = 0; k < it->classes; k++)
            row[k] /= sum;
    }
    return in;
}

static const struct fm_step loss_step = {.seed = 41, .epoch = 2};

// Half of what is mixed is cut.
static struct fm_mix_ranges mix_of(const struct loss_case *it)
{
    return fm_mix_ranges_of(it->mix, 0.5f, 28, 28);
}

static struct loss_expected expect_losses(
    const struct loss_case *it, const float *logits, const struct loss_input *in)
{
    size_t count = (size_t)(it->rows * it->pitch);
    struct loss_expected to = {
        .gradient = rig_host(count * sizeof *to.gradient),
        .exact_gradient = rig_host(count * sizeof *to.exact_gradient),
    };
    const struct fm_mix_ranges ranges = mix_of(it);
    for (int n = 0; n < it->rows; n++) {
        int at = n * it->pitch, next = (n + 1) % it->rows, hit;
        const struct fm_target target = {
            .label = in->labels[it->gather ? in->ids[n] : (uint32_t)n],
            .other = in->labels[it->gather ? in->ids[next] : (uint32_t)next],
            .weight = fm_mix_draw(loss_step.seed, loss_step.epoch, in->ids[n], &ranges).weight,
            .smoothing = it->smoothing,
            .soft_share = it->soft,
            .soft = in->soft + n * it->classes,
            .other_soft = in->soft + next * it->classes,
        };
        to.exact_total += expect_loss(logits + at, it, &target, to.exact_gradient + at);
        to.total += (double)fm_cross_entropy_row(
            logits + at, it->classes, target, it->scale / (float)it->rows, to.gradient + at, &hit);
        to.correct += (uint64_t)hit;
    }
    return to;
}

// The sums grow by the batch's; nothing else of the state changes but that the loss is finite.
static void check_loss_state(const struct loss_case *it, const struct loss *l,
    const struct loss_expected *expected, struct fm_cuda_state after)
{
    double loss = after.sums.loss - l->before.sums.loss;
    rig_check(
        "the loss is the rows'", fabs(loss - expected->total) < loss_tolerance() * expected->total);
    rig_check("the loss is the formula's",
        fabs(loss - expected->exact_total) < 1e-5 * expected->exact_total);
    rig_check("the correct predictions",
        after.sums.correct == l->before.sums.correct + expected->correct);
    rig_check("the count", after.sums.count == l->before.sums.count + (uint64_t)it->rows);
    rig_check("the loss is finite", after.loss_finite == 1);
    after.sums = l->before.sums;
    after.loss_finite = l->before.loss_finite;
    rig_check("nothing else of the state changes", !memcmp(&after, &l->before, sizeof after));
}

static struct loss loss_of(const struct loss_case *it, const struct rig_tensor *logits,
    const struct rig_tensor *gradient, const struct loss_input *in)
{
    size_t soft = (size_t)(it->rows * it->classes) * sizeof *in->soft;
    struct loss l = {
        .before = {.sums = {100.0, 7, 11, 3}, .loss_scale = it->scale, .overflow = 1},
        .state = rig_device(NULL, sizeof *l.state),
    };
    l.work = (struct fm_cuda_cross_entropy){
        .rows = it->rows,
        .classes = it->classes,
        .pitch = it->pitch,
        .type = it->type,
        .logits = logits->device,
        .labels = rig_device(in->labels, sizeof in->labels),
        .ids = rig_device(in->ids, sizeof in->ids),
        .soft_targets = it->soft > 0.0f ? rig_device(in->soft, soft) : NULL,
        .soft_share = it->soft,
        .step = rig_device(&loss_step, sizeof loss_step),
        .gather = it->gather,
        .smoothing = it->smoothing,
        .mix = mix_of(it),
        .gradient_type = it->gradient_type,
        .gradient = gradient->device,
        .state = l.state,
    };
    return l;
}

static void check_loss(const struct loss_case *it)
{
    rig_case("loss %s to %s, %dx%d of %d, smoothing %g, scale %g, gather %d, mix %g, soft %g",
        rig_type_name(it->type), rig_type_name(it->gradient_type), it->rows, it->classes, it->pitch,
        (double)it->smoothing, (double)it->scale, it->gather, (double)it->mix, (double)it->soft);
    size_t count = (size_t)(it->rows * it->pitch);
    struct rig_tensor logits = rig_tensor(it->type, count, RIG_RANDOM);
    struct rig_tensor gradient = rig_tensor(it->gradient_type, count, RIG_UNSET);
    struct loss_input in = draw_loss_input(it);
    struct loss_expected expected = expect_losses(it, logits.values, &in);
    struct loss l = loss_of(it, &logits, &gradient, &in);
    struct rig_tensor *found[] = {&gradient};
    struct fm_cuda_state first, after;
    run_loss(&l);
    rig_get(l.state, &first, sizeof first);
    rig_orders(run_loss, &l, found, 1);
    if (sim_is_here())
        rig_same("gradient", &gradient, expected.gradient);
    // Where a target is mixed or soft, a probability and its target are often alike: their
    // difference has the errors of either.
    rig_close("gradient", &gradient, expected.exact_gradient, 2 * epsilon_of(it->gradient_type),
        (it->mix > 0.0f || it->soft > 0.0f ? 0.25 : 1e-2) * (double)it->scale / it->rows);
    rig_get(l.state, &after, sizeof after);
    rig_check("the state is the same under every order", !memcmp(&first, &after, sizeof after));
    check_loss_state(it, &l, &expected, after);
}

static void test_loss(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof loss_cases / sizeof loss_cases[0]; i++)
        check_loss(&loss_cases[i]);
}

// A NaN or an infinite logit makes the loss, and its row's gradient, no number, and is told.
static void test_loss_special(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY};
    for (int i = 0; i < 2; i++) {
        rig_case("loss of a logit of %g", (double)bad[i]);
        struct rig_tensor logits = rig_tensor(FM_CUDA_F16, 4 * 16, RIG_RANDOM);
        struct rig_tensor gradient = rig_tensor(FM_CUDA_F16, 4 * 16, RIG_UNSET);
        logits.values[2 * 16 + 5] = bad[i];
        rig_write(&logits, logits.values);
        uint8_t labels[4] = {1, 2, 3, 4};
        uint32_t ids[4] = {0, 1, 2, 3};
        struct fm_cuda_state after, before = {.loss_scale = 2.0f, .loss_finite = 1};
        struct fm_cuda_cross_entropy work = {
            .rows = 4,
            .classes = 10,
            .pitch = 16,
            .type = FM_CUDA_F16,
            .logits = logits.device,
            .labels = rig_device(labels, sizeof labels),
            .ids = rig_device(ids, sizeof ids),
            .step = rig_device(&loss_step, sizeof loss_step),
            .gradient_type = FM_CUDA_F16,
            .gradient = gradient.device,
            .state = rig_device(&before, sizeof before),
        };
        rig_launched("loss", fm_launch_cross_entropy(&work, rig_stream()));
        rig_get(work.state, &after, sizeof after);
        rig_read(&gradient);
        rig_check("the loss is a NaN", isnan(after.sums.loss));
        rig_check("it is told", after.loss_finite == 0);
        for (int n = 0; n < 4; n++) {
            rig_check(
                "only that row's gradient is", isnan(gradient.values[n * 16 + 5]) == (n == 2));
            rig_check("padding gets zeros", gradient.values[n * 16 + 12] == 0.0f);
        }
    }
}

static void test_loss_refuses(void **state)
{
    (void)state;
    rig_case("refused losses");
    struct loss_case it = loss_cases[0];
    struct rig_tensor logits = rig_tensor(it.type, (size_t)(it.rows * it.pitch), RIG_RANDOM);
    struct rig_tensor gradient = rig_tensor(it.type, (size_t)(it.rows * it.pitch), RIG_UNSET);
    const struct loss_input in = draw_loss_input(&it);
    const struct loss l = loss_of(&it, &logits, &gradient, &in);
    struct fm_cuda_cross_entropy bad = l.work;
    bad.ids = NULL;
    rig_refused("no ids", fm_launch_cross_entropy(&bad, rig_stream()));
    bad = l.work;
    bad.step = NULL;
    rig_refused("no step", fm_launch_cross_entropy(&bad, rig_stream()));
    bad = l.work;
    bad.soft_share = 0.5f;
    rig_refused("a share of no soft targets", fm_launch_cross_entropy(&bad, rig_stream()));
    bad = l.work;
    bad.pitch = it.classes - 1;
    rig_refused("rows shorter than the classes", fm_launch_cross_entropy(&bad, rig_stream()));
}

// ---- metrics

struct metrics {
    struct fm_cuda_metrics work;
    size_t cells;
};

static void run_metrics(void *context)
{
    struct metrics *m = context;
    struct fm_cuda_sums none = {0};
    uint32_t *zeros = calloc(m->cells, sizeof *zeros);
    assert_non_null(zeros);
    rig_put(m->work.sums, &none, sizeof none);
    rig_put(m->work.confusion, zeros, m->cells * sizeof *zeros);
    free(zeros);
    rig_launched("metrics", fm_launch_metrics(&m->work, rig_stream()));
}

// What the `present` first rows come to; `logits` and `confusion` are added to.
static struct fm_cuda_sums expect_metrics(const struct fm_cuda_metrics *work, int present,
    const float *values, const uint8_t *labels, float *logits, uint32_t *confusion)
{
    struct fm_cuda_sums sums = {.count = (uint64_t)present};
    int classes = work->classes;
    for (int i = 0; i < present; i++) {
        const float *row = values + i * work->pitch;
        int best = 0, hit;
        for (int k = 0; k < classes; k++) {
            best = row[k] > row[best] ? k : best;
            logits[i * classes + k] = row[k];
        }
        confusion[labels[i] * classes + best]++;
        sums.loss += (double)fm_cross_entropy_row(
            row, classes, fm_target_plain(labels[i]), 1.0f, NULL, &hit);
        sums.correct += (uint64_t)hit;
    }
    return sums;
}

// Without labels only the logits are put out, by several blocks.
static void check_unlabelled(
    struct metrics m, int present, struct rig_tensor *compact, const float *expected)
{
    static const struct fm_cuda_sums none;
    float *before = rig_host(compact->count * sizeof *before);
    for (size_t i = 0; i < compact->count; i++)
        before[i] = i < (size_t)(present * m.work.classes) ? -7.0f : expected[i];
    struct fm_cuda_sums sums;
    struct rig_tensor *outputs[] = {compact};
    m.work.labels = NULL;
    rig_put(compact->device, before, compact->count * sizeof *before);
    rig_orders(run_metrics, &m, outputs, 1);
    rig_same("compact logits without labels", compact, expected);
    rig_get(m.work.sums, &sums, sizeof sums);
    rig_check("without labels there are no sums", !memcmp(&sums, &none, sizeof sums));
}

static void check_metrics(int rows, int present, int classes, int pitch, enum fm_cuda_type type)
{
    rig_case("metrics %s, %d of %d rows, %d classes of %d", rig_type_name(type), present, rows,
        classes, pitch);
    size_t n = (size_t)rows, cells = (size_t)(classes * classes);
    struct rig_tensor logits = rig_tensor(type, n * (size_t)pitch, RIG_TIES);
    struct rig_tensor compact = rig_tensor(FM_CUDA_F32, n * (size_t)classes, RIG_TIES);
    uint8_t *labels = rig_host(n);
    uint32_t *confusion = rig_host(cells * sizeof *confusion), *found = rig_host(cells * 4);
    float *expected = rig_host(compact.count * sizeof *expected);
    memcpy(expected, compact.values, compact.count * sizeof *expected);
    struct fm_step step = {.count = (uint32_t)present};
    struct fm_cuda_sums sums;
    for (int i = 0; i < rows; i++)
        labels[i] = (uint8_t)(rig_random() % (uint32_t)classes);
    struct metrics m = {{.rows = rows,
                            .classes = classes,
                            .pitch = pitch,
                            .type = type,
                            .logits = logits.device,
                            .step = rig_device(&step, sizeof step),
                            .compact = compact.device,
                            .labels = rig_device(labels, n),
                            .sums = rig_device(NULL, sizeof sums),
                            .confusion = rig_device(NULL, cells * sizeof *confusion)},
        cells};
    struct fm_cuda_sums want = expect_metrics(
        &m.work, present, logits.values, labels, expected, confusion);
    struct rig_tensor *outputs[] = {&compact};
    rig_orders(run_metrics, &m, outputs, 1);
    rig_same("compact logits", &compact, expected);
    rig_get(m.work.confusion, found, cells * sizeof *found);
    rig_check("the confusion matrix", !memcmp(found, confusion, cells * sizeof *found));
    rig_get(m.work.sums, &sums, sizeof sums);
    rig_check("the loss", fabs(sums.loss - want.loss) <= loss_tolerance() * want.loss);
    rig_check("correct and count", sums.correct == want.correct && sums.count == want.count);
    check_unlabelled(m, present, &compact, expected);
}

static void test_metrics(void **state)
{
    (void)state;
    for (int type = 0; type < TYPES; type++) {
        check_metrics(256, 256, 10, 16, (enum fm_cuda_type)type);
        check_metrics(256, 184, 10, 16, (enum fm_cuda_type)type);
        check_metrics(1, 1, 10, 10, (enum fm_cuda_type)type);
        check_metrics(700, 650, 3, 8, (enum fm_cuda_type)type);
        check_metrics(40, 40, 256, 256, (enum fm_cuda_type)type);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, rig_test_end)
    const struct CMUnitTest tests[] = {
        TEST(test_bias),
        TEST(test_gated_bias),
        TEST(test_gated_bias_refuses),
        TEST(test_norm),
        TEST(test_norm_far_from_zero),
        TEST(test_norm_special),
        TEST(test_loss),
        TEST(test_loss_special),
        TEST(test_loss_refuses),
        TEST(test_metrics),
    };
    return cmocka_run_group_tests(tests, rig_begin, rig_end);
}
