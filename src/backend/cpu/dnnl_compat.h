// oneDNN's C API, 2.x and 3.x, behind one interface: the only file that knows the difference.
//
// In 2.x a memory descriptor is a struct and an operation descriptor lies between the arguments and
// the primitive descriptor; in 3.x a memory descriptor is an owned object and primitive descriptors
// are made from the arguments directly. Everything else that fmnist uses is the same in both.
#ifndef FM_CPU_DNNL_COMPAT_H
#define FM_CPU_DNNL_COMPAT_H

#include "base/status.h"

#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stddef.h>

// Runs a call of oneDNN; a failure returns FM_BACKEND, or FM_MEMORY where that was missing, with
// the call's text, oneDNN's word and where it happened.
#define FM_DNNL(call, where) FM_TRY(fm_dnnl_check((call), #call, (where)))
enum fm_status fm_dnnl_check(dnnl_status_t status, const char *call, const char *where);

// A memory descriptor. Zero-initialise; fm_md_free() when done (it may be freed when zero).
struct fm_md {
    dnnl_memory_desc_t desc;
#if DNNL_VERSION_MAJOR < 3
    bool set;
#endif
};

enum fm_status fm_md_create(
    struct fm_md *md, int ndims, const int *dims, dnnl_data_type_t type, dnnl_format_tag_t tag);
enum fm_status fm_md_copy(struct fm_md *to, const struct fm_md *from);
void fm_md_free(struct fm_md *md);
bool fm_md_equal(const struct fm_md *a, const struct fm_md *b);
size_t fm_md_bytes(const struct fm_md *md);
dnnl_data_type_t fm_md_type(const struct fm_md *md);

// How a descriptor lays out its elements, when that is: [n][c / block][h][w][block] without gaps,
// the channels padded to a multiple of `block`. Plain NCHW has block 1, NHWC block c. False for
// others.
bool fm_md_channel_block(const struct fm_md *md, int *block);
// Whether it is of vectors [n][c], without pixels.
bool fm_md_is_vectors(const struct fm_md *md);

enum fm_status fm_memory_create(
    dnnl_memory_t *memory, const struct fm_md *md, dnnl_engine_t engine, void *data);

// Copies a descriptor out of a primitive descriptor: src, weights, bias, dst, diff_..., scratchpad.
enum fm_status fm_pd_md(const_dnnl_primitive_desc_t pd, dnnl_query_t what, struct fm_md *md);
const char *fm_pd_implementation(const_dnnl_primitive_desc_t pd); // "jit:avx512_core"

// Attributes: scratchpad given by the user; with `relu`, ReLU after the operation.
enum fm_status fm_attr_create(dnnl_primitive_attr_t *attr, bool relu);

// The two linear operations, forward and backward; stride 1, no dilation, `padding` on every side.
// `bias` may be NULL. `hint` is the forward primitive descriptor.
struct fm_linear_desc {
    bool conv; // convolution, else inner product
    int padding;
    const struct fm_md *src, *weights, *bias, *dst; // or their gradients
};
enum fm_status fm_pd_linear_forward(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
    const struct fm_linear_desc *desc, bool training, const_dnnl_primitive_attr_t attr,
    const char *where);
enum fm_status fm_pd_linear_backward_data(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
    const struct fm_linear_desc *desc, const_dnnl_primitive_attr_t attr,
    const_dnnl_primitive_desc_t hint, const char *where);
enum fm_status fm_pd_linear_backward_weights(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
    const struct fm_linear_desc *desc, const_dnnl_primitive_attr_t attr,
    const_dnnl_primitive_desc_t hint, const char *where);
// dst [m][n] = left [m][k] * right [k][n], plus bias [1][n] unless that is NULL.
enum fm_status fm_pd_product(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
    const struct fm_md *left, const struct fm_md *right, const struct fm_md *bias,
    const struct fm_md *dst, const_dnnl_primitive_attr_t attr, const char *where);
enum fm_status fm_pd_reorder(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
    const struct fm_md *from, const struct fm_md *to);

#endif
