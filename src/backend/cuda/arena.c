// Where buffers lie: those that hold something at the same time do not overlap.
//
// What lives when is read off the commands: from the first that names a buffer to the last. The
// largest are placed first, each at the lowest place that is free while it lives; on the models
// here the arena comes out as large as what lives at once.
#include "backend/cuda/memory.h"
#include "backend/cuda/program.h"

#include <stdlib.h>

static void find_lives(struct fm_cuda_program *program)
{
    for (int i = 0; i < program->buffer_count; i++)
        program->buffers[i].first = program->buffers[i].last = -1;
    for (int i = 0; i < program->count; i++)
        for (int role = 0; role < FM_TENSOR_ROLES; role++) {
            const struct fm_cuda_ref *ref = &program->commands[i].at[role];
            if (ref->space != FM_SPACE_ARENA)
                continue;
            struct fm_cuda_buffer *buffer = &program->buffers[ref->index];
            buffer->first = buffer->first < 0 ? i : buffer->first;
            buffer->last = i;
        }
    for (int i = 0; i < program->buffer_count; i++)
        if (program->buffers[i].kept && program->buffers[i].first >= 0) {
            program->buffers[i].first = 0;
            program->buffers[i].last = program->count - 1;
        }
}

static int larger_first(const void *a, const void *b)
{
    const struct fm_cuda_buffer *x = *(struct fm_cuda_buffer *const *)a;
    const struct fm_cuda_buffer *y = *(struct fm_cuda_buffer *const *)b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return x < y ? -1 : 1; // the order in which they were made
}

static uint64_t end_of(const struct fm_cuda_buffer *buffer)
{
    return fm_cuda_round_up(buffer->offset + buffer->bytes, FM_CUDA_ALIGNMENT);
}

static bool meet(const struct fm_cuda_buffer *a, const struct fm_cuda_buffer *b)
{
    return a->first <= b->last && b->first <= a->last;
}

// The lowest offset at which `buffer` overlaps none of the `count` placed ones that it meets: it
// can only be 0 or the end of one of those.
static uint64_t lowest_offset(
    const struct fm_cuda_buffer *buffer, struct fm_cuda_buffer *const *placed, int count)
{
    uint64_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < count; i++)
            if (meet(buffer, placed[i]) && offset < end_of(placed[i]) &&
                placed[i]->offset < offset + buffer->bytes) {
                offset = end_of(placed[i]);
                moved = true;
            }
    }
    return offset;
}

enum fm_status fm_cuda_arena_plan(struct fm_cuda_program *program)
{
    size_t bytes = (size_t)program->buffer_count * sizeof(struct fm_cuda_buffer *);
    struct fm_cuda_buffer **order = malloc(bytes > 0 ? bytes : 1);
    if (!order)
        return fm_fail_memory("the arena's plan", bytes);
    find_lives(program);
    int count = 0;
    for (int i = 0; i < program->buffer_count; i++)
        if (program->buffers[i].first >= 0)
            order[count++] = &program->buffers[i];
    qsort(order, (size_t)count, sizeof *order, larger_first);
    program->arena = 0;
    for (int i = 0; i < count; i++) {
        order[i]->offset = lowest_offset(order[i], order, i);
        if (end_of(order[i]) > program->arena)
            program->arena = end_of(order[i]);
    }
    free(order);
    return FM_OK;
}
