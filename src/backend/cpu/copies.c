// A list of copies, looked up by what they are copies of. They are few (a handful a layer), so a
// linear search at compile time is enough.
#include "backend/cpu/copies.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// What a copy is.
enum form {
    WEIGHT, // in some layout
    BIAS,
    SCALE,       // what a folded norm multiplies each output's weights by
    ROWS,        // a weight [out][in and taps], transposed
    FILTERS_4X4, // Winograd's, by their tiling
    FILTERS_2X2,
    TILES, // the matrix unit's
};

struct fm_copy {
    struct fm_model *model;
    struct fm_copy_source source;
    enum form form;
    uint64_t version;             // source_version() when it was made; 0: never
    bool computed;                // folded or rounded, so not the model's own range
    struct fm_tensor_mem plain;   // canonical
    struct fm_tensor_mem ordered; // the copy; unused when the layout is canonical
    struct fm_reorder reorder;    // plain -> ordered
    void *made;                   // filters and ROWS: by own kernels, of the plain weight ...
    struct fm_copy *scale;        // ... and, filters with a norm folded in, of this
    bool finite;                  // ROWS: all of the plain weight
    struct fm_buffers buffers;
};

struct fm_copies {
    struct fm_model *model;
    struct fm_copy **items;
    int count, capacity;
};

enum fm_status fm_copies_create(struct fm_model *model, struct fm_copies **copies)
{
    *copies = calloc(1, sizeof **copies);
    if (!*copies)
        return fm_fail_memory("working copies", sizeof **copies);
    (*copies)->model = model;
    return FM_OK;
}

static void copy_destroy(struct fm_copy *copy)
{
    fm_reorder_free(&copy->reorder);
    fm_tensor_mem_free(&copy->plain);
    fm_tensor_mem_free(&copy->ordered);
    fm_buffers_free(&copy->buffers);
    free(copy);
}

void fm_copies_destroy(struct fm_copies *copies)
{
    if (!copies)
        return;
    for (int i = 0; i < copies->count; i++)
        copy_destroy(copies->items[i]);
    free(copies->items);
    free(copies);
}

enum fm_status fm_weight_md(
    const struct fm_layer *layer, dnnl_data_type_t type, dnnl_format_tag_t tag, struct fm_md *md)
{
    if (layer->kind == FM_LAYER_CONV) {
        int dims[4] = {layer->out.c, layer->in.c, layer->kernel, layer->kernel};
        return fm_md_create(md, 4, dims, type, tag == dnnl_format_tag_undef ? dnnl_oihw : tag);
    }
    int dims[2] = {layer->out.c, (int)fm_shape_size(layer->in)};
    return fm_md_create(md, 2, dims, type, tag == dnnl_format_tag_undef ? dnnl_ab : tag);
}

// A value for each output, not a weight's.
static bool is_vector(const struct fm_copy *copy)
{
    return copy->form == BIAS || copy->form == SCALE;
}

static bool is_filters(const struct fm_copy *copy)
{
    return copy->form == FILTERS_4X4 || copy->form == FILTERS_2X2 || copy->form == TILES;
}

static enum fm_winograd_tiling filters_tiling(const struct fm_copy *copy)
{
    return copy->form == FILTERS_2X2 ? FM_WINOGRAD_2X2 : FM_WINOGRAD_4X4;
}

static const struct fm_param *copied_param(const struct fm_copy *copy)
{
    const struct fm_net *net = &copy->model->net;
    const struct fm_layer *layer = &net->layers[copy->source.layer];
    int index = is_vector(copy) ? layer->bias : layer->weight;
    return index >= 0 ? &net->params[index] : NULL; // a folded bias may have none under it
}

// gamma / sqrt(var + eps) of channel c, and what is added.
static void fold_channel(const struct fm_copy *copy, int c, float *scale, float *shift)
{
    const struct fm_model *m = copy->model;
    const struct fm_layer *norm = &m->net.layers[copy->source.norm_layer];
    const struct fm_cpu_weights *w = copy->source.weights;
    float gamma = w->params[m->net.params[norm->weight].offset + (size_t)c];
    float beta = w->params[m->net.params[norm->bias].offset + (size_t)c];
    float mean = w->running[m->net.running[norm->running].offset + (size_t)c];
    float variance = w->running[m->net.running[norm->running + 1].offset + (size_t)c];
    *scale = gamma / sqrtf(variance + FM_BATCHNORM_EPSILON);
    *shift = beta - mean * *scale;
}

// Vectors stay fp32 in every precision: they are few, and added to sums in fp32.
static bool is_rounded(const struct fm_copy *copy)
{
    return copy->model->rounding != FM_ROUNDING_NONE && !is_vector(copy);
}

static void fold_vector(const struct fm_copy *copy)
{
    const struct fm_param *bias = copied_param(copy);
    const float *from = bias ? copy->source.weights->params + bias->offset : NULL;
    float *to = copy->plain.data;
    for (int c = 0; c < copy->model->net.layers[copy->source.layer].out.c; c++) {
        float scale, shift;
        fold_channel(copy, c, &scale, &shift);
        to[c] = copy->form == SCALE ? scale : (from ? from[c] : 0.0f) * scale + shift;
    }
}

