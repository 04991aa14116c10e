// A dense layer of a single image: a matrix by a vector, bound by the bytes of the weights. What a
// ReLU has put to zero needs none of them, so the rows of those inputs are not read; behind
// `simple`'s max-pool, once trained, four inputs in five are such.
//
// Each thread has parts of the inputs, rather than of the outputs: it reads whole rows, where of
// half a row the processor would fetch on into the other thread's half, and lists its own inputs
// alone. A part has sums of its own, which are added at the end in the order of the parts.
//
// Rows have to be made first, in memory of their own (rows.c). A first image is done before that
// with the weights as the model has them, by the same sums; there each thread has outputs.
#include "backend/cpu/isa/compress.h"
#include "backend/cpu/isa/element_vector.h"
#include "base/round.h"

#include <omp.h>

enum {
    ROWS_AT_ONCE = 8,         // read side by side: fewer passes over the sums
    AHEAD = 2 * ROWS_AT_ONCE, // rows asked for before their turn, as hardware foresees none ...
    PREFETCHED = 64,          // ... elements at the beginning of each
    // Below which a second thread costs more than it takes over, and the inputs are one part.
    FEW_PRODUCTS = 8192,
    // Of the inputs, whatever the threads, or bits would depend on them: on two processors as fast
    // as 8, and faster than 2.
    PARTS = 4,
    LINE_ELEMENTS = LINE_BYTES / (int)sizeof(element), // of a line of the cache
};

static int parts_of(const struct fm_view *v, int out)
{
    return fm_view_size(v) * (size_t)out < FEW_PRODUCTS ? 1 : PARTS;
}

struct range {
    int first, end;
};

// What one of `parts` has of `count` things: whole units, but at the end.
static struct range share(int count, int unit, int part, int parts)
{
    int units = (count + unit - 1) / unit;
    return (struct range){
        units * part / parts * unit, least(units * (part + 1) / parts * unit, count)};
}

// Of outputs, no line of the cache is shared by threads.
static int output_lines(const struct fm_gathered_run *d)
{
    return (d->out + LINE_ELEMENTS - 1) / LINE_ELEMENTS;
}

// The inputs that count, in the order of memory.
struct list {
    uint32_t *rows; // of the weights
    float *values;
    size_t count;
};

// Places for all inputs: a vector of a list ends no later than what it was made from, also where
// lists of parts lie one behind another.
static size_t list_capacity(const struct fm_view *v)
{
    return fm_round_up(fm_view_size(v), LINE_VALUES);
}

static size_t list_bytes(const struct fm_view *v)
{
    return list_capacity(v) * (sizeof(uint32_t) + sizeof(float));
}

// From a part's sums to the next one's.
static size_t sums_stride(int out)
{
    return fm_round_up((size_t)out, LINE_VALUES);
}

static size_t sums_bytes(int out)
{
    return PARTS * sums_stride(out) * sizeof(float);
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

static inline __attribute__((always_inline)) void list_inputs(const struct fm_view *v,
    const struct fm_gathered_run *d, int part, int parts, const bool all, struct list *l)
{
    const element *x = d->x;
    int pixels = v->h * v->w;
    l->count = 0;
    if (v->block == 1 || pixels == 1) { // in the order of rows
        struct range inputs = share(v->c * pixels, LINE_VALUES, part, parts);
        list_some(d, x + inputs.first, inputs.end - inputs.first, inputs.first, 1, all, l);
        return;
    }
    // A pixel's blocks of channels, those of a plane side by side.
    struct range blocks = share(v->c / v->block * pixels, 1, part, parts);
    for (int plane = blocks.first / pixels * pixels; plane < blocks.end; plane += pixels)
        for (int i = plane > blocks.first ? plane : blocks.first;
             i < least(plane + pixels, blocks.end); i++)
            list_some(d, x + (size_t)i * (size_t)v->block, v->block, plane * v->block + i - plane,
                pixels, all, l);
}

// Lists what counts of a part: two loops, so that neither asks again for each vector.
static void list_part(const struct fm_view *v, const struct fm_gathered_run *d, int part, int parts,
    bool all, struct list *l)
{
    if (all)
        list_inputs(v, d, part, parts, true, l);
    else
        list_inputs(v, d, part, parts, false, l);
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
        for (int j = first; j < end && j < first + PREFETCHED; j += LINE_ELEMENTS)
            __builtin_prefetch(row + j);
    }
}

