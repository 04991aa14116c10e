// The matrix unit's convolutions, by the unit itself where this processor has one and spelled out
// in any case, against sums in double: forward with bias, ReLU and max-pool, the gradients of data
// and filters, in every layout and order of tiles, and a network's first convolution; the same bits
// spelled out as by the unit, whatever the batch and the number of threads, and in place.
#include "convolution.h"

#include <stdio.h>

static const struct shape {
    int n, in_c, out_c, h, w, padding, block; // 0: the input's channels last, the output in blocks
} shapes[] = {
    {1, 32, 32, 4, 4, 1, 0},      // a tile of pixels, and none beside it
    {3, 64, 32, 7, 5, 1, 16},     // rows of tiles that cross rows of pixels
    {2, 32, 64, 6, 9, 0, 16},     // no padding
    {2, 32, 32, 5, 4, 2, 16},     // the output larger than the input
    {16, 32, 96, 7, 7, 1, 0},     // tiles of 16 images, an odd row of them
    {32, 32, 64, 5, 6, 0, 16},    // the same without padding
    {67, 32, 32, 2, 2, 1, 16},    // groups of images that are not full
    {70, 64, 32, 4, 3, 2, 0},     // the same, channels last
    {33, 32, 32, 20, 20, 1, 16},  // the gradient in bands of rows, of a group that is not full
    {35, 64, 64, 18, 10, 1, 16},  // the same, several parts of the inputs
    {16, 128, 160, 3, 3, 1, 16},  // filters so many that outputs are taken in turn
    {64, 32, 576, 10, 11, 1, 16}, // groups of which threads share one after another
    {544, 32, 32, 14, 14, 1, 16}, // chunks of several groups
};

enum {
    SHAPES = sizeof shapes / sizeof shapes[0],
    FIRST_LARGE = SHAPES - 2, // from which on it takes long where it is spelled out
};

static void make_from(struct convolution *t, const struct shape *s, int in_block)
{
    int h = out_size(s->h, s->padding), w = out_size(s->w, s->padding);
    *t = (struct convolution){
        .in = view_of(s->n, s->in_c, s->h, s->w, in_block),
        .out = view_of(s->n, s->out_c, h, w, FM_AMX_BLOCK),
        .padding = s->padding,
        .element = FM_ELEMENT_BF16,
    };
    convolution_make(t);
}

static void make(struct convolution *t, const struct shape *s)
{
    make_from(t, s, s->block);
}

static size_t bytes_of(const struct fm_view *v)
{
    return fm_view_size(v) * sizeof(uint16_t);
}

// Zeroed: what is not written shows. So many bytes and no more: AddressSanitizer sees the rest.
static void *memory(size_t bytes)
{
    void *data;
    if (posix_memalign(&data, 64, bytes > 0 ? bytes : 1) != 0)
        abort();
    memset(data, 0, bytes);
    return data;
}

// ---- by the kernels

static struct fm_amx forward_of(const struct convolution *t, int threads)
{
    return (struct fm_amx){t->in, t->out, t->padding, threads};
}

static struct fm_amx data_of(const struct convolution *t, int threads)
{
    return (struct fm_amx){t->out, t->in, 2 - t->padding, threads};
}

// To memory of its own, or over `given->x`.
static void *convolve(const struct fm_amx_kernels *k, const struct convolution *t,
    const struct fm_amx *a, const struct fm_amx_run *given, bool rotated)
{
    struct fm_amx_run run = *given;
    void *packed = memory(fm_amx_filter_bytes(a->out.c, a->in.c));
    void *scratch = memory(k->convolve_scratch(a, run.pool));
    const struct fm_amx_filters filters = {
        .out_c = t->out.c,
        .in_c = t->in.c,
        .values = t->filters,
        .rotated = rotated,
        .threads = a->threads,
    };
    const struct fm_view to = run.pool ? fm_view_pooled(&a->out) : a->out;
    k->pack(&filters, packed);
    run.filters = packed;
    run.y = given->y ? given->y : memory(bytes_of(&to));
    k->convolve(a, &run, scratch);
    free(packed);
    free(scratch);
    return run.y;
}

static void *run_forward(const struct fm_amx_kernels *k, const struct convolution *t, int threads)
{
    const struct fm_amx a = forward_of(t, threads);
    const struct fm_amx_run run = {.x = t->view_x, .bias = t->bias, .relu = true};
    return convolve(k, t, &a, &run, false);
}

