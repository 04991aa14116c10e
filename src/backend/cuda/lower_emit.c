// Adding commands and buffers to a program.
#include "backend/cuda/lower.h"

struct fm_cuda_command *fm_cuda_emit(
    struct fm_cuda_lowering *low, enum fm_cuda_command_kind kind, enum fm_cuda_pass pass, int layer)
{
    struct fm_cuda_command *command = fm_cuda_program_command(low->program);
    if (!command) {
        low->out_of_memory = true;
        command = &low->lost;
    }
    command->kind = kind;
    command->pass = pass;
    command->layer = layer;
    return command;
}

int fm_cuda_buffer(struct fm_cuda_lowering *low, uint64_t bytes)
{
    int buffer = fm_cuda_program_buffer(low->program, bytes);
    if (buffer < 0)
        low->out_of_memory = true;
    else
        low->program->buffers[buffer].kept = low->probes;
    return buffer;
}

void fm_cuda_use(struct fm_cuda_command *command, enum fm_cuda_role role, int buffer)
{
    command->at[role] = (struct fm_cuda_ref){.space = FM_SPACE_ARENA, .index = buffer};
}

void fm_cuda_scratch(struct fm_cuda_lowering *low, enum fm_cuda_role role, uint64_t bytes)
{
    struct fm_cuda_program *p = low->program;
    if (p->count == 0 || fm_cuda_program_scratch(p, p->count - 1, role, bytes) != FM_OK)
        low->out_of_memory = true;
}

enum fm_status fm_cuda_emit_status(const struct fm_cuda_lowering *low)
{
    return low->out_of_memory ? fm_fail_memory("the program", sizeof(struct fm_cuda_command))
                              : FM_OK;
}

// ---- references

struct fm_cuda_ref fm_cuda_working_ref(const struct fm_cuda_lowering *low, int param)
{
    const struct fm_cuda_place *place = &low->source->params->places[param];
    uint64_t offset = place->offset * fm_cuda_size(low->type);
    if (low->weights >= 0)
        return (struct fm_cuda_ref){FM_SPACE_ARENA, low->weights, offset};
    return (struct fm_cuda_ref){.space = FM_SPACE_WORKING, .offset = offset};
}

struct fm_cuda_ref fm_cuda_master_ref(const struct fm_cuda_lowering *low, int param)
{
    uint64_t offset = low->source->params->places[param].offset * sizeof(float);
    return (struct fm_cuda_ref){.space = FM_SPACE_MASTER, .offset = offset};
}

struct fm_cuda_ref fm_cuda_gradient_ref(const struct fm_cuda_lowering *low, int param)
{
    const struct fm_cuda_place *place = &low->source->params->places[param];
    if (place->gradient_f32)
        return (struct fm_cuda_ref){
            .space = FM_SPACE_GRADIENT_F32, .offset = place->gradient_offset * sizeof(float)};
    return (struct fm_cuda_ref){
        .space = FM_SPACE_GRADIENT_LOW, .offset = place->gradient_offset * fm_cuda_size(low->type)};
}

struct fm_cuda_ref fm_cuda_running_ref(
    const struct fm_cuda_lowering *low, enum fm_cuda_space space, int running)
{
    uint64_t offset = low->source->params->running_offsets[running] * sizeof(float);
    return (struct fm_cuda_ref){.space = space, .offset = offset};
}

// ---- values

size_t fm_cuda_value_rows(const struct fm_cuda_lowering *low, const struct fm_cuda_value *v)
{
    return (size_t)low->batch * (size_t)v->shape.h * (size_t)v->shape.w;
}

size_t fm_cuda_value_elements(const struct fm_cuda_lowering *low, const struct fm_cuda_value *v)
{
    return fm_cuda_value_rows(low, v) * (size_t)v->pitch;
}

int fm_cuda_value_buffer(
    struct fm_cuda_lowering *low, const struct fm_cuda_value *v, enum fm_cuda_type type)
{
    return fm_cuda_buffer(low, fm_cuda_value_elements(low, v) * fm_cuda_size(type));
}

bool fm_cuda_param_trains(const struct fm_cuda_lowering *low, int param)
{
    return param >= 0 && low->net->params[param].trainable;
}
