// See plain.h. Every loop below is the definition of its operation.
#include "reference/plain.h"

#include "philox.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *zeroed(size_t count)
{
    double *memory = calloc(count > 0 ? count : 1, sizeof *memory);
    if (memory == NULL) {
        fprintf(stderr, "plain: out of memory (%zu doubles)\n", count);
        abort();
    }
    return memory;
}

struct fm_plain *fm_plain_create(const struct fm_net *net)
{
    struct fm_plain *plain = calloc(1, sizeof *plain);
    if (plain == NULL)
        abort();
    plain->net = *net;
    plain->optimiser = (struct fm_optimiser_options){
        .kind = FM_OPTIMISER_ADAM, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f};
    plain->params = zeroed(net->param_elements);
    plain->grads = zeroed(net->param_elements);
    plain->moment1 = zeroed(net->param_elements);
    plain->moment2 = zeroed(net->param_elements);
    plain->running = zeroed(net->running_elements);
    for (int r = 0; r < net->running_count; r++) {
        for (size_t i = 0; i < net->running[r].count; i++)
            plain->running[net->running[r].offset + i] = net->running[r].initial;
    }
    for (int l = 0; l < net->layer_count; l++) {
        if (net->layers[l].kind == FM_LAYER_BATCHNORM) {
            plain->batch_mean[l] = zeroed((size_t)net->layers[l].in.c);
            plain->batch_variance[l] = zeroed((size_t)net->layers[l].in.c);
        }
    }
    return plain;
}

static void free_batch(struct fm_plain *plain)
{
    free(plain->input);
    for (int l = 0; l < plain->net.layer_count; l++) {
        free(plain->activation[l]);
        free(plain->gradient[l]);
    }
}

void fm_plain_destroy(struct fm_plain *plain)
{
    if (plain == NULL)
        return;
    free_batch(plain);
    for (int l = 0; l < plain->net.layer_count; l++) {
        free(plain->batch_mean[l]);
        free(plain->batch_variance[l]);
    }
    free(plain->params);
    free(plain->grads);
    free(plain->moment1);
    free(plain->moment2);
    free(plain->running);
    free(plain);
}

// Room for a batch of `count`; gradients and activations are filled anew by every pass.
static void size_batch(struct fm_plain *plain, uint32_t count)
{
    if (plain->input != NULL && plain->count == count)
        return;
    free_batch(plain);
    plain->count = count;
    plain->input = zeroed(count * fm_shape_size(plain->net.input.shape));
    for (int l = 0; l < plain->net.layer_count; l++) {
        plain->activation[l] = zeroed(count * fm_shape_size(plain->net.layers[l].out));
        plain->gradient[l] = zeroed(count * fm_shape_size(plain->net.layers[l].out));
    }
}

static const struct fm_param *param_named(const struct fm_plain *plain, const char *name)
{
    int p = fm_net_find_param(&plain->net, name);
    if (p < 0) {
        fprintf(stderr, "plain: network %s has no parameter '%s'\n", plain->net.name, name);
        abort();
    }
    return &plain->net.params[p];
}

static const struct fm_running *running_named(const struct fm_plain *plain, const char *name)
{
    int r = fm_net_find_running(&plain->net, name);
    if (r < 0) {
        fprintf(stderr, "plain: network %s has no running statistic '%s'\n", plain->net.name, name);
        abort();
    }
    return &plain->net.running[r];
}

void fm_plain_set_param(struct fm_plain *plain, const char *name, const float *data)
{
    const struct fm_param *param = param_named(plain, name);
    for (size_t i = 0; i < param->count; i++)
        plain->params[param->offset + i] = data[i];
}

void fm_plain_set_running(struct fm_plain *plain, const char *name, const float *data)
{
    const struct fm_running *running = running_named(plain, name);
    for (size_t i = 0; i < running->count; i++)
        plain->running[running->offset + i] = data[i];
}

const double *fm_plain_param(const struct fm_plain *plain, const char *name)
{
    return plain->params + param_named(plain, name)->offset;
}