static void *run_data(const struct fm_amx_kernels *k, const struct convolution *t, int threads)
{
    const struct fm_amx a = data_of(t, threads);
    const struct fm_amx_run run = {.x = t->view_dy};
    return convolve(k, t, &a, &run, true);
}

static size_t filter_bytes(const struct convolution *t)
{
    return (size_t)t->out.c * (size_t)t->in.c * TAPS * sizeof(float);
}

static void *gradient_of(const struct fm_amx_kernels *k, const struct convolution *t, const void *x,
    struct fm_norm_relu pending, int threads)
{
    const struct fm_amx a = forward_of(t, threads);
    void *scratch = memory(k->gradient_scratch(&a));
    float *dw = memory(filter_bytes(t));
    k->gradient(&a, x, pending, t->view_dy, dw, scratch);
    free(scratch);
    return dw;
}

static void *run_gradient(const struct fm_amx_kernels *k, const struct convolution *t, int threads)
{
    return gradient_of(k, t, t->view_x, (struct fm_norm_relu){0}, threads);
}

// What is computed of a convolution, and how large it is.
static const struct {
    const char *what;
    void *(*run)(const struct fm_amx_kernels *k, const struct convolution *t, int threads);
} runs[] = {{"forward", run_forward}, {"gradient of the data", run_data},
    {"gradient of the filters", run_gradient}};

enum {
    RUNS = sizeof runs / sizeof runs[0]
};

static size_t result_bytes(const struct convolution *t, int run)
{
    return run == 0 ? bytes_of(&t->out) : run == 1 ? bytes_of(&t->in) : filter_bytes(t);
}

// ---- a network's first

static const struct shape first_shapes[] = {
    {3, 1, 32, 7, 9, 1, 16},    // rows shorter than a tile
    {20, 1, 64, 28, 28, 0, 16}, // of 16 chunks, some of two images
    {5, 3, 64, 32, 32, 1, 16},  // more taps than a tile has rows
    {2, 2, 96, 5, 40, 2, 16},   // rows longer than a product's steps
    {1, 1, 32, 3, 3, 1, 16},    // one image
};

enum {
    FIRST_SHAPES = sizeof first_shapes / sizeof first_shapes[0]
};

// In the plain layout.
static void make_first(struct convolution *t, const struct shape *s)
{
    make_from(t, s, 1);
}

// Filters times `scale`, which may be NULL.
static void *first_of(
    const struct fm_amx_kernels *k, const struct convolution *t, const float *scale, int threads)
{
    const struct fm_amx a = {t->in, t->out, t->padding, threads};
    assert_true(fm_amx_first_suits(&a));
    void *y = memory(bytes_of(&t->out)), *scratch = memory(k->first_scratch(&a));
    const struct fm_amx_first_run run = {.x = t->view_x,
        .filters = t->filters,
        .scale = scale,
        .bias = scale ? NULL : t->bias,
        .relu = !scale,
        .y = y};
    k->first(&a, &run, scratch);
    free(scratch);
    return y;
}

// The filters' gradient, then the bias's. `gate` may be NULL.
static float *first_gradient_of(
    const struct fm_amx_kernels *k, const struct convolution *t, const void *gate, int threads)
{
    const struct fm_amx a = {t->in, t->out, t->padding, threads};
    float *dw = memory(filter_bytes(t) + (size_t)t->out.c * sizeof(float));
    void *scratch = memory(k->first_gradient_scratch(&a));
    const struct fm_amx_first_gradient g = {.x = t->view_x,
        .dy = t->view_dy,
        .gate = gate,
        .dw = dw,
        .db = dw + filter_bytes(t) / sizeof *dw};
    k->first_gradient(&a, &g, scratch);
    free(scratch);
    return dw;
}

// ---- comparisons

static void fail_of(const char *what, const struct shape *s, const char *kernels, const char *why)
{
    fail_msg("%s of %dx%dx%dx%d, %d out, padding %d, block %d, %s: %s", what, s->n, s->in_c, s->h,
        s->w, s->out_c, s->padding, s->block, kernels, why);
}

// `allowed`: of the values.
static void check(const struct errors *e, double allowed, const char *what, const struct shape *s,
    const struct fm_amx_kernels *k)
{
    double size = sqrt(e->values / (double)e->count);
    char why[128];
    snprintf(why, sizeof why, "error %g of the values, %g at most of %g, expected %g", relative(e),
        e->largest, size, allowed);
    if (!(relative(e) <= allowed) || !(e->largest <= 20.0 * allowed * size))
        fail_of(what, s, k->name, why);
}

