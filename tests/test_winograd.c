// Winograd's convolutions, with every table that this processor can run, against sums in double:
// forward with bias and ReLU, the gradients of data and filters, in every layout and size of tiles,
// with images that tiles do not fit; the same bits whatever the number of threads, and with filters
// transformed in parts, or results written past the caches; those of a max-pool on the way; how
// much rounding costs.
#include "convolution.h"

#include <stdio.h>

// A convolution and what the kernels are given of it.
struct trial {
    struct convolution c;
    struct fm_winograd w;
};

// Which of them threads share a block of, and which are convolved in place, goes by the size of
// tiles: test_what_is_tried() counts.
static const struct shape {
    int n, in_c, out_c, h, w, padding, block; // block 0: channels last
} shapes[] = {
    {1, 32, 32, 4, 4, 1, 16},    // one tile of 4x4
    {3, 64, 32, 7, 5, 1, 16},    // tiles with a row and three columns to spare
    {2, 32, 64, 6, 9, 0, 16},    // no padding
    {2, 32, 32, 5, 4, 2, 16},    // the output larger than the input
    {2, 32, 96, 8, 8, 1, 0},     // channels last
    {5, 64, 32, 13, 13, 1, 8},   // blocks of 8
    {33, 32, 32, 14, 14, 1, 16}, // several blocks for each thread, and chunks of the gradient; in
                                 // place two images of 4x4 a block, one of 2x2, more than others
    {13, 32, 32, 14, 14, 1, 16}, // of 4x4, two blocks of the gradient that threads share
    {2, 160, 32, 4, 6, 1, 16},   // more channels than a panel
    {39, 32, 32, 7, 8, 1, 16},   // several blocks of 4 tiles of 4x4 an image
    {13, 64, 64, 9, 5, 1, 0},    // 6 tiles of 4x4 an image, channels last
    {1, 96, 128, 7, 7, 1, 16},   // filters larger than all the tiles
    {1, 64, 64, 6, 6, 1, 16},    // the same, and in place
    {80, 160, 160, 2, 2, 1, 16}, // filters so many that blocks are larger
    {160, 32, 32, 2, 2, 1, 16},  // several blocks of a tile an image, of either size
    {2, 320, 288, 2, 2, 1, 16},  // the gradient's sums larger than caches
};
enum {
    FIRST_SHAPE = 0,
    LAST_SHAPE = sizeof shapes / sizeof shapes[0] - 1,
};

static void trial_make(
    struct trial *t, const struct shape *s, enum fm_element element, enum fm_winograd_tiling tiling)
{
    memset(t, 0, sizeof *t);
    int h = out_size(s->h, s->padding), w = out_size(s->w, s->padding);
    t->c = (struct convolution){
        .in = view_of(s->n, s->in_c, s->h, s->w, s->block),
        .out = view_of(s->n, s->out_c, h, w, s->block),
        .padding = s->padding,
        .element = element,
    };
    t->w = (struct fm_winograd){
        .in = t->c.in,
        .out = t->c.out,
        .padding = s->padding,
        .tiling = tiling,
        .threads = 1,
    };
    convolution_make(&t->c);
}

static void trial_free(struct trial *t)
{
    convolution_free(&t->c);
}

// ---- by the kernels

static void convolve(const struct fm_element_kernels *on, const struct fm_winograd *w,
    const struct fm_winograd_run *run)
{
    float *scratch = malloc(on->winograd_scratch[w->tiling](w, !run->transformed));
    assert_non_null(scratch);
    on->winograd_convolve[w->tiling](w, run, scratch);
    free(scratch);
}

// How many were checked with several threads: [tiling][in place].
static int in_parts[FM_WINOGRAD_TILING_COUNT][2];