const double *fm_plain_grad(const struct fm_plain *plain, const char *name)
{
    return plain->grads + param_named(plain, name)->offset;
}

const double *fm_plain_running(const struct fm_plain *plain, const char *name)
{
    return plain->running + running_named(plain, name)->offset;
}

// Input

// The record [rows][cols] flipped, then shifted, values 0 to 255.
static void augment_record(const struct fm_input *input, const struct fm_augment *augment,
    const struct fm_step *step, uint32_t id, const uint8_t *record, double *out)
{
    bool flip = augment->flip && fm_draw(step->seed, step->epoch, id, FM_STREAM_FLIP, 0) >> 31 == 1;
    int dy = 0, dx = 0;
    if (augment->shift > 0) {
        uint32_t range = 2 * (uint32_t)augment->shift + 1;
        dy = (int)fm_draw_below(fm_draw(step->seed, step->epoch, id, FM_STREAM_SHIFT, 0), range) -
             augment->shift;
        dx = (int)fm_draw_below(fm_draw(step->seed, step->epoch, id, FM_STREAM_SHIFT, 1), range) -
             augment->shift;
    }
    for (int y = 0; y < input->rows; y++) {
        for (int x = 0; x < input->cols; x++) {
            int from_y = y - dy, from_x = x - dx;
            bool inside = from_y >= 0 && from_y < input->rows && from_x >= 0 &&
                          from_x < input->cols;
            if (flip)
                from_x = input->cols - 1 - from_x;
            out[y * input->cols + x] = inside ? record[from_y * input->cols + from_x] : 0.0;
        }
    }
}

// Where output index `to` of `out_size` looks in `in_size`: half-pixel centres, clamped at the
// edges.
static void bilinear_source(int to, int in_size, int out_size, int *low, int *high, double *weight)
{
    double at = (to + 0.5) * in_size / out_size - 0.5;
    if (at < 0.0)
        at = 0.0;
    *low = (int)floor(at);
    if (*low > in_size - 1)
        *low = in_size - 1;
    *high = *low + 1 < in_size ? *low + 1 : in_size - 1;
    *weight = at - *low;
}

// One normalised channel [rows][cols] to [h][w].
static void resize(const struct fm_input *input, const double *in, double *out)
{
    for (int y = 0; y < input->shape.h; y++) {
        int y0, y1;
        double wy;
        bilinear_source(y, input->rows, input->shape.h, &y0, &y1, &wy);
        for (int x = 0; x < input->shape.w; x++) {
            int x0, x1;
            double wx;
            bilinear_source(x, input->cols, input->shape.w, &x0, &x1, &wx);
            const double *above = in + y0 * input->cols, *below = in + y1 * input->cols;
            // In this form a constant region stays exactly constant, so that its ties stay ties.
            double top = above[x0] + wx * (above[x1] - above[x0]);
            double bottom = below[x0] + wx * (below[x1] - below[x0]);
            out[y * input->shape.w + x] = top + wy * (bottom - top);
        }
    }
}

// How sample `n` is mixed with the next of the batch: that one's weight, and the rectangle that it
// gives; of height 0 where they are averaged.
struct mixed {
    uint32_t next;
    double weight;
    int top, left, height, width;
};

static uint32_t mix_draw(const struct fm_plain_batch *batch, uint32_t n, uint32_t element)
{
    return fm_draw(batch->step->seed, batch->step->epoch, batch->ids[n], FM_STREAM_MIX, element);
}

static void cut(const struct fm_plain_batch *batch, const struct fm_input *input, uint32_t n,
    struct mixed *mixed)
{
    int pixels = input->rows * input->cols, widest = input->cols;
    int height = 1 + (int)fm_draw_below(mix_draw(batch, n, 3), (uint32_t)input->rows);
    while (widest > 0 && 2 * height * widest >= pixels)
        widest--;
    if (widest == 0)
        return;
    mixed->height = height;
    mixed->width = 1 + (int)fm_draw_below(mix_draw(batch, n, 4), (uint32_t)widest);
    mixed->top = (int)fm_draw_below(mix_draw(batch, n, 5), (uint32_t)(input->rows - height + 1));
    mixed->left = (int)fm_draw_below(
        mix_draw(batch, n, 6), (uint32_t)(input->cols - mixed->width + 1));
    mixed->weight = (double)(mixed->height * mixed->width) / pixels;
}

