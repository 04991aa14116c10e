// Buffers are zeroed because oneDNN expects padding channels to hold zeros. A workspace is not:
// what has padding channels does not share (allocate.c).
#include "backend/cpu/tensor.h"

#include "rounding.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum fm_status fm_buffers_add(
    struct fm_buffers *buffers, size_t bytes, const char *what, void **data)
{
    if (buffers->count == buffers->capacity) {
        int capacity = buffers->capacity ? 2 * buffers->capacity : 16;
        struct fm_pages *items = realloc(buffers->items, (size_t)capacity * sizeof *items);
        if (!items)
            return fm_fail_memory(what, bytes);
        buffers->items = items;
        buffers->capacity = capacity;
    }
    struct fm_pages pages = fm_pages_allocate(bytes);
    if (!pages.memory)
        return fm_fail_memory(what, bytes);
    buffers->items[buffers->count++] = pages;
    buffers->bytes += pages.bytes;
    *data = pages.memory;
    return FM_OK;
}

void fm_buffers_free(struct fm_buffers *buffers)
{
    for (int i = 0; i < buffers->count; i++)
        fm_pages_free(&buffers->items[i]);
    free(buffers->items);
    memset(buffers, 0, sizeof *buffers);
}

enum fm_status fm_tensor_mem_create(
    struct fm_tensor_mem *t, const struct fm_device *device, const struct fm_md *md, void *data)
{
    t->data = data;
    FM_TRY(fm_md_copy(&t->md, md));
    return fm_memory_create(&t->memory, &t->md, device->engine, data);
}

enum fm_status fm_tensor_mem_move(struct fm_tensor_mem *t, void *data)
{
    t->data = data;
    FM_DNNL(dnnl_memory_set_data_handle(t->memory, data), "tensor");
    return FM_OK;
}

void fm_tensor_mem_free(struct fm_tensor_mem *t)
{
    if (t->memory)
        dnnl_memory_destroy(t->memory);
    fm_md_free(&t->md);
    memset(t, 0, sizeof *t);
}

enum fm_status fm_view_of(const struct fm_md *md, int batch, struct fm_shape shape,
    struct fm_view *view, enum fm_element *element)
{
    int block;
    if (!fm_md_channel_block(md, &block))
        return fm_fail(FM_BACKEND, "layout of a %dx%dx%dx%d activation has no channel blocks",
            batch, shape.c, shape.h, shape.w);
    int padded = (shape.c + block - 1) / block * block;
    *view = (struct fm_view){batch, padded, shape.h, shape.w, block};
    *element = fm_md_type(md) == dnnl_bf16 ? FM_ELEMENT_BF16 : FM_ELEMENT_F32;
    size_t expected = fm_view_size(view) * fm_element_size(*element);
    if (expected != fm_md_bytes(md))
        return fm_fail(FM_BACKEND, "layout of a %dx%dx%dx%d activation: %zu bytes, expected %zu",
            batch, shape.c, shape.h, shape.w, fm_md_bytes(md), expected);
    return FM_OK;
}

void fm_view_to_canonical(const struct fm_view *v, int count, int channels, enum fm_element element,
    const void *from, float *to)
{
    const float *single = from;
    const uint16_t *half = from;
    int pixels = v->h * v->w;
    for (int n = 0; n < count; n++)
        for (int c = 0; c < channels; c++)
            for (int i = 0; i < pixels; i++) {
                size_t at = fm_view_at(v, n, c) + (size_t)i * (size_t)v->block;
                *to++ = element == FM_ELEMENT_BF16 ? fm_bf16_widen(half[at]) : single[at];
            }
}

enum fm_status fm_reorder_create(struct fm_reorder *reorder, const struct fm_device *device,
    const struct fm_md *from, const struct fm_md *to)
{
    dnnl_primitive_desc_t pd = NULL;
    FM_TRY(fm_pd_reorder(&pd, device->engine, from, to));
    dnnl_status_t made = dnnl_primitive_create(&reorder->primitive, pd);
    dnnl_primitive_desc_destroy(pd);
    return fm_dnnl_check(made, "dnnl_primitive_create", "reorder");
}

enum fm_status fm_reorder_run(const struct fm_reorder *reorder, const struct fm_device *device,
    dnnl_memory_t from, dnnl_memory_t to)
{
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    FM_DNNL(dnnl_primitive_execute(reorder->primitive, device->stream, 2, args), "reorder");
    return FM_OK;
}

void fm_reorder_free(struct fm_reorder *reorder)
{
    if (reorder->primitive)
        dnnl_primitive_destroy(reorder->primitive);
    reorder->primitive = NULL;
}
