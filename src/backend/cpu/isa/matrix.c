// A dense layer's products in fp32, of matrices as they lie: no layouts of weights to and fro, and
// none of activations.
//
// The right one is brought into panels (product.h), a chunk of the steps at a time, so that the
// chunk stays in the first cache; each thread keeps a panel's sums to the end. Where an
// activation's features lie in another order than the weights', it is the weights' that are picked
// on the way. Where panels are few, threads take parts of their rows. An element is summed in the
// order of the steps, whatever the number of threads.
#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/isa/product.h"

#include <omp.h>

enum {
    CHUNK = 256,     // steps of a panel: 16 KiB with vectors of AVX2
    LEAST_ROWS = 64, // of a part of a panel, as each brings the panel into place for itself
    MOST_ROWS = 256, // of a part: a chunk of the left matrix stays in the second cache ...
    GROUP = 8,       // ... for so many panels
    PANEL_VALUES = CHUNK * PANEL,
};

// A matrix as a product takes it: element [row][column] is so many values from the first.
struct layout {
    size_t row, column;
};

// to[rows][columns] = left[rows][steps] right[steps][columns].
struct shape {
    int rows, steps, columns;
    struct layout left, right;
    size_t to_row;
};

static struct shape shape_of(const struct fm_matrix_product *p)
{
    size_t in = (size_t)p->in, out = (size_t)p->out, batch = (size_t)p->batch;
    switch (p->pass) {
    case FM_MATRIX_WEIGHTS: // of dy as turn_left() leaves it
        return (struct shape){p->out, p->batch, p->in, {batch, 1}, {in, 1}, in};
    case FM_MATRIX_DATA:
        return (struct shape){p->batch, p->out, p->in, {out, 1}, {in, 1}, in};
    default:
        return (struct shape){p->batch, p->in, p->out, {in, 1}, {1, in}, out};
    }
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

// Which feature of the weights is an activation's, counted as it lies there.
static int feature_at(const struct fm_matrix_product *p, int at)
{
    int plane = p->pixels * p->block, within = at % plane;
    return at - within + within % p->block * p->pixels + within / p->block;
}

static bool same_order(const struct fm_matrix_product *p)
{
    return p->pixels == 1 || p->block == 1;
}

// Columns of a panel: there are fewer in the last.
static int panel_columns(const struct shape *shape, int column)
{
    return least(PANEL, shape->columns - column);
}

// What a thread has: a panel's chunk, and the results of a group, [row of the part][PANEL] each.
struct own_scratch {
    float *panel, *results;
};

enum {
    OWN_VALUES = PANEL_VALUES + GROUP * MOST_ROWS * PANEL
};

static void copy_row(float *to, const float *from)
{
    for (int v = 0; v < PANEL_VECTORS; v++)
        vec_store(to + v * LANES, vec_load(from + v * LANES));
}

// ---- to a panel: panel[step][PANEL], zero in columns that there are not

// w^T: a row of w is a column.
static void bring_outputs(const struct fm_matrix_product *p, const float *w, int first, int steps,
    int column, int count, float *panel)
{
    int features[CHUNK];
    for (int s = 0; s < steps; s++)
        features[s] = feature_at(p, first + s);
    for (int c = 0; c < count; c++) {
        const float *from = w + (size_t)(column + c) * (size_t)p->in;
        for (int s = 0; s < steps; s++)
            panel[s * PANEL + c] = from[features[s]];
    }
}

// w: features that lie side by side in the activation.
static void bring_features(const struct fm_matrix_product *p, const float *w, int first, int steps,
    int column, int count, float *panel)
{
    int features[PANEL] = {0};
    for (int c = 0; c < count; c++)
        features[c] = feature_at(p, column + c);
    for (int s = 0; s < steps; s++) {
        const float *from = w + (size_t)(first + s) * (size_t)p->in;
        for (int c = 0; c < count; c++)
            panel[s * PANEL + c] = from[features[c]];
    }
}

// As it lies.
static void bring_rows(const struct shape *shape, const float *right, int first, int steps,
    int column, int count, float *panel)
{
    const float *from = right + (size_t)first * shape->right.row + (size_t)column;
    for (int s = 0; s < steps; s++, from += shape->right.row, panel += PANEL)
        if (count == PANEL)
            copy_row(panel, from);
        else
            memcpy(panel, from, (size_t)count * sizeof *panel);
}

static void bring_panel(const struct fm_matrix_product *p, const struct shape *shape,
    const float *right, int first, int steps, int column, float *panel)
{
    int count = panel_columns(shape, column);
    if (count < PANEL)
        memset(panel, 0, (size_t)steps * PANEL * sizeof *panel);
    if (p->pass == FM_MATRIX_FORWARD)
        bring_outputs(p, right, first, steps, column, count, panel);
    else if (p->pass == FM_MATRIX_DATA && !same_order(p))
        bring_features(p, right, first, steps, column, count, panel);
    else
        bring_rows(shape, right, first, steps, column, count, panel);
}

// ---- from a panel's result

// From result[row][PANEL] to the columns of `to`.
static void take_out(const struct fm_matrix_product *p, const struct shape *shape, int rows,
    int column, const float *result, float *to)
{
    int count = panel_columns(shape, column);
    if (p->pass != FM_MATRIX_WEIGHTS || same_order(p)) {
        for (int r = 0; r < rows; r++, result += PANEL, to += shape->to_row)
            if (count == PANEL)
                copy_row(to + column, result);
            else
                memcpy(to + column, result, (size_t)count * sizeof *to);
        return;
    }
    int features[PANEL] = {0};
    for (int c = 0; c < count; c++)
        features[c] = feature_at(p, column + c);
    for (int r = 0; r < rows; r++, result += PANEL, to += shape->to_row)
        for (int c = 0; c < count; c++)
            to[features[c]] = result[c];
}

// Bias and ReLU of finished sums; a NaN stays one.
static void finish(
    const struct shape *shape, const struct fm_matrix_run *run, int rows, int column, float *result)
{
    int count = panel_columns(shape, column);
    for (int r = 0; r < rows; r++, result += PANEL)
        for (int c = 0; c < count; c++) {
            float sum = run->bias ? result[c] + run->bias[column + c] : result[c];
            result[c] = run->relu && sum < 0.0f ? 0.0f : sum;
        }
}

// ---- the product

enum {
    LINE_COLUMNS = 16, // fp32 values of a line of the cache
};

static size_t turned_values(const struct fm_matrix_product *p)
{
    return p->pass == FM_MATRIX_WEIGHTS ? (size_t)p->batch * (size_t)p->out : 0;
}

// dy to [out][batch], in columns of a line: as rows of steps that lie side by side, since steps a
// row of dy apart may share a set of the cache. All threads share the work.
static void turn_left(const struct fm_matrix_product *p, const float *dy, float *turned)
{
#pragma omp for schedule(static)
    for (int first = 0; first < p->out; first += LINE_COLUMNS) {
        int end = least(first + LINE_COLUMNS, p->out);
        for (int n = 0; n < p->batch; n++)
            for (int c = first; c < end; c++)
                turned[(size_t)c * (size_t)p->batch + (size_t)n] =
                    dy[(size_t)n * (size_t)p->out + (size_t)c];
    }
}

// How the result is divided: in panels, and these in parts of rows.
struct parts {
    int panels, of_panel;
};

static struct parts parts_of(const struct fm_matrix_product *p, const struct shape *shape)
{
    int panels = (shape->columns + PANEL - 1) / PANEL;
    int least_parts = (shape->rows + MOST_ROWS - 1) / MOST_ROWS;
    int most_parts = (shape->rows + LEAST_ROWS - 1) / LEAST_ROWS;
    int wanted = least(most_parts, (p->threads + panels - 1) / panels);
    return (struct parts){panels, wanted > least_parts ? wanted : least_parts};
}

// A panel's columns from `column` on, rows [from, end).
struct part {
    int column, from, end;
};

static struct part part_at(const struct shape *shape, const struct parts *parts, int i)
{
    int of_panel = i / parts->panels;
    return (struct part){i % parts->panels * PANEL, shape->rows * of_panel / parts->of_panel,
        shape->rows * (of_panel + 1) / parts->of_panel};
}

// The steps from `first` on.
static void multiply_part(const struct fm_matrix_product *p, const struct shape *shape,
    const struct fm_matrix_run *run, int first, const struct part *part, float *panel,
    float *result)
{
    int steps = least(CHUNK, shape->steps - first);
    bring_panel(p, shape, run->right, first, steps, part->column, panel);
    const struct product product = {
        .left = run->left + (size_t)part->from * shape->left.row +
                (size_t)first * shape->left.column,
        .row_stride = shape->left.row,
        .step_stride = shape->left.column,
        .right = panel,
        .steps = steps,
        .accumulate = first > 0,
        .out = result,
        .out_stride = PANEL,
    };
    product_panel(&product, part->end - part->from);
}

// The parts [i, i + count), of one group.
static void multiply_group(const struct fm_matrix_product *p, const struct shape *shape,
    const struct fm_matrix_run *run, const struct parts *parts, int i, int count,
    const struct own_scratch *own)
{
    for (int first = 0; first < shape->steps; first += CHUNK)
        for (int k = 0; k < count; k++) {
            struct part part = part_at(shape, parts, i + k);
            multiply_part(
                p, shape, run, first, &part, own->panel, own->results + k * MOST_ROWS * PANEL);
        }
    for (int k = 0; k < count; k++) {
        struct part part = part_at(shape, parts, i + k);
        float *result = own->results + k * MOST_ROWS * PANEL;
        int rows = part.end - part.from;
        if (run->bias || run->relu)
            finish(shape, run, rows, part.column, result);
        take_out(p, shape, rows, part.column, result, run->to + (size_t)part.from * shape->to_row);
    }
}

void FM_KERNEL(matrix_multiply)(
    const struct fm_matrix_product *p, const struct fm_matrix_run *run, float *scratch)
{
    struct shape shape = shape_of(p);
    struct parts parts = parts_of(p, &shape);
    int all = parts.panels * parts.of_panel;
    float *turned = scratch + (size_t)p->threads * OWN_VALUES;
    struct fm_matrix_run own_run = *run;
    if (p->pass == FM_MATRIX_WEIGHTS)
        own_run.left = turned;
#pragma omp parallel num_threads(p->threads)
    {
        if (p->pass == FM_MATRIX_WEIGHTS)
            turn_left(p, run->left, turned);
        int thread = omp_get_thread_num(), threads = omp_get_num_threads();
        float *panel = scratch + (size_t)thread * OWN_VALUES;
        const struct own_scratch own = {panel, panel + PANEL_VALUES};
        int end = (int)((int64_t)all * (thread + 1) / threads);
        for (int i = (int)((int64_t)all * thread / threads); i < end; i += GROUP)
            multiply_group(p, &shape, &own_run, &parts, i, least(GROUP, end - i), &own);
    }
}

size_t FM_KERNEL(matrix_scratch)(const struct fm_matrix_product *p)
{
    return ((size_t)p->threads * OWN_VALUES + turned_values(p)) * sizeof(float);
}