static struct mixed mixed_with(
    const struct fm_plain_batch *batch, const struct fm_input *input, uint32_t n)
{
    struct mixed mixed = {.next = (n + 1) % batch->step->count};
    if (mix_draw(batch, n, 0) / 4294967296.0 >= (double)batch->mix.share)
        return mixed;
    if (mix_draw(batch, n, 2) / 4294967296.0 < (double)batch->mix.cut_share)
        cut(batch, input, n, &mixed);
    else
        mixed.weight = (mix_draw(batch, n, 1) >> 8) / 16777216.0 / 2.0;
    return mixed;
}

// Each record's `size` numbers with its neighbour's, once all of them are there.
static void mix_records(
    struct fm_plain *plain, const struct fm_plain_batch *batch, size_t size, double *records)
{
    const struct fm_input *input = &plain->net.input;
    double *before = zeroed(plain->count * size);
    memcpy(before, records, plain->count * size * sizeof *before);
    for (uint32_t n = 0; n < plain->count; n++) {
        struct mixed mixed = mixed_with(batch, input, n);
        for (size_t i = 0; i < size; i++) {
            double own = before[n * size + i], other = before[mixed.next * size + i];
            double weight = mixed.weight;
            if (mixed.height > 0) {
                int y = (int)i / input->cols - mixed.top, x = (int)i % input->cols - mixed.left;
                weight = y >= 0 && y < mixed.height && x >= 0 && x < mixed.width ? 1.0 : 0.0;
            }
            records[n * size + i] = (1.0 - weight) * own + weight * other;
        }
    }
    free(before);
}

static void prepare_features(
    struct fm_plain *plain, const uint8_t *records, const struct fm_plain_batch *batch)
{
    size_t features = (size_t)plain->net.input.features;
    for (size_t i = 0; i < plain->count * features; i++) {
        float value;
        memcpy(&value, records + i * sizeof value, sizeof value);
        plain->input[i] = (double)value;
    }
    if (batch != NULL)
        mix_records(plain, batch, features, plain->input);
}

// `batch`: the records' training batch; NULL in inference, where nothing is augmented or mixed.
static void prepare_input(
    struct fm_plain *plain, const uint8_t *records, const struct fm_plain_batch *batch)
{
    const struct fm_input *input = &plain->net.input;
    static const struct fm_augment none = {0};
    if (input->features > 0) {
        prepare_features(plain, records, batch);
        return;
    }
    size_t pixels = (size_t)input->rows * (size_t)input->cols;
    size_t plane = (size_t)input->shape.h * (size_t)input->shape.w;
    double *moved = zeroed(plain->count * pixels), *normal = zeroed(pixels);
    for (uint32_t n = 0; n < plain->count; n++)
        augment_record(input, batch != NULL ? &batch->augment : &none,
            batch != NULL ? batch->step : NULL, batch != NULL ? batch->ids[n] : 0,
            records + n * pixels, moved + n * pixels);
    if (batch != NULL)
        mix_records(plain, batch, pixels, moved);
    for (uint32_t n = 0; n < plain->count; n++) {
        for (int c = 0; c < input->shape.c; c++) {
            double mean = input->standardise ? input->mean[c] : 0.0;
            double deviation = input->standardise ? input->deviation[c] : 1.0;
            for (size_t i = 0; i < pixels; i++)
                normal[i] = (moved[n * pixels + i] / 255.0 - mean) / deviation;
            resize(input, normal, plain->input + (n * (size_t)input->shape.c + (size_t)c) * plane);
        }
    }
    free(moved);
    free(normal);
}

// Layers. `n` counts samples, `in` and `out` are [n][c][h][w], `din` and `dout` the loss's
// gradients.

