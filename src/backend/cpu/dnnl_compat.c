// Both versions side by side, function by function, so that a reader sees what differs.
#include "backend/cpu/dnnl_compat.h"

#include <string.h>

#if DNNL_VERSION_MAJOR >= 3
#define V3 1
#else
#define V3 0
#endif

static const char *status_word(dnnl_status_t status)
{
    switch (status) {
    case dnnl_success:
        return "dnnl_success";
    case dnnl_out_of_memory:
        return "dnnl_out_of_memory";
    case dnnl_invalid_arguments:
        return "dnnl_invalid_arguments";
    case dnnl_unimplemented:
        return "dnnl_unimplemented";
    case dnnl_runtime_error:
        return "dnnl_runtime_error";
    case dnnl_not_required:
        return "dnnl_not_required";
    default:
        return "unknown status";
    }
}

enum fm_status fm_dnnl_check(dnnl_status_t status, const char *call, const char *where)
{
    if (status == dnnl_success)
        return FM_OK;
    return fm_fail(status == dnnl_out_of_memory ? FM_MEMORY : FM_BACKEND, "%s: %s (%s)", call,
        status_word(status), where);
}

// ---- memory descriptors

#if V3
typedef const_dnnl_memory_desc_t md_pointer;
#else
typedef const dnnl_memory_desc_t *md_pointer;
#endif

static md_pointer pointer(const struct fm_md *md)
{
#if V3
    return md ? md->desc : NULL;
#else
    return md && md->set ? &md->desc : NULL;
#endif
}

enum fm_status fm_md_create(
    struct fm_md *md, int ndims, const int *dims, dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    dnnl_dims_t sizes;
    for (int i = 0; i < ndims; i++)
        sizes[i] = dims[i];
    fm_md_free(md);
#if V3
    FM_DNNL(dnnl_memory_desc_create_with_tag(&md->desc, ndims, sizes, type, tag), "layout");
#else
    FM_DNNL(dnnl_memory_desc_init_by_tag(&md->desc, ndims, sizes, type, tag), "layout");
    md->set = true;
#endif
    return FM_OK;
}

enum fm_status fm_md_copy(struct fm_md *to, const struct fm_md *from)
{
#if V3
    dnnl_memory_desc_t copy = NULL;
    if (from->desc)
        FM_DNNL(dnnl_memory_desc_clone(&copy, from->desc), "layout");
    fm_md_free(to);
    to->desc = copy;
#else
    *to = *from;
#endif
    return FM_OK;
}

void fm_md_free(struct fm_md *md)
{
#if V3
    if (md->desc)
        dnnl_memory_desc_destroy(md->desc);
#endif
    memset(md, 0, sizeof *md);
}

bool fm_md_equal(const struct fm_md *a, const struct fm_md *b)
{
    return dnnl_memory_desc_equal(pointer(a), pointer(b)) != 0;
}

size_t fm_md_bytes(const struct fm_md *md)
{
    return pointer(md) ? dnnl_memory_desc_get_size(pointer(md)) : 0;
}

dnnl_data_type_t fm_md_type(const struct fm_md *md)
{
    dnnl_data_type_t type = dnnl_data_type_undef;
    if (!pointer(md))
        return type;
#if V3
    if (dnnl_memory_desc_query(md->desc, dnnl_query_data_type, &type) != dnnl_success)
        return dnnl_data_type_undef;
#else
    type = md->desc.data_type;
#endif
    return type;
}

// What fm_md_channel_block needs to know of a descriptor.
struct blocking {
    int ndims, inner_nblks;
    dnnl_dims_t dims, padded, strides, inner_blks, inner_idxs;
    dnnl_dim_t offset;
    bool blocked;
};

#if V3
static bool query(md_pointer md, dnnl_query_t what, void *result)
{
    return dnnl_memory_desc_query(md, what, result) == dnnl_success;
}

static bool query_dims(md_pointer md, dnnl_query_t what, dnnl_dims_t out, int count)
{
    dnnl_dims_t *dims = NULL;
    if (!query(md, what, &dims))
        return false;
    memcpy(out, *dims, (size_t)count * sizeof out[0]);
    return true;
}