static void fold_weight(const struct fm_copy *copy)
{
    const struct fm_param *param = copied_param(copy);
    const float *from = copy->source.weights->params + param->offset;
    float *to = copy->plain.data;
    int channels = copy->model->net.layers[copy->source.layer].out.c;
    size_t each = param->count / (size_t)channels;
    for (int c = 0; c < channels; c++) {
        float scale, shift;
        fold_channel(copy, c, &scale, &shift);
        for (size_t i = (size_t)c * each; i < (size_t)(c + 1) * each; i++)
            to[i] = from[i] * scale;
    }
}

static void compute(const struct fm_copy *copy)
{
    const struct fm_param *param = copied_param(copy);
    if (copy->source.norm_layer >= 0 && is_vector(copy))
        fold_vector(copy);
    else if (copy->source.norm_layer >= 0)
        fold_weight(copy);
    else
        memcpy(copy->plain.data, copy->source.weights->params + param->offset,
            param->count * sizeof(float));
    if (is_rounded(copy))
        fm_cpu_model_round(copy->model, param->count, copy->plain.data);
}

static enum fm_status build_plain(struct fm_copy *copy, const struct fm_md *plain)
{
    struct fm_model *m = copy->model;
    // Filters are made of the model's weight, which is scaled in the same pass.
    copy->computed = !is_filters(copy) && (copy->source.norm_layer >= 0 || is_rounded(copy));
    if (!copy->computed)
        return fm_tensor_mem_create(&copy->plain, m->device, plain,
            copy->source.weights->params + copied_param(copy)->offset);
    void *data = NULL;
    FM_TRY(fm_buffers_add(&copy->buffers, fm_md_bytes(plain), "computed weights", &data));
    return fm_tensor_mem_create(&copy->plain, m->device, plain, data);
}

static size_t made_bytes(const struct fm_copy *copy)
{
    const struct fm_layer *layer = &copy->model->net.layers[copy->source.layer];
    if (copy->form == ROWS)
        return copied_param(copy)->count * fm_element_size(copy->model->element);
    return copy->form == TILES
               ? fm_amx_filter_bytes(layer->out.c, layer->in.c)
               : fm_winograd_filter_bytes(filters_tiling(copy), layer->out.c, layer->in.c);
}

// What own kernels make of a weight.
static enum fm_status build_made(struct fm_copy *copy)
{
    struct fm_model *m = copy->model;
    FM_TRY(fm_buffers_add(
        &copy->buffers, made_bytes(copy), copy->form == ROWS ? "rows" : "filters", &copy->made));
    if (is_filters(copy) && copy->source.norm_layer >= 0)
        return fm_copies_want_scale(m->copies, &copy->source, &copy->scale);
    return FM_OK;
}

static enum fm_status build(struct fm_copy *copy, const struct fm_md *md)
{
    struct fm_model *m = copy->model;
    const struct fm_layer *layer = &m->net.layers[copy->source.layer];
    struct fm_md plain = {0};
    enum fm_status status = is_vector(copy)
                                ? fm_md_create(&plain, 1, &layer->out.c, dnnl_f32, dnnl_a)
                                : fm_weight_md(layer, dnnl_f32, dnnl_format_tag_undef, &plain);
    if (status == FM_OK)
        status = build_plain(copy, &plain);
    if (status == FM_OK && md && !fm_md_equal(md, &plain)) {
        void *data = NULL;
        status = fm_buffers_add(&copy->buffers, fm_md_bytes(md), "working copy", &data);
        if (status == FM_OK)
            status = fm_tensor_mem_create(&copy->ordered, m->device, md, data);
        if (status == FM_OK)
            status = fm_reorder_create(&copy->reorder, m->device, &plain, md);
    }
    if (status == FM_OK && (is_filters(copy) || copy->form == ROWS))
        status = build_made(copy);
    fm_md_free(&plain);
    return status;
}

static bool is_copy_of(const struct fm_copy *copy, const struct fm_copy_source *source,
    enum form form, const struct fm_md *md)
{
    const struct fm_copy_source *own = &copy->source;
    if (own->layer != source->layer || own->norm_layer != source->norm_layer ||
        own->weights != source->weights || copy->form != form)
        return false;
    return !md || fm_md_equal(md, copy->ordered.memory ? &copy->ordered.md : &copy->plain.md);
}

static enum fm_status append(struct fm_copies *copies, struct fm_copy *copy)
{
    if (copies->count == copies->capacity) {
        int capacity = copies->capacity ? 2 * copies->capacity : 32;
        struct fm_copy **items = realloc(copies->items, (size_t)capacity * sizeof(*items));
        if (!items)
            return fm_fail_memory("working copies", (size_t)capacity * sizeof(*items));
        copies->items = items;
        copies->capacity = capacity;
    }
    copies->items[copies->count++] = copy;
    return FM_OK;
}