static size_t at(struct fm_shape s, size_t n, int c, int y, int x)
{
    return ((n * (size_t)s.c + (size_t)c) * (size_t)s.h + (size_t)y) * (size_t)s.w + (size_t)x;
}

// The range of output columns (or rows) of which kernel element k lies inside the input.
static void valid_range(int k, int padding, int in_size, int out_size, int *first, int *end)
{
    *first = padding - k > 0 ? padding - k : 0;
    *end = in_size + padding - k < out_size ? in_size + padding - k : out_size;
}

// What is done with one kernel element over one output row: y[x] and the x's weight, gradients.
enum conv_pass {
    CONV_FORWARD,
    CONV_BACKWARD
};

// One kernel element (o, i, ky, kx) for sample n. Forward: out += weight * in. Backward: din +=
// weight
// * dout (if din is there) and the returned sum of in * dout is the weight's gradient.
static double conv_element(const struct fm_layer *l, size_t n, int o, int i, int ky, int kx,
    double weight, enum conv_pass pass, const double *in, double *out, double *din,
    const double *dout)
{
    int y0, y1, x0, x1;
    double sum = 0.0;
    valid_range(ky, l->padding, l->in.h, l->out.h, &y0, &y1);
    valid_range(kx, l->padding, l->in.w, l->out.w, &x0, &x1);
    for (int y = y0; y < y1; y++) {
        size_t to = at(l->out, n, o, y, 0);
        // Column x of the output looks at column x + kx - padding of the input.
        size_t from = at(l->in, n, i, y + ky - l->padding, 0) + (size_t)kx - (size_t)l->padding;
        for (int x = x0; x < x1; x++) {
            size_t f = from + (size_t)x, t = to + (size_t)x;
            if (pass == CONV_FORWARD) {
                out[t] += weight * in[f];
            } else {
                sum += in[f] * dout[t];
                if (din != NULL)
                    din[f] += weight * dout[t];
            }
        }
    }
    return sum;
}

static void conv_forward(
    const struct fm_plain *p, const struct fm_layer *l, const double *in, double *out)
{
    const double *w = p->params + p->net.params[l->weight].offset;
    const double *b = l->bias >= 0 ? p->params + p->net.params[l->bias].offset : NULL;
    size_t plane = (size_t)l->out.h * (size_t)l->out.w;
    int k = l->kernel;
    for (size_t n = 0; n < p->count; n++) {
        for (int o = 0; o < l->out.c; o++) {
            for (size_t j = 0; j < plane; j++)
                out[at(l->out, n, o, 0, 0) + j] = b != NULL ? b[o] : 0.0;
            for (int e = 0; e < l->in.c * k * k; e++)
                conv_element(l, n, o, e / (k * k), e / k % k, e % k, w[o * l->in.c * k * k + e],
                    CONV_FORWARD, in, out, NULL, NULL);
        }
    }
}

static void conv_backward(
    struct fm_plain *p, const struct fm_layer *l, const double *in, double *din, const double *dout)
{
    const double *w = p->params + p->net.params[l->weight].offset;
    double *dw = p->grads + p->net.params[l->weight].offset;
    size_t plane = (size_t)l->out.h * (size_t)l->out.w;
    int k = l->kernel;
    for (size_t n = 0; n < p->count; n++) {
        for (int o = 0; o < l->out.c; o++) {
            for (int e = 0; e < l->in.c * k * k; e++) {
                int index = o * l->in.c * k * k + e;
                dw[index] += conv_element(l, n, o, e / (k * k), e / k % k, e % k, w[index],
                    CONV_BACKWARD, in, NULL, din, dout);
            }
            if (l->bias >= 0) {
                for (size_t j = 0; j < plane; j++)
                    p->grads[p->net.params[l->bias].offset + (size_t)o] +=
                        dout[at(l->out, n, o, 0, 0) + j];
            }
        }
    }
}

