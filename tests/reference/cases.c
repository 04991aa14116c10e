// See cases.h.
#include "reference/cases.h"

#include "philox.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STREAM_PARAMS = 1000,
    STREAM_RUNNING = 1001,
    STREAM_PIXELS = 1002,
    STREAM_LABELS = 1003,
    STREAM_FEATURES = 1004,
    STREAM_SOFT = 1005
};

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count > 0 ? count : 1, size);
    if (memory == NULL) {
        fprintf(stderr, "cases: out of memory (%zu bytes)\n", count * size);
        abort();
    }
    return memory;
}

static void bad_text(const char *text, const char *token)
{
    fprintf(stderr, "case '%s': '%s' cannot be read: %s\n", text, token, fm_error_message());
    abort();
}

static bool add_layer(struct fm_net *net, const char *token)
{
    int channels, kernel, padding, features, used = 0;
    float number;
    char name[FM_NAME_MAX];
    snprintf(name, sizeof name, "%c%d", token[0], net->layer_count + 1);
    bool bias = token[strlen(token) - 1] == 'b';

    if (sscanf(token, "c%dk%dp%d%n", &channels, &kernel, &padding, &used) == 3)
        return (token[used] == '\0' || bias) &&
               fm_net_conv(net, name, channels, kernel, padding, bias) == FM_OK;
    if (sscanf(token, "f%d%n", &features, &used) == 1)
        return (token[used] == '\0' || bias) && fm_net_dense(net, name, features, bias) == FM_OK;
    if (sscanf(token, "d%f%n", &number, &used) == 1)
        return token[used] == '\0' && fm_net_dropout(net, name, number) == FM_OK;
    if (sscanf(token, "l%f%n", &number, &used) == 1) {
        for (int p = 0; p < net->param_count; p++)
            net->params[p].lr_multiplier = number;
        return token[used] == '\0';
    }
    if (strcmp(token, "x") == 0) {
        for (int p = 0; p < net->param_count; p++)
            net->params[p].trainable = false;
        return true;
    }
    if (strcmp(token, "n") == 0)
        return fm_net_batchnorm(net, name) == FM_OK;
    if (strcmp(token, "r") == 0)
        return fm_net_relu(net, name) == FM_OK;
    if (strcmp(token, "p") == 0)
        return fm_net_maxpool(net, name) == FM_OK;
    return strcmp(token, "m") == 0 && fm_net_meanpool(net, name) == FM_OK;
}

static bool read_input(const char *token, struct fm_input *input)
{
    char standardise[2];
    if (sscanf(token, "v%d", &input->features) == 1) {
        input->shape = (struct fm_shape){input->features, 1, 1};
        return true;
    }
    input->standardise = sscanf(token, "%dx%d>%1[s]", &input->rows, &input->cols, standardise) == 3;
    const char *shape = strchr(token, '>');
    return shape != NULL && sscanf(shape + 1 + input->standardise, "%dx%dx%d", &input->shape.c,
                                &input->shape.h, &input->shape.w) == 3;
}

void fm_case_net(const char *text, struct fm_net *net)
{
    struct fm_input input = {.mean = {0.3f, 0.4f, 0.5f}, .deviation = {0.35f, 0.25f, 0.3f}};
    char copy[256], *rest;
    if (strlen(text) >= sizeof copy)
        bad_text(text, text);
    strcpy(copy, text);
    char *token = strtok_r(copy, " ", &rest);
    if (!read_input(token, &input))
        bad_text(text, token);
    fm_net_begin(net, text, &input);
    while ((token = strtok_r(NULL, " ", &rest)) != NULL) {
        if (!add_layer(net, token))
            bad_text(text, token);
    }
    if (fm_net_end(net) != FM_OK)
        bad_text(text, "end");
}

static float between(float low, float high, uint32_t draw)
{
    return low + (high - low) * fm_draw_unit(draw);
}

float *fm_case_params(const struct fm_net *net, uint64_t seed)
{
    float *params = allocate(net->param_elements, sizeof *params);
    for (int k = 0; k < net->param_count; k++) {
        const struct fm_param *param = &net->params[k];
        float bound = param->kind == FM_PARAM_WEIGHT ? sqrtf(6.0f / (float)param->fan_in) : 0.5f;
        for (size_t i = 0; i < param->count; i++) {
            uint32_t draw = fm_draw(seed, 0, (uint32_t)k, STREAM_PARAMS, (uint32_t)i);
            // Scales of both signs, none near 0.
            if (param->kind == FM_PARAM_SCALE)
                params[param->offset + i] = (draw & 1u) != 0 ? between(0.5f, 1.5f, draw)
                                                             : -between(0.5f, 1.5f, draw);
            else
                params[param->offset + i] = between(-bound, bound, draw);
        }
    }
    return params;
}