static bool get_blocking(md_pointer md, struct blocking *b)
{
    dnnl_format_kind_t kind = dnnl_format_kind_undef;
    memset(b, 0, sizeof *b);
    return query(md, dnnl_query_format_kind, &kind) && kind == dnnl_blocked &&
           query(md, dnnl_query_ndims_s32, &b->ndims) &&
           query(md, dnnl_query_submemory_offset_s64, &b->offset) &&
           query(md, dnnl_query_inner_nblks_s32, &b->inner_nblks) &&
           query_dims(md, dnnl_query_dims, b->dims, b->ndims) &&
           query_dims(md, dnnl_query_padded_dims, b->padded, b->ndims) &&
           query_dims(md, dnnl_query_strides, b->strides, b->ndims) &&
           query_dims(md, dnnl_query_inner_blks, b->inner_blks, b->inner_nblks) &&
           query_dims(md, dnnl_query_inner_idxs, b->inner_idxs, b->inner_nblks);
}
#else
static bool get_blocking(md_pointer md, struct blocking *b)
{
    memset(b, 0, sizeof *b);
    if (md->format_kind != dnnl_blocked)
        return false;
    b->ndims = md->ndims;
    b->offset = md->offset0;
    b->inner_nblks = md->format_desc.blocking.inner_nblks;
    memcpy(b->dims, md->dims, sizeof b->dims);
    memcpy(b->padded, md->padded_dims, sizeof b->padded);
    memcpy(b->strides, md->format_desc.blocking.strides, sizeof b->strides);
    memcpy(b->inner_blks, md->format_desc.blocking.inner_blks, sizeof b->inner_blks);
    memcpy(b->inner_idxs, md->format_desc.blocking.inner_idxs, sizeof b->inner_idxs);
    return true;
}
#endif

bool fm_md_is_vectors(const struct fm_md *md)
{
    struct blocking b;
    return pointer(md) && get_blocking(pointer(md), &b) && b.ndims == 2;
}

bool fm_md_channel_block(const struct fm_md *md, int *block)
{
    struct blocking b;
    if (!pointer(md) || !get_blocking(pointer(md), &b) || b.offset != 0)
        return false;
    if (b.ndims != 4 && b.ndims != 2)
        return false;
    dnnl_dim_t n = b.dims[0], c = b.padded[1];
    dnnl_dim_t h = b.ndims == 4 ? b.dims[2] : 1, w = b.ndims == 4 ? b.dims[3] : 1;
    dnnl_dim_t inner;
    if (b.inner_nblks == 1 && b.inner_idxs[0] == 1)
        inner = b.inner_blks[0];
    else if (b.inner_nblks == 0)
        inner = b.strides[1] == 1 ? c : 1; // channels last, or plain
    else
        return false;
    // Strides of [n][c / inner][h][w][inner]; those of a dimension of size 1 say nothing.
    dnnl_dim_t outer = c / inner;
    bool ok = w == 1 || b.ndims == 2 || b.strides[3] == inner;
    ok = ok && (h == 1 || b.ndims == 2 || b.strides[2] == w * inner);
    ok = ok && (outer == 1 || b.strides[1] == h * w * inner);
    ok = ok && (n == 1 || b.strides[0] == outer * h * w * inner);
    *block = (int)inner;
    return ok;
}

enum fm_status fm_memory_create(
    dnnl_memory_t *memory, const struct fm_md *md, dnnl_engine_t engine, void *data)
{
    FM_DNNL(dnnl_memory_create(memory, pointer(md), engine, data), "memory");
    return FM_OK;
}

enum fm_status fm_pd_md(const_dnnl_primitive_desc_t pd, dnnl_query_t what, struct fm_md *md)
{
    fm_md_free(md);
    md_pointer found = dnnl_primitive_desc_query_md(pd, what, 0);
    if (!found)
        return FM_OK;
#if V3
    FM_DNNL(dnnl_memory_desc_clone(&md->desc, found), "layout");
#else
    md->desc = *found;
    md->set = true;
#endif
    return FM_OK;
}

const char *fm_pd_implementation(const_dnnl_primitive_desc_t pd)
{
    const char *text = NULL;
    if (dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &text) != dnnl_success || !text)
        return "unknown";
    return text;
}

// ---- attributes

enum fm_status fm_attr_create(dnnl_primitive_attr_t *attr, bool relu)
{
    FM_DNNL(dnnl_primitive_attr_create(attr), "attributes");
    FM_DNNL(
        dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user), "attributes");
    if (!relu)
        return FM_OK;
    dnnl_post_ops_t ops = NULL;
    FM_DNNL(dnnl_post_ops_create(&ops), "attributes");
#if V3
    dnnl_status_t added = dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0.0f, 0.0f);
#else
    dnnl_status_t added = dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
#endif
    if (added == dnnl_success)
        added = dnnl_primitive_attr_set_post_ops(*attr, ops);
    dnnl_post_ops_destroy(ops);
    return fm_dnnl_check(added, "dnnl_post_ops_append_eltwise", "attributes");
}

// ---- linear operations

static const dnnl_dims_t ones = {1, 1};
static const dnnl_dims_t zeros = {0, 0};