static void dense_forward(
    const struct fm_plain *p, const struct fm_layer *l, const double *in, double *out)
{
    const double *w = p->params + p->net.params[l->weight].offset;
    size_t inputs = fm_shape_size(l->in), outputs = (size_t)l->out.c;
    for (size_t n = 0; n < p->count; n++) {
        for (size_t o = 0; o < outputs; o++) {
            double sum = l->bias >= 0 ? p->params[p->net.params[l->bias].offset + o] : 0.0;
            for (size_t i = 0; i < inputs; i++)
                sum += w[o * inputs + i] * in[n * inputs + i];
            out[n * outputs + o] = sum;
        }
    }
}

static void dense_backward(
    struct fm_plain *p, const struct fm_layer *l, const double *in, double *din, const double *dout)
{
    const double *w = p->params + p->net.params[l->weight].offset;
    double *dw = p->grads + p->net.params[l->weight].offset;
    size_t inputs = fm_shape_size(l->in), outputs = (size_t)l->out.c;
    for (size_t n = 0; n < p->count; n++) {
        for (size_t o = 0; o < outputs; o++) {
            double d = dout[n * outputs + o];
            for (size_t i = 0; i < inputs; i++) {
                dw[o * inputs + i] += d * in[n * inputs + i];
                if (din != NULL)
                    din[n * inputs + i] += d * w[o * inputs + i];
            }
            if (l->bias >= 0)
                p->grads[p->net.params[l->bias].offset + o] += d;
        }
    }
}

static void batch_statistics(const struct fm_plain *p, const struct fm_layer *l, const double *in,
    double *mean, double *variance)
{
    size_t plane = (size_t)l->in.h * (size_t)l->in.w;
    double m = (double)p->count * (double)plane;
    for (int c = 0; c < l->in.c; c++) {
        double sum = 0.0, squares = 0.0;
        for (size_t n = 0; n < p->count; n++) {
            for (size_t j = 0; j < plane; j++)
                sum += in[at(l->in, n, c, 0, 0) + j];
        }
        mean[c] = sum / m;
        for (size_t n = 0; n < p->count; n++) {
            for (size_t j = 0; j < plane; j++) {
                double d = in[at(l->in, n, c, 0, 0) + j] - mean[c];
                squares += d * d;
            }
        }
        variance[c] = squares / m;
    }
}

static void batchnorm_forward(const struct fm_plain *p, const struct fm_layer *l,
    const double *mean, const double *variance, const double *in, double *out)
{
    const double *scale = p->params + p->net.params[l->weight].offset;
    const double *shift = p->params + p->net.params[l->bias].offset;
    size_t plane = (size_t)l->in.h * (size_t)l->in.w;
    for (size_t n = 0; n < p->count; n++) {
        for (int c = 0; c < l->in.c; c++) {
            double factor = 1.0 / sqrt(variance[c] + (double)FM_BATCHNORM_EPSILON);
            for (size_t j = 0; j < plane; j++) {
                size_t i = at(l->in, n, c, 0, 0) + j;
                out[i] = scale[c] * (in[i] - mean[c]) * factor + shift[c];
            }
        }
    }
}

// din = scale / sqrt(var + eps) * (dout - mean(dout) - xhat * mean(dout * xhat)).
static void batchnorm_backward(struct fm_plain *p, const struct fm_layer *l, const double *mean,
    const double *variance, const double *in, double *din, const double *dout)
{
    const double *scale = p->params + p->net.params[l->weight].offset;
    double *dscale = p->grads + p->net.params[l->weight].offset;
    double *dshift = p->grads + p->net.params[l->bias].offset;
    size_t plane = (size_t)l->in.h * (size_t)l->in.w;
    double m = (double)p->count * (double)plane;
    for (int c = 0; c < l->in.c; c++) {
        double factor = 1.0 / sqrt(variance[c] + (double)FM_BATCHNORM_EPSILON);
        for (size_t n = 0; n < p->count; n++) {
            for (size_t j = 0; j < plane; j++) {
                size_t i = at(l->in, n, c, 0, 0) + j;
                dshift[c] += dout[i];
                dscale[c] += dout[i] * (in[i] - mean[c]) * factor;
            }
        }
        for (size_t n = 0; din != NULL && n < p->count; n++) {
            for (size_t j = 0; j < plane; j++) {
                size_t i = at(l->in, n, c, 0, 0) + j;
                double xhat = (in[i] - mean[c]) * factor;
                din[i] += scale[c] * factor * (dout[i] - dshift[c] / m - xhat * dscale[c] / m);
            }
        }
    }
}