static enum fm_status want(struct fm_copies *copies, const struct fm_copy_source *source,
    enum form form, const struct fm_md *md, struct fm_copy **out)
{
    for (int i = 0; i < copies->count; i++)
        if (is_copy_of(copies->items[i], source, form, md)) {
            *out = copies->items[i];
            return FM_OK;
        }
    struct fm_copy *copy = calloc(1, sizeof *copy);
    if (!copy)
        return fm_fail_memory("working copy", sizeof *copy);
    copy->model = copies->model;
    copy->source = *source;
    copy->form = form;
    enum fm_status status = build(copy, md);
    if (status == FM_OK)
        status = append(copies, copy);
    if (status != FM_OK) {
        copy_destroy(copy);
        return status;
    }
    *out = copy;
    return FM_OK;
}

enum fm_status fm_copies_want(struct fm_copies *copies, const struct fm_copy_source *source,
    const struct fm_md *md, struct fm_copy **copy)
{
    return want(copies, source, md ? WEIGHT : BIAS, md, copy);
}

enum fm_status fm_copies_want_scale(
    struct fm_copies *copies, const struct fm_copy_source *source, struct fm_copy **copy)
{
    return want(copies, source, SCALE, NULL, copy);
}

enum fm_status fm_copies_want_filters(struct fm_copies *copies, const struct fm_copy_source *source,
    enum fm_winograd_tiling tiling, struct fm_copy **copy)
{
    return want(copies, source, tiling == FM_WINOGRAD_2X2 ? FILTERS_2X2 : FILTERS_4X4, NULL, copy);
}

enum fm_status fm_copies_want_tiles(
    struct fm_copies *copies, const struct fm_copy_source *source, struct fm_copy **copy)
{
    return want(copies, source, TILES, NULL, copy);
}

enum fm_status fm_copies_want_rows(
    struct fm_copies *copies, const struct fm_copy_source *source, struct fm_copy **copy)
{
    return want(copies, source, ROWS, NULL, copy);
}

static void make_tiles(struct fm_copy *copy)
{
    const struct fm_device *device = copy->model->device;
    const struct fm_layer *layer = &copy->model->net.layers[copy->source.layer];
    const struct fm_amx_filters filters = {
        .out_c = layer->out.c,
        .in_c = layer->in.c,
        .values = copy->plain.data,
        .scale = copy->scale ? copy->scale->plain.data : NULL,
        .threads = device->threads,
    };
    device->amx->pack(&filters, copy->made);
}

static void make_filters(struct fm_copy *copy)
{
    const struct fm_model *m = copy->model;
    const struct fm_layer *layer = &m->net.layers[copy->source.layer];
    const struct fm_winograd_filters filters = {
        .out_c = layer->out.c,
        .in_c = layer->in.c,
        .values = copy->plain.data,
        .scale = copy->scale ? copy->scale->plain.data : NULL,
        .element = m->element,
    };
    m->device->kernels->winograd_transform[filters_tiling(copy)](&filters, copy->made);
}

static void make_rows(struct fm_copy *copy)
{
    const struct fm_model *m = copy->model;
    int out = m->net.layers[copy->source.layer].out.c;
    copy->finite = m->device->kernels->on[m->element]->rows(
        out, (int)(copied_param(copy)->count / (size_t)out), copy->plain.data, copy->made);
}

// Changes with what the copy is made of. A step leaves alone what is not trained, but for the
// running statistics of a norm that is folded in.
static uint64_t source_version(const struct fm_copy *copy)
{
    const struct fm_model *m = copy->model;
    const struct fm_layer *layer = &m->net.layers[copy->source.layer];
    if (copy->source.norm_layer >= 0)
        return m->version;
    int param = copy->form == BIAS ? layer->bias : layer->weight;
    return m->net.params[param].trainable ? m->version : m->given;
}

bool fm_copy_is_fresh(const struct fm_copy *copy)
{
    return copy->version == source_version(copy);
}

enum fm_status fm_copy_refresh(struct fm_copy *copy)
{
    if (fm_copy_is_fresh(copy))
        return FM_OK;
    if (copy->computed)
        compute(copy);
    if (copy->ordered.memory)
        FM_TRY(fm_reorder_run(
            &copy->reorder, copy->model->device, copy->plain.memory, copy->ordered.memory));
    if (copy->scale)
        FM_TRY(fm_copy_refresh(copy->scale));
    if (copy->form == TILES)
        make_tiles(copy);
    else if (is_filters(copy))
        make_filters(copy);
    else if (copy->form == ROWS)
        make_rows(copy);
    copy->version = source_version(copy);
    return FM_OK;
}

dnnl_memory_t fm_copy_memory(const struct fm_copy *copy)
{
    return copy->ordered.memory ? copy->ordered.memory : copy->plain.memory;
}

const void *fm_copy_values(const struct fm_copy *copy)
{
    if (copy->made)
        return copy->made;
    return copy->ordered.memory ? copy->ordered.data : copy->plain.data;
}

bool fm_copy_rows_finite(const struct fm_copy *copy)
{
    return copy->finite;
}