enum fm_status fm_pd_linear_forward(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
    const struct fm_linear_desc *desc, bool training, const_dnnl_primitive_attr_t attr,
    const char *where)
{
    dnnl_prop_kind_t kind = training ? dnnl_forward_training : dnnl_forward_inference;
    md_pointer src = pointer(desc->src), weights = pointer(desc->weights);
    md_pointer bias = pointer(desc->bias), dst = pointer(desc->dst);
    dnnl_dims_t pad = {desc->padding, desc->padding};
#if V3
    if (desc->conv)
        FM_DNNL(dnnl_convolution_forward_primitive_desc_create(pd, engine, kind,
                    dnnl_convolution_direct, src, weights, bias, dst, ones, zeros, pad, pad, attr),
            where);
    else
        FM_DNNL(dnnl_inner_product_forward_primitive_desc_create(
                    pd, engine, kind, src, weights, bias, dst, attr),
            where);
#else
    dnnl_convolution_desc_t conv;
    dnnl_inner_product_desc_t dense;
    if (desc->conv)
        FM_DNNL(dnnl_dilated_convolution_forward_desc_init(&conv, kind, dnnl_convolution_direct,
                    src, weights, bias, dst, ones, zeros, pad, pad),
            where);
    else
        FM_DNNL(dnnl_inner_product_forward_desc_init(&dense, kind, src, weights, bias, dst), where);
    const void *op = desc->conv ? (const void *)&conv : (const void *)&dense;
    FM_DNNL(dnnl_primitive_desc_create(pd, op, attr, engine, NULL), where);
#endif
    return FM_OK;
}

enum fm_status fm_pd_linear_backward_data(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
    const struct fm_linear_desc *desc, const_dnnl_primitive_attr_t attr,
    const_dnnl_primitive_desc_t hint, const char *where)
{
    md_pointer src = pointer(desc->src), weights = pointer(desc->weights);
    md_pointer dst = pointer(desc->dst);
    dnnl_dims_t pad = {desc->padding, desc->padding};
#if V3
    if (desc->conv)
        FM_DNNL(dnnl_convolution_backward_data_primitive_desc_create(pd, engine,
                    dnnl_convolution_direct, src, weights, dst, ones, zeros, pad, pad, hint, attr),
            where);
    else
        FM_DNNL(dnnl_inner_product_backward_data_primitive_desc_create(
                    pd, engine, src, weights, dst, hint, attr),
            where);
#else
    dnnl_convolution_desc_t conv;
    dnnl_inner_product_desc_t dense;
    if (desc->conv)
        FM_DNNL(dnnl_dilated_convolution_backward_data_desc_init(
                    &conv, dnnl_convolution_direct, src, weights, dst, ones, zeros, pad, pad),
            where);
    else
        FM_DNNL(dnnl_inner_product_backward_data_desc_init(&dense, src, weights, dst), where);
    const void *op = desc->conv ? (const void *)&conv : (const void *)&dense;
    FM_DNNL(dnnl_primitive_desc_create(pd, op, attr, engine, hint), where);
#endif
    return FM_OK;
}

enum fm_status fm_pd_linear_backward_weights(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
    const struct fm_linear_desc *desc, const_dnnl_primitive_attr_t attr,
    const_dnnl_primitive_desc_t hint, const char *where)
{
    md_pointer src = pointer(desc->src), weights = pointer(desc->weights);
    md_pointer bias = pointer(desc->bias), dst = pointer(desc->dst);
    dnnl_dims_t pad = {desc->padding, desc->padding};
#if V3
    if (desc->conv)
        FM_DNNL(dnnl_convolution_backward_weights_primitive_desc_create(pd, engine,
                    dnnl_convolution_direct, src, weights, bias, dst, ones, zeros, pad, pad, hint,
                    attr),
            where);
    else
        FM_DNNL(dnnl_inner_product_backward_weights_primitive_desc_create(
                    pd, engine, src, weights, bias, dst, hint, attr),
            where);
#else
    dnnl_convolution_desc_t conv;
    dnnl_inner_product_desc_t dense;
    if (desc->conv)
        FM_DNNL(dnnl_dilated_convolution_backward_weights_desc_init(
                    &conv, dnnl_convolution_direct, src, weights, bias, dst, ones, zeros, pad, pad),
            where);
    else
        FM_DNNL(
            dnnl_inner_product_backward_weights_desc_init(&dense, src, weights, bias, dst), where);
    const void *op = desc->conv ? (const void *)&conv : (const void *)&dense;
    FM_DNNL(dnnl_primitive_desc_create(pd, op, attr, engine, hint), where);
#endif
    return FM_OK;
}

enum fm_status fm_pd_product(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
    const struct fm_md *left, const struct fm_md *right, const struct fm_md *bias,
    const struct fm_md *dst, const_dnnl_primitive_attr_t attr, const char *where)
{
#if V3
    FM_DNNL(dnnl_matmul_primitive_desc_create(
                pd, engine, pointer(left), pointer(right), pointer(bias), pointer(dst), attr),
        where);
#else
    dnnl_matmul_desc_t desc;
    FM_DNNL(
        dnnl_matmul_desc_init(&desc, pointer(left), pointer(right), pointer(bias), pointer(dst)),
        where);
    FM_DNNL(dnnl_primitive_desc_create(pd, &desc, attr, engine, NULL), where);
#endif
    return FM_OK;
}

enum fm_status fm_pd_reorder(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
    const struct fm_md *from, const struct fm_md *to)
{
    FM_DNNL(
        dnnl_reorder_primitive_desc_create(pd, pointer(from), engine, pointer(to), engine, NULL),
        "reorder");
    return FM_OK;
}
