// Where buffers lie: those that hold something at the same time do not overlap.
//
// What lives when is read off the commands: from the first that names a buffer to the last. On the
// models here the arena comes out as large as what lives at once.
#include "backend/cuda/memory.h"
#include "backend/cuda/program.h"
#include "backend/memory_plan.h"

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

enum fm_status fm_cuda_arena_plan(struct fm_cuda_program *program)
{
    size_t count = (size_t)program->buffer_count;
    struct fm_lifetime *lives = calloc(count + 1, sizeof *lives);
    if (!lives)
        return fm_fail_memory("the arena's plan", (count + 1) * sizeof *lives);
    find_lives(program);
    for (size_t i = 0; i < count; i++) {
        const struct fm_cuda_buffer *buffer = &program->buffers[i];
        lives[i] = fm_lifetime_once(
            buffer->first < 0 ? 0 : (size_t)buffer->bytes, buffer->first, buffer->last);
    }
    program->arena = fm_plan_memory(lives, program->buffer_count, FM_CUDA_ALIGNMENT);
    for (size_t i = 0; i < count; i++)
        program->buffers[i].offset = lives[i].offset;
    free(lives);
    return FM_OK;
}