enum {
    TABLES = FM_AMX_TABLES_MAX
};

static void check_values(const struct fm_amx_kernels *k, const struct shape *s)
{
    struct convolution t;
    make(&t, s);
    struct errors forward = {0}, data = {0}, gradient = {0};
    void *y = run_forward(k, &t, 1), *dx = run_data(k, &t, 1);
    float *dw = run_gradient(k, &t, 1);
    compare_activation(&t, &t.out, y, expected_output, &forward);
    compare_activation(&t, &t.in, dx, expected_data, &data);
    for (int out = 0; out < t.out.c; out += 7)
        for (int in = 0; in < t.in.c; in += 5)
            for (int tap = 0; tap < TAPS; tap++)
                note(&gradient, (double)dw[(out * t.in.c + in) * TAPS + tap],
                    expected_gradient(&t, out, in, tap));
    check(&forward, 2e-3, "forward", s, k);
    check(&data, 2e-3, "gradient of the data", s, k);
    check(&gradient, 4e-6, "gradient of the filters", s, k);
    free(y);
    free(dx);
    free(dw);
    convolution_free(&t);
}

typedef void for_each(const struct fm_amx_kernels *k, const struct shape *s);

static void over_all(for_each *call)
{
    const struct fm_amx_kernels *tables[TABLES];
    int count = fm_amx_usable(tables);
    assert_true(count >= 1);
    print_message("matrix unit: %s\n", count > 1 ? "this processor's, and spelled out"
                                                 : "spelled out alone, this processor has none");
    for (int i = 0; i < count; i++)
        for (int s = 0; s < SHAPES; s++)
            if (s < FIRST_LARGE || i + 1 < count || call == check_values)
                call(tables[i], &shapes[s]);
}

static void test_values(void **state)
{
    (void)state;
    over_all(check_values);
}

static void check_threads(const struct fm_amx_kernels *k, const struct shape *s)
{
    struct convolution t;
    make(&t, s);
    for (int r = 0; r < RUNS; r++) {
        void *one = runs[r].run(k, &t, 1);
        for (int threads = 2; threads <= 5; threads += 3) {
            void *other = runs[r].run(k, &t, threads);
            if (memcmp(one, other, result_bytes(&t, r)) != 0)
                fail_of(runs[r].what, s, k->name, "other bits with several threads");
            free(other);
        }
        free(one);
    }
    convolution_free(&t);
}

static void test_threads(void **state)
{
    (void)state;
    over_all(check_threads);
}

static void check_first_spelled_out(
    const struct fm_amx_kernels *const tables[TABLES], const struct shape *s)
{
    struct convolution t;
    make_first(&t, s);
    void *y[2];
    float *dw[2];
    for (int i = 0; i < 2; i++) {
        y[i] = first_of(tables[i], &t, NULL, 2);
        dw[i] = first_gradient_of(tables[i], &t, y[0], 2);
    }
    assert_memory_equal(y[0], y[1], bytes_of(&t.out));
    assert_memory_equal(dw[0], dw[1], filter_bytes(&t) + (size_t)t.out.c * sizeof(float));
    for (int i = 0; i < 2; i++) {
        free(y[i]);
        free(dw[i]);
    }
    convolution_free(&t);
}

// The portable kernels, which machines without the unit are tested with, are it to the bit.
static void test_unit_is_spelled_out(void **state)
{
    (void)state;
    const struct fm_amx_kernels *tables[TABLES];
    if (fm_amx_usable(tables) < 2) {
        print_message("this processor has no matrix unit to compare with\n");
        skip();
    }
    for (size_t s = 0; s < FIRST_SHAPES; s++)
        check_first_spelled_out(tables, &first_shapes[s]);
    for (int s = 0; s < FIRST_LARGE; s++) {
        struct convolution t;
        make(&t, &shapes[s]);
        for (int r = 0; r < RUNS; r++) {
            void *unit = runs[r].run(tables[0], &t, 2), *spelled = runs[r].run(tables[1], &t, 2);
            if (memcmp(unit, spelled, result_bytes(&t, r)) != 0)
                fail_of(runs[r].what, &shapes[s], tables[0]->name, "other bits spelled out");
            free(unit);
            free(spelled);
        }
        convolution_free(&t);
    }
}