// Filters that each thread transforms its parts of give the same bits, scaled ones, too. In place
// if `run` is, of memory of its own.
static void check_parts(const struct fm_kernels *k, const struct trial *t,
    const struct fm_winograd *w, const struct fm_winograd_run *run)
{
    const struct fm_element_kernels *on = k->on[t->c.element];
    const struct fm_view view = run->pool ? fm_view_pooled(&w->out) : w->out;
    size_t bytes = fm_view_size(&view) * fm_element_size(t->c.element);
    bool in_place = run->x == run->y;
    float *scale = malloc((size_t)t->w.out.c * sizeof *scale);
    assert_non_null(scale);
    for (int c = 0; c < t->w.out.c; c++)
        scale[c] = 0.3f + 0.37f * (float)(c % 5);
    struct fm_winograd_filters filters = *run->filters;
    filters.scale = scale;
    void *y[2]; // with all filters at once, in parts
    for (int parts = 0; parts < 2; parts++) {
        struct fm_winograd_run other = *run;
        other.filters = &filters;
        y[parts] = other.y = malloc(bytes);
        float *transformed = malloc(fm_winograd_filter_bytes(w->tiling, w->out.c, w->in.c));
        assert_true(other.y != NULL && transformed != NULL);
        if (in_place)
            other.x = memcpy(other.y, run->x, bytes);
        if (!parts)
            k->winograd_transform[w->tiling](&filters, transformed);
        other.transformed = parts ? NULL : transformed;
        convolve(on, w, &other);
        free(transformed);
    }
    if (memcmp(y[0], y[1], bytes) != 0)
        fail_msg("%s, %dx%dx%d to %d channels, tiles of %d, %d threads: other bits in parts",
            k->name, w->in.c, w->in.h, w->in.w, w->out.c, fm_winograd_tile_size(w->tiling),
            w->threads);
    in_parts[w->tiling][in_place] += w->threads > 1;
    free(scale);
    free(y[0]);
    free(y[1]);
}

// To `given->y`, or, NULL, to memory of its own; returns it.
static void *run_convolution(const struct fm_kernels *k, const struct trial *t,
    const struct fm_winograd *w, const struct fm_winograd_run *given, bool rotated)
{
    float *transformed = malloc(fm_winograd_filter_bytes(w->tiling, w->out.c, w->in.c));
    struct fm_winograd_run run = *given;
    const struct fm_view view = run.pool ? fm_view_pooled(&w->out) : w->out;
    size_t bytes = fm_view_size(&view) * fm_element_size(t->c.element); // no more, and one for none
    run.y = given->y ? given->y : malloc(bytes + 1);
    assert_true(transformed != NULL && run.y != NULL);
    const struct fm_winograd_filters filters = {
        .out_c = t->w.out.c,
        .in_c = t->w.in.c,
        .values = t->c.filters,
        .element = t->c.element,
        .rotated = rotated,
    };
    run.filters = &filters;
    if (fm_winograd_has_parts(k->winograd_units, w))
        check_parts(k, t, w, &run);
    k->winograd_transform[w->tiling](&filters, transformed);
    run.transformed = transformed;
    convolve(k->on[t->c.element], w, &run);
    free(transformed);
    return run.y;
}

static void *run_forward(const struct fm_kernels *k, const struct trial *t, int threads)
{
    struct fm_winograd w = t->w;
    w.threads = threads;
    const struct fm_winograd_run run = {.x = t->c.view_x, .bias = t->c.bias, .relu = true};
    return run_convolution(k, t, &w, &run, false);
}

static struct fm_winograd data_of(const struct trial *t, int threads)
{
    return (struct fm_winograd){
        .in = t->w.out,
        .out = t->w.in,
        .padding = 2 - t->w.padding,
        .tiling = t->w.tiling,
        .threads = threads,
    };
}

static void *run_data(const struct fm_kernels *k, const struct trial *t, int threads)
{
    const struct fm_winograd w = data_of(t, threads);
    const struct fm_winograd_run run = {.x = t->c.view_dy};
    return run_convolution(k, t, &w, &run, true);
}