// Where the first maximum of a 2x2 window lies, row by row.
static size_t window_maximum(
    const struct fm_layer *l, const double *in, size_t n, int c, int y, int x)
{
    size_t best = at(l->in, n, c, 2 * y, 2 * x);
    for (int k = 1; k < 4; k++) {
        size_t other = at(l->in, n, c, 2 * y + k / 2, 2 * x + k % 2);
        if (in[other] > in[best])
            best = other;
    }
    return best;
}

static void maxpool(const struct fm_plain *p, const struct fm_layer *l, const double *in,
    double *out, double *din, const double *dout)
{
    for (size_t n = 0; n < p->count; n++) {
        for (int c = 0; c < l->out.c; c++) {
            for (int y = 0; y < l->out.h; y++) {
                for (int x = 0; x < l->out.w; x++) {
                    size_t from = window_maximum(l, in, n, c, y, x);
                    size_t to = at(l->out, n, c, y, x);
                    if (out != NULL)
                        out[to] = in[from];
                    if (din != NULL)
                        din[from] += dout[to];
                }
            }
        }
    }
}

static void meanpool(const struct fm_plain *p, const struct fm_layer *l, const double *in,
    double *out, double *din, const double *dout)
{
    size_t plane = (size_t)l->in.h * (size_t)l->in.w;
    for (size_t n = 0; n < p->count; n++) {
        for (int c = 0; c < l->in.c; c++) {
            size_t to = at(l->out, n, c, 0, 0), from = at(l->in, n, c, 0, 0);
            double sum = 0.0;
            for (size_t j = 0; j < plane; j++) {
                sum += in[from + j];
                if (din != NULL)
                    din[from + j] += dout[to] / (double)plane;
            }
            if (out != NULL)
                out[to] = sum / (double)plane;
        }
    }
}

// What an element of sample `id` is multiplied with: 0 or 1 / (1 - rate).
static double dropout_factor(
    const struct fm_layer *l, const struct fm_step *step, uint32_t id, uint32_t element)
{
    uint32_t threshold = (uint32_t)floor((double)l->rate * 4294967296.0);
    uint32_t draw = fm_draw(step->seed, step->epoch, id, FM_STREAM_DROPOUT + l->stream, element);
    return draw >= threshold ? 1.0 / (1.0 - (double)l->rate) : 0.0;
}

static void dropout(const struct fm_plain *p, const struct fm_layer *l,
    const struct fm_plain_batch *batch, const double *from, double *to, bool add)
{
    size_t size = fm_shape_size(l->in);
    for (size_t n = 0; n < p->count; n++) {
        for (size_t i = 0; i < size; i++) {
            double value = from[n * size + i] *
                           dropout_factor(l, batch->step, batch->ids[n], (uint32_t)i);
            to[n * size + i] = add ? to[n * size + i] + value : value;
        }
    }
}

