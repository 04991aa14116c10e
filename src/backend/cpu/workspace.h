// Memory of a model that its executors share: those of whole batches, of an epoch's last and of
// evaluation. What they put there is theirs within a step alone, and one of them runs at a time.
// An executor takes one block, whole (or, where AddressSanitizer watches, one for each tensor). So
// it adds nothing if one of the same or a larger batch was compiled before it that trains, or does
// not either: compile the largest first, and training before inference.
#ifndef FM_CPU_WORKSPACE_H
#define FM_CPU_WORKSPACE_H

#include "base/pages.h"
#include "base/status.h"

#include <stdint.h>

struct fm_workspace_block {
    struct fm_pages pages;
    int users; // executors
};

struct fm_workspace {
    struct fm_workspace_block **blocks;
    int count, capacity;
};

// What an executor has taken, each block once.
struct fm_workspace_share {
    struct fm_workspace_block **blocks;
    int count, capacity;
    uint64_t added; // bytes of the blocks that were made for it
};

// The smallest block of at least so many bytes that the share has not yet, or a new one. What is in
// it is undefined; aligned as memory of fm_pages_allocate(). Where AddressSanitizer watches, a
// block is shared for exactly its size only, so that a write past a tensor's end is seen.
enum fm_status fm_workspace_take(struct fm_workspace *workspace, struct fm_workspace_share *share,
    size_t bytes, const char *what, void **data);

// Gives all of a share back; frees the blocks that no other executor has.
void fm_workspace_release(struct fm_workspace *workspace, struct fm_workspace_share *share);

// Of a workspace whose shares are all released.
void fm_workspace_free(struct fm_workspace *workspace);

#endif