static float *gradient_of(const struct fm_kernels *k, const struct trial *t, const void *x,
    struct fm_norm_relu pending, int threads)
{
    const struct fm_element_kernels *on = k->on[t->c.element];
    struct fm_winograd w = t->w;
    w.threads = threads;
    float *scratch = malloc(on->winograd_gradient_scratch[w.tiling](&w));
    float *dw = malloc((size_t)w.out.c * (size_t)w.in.c * TAPS * sizeof *dw);
    assert_true(scratch != NULL && dw != NULL);
    on->winograd_gradient[w.tiling](&w, x, pending, t->c.view_dy, dw, scratch);
    free(scratch);
    return dw;
}

static void *run_gradient(const struct fm_kernels *k, const struct trial *t, int threads)
{
    return gradient_of(k, t, t->c.view_x, (struct fm_norm_relu){0}, threads);
}

// ---- comparisons

// What is compared, in a failure's words.
struct subject {
    const char *what;
    const struct shape *shape;
    const struct fm_kernels *kernels;
    enum fm_element element;
    enum fm_winograd_tiling tiling;
};

static const char *describe(const struct subject *subject)
{
    static char text[256];
    const struct shape *s = subject->shape;
    int size = fm_winograd_tile_size(subject->tiling);
    snprintf(text, sizeof text,
        "%s of %dx%dx%dx%d, %d out, padding %d, block %d, tiles of %dx%d, %s, %s", subject->what,
        s->n, s->in_c, s->h, s->w, s->out_c, s->padding, s->block, size, size,
        subject->kernels->name, subject->element == FM_ELEMENT_BF16 ? "bf16" : "fp32");
    return text;
}

// `element` is what the result is stored in.
static void check(const struct errors *e, enum fm_element element, const struct subject *subject)
{
    // fp32: measured 3e-7 to 2e-6, most for a sum over all tiles without fused multiplication and
    // addition. bf16: one rounding of the result, at most 2^-9 of it.
    double allowed = element == FM_ELEMENT_BF16 ? 2e-3 : 4e-6;
    double size = sqrt(e->values / (double)e->count);
    if (!(relative(e) <= allowed) || !(e->largest <= 20.0 * allowed * size))
        fail_msg("%s: error %g of the values, %g at most of %g, expected %g", describe(subject),
            relative(e), e->largest, size, allowed);
}

static void check_shape(const struct fm_kernels *k, const struct shape *s, enum fm_element element,
    enum fm_winograd_tiling tiling)
{
    struct trial t;
    trial_make(&t, s, element, tiling);
    struct errors forward = {0}, data = {0}, gradient = {0};
    void *y = run_forward(k, &t, 1), *dx = run_data(k, &t, 1);
    float *dw = run_gradient(k, &t, 1);
    compare_activation(&t.c, &t.w.out, y, expected_output, &forward);
    compare_activation(&t.c, &t.w.in, dx, expected_data, &data);
    for (int out = 0; out < t.w.out.c; out += 5)
        for (int in = 0; in < t.w.in.c; in += 3)
            for (int tap = 0; tap < TAPS; tap++)
                note(&gradient, (double)dw[(out * t.w.in.c + in) * TAPS + tap],
                    expected_gradient(&t.c, out, in, tap));
    check(&forward, element, &(struct subject){"forward", s, k, element, tiling});
    check(&data, element, &(struct subject){"gradient of the data", s, k, element, tiling});
    check(&gradient, FM_ELEMENT_F32,
        &(struct subject){"gradient of the filters", s, k, element, tiling});
    free(y);
    free(dx);
    free(dw);
    trial_free(&t);
}

typedef void for_each(const struct fm_kernels *k, const struct shape *s, enum fm_element element,
    enum fm_winograd_tiling tiling);