// An image's outputs are the same bits whether a tile has its pixels or 16 images', and whatever
// the batch.
static void test_batches(void **state)
{
    (void)state;
    const struct fm_amx_kernels *tables[TABLES];
    fm_amx_usable(tables);
    const struct shape many = {80, 64, 32, 6, 5, 1, 16}, few = {3, 64, 32, 6, 5, 1, 16};
    struct convolution all, some;
    make(&all, &many);
    make(&some, &few);
    const struct fm_amx tiles_of_images = forward_of(&all, 1), of_pixels = forward_of(&some, 1);
    assert_true(fm_amx_takes_images(&tiles_of_images));
    assert_false(fm_amx_takes_images(&of_pixels));
    const struct fm_amx_run run = {
        .x = all.view_x, .bias = all.bias}; // the first images are some's
    void *y = convolve(tables[0], &all, &tiles_of_images, &run, false);
    void *first = convolve(tables[0], &all, &of_pixels, &run, false);
    assert_memory_equal(y, first, bytes_of(&some.out));
    free(y);
    free(first);
    convolution_free(&all);
    convolution_free(&some);
}

static int in_place_shapes[2]; // by whether tiles have images

static void check_in_place(const struct fm_amx_kernels *k, const struct shape *s)
{
    struct convolution t;
    make(&t, s);
    void *apart = run_data(k, &t, 1);
    for (int threads = 1; threads <= 5; threads += 2) {
        const struct fm_amx a = data_of(&t, threads);
        if (!fm_amx_fits_in_place(&a))
            continue;
        in_place_shapes[fm_amx_takes_images(&a)]++;
        void *data = memory(bytes_of(&t.out));
        memcpy(data, t.view_dy, bytes_of(&t.out));
        const struct fm_amx_run run = {.x = data, .y = data};
        if (memcmp(apart, convolve(k, &t, &a, &run, true), bytes_of(&t.in)) != 0)
            fail_of("gradient of the data", s, k->name, "other bits in place");
        free(data);
    }
    free(apart);
    convolution_free(&t);
}

static void test_in_place(void **state)
{
    (void)state;
    over_all(check_in_place);
    assert_true(in_place_shapes[0] > 0 && in_place_shapes[1] > 0);
}

// A batch norm and ReLU that are pending are, to the bit, the same carried out before in bf16, also
// at the edges, where the padding stays zero, and with images that the batch lacks.
static void check_pending(const struct fm_amx_kernels *k, const struct shape *s)
{
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    fm_kernels_usable(tables);
    struct convolution t;
    make(&t, s);
    size_t channels = (size_t)s->in_c;
    float *scale = memory(channels * sizeof *scale), *shift = memory(channels * sizeof *shift);
    for (uint32_t c = 0; c < (uint32_t)s->in_c; c++) {
        scale[c] = (float)uniform(5, c);
        shift[c] = (float)uniform(6, c);
    }
    const struct fm_norm_relu pending = {scale, shift}, none = {0};
    void *carried_out = memory(bytes_of(&t.in));
    tables[0]->on[FM_ELEMENT_BF16]->norm_apply(&t.in, t.view_x, scale, shift, true, carried_out);
    const struct fm_amx a = forward_of(&t, 2);
    struct fm_amx_run run = {.x = t.view_x, .pending = pending};
    void *found = convolve(k, &t, &a, &run, false);
    run = (struct fm_amx_run){.x = carried_out};
    void *expected = convolve(k, &t, &a, &run, false);
    if (memcmp(found, expected, bytes_of(&t.out)) != 0)
        fail_of("forward with a batch norm pending", s, k->name, "other bits");
    void *found_dw = gradient_of(k, &t, t.view_x, pending, 2);
    void *expected_dw = gradient_of(k, &t, carried_out, none, 2);
    if (memcmp(found_dw, expected_dw, filter_bytes(&t)) != 0)
        fail_of("gradient of the filters with a batch norm pending", s, k->name, "other bits");
    void *mine[] = {scale, shift, carried_out, found, expected, found_dw, expected_dw};
    for (size_t i = 0; i < sizeof mine / sizeof mine[0]; i++)
        free(mine[i]);
    convolution_free(&t);
}

static void test_pending(void **state)
{
    (void)state;
    over_all(check_pending);
}

