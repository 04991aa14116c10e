// Layouts meet here and nowhere else, so that an operation need not know whether they agree.
#include "backend/cpu/bridge.h"

// True when memory in layout `a` can be read in layout `b` as it is. An activation is read as
// vectors if it is plain, or has one pixel and no padding channels.
static bool same_bytes(const struct fm_md *a, const struct fm_md *b, const int *flattened)
{
    int block;
    if (!flattened)
        return fm_md_equal(a, b);
    bool one_pixel = flattened[2] == 1 && flattened[3] == 1;
    return fm_md_type(a) == fm_md_type(b) && fm_md_bytes(a) == fm_md_bytes(b) &&
           fm_md_channel_block(a, &block) && (block == 1 || one_pixel);
}

enum fm_status fm_bridge_create(struct fm_bridge *b, const struct fm_device *device,
    const struct fm_tensor_mem *given, const struct fm_md *want, const int *flattened,
    enum fm_bridge_direction direction)
{
    b->given = given;
    if (fm_md_is_vectors(&given->md))
        flattened = NULL;
    FM_TRY(fm_tensor_mem_create(&b->wanted, device, want, NULL));
    if (same_bytes(&given->md, want, flattened))
        return FM_OK;
    b->bytes = fm_md_bytes(want);
    struct fm_md staged = {0};
    enum fm_status status = flattened
                                ? fm_md_create(&staged, 4, flattened, fm_md_type(want), dnnl_nchw)
                                : fm_md_copy(&staged, want);
    if (status == FM_OK)
        status = fm_tensor_mem_create(&b->staged, device, &staged, NULL);
    if (status == FM_OK && direction == FM_BRIDGE_INWARD)
        status = fm_reorder_create(&b->reorder, device, &given->md, &staged);
    else if (status == FM_OK)
        status = fm_reorder_create(&b->reorder, device, &staged, &given->md);
    fm_md_free(&staged);
    return status;
}

enum fm_status fm_bridge_bind(struct fm_bridge *b, void *scratch)
{
    if (!b->given)
        return FM_OK;
    if (!b->staged.memory)
        return fm_tensor_mem_move(&b->wanted, b->given->data);
    FM_TRY(fm_tensor_mem_move(&b->wanted, scratch));
    return fm_tensor_mem_move(&b->staged, scratch);
}

void fm_bridge_free(struct fm_bridge *b)
{
    fm_reorder_free(&b->reorder);
    fm_tensor_mem_free(&b->wanted);
    fm_tensor_mem_free(&b->staged);
}

enum fm_status fm_bridge_in(const struct fm_bridge *b, const struct fm_device *device)
{
    if (!b->staged.memory)
        return FM_OK;
    return fm_reorder_run(&b->reorder, device, b->given->memory, b->staged.memory);
}

enum fm_status fm_bridge_out(const struct fm_bridge *b, const struct fm_device *device)
{
    if (!b->staged.memory)
        return FM_OK;
    return fm_reorder_run(&b->reorder, device, b->staged.memory, b->given->memory);
}