// Each table on each shape whose layout suits it, which are some at least, with both elements and
// all sizes of tiles.
static void over_all(for_each *call)
{
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    int count = fm_kernels_usable(tables);
    for (int i = 0; i < count; i++) {
        int suited = 0;
        for (int s = FIRST_SHAPE; s <= LAST_SHAPE; s++) {
            struct trial t;
            trial_make(&t, &shapes[s], FM_ELEMENT_F32, FM_WINOGRAD_4X4);
            bool suits = fm_winograd_suits(tables[i]->winograd_units, &t.w);
            trial_free(&t);
            for (int e = 0; suits && e < FM_ELEMENT_COUNT; e++)
                for (int tiling = 0; tiling < FM_WINOGRAD_TILING_COUNT; tiling++)
                    call(
                        tables[i], &shapes[s], (enum fm_element)e, (enum fm_winograd_tiling)tiling);
            suited += suits;
        }
        assert_true(suited >= 7); // vectors of 16 do not fit blocks of 8
    }
}

static void test_values(void **state)
{
    (void)state;
    over_all(check_shape);
}

static void expect_same(
    const void *one, const void *other, size_t bytes, int threads, const struct subject *subject)
{
    if (memcmp(one, other, bytes) != 0)
        fail_msg("%s, %d threads: other bits", describe(subject), threads);
}

static void check_threads(const struct fm_kernels *k, const struct shape *s,
    enum fm_element element, enum fm_winograd_tiling tiling)
{
    static const struct {
        const char *what;
        void *(*run)(const struct fm_kernels *k, const struct trial *t, int threads);
    } runs[] = {{"forward", run_forward}, {"gradient of the data", run_data},
        {"gradient of the filters", run_gradient}};
    struct trial t;
    trial_make(&t, s, element, tiling);
    size_t bytes[] = {fm_view_size(&t.w.out) * fm_element_size(element),
        fm_view_size(&t.w.in) * fm_element_size(element),
        (size_t)t.w.out.c * (size_t)t.w.in.c * TAPS * sizeof(float)};
    for (size_t r = 0; r < sizeof runs / sizeof runs[0]; r++) {
        void *one = runs[r].run(k, &t, 1);
        for (int threads = 2; threads <= 5; threads += 3) {
            void *other = runs[r].run(k, &t, threads);
            expect_same(one, other, bytes[r], threads,
                &(struct subject){runs[r].what, s, k, element, tiling});
            free(other);
        }
        free(one);
    }
    trial_free(&t);
}

static void test_threads(void **state)
{
    (void)state;
    over_all(check_threads);
}

// Where the output may take the input's memory it gets the same bits there.
static int in_place_shapes;

static void check_in_place(const struct fm_kernels *k, const struct shape *s,
    enum fm_element element, enum fm_winograd_tiling tiling)
{
    struct trial t;
    trial_make(&t, s, element, tiling);
    size_t bytes = fm_view_size(&t.w.in) * fm_element_size(element);
    void *apart = run_data(k, &t, 1);
    static const int teams[] = {1, 2, 5};
    for (size_t i = 0; i < sizeof teams / sizeof teams[0]; i++) {
        int threads = teams[i];
        struct fm_winograd w = data_of(&t, threads);
        if (!fm_winograd_fits_in_place(&w))
            continue;
        w.in_place = true;
        in_place_shapes++;
        void *data = malloc(bytes);
        assert_non_null(data);
        memcpy(data, t.c.view_dy, bytes);
        const struct fm_winograd_run run = {.x = data, .y = data};
        expect_same(apart, run_convolution(k, &t, &w, &run, true), bytes, threads,
            &(struct subject){"in place", s, k, element, tiling});
        free(data);
    }
    free(apart);
    trial_free(&t);
}

static void test_in_place(void **state)
{
    (void)state;
    over_all(check_in_place);
    assert_true(in_place_shapes > 0);
}

enum sharing {
    OWN_BLOCKS,
    LARGE_BLOCKS, // of its own
    SHARED_BLOCK,
    SHARINGS,
};