// A max-pool on the way: to the bit what the pool's kernel makes of the outputs, a NaN among them,
// wherever a last row or column is dropped.
static void check_pooled(const struct fm_amx_kernels *k, const struct shape *s)
{
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    fm_kernels_usable(tables);
    struct convolution t;
    make(&t, s);
    put_element(t.element, t.view_x, 1, NAN);
    const struct fm_amx a = forward_of(&t, 2);
    const struct fm_view pooled = fm_view_pooled(&a.out);
    const struct fm_norm_relu none = {0};
    void *expected = memory(bytes_of(&pooled));
    for (int relu = 0; relu < 2; relu++) {
        struct fm_amx_run run = {.x = t.view_x, .bias = t.bias, .relu = relu == 1};
        void *outputs = convolve(k, &t, &a, &run, false);
        tables[0]->on[FM_ELEMENT_BF16]->maxpool_forward(&a.out, outputs, none, expected, NULL);
        run.pool = true;
        void *found = convolve(k, &t, &a, &run, false);
        if (memcmp(found, expected, bytes_of(&pooled)) != 0)
            fail_of("forward with a max-pool", s, k->name, "other bits");
        free(outputs);
        free(found);
    }
    free(expected);
    convolution_free(&t);
}

static void test_pooled(void **state)
{
    (void)state;
    over_all(check_pooled);
}

static void check_nan(const struct fm_amx_kernels *k, const struct shape *s)
{
    struct convolution t;
    make(&t, s);
    put_element(t.element, t.view_x, 0, NAN);
    void *y = run_forward(k, &t, 1);
    assert_true(isnan(load(&t, y, 0))); // behind a ReLU
    free(y);
    convolution_free(&t);
}

static void test_nan_stays(void **state)
{
    (void)state;
    over_all(check_nan);
}

// Filters that a folded norm scales are rounded once, after that.
static void test_scaled_filters(void **state)
{
    (void)state;
    const struct fm_amx_kernels *tables[TABLES];
    int count = fm_amx_usable(tables);
    struct convolution t;
    make(&t, &shapes[1]);
    float *scale = memory((size_t)t.out.c * sizeof *scale), *scaled = memory(filter_bytes(&t));
    for (int c = 0; c < t.out.c; c++) {
        scale[c] = (float)uniform(7, (uint32_t)c);
        for (int i = 0; i < t.in.c * TAPS; i++)
            scaled[c * t.in.c * TAPS + i] = t.filters[c * t.in.c * TAPS + i] * scale[c];
    }
    size_t bytes = fm_amx_filter_bytes(t.out.c, t.in.c);
    void *packed[2] = {memory(bytes), memory(bytes)};
    for (int i = 0; i < count; i++)
        for (int rotated = 0; rotated < 2; rotated++) {
            struct fm_amx_filters filters = {
                t.out.c, t.in.c, t.filters, scale, rotated == 1, .threads = 2};
            tables[i]->pack(&filters, packed[0]);
            filters.values = scaled;
            filters.scale = NULL;
            tables[i]->pack(&filters, packed[1]);
            assert_memory_equal(packed[0], packed[1], bytes);
        }
    free(packed[0]);
    free(packed[1]);
    free(scale);
    free(scaled);
    convolution_free(&t);
}

static void test_what_suits(void **state)
{
    (void)state;
    const struct fm_amx a = {view_of(1, 32, 8, 8, 16), view_of(1, 64, 8, 8, 16), 1, 1};
    assert_true(fm_amx_suits(&a));
    struct fm_amx other = a;
    other.in = view_of(1, 32, 8, 8, 1); // plain: channels are not side by side
    assert_false(fm_amx_suits(&other));
    other = a;
    other.in = view_of(1, 48, 8, 8, 16);
    assert_false(fm_amx_suits(&other));
    other = a;
    other.out = view_of(1, 16, 8, 8, 16);
    assert_false(fm_amx_suits(&other));
    other = a;
    other.padding = 3; // whose gradient would have a padding of -1
    assert_false(fm_amx_suits(&other));
}

// ---- its values

// What does not pass the gate counts as zero.
static void close_gate(struct convolution *t, const void *gate)
{
    for (int n = 0; n < t->out.n; n++)
        for (int c = 0; c < t->out.c; c++)
            for (int y = 0; y < t->out.h; y++)
                for (int x = 0; x < t->out.w; x++)
                    if (!(load(t, gate, element_at(&t->out, n, c, y * t->out.w + x)) > 0.0))
                        t->dy[plain_at(&t->out, n, c, y, x)] = 0.0;
}

