// A dense layer's products in fp32, of matrices as they lie: no layouts of weights to and fro, and
// none of activations.
//
// The right one is brought into panels (product.h), a chunk of the steps at a time; a chunk of the
// left one stays in the second cache for a group of panels, and a group's sums to the end. Where an
// activation's features lie in another order than the weights', it is the weights' that are picked
// on the way. Where panels are few, threads take parts of their rows. An element is summed in the
// order of the steps, whatever the number of threads.
#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/isa/product.h"

#include <omp.h>

enum {
    CHUNK = 256,       // steps of a panel: 16 KiB with vectors of AVX2
    LEAST_ROWS = 64,   // of a part of a panel, as each brings the panel into place for itself
    MOST_ROWS = 256,   // of a part: so many of the left matrix's, a chunk of each
    PARTS_AT_ONCE = 8, // a group
    PANEL_VALUES = CHUNK * PANEL,
    PART_VALUES = MOST_ROWS * PANEL,
    OWN_VALUES = PANEL_VALUES + PARTS_AT_ONCE * PART_VALUES, // of a thread's scratch
};

// A product, and how it is divided:
//   to[rows][columns] = left[rows][steps] right[steps][columns]
// in panels of columns, and these in ranges of rows.
struct job {
    const struct fm_matrix_product *p;
    const struct fm_matrix_run *run;
    const float *left;
    int rows, steps, columns;
    size_t left_row, right_row, to_row; // values from a row to the next
    int panels, ranges;
    int threads; // that find a part
};

static void divide(struct job *j)
{
    j->panels = (j->columns + PANEL - 1) / PANEL;
    int least_ranges = (j->rows + MOST_ROWS - 1) / MOST_ROWS;
    int most_ranges = (j->rows + LEAST_ROWS - 1) / LEAST_ROWS;
    int wanted = least(most_ranges, (j->p->threads + j->panels - 1) / j->panels);
    j->ranges = wanted > least_ranges ? wanted : least_ranges;
    j->threads = least(j->p->threads, j->panels * j->ranges);
}

static struct job job_of(const struct fm_matrix_product *p, const struct fm_matrix_run *run)
{
    struct job j = {.p = p, .run = run, .left = run->left};
    size_t in = (size_t)p->in, out = (size_t)p->out;
    switch (p->pass) {
    case FM_MATRIX_FORWARD: // the right one is w, a row of which is a column here
        j.rows = p->batch, j.steps = p->in, j.columns = p->out;
        j.left_row = j.right_row = in, j.to_row = out;
        break;
    case FM_MATRIX_WEIGHTS: // the left one is dy as turn_left() leaves it
        j.rows = p->out, j.steps = p->batch, j.columns = p->in;
        j.left_row = (size_t)p->batch, j.right_row = j.to_row = in;
        break;
    case FM_MATRIX_DATA:
        j.rows = p->batch, j.steps = p->out, j.columns = p->in;
        j.left_row = out, j.right_row = j.to_row = in;
        break;
    case FM_MATRIX_PASS_COUNT:
        break;
    }
    divide(&j);
    return j;
}

// Columns from `column` on, of a range of rows. `panel` [step][PANEL] has a chunk of the right
// matrix, `sums` [row of the range][PANEL] are the result.
struct part {
    int column, count, first_row, rows;
    float *panel, *sums;
};

// Numbered by columns first: a thread's next part is of the same rows, so that a group shares the
// left matrix's chunk. The k-th of a group, in a thread's scratch.
static struct part part_at(const struct job *j, int number, int k, float *scratch)
{
    int column = number % j->panels * PANEL, range = number / j->panels;
    int first = j->rows * range / j->ranges;
    return (struct part){
        .column = column,
        .count = least(PANEL, j->columns - column),
        .first_row = first,
        .rows = j->rows * (range + 1) / j->ranges - first,
        .panel = scratch,
        .sums = scratch + PANEL_VALUES + k * PART_VALUES,
    };
}

static void copy_row(float *to, const float *from)
{
    for (int v = 0; v < PANEL_VECTORS; v++)
        vec_store(to + v * LANES, vec_load(from + v * LANES));
}

// ---- in which order

static bool same_order(const struct fm_matrix_product *p)
{
    return p->pixels == 1 || p->block == 1;
}

// Which features of the weights are an activation's, counted from `first` on as they lie there.
static void find_features(const struct fm_matrix_product *p, int first, int count, int *features)
{
    int plane = p->pixels * p->block;
    for (int i = 0; i < count; i++) {
        int within = (first + i) % plane;
        features[i] = first + i - within + within % p->block * p->pixels + within / p->block;
    }
}

// ---- to a panel, `steps` from `first` on

// FORWARD: a row of w is a column, `features` are the steps.
static void bring_outputs(
    const struct job *j, int steps, const int *features, const struct part *part)
{
    for (int c = 0; c < part->count; c++) {
        const float *from = j->run->right + (size_t)(part->column + c) * j->right_row;
        for (int s = 0; s < steps; s++)
            part->panel[s * PANEL + c] = from[features[s]];
    }
}

// DATA: the features of w that lie side by side in the activation.
static void bring_features(const struct job *j, int first, int steps, const struct part *part)
{
    int features[PANEL] = {0};
    find_features(j->p, part->column, part->count, features);
    for (int s = 0; s < steps; s++) {
        const float *from = j->run->right + (size_t)(first + s) * j->right_row;
        for (int c = 0; c < part->count; c++)
            part->panel[s * PANEL + c] = from[features[c]];
    }
}