static enum sharing sharing_of(const struct fm_winograd *w)
{
    if (fm_winograd_shares_block(w))
        return SHARED_BLOCK;
    return fm_winograd_block_tiles(w) == FM_WINOGRAD_BLOCK ? OWN_BLOCKS : LARGE_BLOCKS;
}

// Every way that a convolution takes is tried above, with both sizes of tiles: a block for all
// threads, also with filters made in parts, or blocks for each, in memory of its own or, once
// blocks of that size are tried, in place.
static void test_what_is_tried(void **state)
{
    (void)state;
    int shapes_of[FM_WINOGRAD_TILING_COUNT][SHARINGS][2] = {0};
    for (int s = FIRST_SHAPE; s <= LAST_SHAPE; s++)
        for (int tiling = 0; tiling < FM_WINOGRAD_TILING_COUNT; tiling++) {
            struct trial t;
            trial_make(&t, &shapes[s], FM_ELEMENT_F32, (enum fm_winograd_tiling)tiling);
            const struct fm_winograd data = data_of(&t, 1);
            shapes_of[tiling][sharing_of(&data)][fm_winograd_fits_in_place(&data)]++;
            trial_free(&t);
        }
    for (int tiling = 0; tiling < FM_WINOGRAD_TILING_COUNT; tiling++)
        for (int sharing = 0; sharing < SHARINGS; sharing++)
            for (int in_place = sharing == LARGE_BLOCKS; in_place < 2; in_place++)
                assert_true(shapes_of[tiling][sharing][in_place] > 0);
    for (int tiling = 0; tiling < FM_WINOGRAD_TILING_COUNT; tiling++)
        assert_true(in_parts[tiling][false] > 0 && in_parts[tiling][true] > 0);
}

// A batch norm and ReLU that are pending against the same carried out before, also at the edges,
// where the padding stays zero.
static void check_pending(const struct fm_kernels *k, const struct shape *s,
    enum fm_element element, enum fm_winograd_tiling tiling)
{
    if (element != FM_ELEMENT_F32)
        return; // carried out before, it would be rounded
    struct trial t;
    trial_make(&t, s, element, tiling);
    size_t channels = (size_t)s->in_c, inputs = fm_view_size(&t.w.in);
    float *scale = malloc(channels * sizeof *scale), *shift = malloc(channels * sizeof *shift);
    void *carried_out = malloc(inputs * sizeof(float));
    assert_true(scale != NULL && shift != NULL && carried_out != NULL);
    for (uint32_t c = 0; c < (uint32_t)s->in_c; c++) {
        scale[c] = (float)uniform(5, c);
        shift[c] = (float)uniform(6, c);
    }
    const struct fm_norm_relu pending = {scale, shift}, none = {0};
    k->on[element]->norm_apply(&t.w.in, t.c.view_x, scale, shift, true, carried_out);

    struct fm_winograd_run run = {.x = t.c.view_x, .pending = pending};
    float *found = run_convolution(k, &t, &t.w, &run, false);
    run = (struct fm_winograd_run){.x = carried_out};
    float *expected = run_convolution(k, &t, &t.w, &run, false);
    struct errors forward = {0}, gradient = {0};
    for (size_t i = 0; i < fm_view_size(&t.w.out); i++)
        note(&forward, (double)found[i], (double)expected[i]);
    check(&forward, element,
        &(struct subject){"forward with a batch norm pending", s, k, element, tiling});

    float *found_dw = gradient_of(k, &t, t.c.view_x, pending, 1);
    float *expected_dw = gradient_of(k, &t, carried_out, none, 1);
    for (size_t i = 0; i < (size_t)s->out_c * channels * TAPS; i++)
        note(&gradient, (double)found_dw[i], (double)expected_dw[i]);
    check(&gradient, element,
        &(struct subject){
            "gradient of the filters with a batch norm pending", s, k, element, tiling});
    free(scale);
    free(shift);
    free(carried_out);
    free(found);
    free(expected);
    free(found_dw);
    free(expected_dw);
    trial_free(&t);
}