// `batch` NULL: inference.
static void layer_forward(struct fm_plain *p, int index, const struct fm_plain_batch *batch)
{
    const struct fm_layer *l = &p->net.layers[index];
    const double *in = index > 0 ? p->activation[index - 1] : p->input;
    double *out = p->activation[index];
    size_t elements = p->count * fm_shape_size(l->in);
    switch (l->kind) {
    case FM_LAYER_CONV:
        conv_forward(p, l, in, out);
        break;
    case FM_LAYER_BATCHNORM:
        if (batch != NULL) {
            batch_statistics(p, l, in, p->batch_mean[index], p->batch_variance[index]);
            batchnorm_forward(p, l, p->batch_mean[index], p->batch_variance[index], in, out);
        } else {
            batchnorm_forward(p, l, p->running + p->net.running[l->running].offset,
                p->running + p->net.running[l->running + 1].offset, in, out);
        }
        break;
    case FM_LAYER_RELU:
        for (size_t i = 0; i < elements; i++)
            out[i] = in[i] > 0.0 ? in[i] : 0.0;
        break;
    case FM_LAYER_MAXPOOL:
        maxpool(p, l, in, out, NULL, NULL);
        break;
    case FM_LAYER_MEANPOOL:
        meanpool(p, l, in, out, NULL, NULL);
        break;
    case FM_LAYER_DROPOUT:
        if (batch != NULL)
            dropout(p, l, batch, in, out, false);
        else
            memcpy(out, in, elements * sizeof *out);
        break;
    case FM_LAYER_DENSE:
        dense_forward(p, l, in, out);
        break;
    }
}

static void layer_backward(struct fm_plain *p, int index, const struct fm_plain_batch *batch)
{
    const struct fm_layer *l = &p->net.layers[index];
    const double *in = index > 0 ? p->activation[index - 1] : p->input;
    const double *dout = p->gradient[index];
    double *din = index > 0 ? p->gradient[index - 1] : NULL;
    size_t elements = p->count * fm_shape_size(l->in);
    if (din != NULL)
        memset(din, 0, elements * sizeof *din);
    switch (l->kind) {
    case FM_LAYER_CONV:
        conv_backward(p, l, in, din, dout);
        break;
    case FM_LAYER_BATCHNORM:
        batchnorm_backward(p, l, p->batch_mean[index], p->batch_variance[index], in, din, dout);
        break;
    case FM_LAYER_RELU:
        for (size_t i = 0; din != NULL && i < elements; i++)
            din[i] = in[i] > 0.0 ? dout[i] : 0.0;
        break;
    case FM_LAYER_MAXPOOL:
        maxpool(p, l, in, NULL, din, dout);
        break;
    case FM_LAYER_MEANPOOL:
        meanpool(p, l, in, NULL, din, dout);
        break;
    case FM_LAYER_DROPOUT:
        if (din != NULL)
            dropout(p, l, batch, dout, din, true);
        break;
    case FM_LAYER_DENSE:
        dense_backward(p, l, in, din, dout);
        break;
    }
}

// Loss

// Softmax cross-entropy of sample `n` against (1 - s) onehot + s / classes, the onehot mixed with
// its neighbour's, and a share of soft targets, mixed likewise; `gradient`, if there, receives the
// loss's gradient divided by the batch's count.
static double sample_loss(const struct fm_plain *plain, const double *logits,
    const struct fm_plain_batch *batch, uint32_t n, double *gradient)
{
    struct mixed mixed = mixed_with(batch, &plain->net.input, n);
    double smoothing = (double)batch->label_smoothing, weight = mixed.weight;
    int classes = plain->net.classes, label = batch->labels[n], other = batch->labels[mixed.next];
    double largest = logits[0], sum = 0.0, loss = 0.0;
    for (int k = 1; k < classes; k++)
        largest = logits[k] > largest ? logits[k] : largest;
    for (int k = 0; k < classes; k++)
        sum += exp(logits[k] - largest);
    for (int k = 0; k < classes; k++) {
        double certain = (k == label ? 1.0 - weight : 0.0) + (k == other ? weight : 0.0);
        double target = (1.0 - smoothing) * certain + smoothing / classes;
        if (batch->soft_share > 0.0f) {
            double soft = (1.0 - weight) * (double)batch->soft_targets[(int)n * classes + k] +
                          weight * (double)batch->soft_targets[(int)mixed.next * classes + k];
            target += (double)batch->soft_share * (soft - target);
        }
        double log_p = logits[k] - largest - log(sum);
        loss -= target * log_p;
        if (gradient != NULL)
            gradient[k] = (exp(log_p) - target) / batch->step->count;
    }
    return loss;
}

