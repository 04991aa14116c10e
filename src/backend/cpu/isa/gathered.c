// A dense layer of a single image: a matrix by a vector, bound by the bytes of the weights. What a
// ReLU has put to zero needs none of them, so the rows of those inputs are not read; behind
// `simple`'s max-pool, once trained, four inputs in five are such.
//
// Rows have to be made first, in memory of their own (rows.c). A first image is done before that
// with the weights as the model has them, by the same sums.
#include "backend/cpu/isa/compress.h"
#include "backend/cpu/isa/element_vector.h"
#include "base/round.h"

#include <omp.h>

enum {
    ROWS_AT_ONCE = 8,         // read side by side: fewer passes over the sums
    AHEAD = 2 * ROWS_AT_ONCE, // rows asked for before their turn, as hardware foresees none ...
    PREFETCHED = 64,          // ... elements at the beginning of each
    FEW_PRODUCTS = 8192,      // below which a second thread costs more than it takes over
};

// The inputs that count, in the order of memory.
struct list {
    uint32_t *rows; // of the weights
    float *values;
    size_t count;
};

// Places for all inputs: a vector of a list ends no later than what it was made from.
static size_t list_capacity(const struct fm_view *v)
{
    return fm_round_up(fm_view_size(v), LINE_VALUES);
}

static size_t list_bytes(const struct fm_view *v)
{
    return list_capacity(v) * (sizeof(uint32_t) + sizeof(float));
}

static size_t sums_bytes(int out)
{
    return fm_round_up((size_t)out * sizeof(float), LINE_BYTES);
}

size_t FM_ELEMENT_KERNEL(gathered_scratch)(const struct fm_view *v, int out, int threads)
{
    return sums_bytes(out) + (size_t)threads * list_bytes(v);
}

static struct list list_of(const struct fm_view *v, int out, int thread, void *scratch)
{
    char *own = (char *)scratch + sums_bytes(out) + (size_t)thread * list_bytes(v);
    float *values = (float *)(void *)(own + list_capacity(v) * sizeof(uint32_t));
    return (struct list){(uint32_t *)(void *)own, values, 0};
}

// Lists what counts of `count` inputs side by side in memory, whose rows lie `step` apart from
// `row` on: those that are not zero, or `all` but padding channels.
static inline __attribute__((always_inline)) void list_some(const struct fm_gathered_run *d,
    const element *x, int count, int row, int step, const bool all, struct list *l)
{
    vec_mask steps;
    for (int i = 0; i < LANES; i++)
        steps[i] = i * step;
    int i = 0;
    for (; i + LANES <= count; i += LANES) {
        vec values = read_elements(x + i);
        vec_mask rows = steps + (row + i * step);
        lane_bits bits = all ? lanes_true(rows < d->inputs) : lanes_not_zero(values);
        compress_lanes(l->rows + l->count, (vec)rows, bits);
        compress_lanes(l->values + l->count, values, bits);
        l->count += (size_t)__builtin_popcount(bits);
    }
    for (; i < count; i++) { // each is written, and the next over it if it does not count
        l->rows[l->count] = (uint32_t)(row + i * step);
        l->values[l->count] = load(x[i]);
        l->count += all ? row + i * step < d->inputs : load(x[i]) != 0.0f;
    }
}

static inline __attribute__((always_inline)) void list_inputs(
    const struct fm_view *v, const struct fm_gathered_run *d, const bool all, struct list *l)
{
    const element *x = d->x;
    int pixels = v->h * v->w;
    l->count = 0;
    if (v->block == 1 || pixels == 1) { // in the order of rows
        list_some(d, x, v->c * pixels, 0, 1, all, l);
        return;
    }
    for (int first = 0; first < v->c; first += v->block)
        for (int i = 0; i < pixels; i++, x += v->block)
            list_some(d, x, v->block, first * pixels + i, pixels, all, l);
}

struct rows {
    const element *weights[ROWS_AT_ONCE];
    float values[ROWS_AT_ONCE];
};

static inline float product(const struct rows *rows, int r, int j)
{
    return rows->values[r] * load(rows->weights[r][j]);
}

static inline const element *row_of(const struct fm_gathered_run *d, const struct list *l, size_t i)
{
    return (const element *)d->weights + (size_t)l->rows[i] * (size_t)d->out;
}

// Adds ROWS_AT_ONCE inputs, from `at` of the list on, to sums [first, end), in pairs, lest one
// addition wait for seven.
static inline void add_rows(const struct fm_gathered_run *d, const struct list *l, size_t at,
    int first, int end, float *restrict sums)
{
    struct rows rows;
    for (int r = 0; r < ROWS_AT_ONCE; r++) {
        rows.weights[r] = row_of(d, l, at + (size_t)r);
        rows.values[r] = l->values[at + (size_t)r];
    }
    for (int j = first; j < end; j++)
        sums[j] += ((product(&rows, 0, j) + product(&rows, 1, j)) +
                       (product(&rows, 2, j) + product(&rows, 3, j))) +
                   ((product(&rows, 4, j) + product(&rows, 5, j)) +
                       (product(&rows, 6, j) + product(&rows, 7, j)));
}