static void test_pending(void **state)
{
    (void)state;
    over_all(check_pending);
}

// A max-pool on the way: to the bit what the pool's kernel makes of the outputs, a NaN among them,
// wherever tiles are cut off or a last row is dropped.
static void check_pooled(const struct fm_kernels *k, const struct shape *s, enum fm_element element,
    enum fm_winograd_tiling tiling)
{
    struct trial t;
    trial_make(&t, s, element, tiling);
    t.w.threads = 2;
    put_element(element, t.c.view_x, 1, NAN);
    const struct fm_view pooled = fm_view_pooled(&t.w.out);
    size_t bytes = fm_view_size(&pooled) * fm_element_size(element);
    const struct fm_norm_relu none = {0};
    char *expected = malloc(bytes + 1);
    assert_non_null(expected);
    for (int relu = 0; relu < 2; relu++) {
        struct fm_winograd_run run = {.x = t.c.view_x, .bias = t.c.bias, .relu = relu == 1};
        void *outputs = run_convolution(k, &t, &t.w, &run, false);
        k->on[element]->maxpool_forward(&t.w.out, outputs, none, expected, NULL);
        run.pool = true;
        char *found = run_convolution(k, &t, &t.w, &run, false);
        assert_memory_equal(found, expected, bytes);
        free(outputs);
        free(found);
    }
    free(expected);
    trial_free(&t);
}

static void test_pooled(void **state)
{
    (void)state;
    over_all(check_pooled);
}

// Against a direct sum in fp32, in the order of the channels, of 64 channels: at most so many times
// its error.
static void check_rounding(enum fm_winograd_tiling tiling, double most)
{
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    int count = fm_kernels_usable(tables);
    const struct shape shape = {2, 64, 32, 12, 12, 1, 16};
    struct trial t;
    trial_make(&t, &shape, FM_ELEMENT_F32, tiling);
    struct errors direct = {0};
    for (int c = 0; c < t.w.out.c; c++)
        for (int y = 0; y < t.w.out.h; y++)
            for (int x = 0; x < t.w.out.w; x++) {
                float sum = t.c.bias[c];
                for (int in = 0; in < t.w.in.c; in++)
                    for (int tap = 0; tap < TAPS; tap++)
                        sum += (float)filter(&t.c, c, in, tap) * (float)inside(t.c.x, &t.w.in, 0,
                                                                     in, y + tap / 3 - 1,
                                                                     x + tap % 3 - 1);
                note(&direct, (double)fmaxf(sum, 0.0f), expected_output(&t.c, 0, c, y, x));
            }
    for (int i = 0; i < count; i++) {
        struct errors found = {0};
        void *y = run_forward(tables[i], &t, 1);
        compare_activation(&t.c, &t.w.out, y, expected_output, &found);
        print_message("%s, tiles of %d: error %.3g of the values, of a direct sum %.3g\n",
            tables[i]->name, fm_winograd_tile_size(tiling), relative(&found), relative(&direct));
        assert_true(relative(&found) < most * relative(&direct));
        free(y);
    }
    trial_free(&t);
}

static void test_rounding(void **state)
{
    (void)state;
    check_rounding(FM_WINOGRAD_4X4, 3.0);
    check_rounding(FM_WINOGRAD_2X2, 1.0);
}

static void check_nan(
    const struct fm_kernels *k, const struct shape *shape, enum fm_winograd_tiling tiling)
{
    struct trial t;
    trial_make(&t, shape, FM_ELEMENT_F32, tiling);
    ((float *)t.c.view_x)[0] = NAN;
    float *y = run_forward(k, &t, 1);
    assert_true(isnan(y[0])); // behind a ReLU
    free(y);
    trial_free(&t);
}