float *fm_case_running(const struct fm_net *net, uint64_t seed)
{
    float *running = allocate(net->running_elements, sizeof *running);
    for (int k = 0; k < net->running_count; k++) {
        for (size_t i = 0; i < net->running[k].count; i++) {
            uint32_t draw = fm_draw(seed, 0, (uint32_t)k, STREAM_RUNNING, (uint32_t)i);
            bool variance = net->running[k].initial == 1.0f;
            running[net->running[k].offset + i] = variance ? between(0.5f, 1.5f, draw)
                                                           : between(-0.5f, 0.5f, draw);
        }
    }
    return running;
}

static void draw_pixels(const struct fm_input *input, uint32_t sample, uint64_t seed,
    bool black_and_white, uint8_t *record)
{
    for (size_t i = 0; i < fm_input_record_size(input); i++) {
        uint8_t pixel = (uint8_t)(fm_draw(seed, 0, sample, STREAM_PIXELS, (uint32_t)i) >> 24);
        record[i] = black_and_white ? (pixel >= 128 ? 255 : 0) : pixel;
    }
}

static void draw_features(
    const struct fm_input *input, uint32_t sample, uint64_t seed, uint8_t *record)
{
    for (int i = 0; i < input->features; i++) {
        uint32_t draw = fm_draw(seed, 0, sample, STREAM_FEATURES, (uint32_t)i);
        float value = between(-2.0f, 2.0f, draw);
        memcpy(record + (size_t)i * sizeof value, &value, sizeof value);
    }
}

static void draw_distribution(uint32_t n, uint64_t seed, int classes, float *out)
{
    float sum = 0.0f;
    for (int k = 0; k < classes; k++) {
        out[k] = (float)(1 + fm_draw_below(fm_draw(seed, (uint32_t)k, n, STREAM_SOFT, 0), 100));
        sum += out[k];
    }
    for (int k = 0; k < classes; k++)
        out[k] /= sum;
}

struct fm_case_batch fm_case_batch(
    const struct fm_net *net, uint32_t count, uint64_t seed, bool black_and_white)
{
    size_t size = fm_input_record_size(&net->input);
    struct fm_case_batch batch = {allocate(count * size, 1), allocate(count, 1),
        allocate(count, sizeof(uint32_t)),
        allocate(count * (size_t)net->classes, sizeof *batch.soft_targets)};
    for (uint32_t n = 0; n < count; n++) {
        if (net->input.features > 0)
            draw_features(&net->input, n, seed, batch.records + n * size);
        else
            draw_pixels(&net->input, n, seed, black_and_white, batch.records + n * size);
        uint32_t draw = fm_draw(seed, 0, n, STREAM_LABELS, 0);
        batch.labels[n] = (uint8_t)fm_draw_below(draw, (uint32_t)net->classes);
        batch.ids[n] = 7 * n + (uint32_t)seed; // not the place in the batch
        draw_distribution(
            n, seed, net->classes, batch.soft_targets + (size_t)n * (size_t)net->classes);
    }
    return batch;
}

void fm_case_batch_free(struct fm_case_batch *batch)
{
    free(batch->records);
    free(batch->labels);
    free(batch->ids);
    free(batch->soft_targets);
    *batch = (struct fm_case_batch){0};
}

bool fm_case_close(const char *what, const float *found, const double *expected, size_t count,
    double relative, double absolute)
{
    double largest = 0.0, worst = -1.0;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(found[i]) || !isfinite(expected[i])) {
            fprintf(stderr, "%s: element %zu of %zu is %g, expected %.9g\n", what, i, count,
                (double)found[i], expected[i]);
            return false;
        }
        double difference = fabs((double)found[i] - expected[i]);
        largest = fabs(expected[i]) > largest ? fabs(expected[i]) : largest;
        if (difference > worst) {
            worst = difference;
            at = i;
        }
    }
    double tolerance = relative * largest + absolute;
    if (worst <= tolerance)
        return true;
    fprintf(stderr,
        "%s: element %zu of %zu is %.9g, expected %.9g: off by %.3g, allowed %.3g (largest %.3g)\n",
        what, at, count, (double)found[at], expected[at], worst, tolerance, largest);
    return false;
}
