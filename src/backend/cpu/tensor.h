// Memory of the CPU backend: aligned buffers, activations with a layout, and reorders between
// layouts.
#ifndef FM_CPU_TENSOR_H
#define FM_CPU_TENSOR_H

#include "backend/cpu/device.h"

#include "base/pages.h"

// Tensors begin with a line of the cache.
enum {
    FM_CPU_LINE = 64
};

// A list of aligned, zeroed allocations (base/pages.h) that are freed together. One allocation a
// tensor, so that a write past its end is seen by AddressSanitizer.
struct fm_buffers {
    struct fm_pages *items;
    int count, capacity;
    uint64_t bytes;
};
enum fm_status fm_buffers_add(
    struct fm_buffers *buffers, size_t bytes, const char *what, void **data);
void fm_buffers_free(struct fm_buffers *buffers);

// A tensor with a layout; `data` belongs to a list of buffers, a workspace or the model, and may be
// NULL until fm_tensor_mem_move() tells where it lies.
struct fm_tensor_mem {
    struct fm_md md;
    dnnl_memory_t memory;
    void *data;
};
enum fm_status fm_tensor_mem_create(
    struct fm_tensor_mem *t, const struct fm_device *device, const struct fm_md *md, void *data);
enum fm_status fm_tensor_mem_move(struct fm_tensor_mem *t, void *data);
void fm_tensor_mem_free(struct fm_tensor_mem *t);

static inline dnnl_data_type_t fm_element_type(enum fm_element element)
{
    return element == FM_ELEMENT_BF16 ? dnnl_bf16 : dnnl_f32;
}

// An activation's shape in the layout of `md`, whose elements it also says; fails with FM_BACKEND
// where that has no channel blocks.
enum fm_status fm_view_of(const struct fm_md *md, int batch, struct fm_shape shape,
    struct fm_view *view, enum fm_element *element);

// The first `count` samples and `channels` channels of an activation (or a gradient, in the same
// layout) as fp32 [count][channels][h][w].
void fm_view_to_canonical(const struct fm_view *view, int count, int channels,
    enum fm_element element, const void *from, float *to);

// A ready reorder from one tensor to another.
struct fm_reorder {
    dnnl_primitive_t primitive;
};
enum fm_status fm_reorder_create(struct fm_reorder *reorder, const struct fm_device *device,
    const struct fm_md *from, const struct fm_md *to);
enum fm_status fm_reorder_run(const struct fm_reorder *reorder, const struct fm_device *device,
    dnnl_memory_t from, dnnl_memory_t to);
void fm_reorder_free(struct fm_reorder *reorder);

#endif