static inline void add_row(const struct fm_gathered_run *d, const struct list *l, size_t at,
    int first, int end, float *restrict sums)
{
    const element *row = row_of(d, l, at);
    float value = l->values[at];
    for (int j = first; j < end; j++)
        sums[j] += value * load(row[j]);
}

static inline void prefetch_rows(
    const struct fm_gathered_run *d, const struct list *l, size_t at, int first, int end)
{
    for (int r = 0; r < ROWS_AT_ONCE; r++) {
        const element *row = row_of(d, l, at + (size_t)r);
        for (int j = first; j < end && j < first + PREFETCHED;
             j += LINE_BYTES / (int)sizeof(element))
            __builtin_prefetch(row + j);
    }
}

static void put_out(const struct fm_gathered_run *d, int first, int end, const float *sums)
{
    for (int j = first; j < end; j++) {
        float y = sums[j] + (d->bias ? d->bias[j] : 0.0f);
        if (d->relu && y < 0.0f)
            y = 0.0f;
        if (d->wide)
            ((float *)d->y)[j] = y;
        else
            ((element *)d->y)[j] = store(y);
    }
}

static void row_columns(const struct fm_gathered_run *d, const struct fm_view *v, int first,
    int end, struct list *l, float *sums)
{
    if (d->all)
        list_inputs(v, d, true, l);
    else
        list_inputs(v, d, false, l);
    for (int j = first; j < end; j++)
        sums[j] = 0.0f;
    size_t i = 0;
    for (; i + ROWS_AT_ONCE <= l->count; i += ROWS_AT_ONCE) {
        if (i + AHEAD + ROWS_AT_ONCE <= l->count)
            prefetch_rows(d, l, i + AHEAD, first, end);
        add_rows(d, l, i, first, end, sums);
    }
    for (; i < l->count; i++)
        add_row(d, l, i, first, end, sums);
}

// ---- weights as the model has them

static inline float plain_product(const float *weights, const struct list *l, size_t i)
{
    return l->values[i] * load(store(weights[l->rows[i]]));
}

// On the way a row comes into the cache, line after line.
static bool row_finite(const float *w, int inputs)
{
    uint32_t largest = 0;
    for (int i = 0; i < inputs; i++) {
        uint32_t magnitude = fm_magnitude_of(w[i]);
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest < FM_BITS_INFINITE;
}

// An output's sum, as add_rows() and add_row() make it.
static float sum_row(const float *w, const struct list *l)
{
    size_t i = 0;
    float sum = 0.0f;
    for (; i + ROWS_AT_ONCE <= l->count; i += ROWS_AT_ONCE)
        sum += ((plain_product(w, l, i) + plain_product(w, l, i + 1)) +
                   (plain_product(w, l, i + 2) + plain_product(w, l, i + 3))) +
               ((plain_product(w, l, i + 4) + plain_product(w, l, i + 5)) +
                   (plain_product(w, l, i + 6) + plain_product(w, l, i + 7)));
    for (; i < l->count; i++)
        sum += plain_product(w, l, i);
    return sum;
}

// Returns whether the weights of outputs [first, end) are finite.
static bool sum_plain(
    const struct fm_gathered_run *d, const struct list *l, int first, int end, float *sums)
{
    bool finite = true;
    for (int j = first; j < end; j++) {
        const float *w = d->plain + (size_t)j * (size_t)d->inputs;
        finite = row_finite(w, d->inputs) && finite;
        sums[j] = sum_row(w, l);
    }
    return finite;
}

// ---- both

// Without rows: as if all weights were finite, and once more if another thread has seen one of its
// own that is not.
static void plain_columns(const struct fm_gathered_run *d, const struct fm_view *v, int first,
    int end, struct list *l, float *sums, int *not_finite)
{
    list_inputs(v, d, false, l);
    if (!sum_plain(d, l, first, end, sums)) {
#pragma omp atomic
        ++*not_finite;
    }
#pragma omp barrier
    if (*not_finite > 0) {
        list_inputs(v, d, true, l);
        sum_plain(d, l, first, end, sums);
    }
}

// Each thread has outputs of its own, and a list of its own of all inputs, so that sums are made in
// the same order whatever their number.
void FM_ELEMENT_KERNEL(gathered)(
    const struct fm_view *v, const struct fm_gathered_run *d, int threads, void *scratch)
{
    const int unit = LINE_BYTES / (int)sizeof(element), units = (d->out + unit - 1) / unit;
    bool few = fm_view_size(v) * (size_t)d->out < FEW_PRODUCTS || units == 1;
    int not_finite = 0; // threads that have seen a weight that is not
#pragma omp parallel num_threads(few ? 1 : threads)
    {
        int team = omp_get_num_threads(), self = omp_get_thread_num();
        int first = units * self / team * unit, end = units * (self + 1) / team * unit;
        end = end < d->out ? end : d->out;
        struct list list = list_of(v, d->out, self, scratch);
        if (d->weights)
            row_columns(d, v, first, end, &list, scratch);
        else
            plain_columns(d, v, first, end, &list, scratch, &not_finite);
        put_out(d, first, end, scratch);
    }
}