// Whether threads share a block, as of the first shape, or have their own.
static void test_nan_stays(void **state)
{
    (void)state;
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    int count = fm_kernels_usable(tables);
    for (int i = 0; i < count; i++)
        for (int tiling = 0; tiling < FM_WINOGRAD_TILING_COUNT; tiling++) {
            check_nan(tables[i], &shapes[FIRST_SHAPE], (enum fm_winograd_tiling)tiling);
            check_nan(tables[i], &shapes[LAST_SHAPE], (enum fm_winograd_tiling)tiling);
        }
}

static void test_what_suits(void **state)
{
    (void)state;
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    fm_kernels_usable(tables);
    struct fm_winograd w = {
        .in = view_of(1, 32, 8, 8, 16),
        .out = view_of(1, 64, 8, 8, 16),
        .padding = 1,
        .tiling = FM_WINOGRAD_4X4,
        .threads = 1,
    };
    assert_true(fm_winograd_suits(tables[0]->winograd_units, &w));
    struct fm_winograd other = w;
    other.in = view_of(1, 32, 8, 8, 1); // plain: channels are not side by side
    assert_false(fm_winograd_suits(tables[0]->winograd_units, &other));
    other = w;
    other.in.c = 16 + 1;
    assert_false(fm_winograd_suits(tables[0]->winograd_units, &other));
    other = w;
    other.out.c = tables[0]->winograd_units->panel + tables[0]->winograd_units->lanes / 2;
    assert_false(fm_winograd_suits(tables[0]->winograd_units, &other));
    other = w;
    other.padding = 3; // whose gradient would have a padding of -1
    assert_false(fm_winograd_suits(tables[0]->winograd_units, &other));
}

// Outputs so many that they are written past the caches, which wants them to begin at a vector, are
// those that are written otherwise; and a max-pool's of them, a quarter as many.
static void check_far(int images, bool pool)
{
    const struct shape shape = {images, 32, 64, 23, 25, 1, 8}; // with tiles that are cut off
    const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX];
    int count = fm_kernels_usable(tables);
    struct trial t;
    trial_make(&t, &shape, FM_ELEMENT_F32, FM_WINOGRAD_4X4);
    t.w.threads = 2;
    const struct fm_view view = pool ? fm_view_pooled(&t.w.out) : t.w.out;
    size_t bytes = fm_view_size(&view) * sizeof(float);
    size_t filters = fm_winograd_filter_bytes(t.w.tiling, t.w.out.c, t.w.in.c);
    assert_true(bytes >= 4 << 20);
    char *far = aligned_alloc(64, bytes + 64), *near = aligned_alloc(64, bytes + 64);
    float *transformed = malloc(filters);
    assert_true(far != NULL && near != NULL && transformed != NULL);
    for (int k = 0; k < count; k++) {
        if (!fm_winograd_suits(tables[k]->winograd_units, &t.w))
            continue;
        const struct fm_winograd_filters own = {t.w.out.c, t.w.in.c, .values = t.c.filters};
        tables[k]->winograd_transform[t.w.tiling](&own, transformed);
        struct fm_winograd_run run = {.x = t.c.view_x,
            .transformed = transformed,
            .bias = t.c.bias,
            .relu = true,
            .pool = pool};
        memset(far, 0xff, bytes);
        memset(near, 0xff, bytes);
        run.y = far;
        convolve(tables[k]->on[t.c.element], &t.w, &run);
        run.y = near + sizeof(float);
        convolve(tables[k]->on[t.c.element], &t.w, &run);
        assert_memory_equal(far, near + sizeof(float), bytes);
    }
    free(far);
    free(near);
    free(transformed);
    trial_free(&t);
}

static void test_far_outputs(void **state)
{
    (void)state;
    check_far(36, false);
    check_far(136, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_what_is_tried),
        cmocka_unit_test(test_pending),
        cmocka_unit_test(test_pooled),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_nan_stays),
        cmocka_unit_test(test_what_suits),
        cmocka_unit_test(test_far_outputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
