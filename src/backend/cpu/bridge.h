// A bridge: a tensor given to a primitive in the layout that the primitive wants.
#ifndef FM_CPU_BRIDGE_H
#define FM_CPU_BRIDGE_H

#include "backend/cpu/tensor.h"

// The given tensor's memory where the layouts agree, else a part of the pass's scratch, with a
// reorder in front of the primitive (inputs) or behind it (outputs). Zero-initialise;
// fm_bridge_free() when done.
struct fm_bridge {
    const struct fm_tensor_mem *given;
    struct fm_tensor_mem wanted; // what the primitive is given
    struct fm_tensor_mem staged; // the same memory as the reorder sees it; memory NULL: no reorder
    struct fm_reorder reorder;
    size_t bytes; // of scratch; 0: it is the given tensor's memory
};

enum fm_bridge_direction {
    FM_BRIDGE_INWARD,  // given -> wanted, before the primitive
    FM_BRIDGE_OUTWARD, // wanted -> given, after it
};

// `flattened` (may be NULL): the sizes [n, c, h, w] of an activation that the primitive takes as
// vectors [n, c h w]; ignored where the given tensor is of vectors already. `given` has to outlive
// the bridge.
enum fm_status fm_bridge_create(struct fm_bridge *bridge, const struct fm_device *device,
    const struct fm_tensor_mem *given, const struct fm_md *want, const int *flattened,
    enum fm_bridge_direction direction);
// Called once the given tensor has its memory; `scratch` is `bytes` long. Does nothing to a struct
// of zeros.
enum fm_status fm_bridge_bind(struct fm_bridge *bridge, void *scratch);
void fm_bridge_free(struct fm_bridge *bridge);

// Run the reorder, if there is one.
enum fm_status fm_bridge_in(const struct fm_bridge *bridge, const struct fm_device *device);
enum fm_status fm_bridge_out(const struct fm_bridge *bridge, const struct fm_device *device);

#endif
