// A dense layer of a single image: a matrix by a vector, bound by the bytes of the weights. What a
// ReLU has put to zero needs none of them, so the rows of those inputs are not read; behind
// `simple`'s max-pool, once trained, four inputs in five are such.
//
// Rows have to be made first, in memory of their own (rows.c). A first image is done before that
// with the weights as the model has them, by the same sums.
#include "backend/cpu/isa/element.h"
#include "base/round.h"

#include <omp.h>
#include <string.h>

enum {
    ROWS_AT_ONCE = 8,         // read side by side: fewer passes over the sums
    AHEAD = 2 * ROWS_AT_ONCE, // rows asked for before their turn, as hardware foresees none ...
    PREFETCHED = 64,          // ... elements at the beginning of each
    LINE_BYTES = 64,          // of a cache line: no two threads write sums to one
    FEW_PRODUCTS = 8192,      // below which a second thread costs more than it takes over
};

// An input that counts; they are listed in the order of memory.
struct entry {
    uint32_t row; // of the weights
    float value;
};

static size_t list_bytes(const struct fm_view *v)
{
    return ((size_t)v->c * (size_t)v->h * (size_t)v->w + 1) * sizeof(struct entry);
}

static size_t sums_bytes(int out)
{
    return fm_round_up((size_t)out * sizeof(float), LINE_BYTES);
}

size_t FM_ELEMENT_KERNEL(gathered_scratch)(const struct fm_view *v, int out, int threads)
{
    return sums_bytes(out) + (size_t)threads * list_bytes(v);
}

// As whole numbers: a comparison of floats would have to ask for NaNs, too, which are not zero.
static inline bool is_zero(const element *x)
{
#if defined(FM_ELEMENT_IS_BF16)
    return (uint16_t)(*x << 1) == 0;
#else
    uint32_t bits;
    memcpy(&bits, x, sizeof bits);
    return bits << 1 == 0;
#endif
}

// Lists the inputs that are not zero, or `all` but padding channels. Without a branch, which would
// be mispredicted for every other input: each is written, and the next over it if it does not
// count.
static inline __attribute__((always_inline)) size_t list_entries(
    const struct fm_view *v, const struct fm_gathered_run *d, const bool all, struct entry *list)
{
    const element *x = d->x;
    size_t pixels = (size_t)v->h * (size_t)v->w, count = 0;
    for (size_t first = 0; first < (size_t)v->c; first += (size_t)v->block)
        for (size_t i = 0; i < pixels; i++)
            for (size_t k = 0; k < (size_t)v->block; k++, x++) {
                uint32_t row = (uint32_t)((first + k) * pixels + i);
                list[count] = (struct entry){row, load(*x)};
                count += all ? row < (uint32_t)d->inputs : !is_zero(x);
            }
    return count;
}

struct rows {
    const element *weights[ROWS_AT_ONCE];
    float values[ROWS_AT_ONCE];
};

static inline float product(const struct rows *rows, int r, int j)
{
    return rows->values[r] * load(rows->weights[r][j]);
}

static inline const element *row_of(const struct fm_gathered_run *d, const struct entry *entry)
{
    return (const element *)d->weights + (size_t)entry->row * (size_t)d->out;
}

// Adds ROWS_AT_ONCE entries to sums [first, end), in pairs, lest one addition wait for seven.
static inline void add_rows(const struct fm_gathered_run *d, const struct entry *list, int first,
    int end, float *restrict sums)
{
    struct rows rows;
    for (int r = 0; r < ROWS_AT_ONCE; r++) {
        rows.weights[r] = row_of(d, &list[r]);
        rows.values[r] = list[r].value;
    }
    for (int j = first; j < end; j++)
        sums[j] += ((product(&rows, 0, j) + product(&rows, 1, j)) +
                       (product(&rows, 2, j) + product(&rows, 3, j))) +
                   ((product(&rows, 4, j) + product(&rows, 5, j)) +
                       (product(&rows, 6, j) + product(&rows, 7, j)));
}

static inline void add_row(const struct fm_gathered_run *d, const struct entry *entry, int first,
    int end, float *restrict sums)
{
    const element *row = row_of(d, entry);
    for (int j = first; j < end; j++)
        sums[j] += entry->value * load(row[j]);
}

static inline void prefetch_rows(
    const struct fm_gathered_run *d, const struct entry *list, int first, int end)
{
    for (int r = 0; r < ROWS_AT_ONCE; r++) {
        const element *row = row_of(d, &list[r]);
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
    int end, struct entry *list, float *sums)
{
    size_t count = d->all ? list_entries(v, d, true, list) : list_entries(v, d, false, list), i = 0;
    for (int j = first; j < end; j++)
        sums[j] = 0.0f;
    for (; i + ROWS_AT_ONCE <= count; i += ROWS_AT_ONCE) {
        if (i + AHEAD + ROWS_AT_ONCE <= count)
            prefetch_rows(d, list + i + AHEAD, first, end);
        add_rows(d, list + i, first, end, sums);
    }
    for (; i < count; i++)
        add_row(d, list + i, first, end, sums);
}

// ---- weights as the model has them

static inline float plain_product(const float *weights, const struct entry *entry)
{
    return entry->value * load(store(weights[entry->row]));
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
static float sum_row(const float *w, const struct entry *list, size_t count)
{
    const struct entry *e = list, *last = list + count;
    float sum = 0.0f;
    for (; e + ROWS_AT_ONCE <= last; e += ROWS_AT_ONCE)
        sum += ((plain_product(w, e) + plain_product(w, e + 1)) +
                   (plain_product(w, e + 2) + plain_product(w, e + 3))) +
               ((plain_product(w, e + 4) + plain_product(w, e + 5)) +
                   (plain_product(w, e + 6) + plain_product(w, e + 7)));
    for (; e < last; e++)
        sum += plain_product(w, e);
    return sum;
}

// Returns whether the weights of outputs [first, end) are finite.
static bool sum_plain(const struct fm_gathered_run *d, const struct entry *list, size_t count,
    int first, int end, float *sums)
{
    bool finite = true;
    for (int j = first; j < end; j++) {
        const float *w = d->plain + (size_t)j * (size_t)d->inputs;
        finite = row_finite(w, d->inputs) && finite;
        sums[j] = sum_row(w, list, count);
    }
    return finite;
}

// ---- both

// Without rows: as if all weights were finite, and once more if another thread has seen one of its
// own that is not.
static void plain_columns(const struct fm_gathered_run *d, const struct fm_view *v, int first,
    int end, struct entry *list, float *sums, int *not_finite)
{
    size_t count = list_entries(v, d, false, list);
    if (!sum_plain(d, list, count, first, end, sums)) {
#pragma omp atomic
        ++*not_finite;
    }
#pragma omp barrier
    if (*not_finite > 0)
        sum_plain(d, list, list_entries(v, d, true, list), first, end, sums);
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
        struct entry *list = (struct entry *)(void *)((char *)scratch + sums_bytes(d->out) +
                                                      (size_t)self * list_bytes(v));
        if (d->weights)
            row_columns(d, v, first, end, list, scratch);
        else
            plain_columns(d, v, first, end, list, scratch, &not_finite);
        put_out(d, first, end, scratch);
    }
}
