// Blocks are few, one an executor, or, under AddressSanitizer, one a tensor: lists are searched
// from end to end.
#include "backend/cpu/workspace.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// Room for one more in a list of blocks.
static enum fm_status make_room(struct fm_workspace_block ***blocks, int count, int *capacity)
{
    if (count < *capacity)
        return FM_OK;
    int wanted = *capacity > 0 ? 2 * *capacity : 16;
    struct fm_workspace_block **list = realloc(*blocks, (size_t)wanted * sizeof(*list));
    if (!list)
        return fm_fail_memory("a list of blocks", (size_t)wanted * sizeof(*list));
    *blocks = list;
    *capacity = wanted;
    return FM_OK;
}

static bool has(const struct fm_workspace_share *share, const struct fm_workspace_block *block)
{
    for (int i = 0; i < share->count; i++)
        if (share->blocks[i] == block)
            return true;
    return false;
}

static bool fits(const struct fm_workspace_block *block, size_t bytes)
{
#if defined(__SANITIZE_ADDRESS__) // sees a write past a block's end, not past a tensor's within
    return block->pages.bytes == bytes;
#else
    return block->pages.bytes >= bytes;
#endif
}

static struct fm_workspace_block *smallest_free(
    const struct fm_workspace *workspace, const struct fm_workspace_share *share, size_t bytes)
{
    struct fm_workspace_block *best = NULL;
    for (int i = 0; i < workspace->count; i++) {
        struct fm_workspace_block *block = workspace->blocks[i];
        if (fits(block, bytes) && !has(share, block) &&
            (!best || block->pages.bytes < best->pages.bytes))
            best = block;
    }
    return best;
}

static void destroy(struct fm_workspace_block *block)
{
    fm_pages_free(&block->pages);
    free(block);
}

static enum fm_status create(struct fm_workspace *workspace, size_t bytes, const char *what,
    struct fm_workspace_block **block)
{
    FM_TRY(make_room(&workspace->blocks, workspace->count, &workspace->capacity));
    struct fm_workspace_block *b = calloc(1, sizeof *b);
    if (!b)
        return fm_fail_memory(what, sizeof *b);
    b->pages = fm_pages_allocate(bytes);
    if (!b->pages.memory) {
        free(b);
        return fm_fail_memory(what, bytes);
    }
    workspace->blocks[workspace->count++] = *block = b;
    return FM_OK;
}

enum fm_status fm_workspace_take(struct fm_workspace *workspace, struct fm_workspace_share *share,
    size_t bytes, const char *what, void **data)
{
    FM_TRY(make_room(&share->blocks, share->count, &share->capacity));
    struct fm_workspace_block *block = smallest_free(workspace, share, bytes);
    if (!block) {
        FM_TRY(create(workspace, bytes, what, &block));
        share->added += block->pages.bytes;
    }
    block->users++;
    share->blocks[share->count++] = block;
    *data = block->pages.memory;
    return FM_OK;
}

void fm_workspace_release(struct fm_workspace *workspace, struct fm_workspace_share *share)
{
    for (int i = 0; i < share->count; i++)
        share->blocks[i]->users--;
    int kept = 0;
    for (int i = 0; i < workspace->count; i++) {
        if (workspace->blocks[i]->users > 0)
            workspace->blocks[kept++] = workspace->blocks[i];
        else
            destroy(workspace->blocks[i]);
    }
    workspace->count = kept;
    free(share->blocks);
    memset(share, 0, sizeof *share);
}

void fm_workspace_free(struct fm_workspace *workspace)
{
    for (int i = 0; i < workspace->count; i++)
        destroy(workspace->blocks[i]);
    free(workspace->blocks);
    memset(workspace, 0, sizeof *workspace);
}