double fm_plain_forward(struct fm_plain *plain, const struct fm_plain_batch *batch)
{
    int classes = plain->net.classes;
    size_batch(plain, batch->step->count);
    prepare_input(plain, batch->records, batch);
    for (int l = 0; l < plain->net.layer_count; l++)
        layer_forward(plain, l, batch);

    const double *logits = plain->activation[plain->net.layer_count - 1];
    plain->loss = 0.0;
    plain->correct = 0;
    for (uint32_t n = 0; n < plain->count; n++) {
        const double *row = logits + n * (size_t)classes;
        int best = 0;
        for (int k = 1; k < classes; k++)
            best = row[k] > row[best] ? k : best;
        plain->correct += best == batch->labels[n];
        plain->loss += sample_loss(plain, row, batch, n, NULL) / plain->count;
    }
    return plain->loss;
}

void fm_plain_backward(struct fm_plain *plain, const struct fm_plain_batch *batch)
{
    int classes = plain->net.classes, last = plain->net.layer_count - 1;
    memset(plain->grads, 0, plain->net.param_elements * sizeof *plain->grads);
    for (uint32_t n = 0; n < plain->count; n++)
        sample_loss(plain, plain->activation[last] + n * (size_t)classes, batch, n,
            plain->gradient[last] + n * (size_t)classes);
    for (int l = last; l >= 0; l--)
        layer_backward(plain, l, batch);
}

static void update_running(struct fm_plain *p, int index)
{
    const struct fm_layer *l = &p->net.layers[index];
    double *mean = p->running + p->net.running[l->running].offset;
    double *variance = p->running + p->net.running[l->running + 1].offset;
    double m = (double)p->count * l->in.h * l->in.w, momentum = (double)FM_BATCHNORM_MOMENTUM;
    for (int c = 0; c < l->in.c; c++) {
        double unbiased = p->batch_variance[index][c] * m / (m > 1.0 ? m - 1.0 : 1.0);
        mean[c] = (1.0 - momentum) * mean[c] + momentum * p->batch_mean[index][c];
        variance[c] = (1.0 - momentum) * variance[c] + momentum * unbiased;
    }
}

void fm_plain_update(struct fm_plain *p, const struct fm_step *step)
{
    for (int l = 0; l < p->net.layer_count; l++) {
        if (p->net.layers[l].kind == FM_LAYER_BATCHNORM)
            update_running(p, l);
    }

    double beta1 = (double)p->optimiser.beta1, beta2 = (double)p->optimiser.beta2;
    double t = (double)++p->applied;
    for (int k = 0; k < p->net.param_count; k++) {
        const struct fm_param *param = &p->net.params[k];
        double rate = (double)step->learning_rate * (double)param->lr_multiplier;
        double decay = param->decay ? (double)step->weight_decay : 0.0;
        for (size_t i = param->offset; param->trainable && i < param->offset + param->count; i++) {
            double g = p->grads[i];
            p->moment1[i] = beta1 * p->moment1[i] + (1.0 - beta1) * g;
            p->moment2[i] = beta2 * p->moment2[i] + (1.0 - beta2) * g * g;
            double m = p->moment1[i] / (1.0 - pow(beta1, t));
            double v = p->moment2[i] / (1.0 - pow(beta2, t));
            p->params[i] -= rate * decay * p->params[i];
            p->params[i] -= rate * m / (sqrt(v) + (double)p->optimiser.epsilon);
        }
    }
}

double fm_plain_train_step(struct fm_plain *plain, const struct fm_plain_batch *batch)
{
    double loss = fm_plain_forward(plain, batch);
    fm_plain_backward(plain, batch);
    fm_plain_update(plain, batch->step);
    return loss;
}

const double *fm_plain_infer(struct fm_plain *plain, const uint8_t *records, uint32_t count)
{
    size_batch(plain, count);
    prepare_input(plain, records, NULL);
    for (int l = 0; l < plain->net.layer_count; l++)
        layer_forward(plain, l, NULL);
    return plain->activation[plain->net.layer_count - 1];
}