static double expected_bias(const struct convolution *t, int c)
{
    double sum = 0.0;
    for (int n = 0; n < t->out.n; n++)
        for (int y = 0; y < t->out.h; y++)
            for (int x = 0; x < t->out.w; x++)
                sum += t->dy[plain_at(&t->out, n, c, y, x)];
    return sum;
}

static void compare_first_gradient(const struct convolution *t, const float *dw, struct errors *e)
{
    const float *db = dw + filter_bytes(t) / sizeof *dw;
    for (int c = 0; c < t->out.c; c++) {
        note(e, (double)db[c], expected_bias(t, c));
        for (int in = 0; in < t->in.c; in++)
            for (int tap = 0; tap < TAPS; tap++)
                note(e, (double)dw[(c * t->in.c + in) * TAPS + tap],
                    expected_gradient(t, c, in, tap));
    }
}

static void check_first(const struct fm_amx_kernels *k, const struct shape *s)
{
    struct convolution t = {
        .in = view_of(s->n, s->in_c, s->h, s->w, 1),
        .out = view_of(
            s->n, s->out_c, out_size(s->h, s->padding), out_size(s->w, s->padding), s->block),
        .padding = s->padding,
        .element = FM_ELEMENT_BF16,
    };
    convolution_make(&t);
    struct errors forward = {0}, gradient = {0}, gated = {0};
    void *y = first_of(k, &t, NULL, 1), *other = first_of(k, &t, NULL, 3);
    compare_activation(&t, &t.out, y, expected_output, &forward);
    check(&forward, 2e-3, "forward", s, k);
    assert_memory_equal(y, other, bytes_of(&t.out));
    float *dw = first_gradient_of(k, &t, NULL, 1), *dw_other = first_gradient_of(k, &t, NULL, 3);
    compare_first_gradient(&t, dw, &gradient);
    check(&gradient, 4e-6, "gradient of filters and bias", s, k);
    assert_memory_equal(dw, dw_other, filter_bytes(&t) + (size_t)t.out.c * sizeof *dw);
    float *through = first_gradient_of(k, &t, y, 2);
    close_gate(&t, y);
    compare_first_gradient(&t, through, &gated);
    check(&gated, 4e-6, "gradient of filters and bias through a ReLU", s, k);
    void *mine[] = {y, other, dw, dw_other, through};
    for (size_t i = 0; i < sizeof mine / sizeof mine[0]; i++)
        free(mine[i]);
    convolution_free(&t);
}

// The same bits as of filters that were scaled before, without bias and ReLU.
static void test_first_scaled(void **state)
{
    (void)state;
    const struct fm_amx_kernels *tables[TABLES];
    int count = fm_amx_usable(tables);
    struct convolution t;
    make_first(&t, &first_shapes[0]);
    float *scale = memory((size_t)t.out.c * sizeof *scale),
          *one = memory((size_t)t.out.c * sizeof *one);
    for (int c = 0; c < t.out.c; c++) {
        scale[c] = (float)uniform(7, (uint32_t)c);
        one[c] = 1.0f;
    }
    for (int i = 0; i < count; i++) {
        void *found = first_of(tables[i], &t, scale, 2);
        float *as_they_are = t.filters;
        t.filters = memory(filter_bytes(&t));
        for (int k = 0; k < t.out.c * t.in.c * TAPS; k++)
            t.filters[k] = as_they_are[k] * scale[k / (t.in.c * TAPS)];
        void *expected = first_of(tables[i], &t, one, 2);
        assert_memory_equal(found, expected, bytes_of(&t.out));
        free(t.filters);
        t.filters = as_they_are;
        free(found);
        free(expected);
    }
    free(scale);
    free(one);
    convolution_free(&t);
}

static void test_first(void **state)
{
    (void)state;
    const struct fm_amx_kernels *tables[TABLES];
    int count = fm_amx_usable(tables);
    for (int i = 0; i < count; i++)
        for (size_t s = 0; s < FIRST_SHAPES; s++)
            check_first(tables[i], &first_shapes[s]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_unit_is_spelled_out),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_pending),
        cmocka_unit_test(test_pooled),
        cmocka_unit_test(test_nan_stays),
        cmocka_unit_test(test_scaled_filters),
        cmocka_unit_test(test_what_suits),
        cmocka_unit_test(test_first),
        cmocka_unit_test(test_first_scaled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