// As they lie.
static void bring_rows(const struct job *j, int first, int steps, const struct part *part)
{
    const float *from = j->run->right + (size_t)first * j->right_row + (size_t)part->column;
    float *to = part->panel;
    for (int s = 0; s < steps; s++, from += j->right_row, to += PANEL)
        if (part->count == PANEL)
            copy_row(to, from);
        else
            memcpy(to, from, (size_t)part->count * sizeof *to);
}

// Columns that there are not are zero.
static void bring_panel(
    const struct job *j, int first, int steps, const int *features, const struct part *part)
{
    if (part->count < PANEL)
        memset(part->panel, 0, (size_t)steps * PANEL * sizeof *part->panel);
    if (j->p->pass == FM_MATRIX_FORWARD)
        bring_outputs(j, steps, features, part);
    else if (j->p->pass == FM_MATRIX_DATA && !same_order(j->p))
        bring_features(j, first, steps, part);
    else
        bring_rows(j, first, steps, part);
}

// ---- from the sums

// Bias and ReLU; a NaN stays one.
static void finish(const struct job *j, const struct part *part)
{
    const struct fm_matrix_run *run = j->run;
    float *sums = part->sums;
    for (int r = 0; r < part->rows; r++, sums += PANEL)
        for (int c = 0; c < part->count; c++) {
            float sum = run->bias ? sums[c] + run->bias[part->column + c] : sums[c];
            sums[c] = run->relu && sum < 0.0f ? 0.0f : sum;
        }
}

// To the result, of WEIGHTS in the weights' order.
static void take_out(const struct job *j, const struct part *part)
{
    const float *sums = part->sums;
    float *to = j->run->to + (size_t)part->first_row * j->to_row;
    int features[PANEL] = {0};
    bool picks = j->p->pass == FM_MATRIX_WEIGHTS && !same_order(j->p);
    if (picks)
        find_features(j->p, part->column, part->count, features);
    for (int r = 0; r < part->rows; r++, sums += PANEL, to += j->to_row)
        if (picks)
            for (int c = 0; c < part->count; c++)
                to[features[c]] = sums[c];
        else if (part->count == PANEL)
            copy_row(to + part->column, sums);
        else
            memcpy(to + part->column, sums, (size_t)part->count * sizeof *to);
}

// ---- the product

static size_t turned_values(const struct fm_matrix_product *p)
{
    return p->pass == FM_MATRIX_WEIGHTS ? (size_t)p->batch * (size_t)p->out : 0;
}

// dy to [out][batch]: as rows of steps that lie side by side, since steps a row of dy apart may
// share a set of the cache. Called by all threads, which share it out and wait at its end.
static void turn_left(const struct fm_matrix_product *p, const float *dy, float *turned)
{
    size_t batch = (size_t)p->batch, out = (size_t)p->out;
#pragma omp for schedule(static)
    for (int first = 0; first < p->out; first += LINE_VALUES) {
        int end = least(first + LINE_VALUES, p->out);
        for (size_t n = 0; n < batch; n++)
            for (int c = first; c < end; c++)
                turned[(size_t)c * batch + n] = dy[n * out + (size_t)c];
    }
}

static void multiply_part(
    const struct job *j, int first, int steps, const int *features, const struct part *part)
{
    bring_panel(j, first, steps, features, part);
    const struct product product = {
        .left = j->left + (size_t)part->first_row * j->left_row + (size_t)first,
        .row_stride = j->left_row,
        .step_stride = 1,
        .right = part->panel,
        .steps = steps,
        .accumulate = first > 0,
        .out = part->sums,
        .out_stride = PANEL,
    };
    product_panel(&product, part->rows);
}

// The parts [number, number + count), at most PARTS_AT_ONCE.
static void multiply_group(const struct job *j, int number, int count, float *scratch)
{
    int features[CHUNK]; // of a chunk's steps, which all parts share
    for (int first = 0; first < j->steps; first += CHUNK) {
        int steps = least(CHUNK, j->steps - first);
        if (j->p->pass == FM_MATRIX_FORWARD)
            find_features(j->p, first, steps, features);
        for (int k = 0; k < count; k++) {
            struct part part = part_at(j, number + k, k, scratch);
            multiply_part(j, first, steps, features, &part);
        }
    }
    for (int k = 0; k < count; k++) {
        struct part part = part_at(j, number + k, k, scratch);
        if (j->run->bias || j->run->relu)
            finish(j, &part);
        take_out(j, &part);
    }
}

void FM_KERNEL(matrix_multiply)(
    const struct fm_matrix_product *p, const struct fm_matrix_run *run, float *scratch)
{
    struct job j = job_of(p, run);
    float *turned = scratch + (size_t)j.threads * OWN_VALUES;
    if (p->pass == FM_MATRIX_WEIGHTS)
        j.left = turned;
    int64_t parts = (int64_t)j.panels * j.ranges;
#pragma omp parallel num_threads(j.threads)
    {
        if (p->pass == FM_MATRIX_WEIGHTS)
            turn_left(p, run->left, turned);
        int thread = omp_get_thread_num(), threads = omp_get_num_threads();
        int end = (int)(parts * (thread + 1) / threads);
        for (int i = (int)(parts * thread / threads); i < end; i += PARTS_AT_ONCE)
            multiply_group(
                &j, i, least(PARTS_AT_ONCE, end - i), scratch + (size_t)thread * OWN_VALUES);
    }
}

size_t FM_KERNEL(matrix_scratch)(const struct fm_matrix_product *p)
{
    static const struct fm_matrix_run none;
    const struct job j = job_of(p, &none);
    return ((size_t)j.threads * OWN_VALUES + turned_values(p)) * sizeof(float);
}