// Sums of a part's inputs, for some outputs.
static void sum_part(const struct fm_gathered_run *d, const struct list *l, struct range outputs,
    float *restrict sums)
{
    for (int j = outputs.first; j < outputs.end; j++)
        sums[j] = 0.0f;
    size_t i = 0;
    for (; i + ROWS_AT_ONCE <= l->count; i += ROWS_AT_ONCE) {
        if (i + AHEAD + ROWS_AT_ONCE <= l->count)
            prefetch_rows(d, l, i + AHEAD, outputs.first, outputs.end);
        add_rows(d, l, i, outputs.first, outputs.end, sums);
    }
    for (; i < l->count; i++)
        add_row(d, l, i, outputs.first, outputs.end, sums);
}

// Outputs are shared out, too, where the threads would not have equally many parts. Returns in how
// many columns.
static int divide_outputs(const struct fm_gathered_run *d, int parts, int threads)
{
    int columns = 1;
    while (parts * columns % threads != 0)
        columns++;
    return least(columns, output_lines(d));
}

static void sum_by_rows(
    const struct fm_view *v, const struct fm_gathered_run *d, int parts, int threads, void *scratch)
{
    int columns = divide_outputs(d, parts, threads), tasks = parts * columns;
#pragma omp parallel num_threads(least(threads, tasks))
    {
        struct list list = list_of(v, d->out, omp_get_thread_num(), scratch);
        int listed = -1; // the part
#pragma omp for schedule(static)
        for (int i = 0; i < tasks; i++) {
            int part = i / columns;
            if (part != listed)
                list_part(v, d, part, parts, d->all, &list);
            listed = part;
            sum_part(d, &list, share(d->out, LINE_ELEMENTS, i % columns, columns),
                (float *)scratch + (size_t)part * sums_stride(d->out));
        }
    }
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
static float plain_sum(const float *w, const struct list *l)
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

// The lists of all parts, one behind another from `next` on.
static void list_parts(const struct fm_view *v, const struct fm_gathered_run *d, int parts,
    bool all, struct list next, struct list lists[PARTS])
{
    for (int part = 0; part < parts; part++) {
        lists[part] = next;
        list_part(v, d, part, parts, all, &lists[part]);
        next.rows += lists[part].count;
        next.values += lists[part].count;
    }
}

// Returns whether the weights of these outputs are finite.
static bool plain_sums(const struct fm_gathered_run *d, const struct list lists[PARTS], int parts,
    struct range outputs, float *sums)
{
    bool finite = true;
    for (int j = outputs.first; j < outputs.end; j++) {
        const float *w = d->plain + (size_t)j * (size_t)d->inputs;
        finite = row_finite(w, d->inputs) && finite;
        for (int part = 0; part < parts; part++)
            sums[(size_t)part * sums_stride(d->out) + (size_t)j] = plain_sum(w, &lists[part]);
    }
    return finite;
}

// Each thread has outputs of its own: as if all weights were finite, and once more if another
// thread has seen one of its own that is not.
static void sum_by_plain(
    const struct fm_view *v, const struct fm_gathered_run *d, int parts, int threads, void *scratch)
{
    int not_finite = 0; // threads that have seen a weight that is not
#pragma omp parallel num_threads(least(threads, output_lines(d)))
    {
        int self = omp_get_thread_num();
        struct range outputs = share(d->out, LINE_ELEMENTS, self, omp_get_num_threads());
        struct list own = list_of(v, d->out, self, scratch), lists[PARTS];
        list_parts(v, d, parts, false, own, lists);
        if (!plain_sums(d, lists, parts, outputs, scratch)) {
#pragma omp atomic
            ++not_finite;
        }
#pragma omp barrier
        if (not_finite > 0) {
            list_parts(v, d, parts, true, own, lists);
            plain_sums(d, lists, parts, outputs, scratch);
        }
    }
}

// ---- both

static void put_out(const struct fm_gathered_run *d, int parts, const float *sums)
{
    for (int j = 0; j < d->out; j++) {
        float y = sums[j];
        for (int part = 1; part < parts; part++)
            y += sums[(size_t)part * sums_stride(d->out) + (size_t)j];
        y += d->bias ? d->bias[j] : 0.0f;
        if (d->relu && y < 0.0f)
            y = 0.0f;
        if (d->wide)
            ((float *)d->y)[j] = y;
        else
            ((element *)d->y)[j] = store(y);
    }
}

void FM_ELEMENT_KERNEL(gathered)(
    const struct fm_view *v, const struct fm_gathered_run *d, int threads, void *scratch)
{
    int parts = parts_of(v, d->out), team = parts == 1 ? 1 : threads;
    if (d->weights)
        sum_by_rows(v, d, parts, team, scratch);
    else
        sum_by_plain(v, d, parts, team, scratch);
    put_out(d, parts, scratch);
}
