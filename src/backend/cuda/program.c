// A program's lists: growing, freeing, and names for their commands.
#include "backend/cuda/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    GROWTH = 32
};

static bool grow(void **array, int *capacity, int count, size_t size)
{
    if (count < *capacity)
        return true;
    int wanted = *capacity + GROWTH;
    void *larger = realloc(*array, (size_t)wanted * size);
    if (!larger)
        return false;
    *array = larger;
    *capacity = wanted;
    return true;
}

struct fm_cuda_command *fm_cuda_program_command(struct fm_cuda_program *p)
{
    void *commands = p->commands;
    bool grown = grow(&commands, &p->capacity, p->count, sizeof *p->commands);
    p->commands = commands;
    if (!grown)
        return NULL;
    memset(&p->commands[p->count], 0, sizeof *p->commands);
    return &p->commands[p->count++];
}

int fm_cuda_program_buffer(struct fm_cuda_program *p, uint64_t bytes)
{
    void *buffers = p->buffers;
    bool grown = grow(&buffers, &p->buffer_capacity, p->buffer_count, sizeof *p->buffers);
    p->buffers = buffers;
    if (!grown)
        return -1;
    p->buffers[p->buffer_count] = (struct fm_cuda_buffer){.bytes = bytes};
    return p->buffer_count++;
}

enum fm_status fm_cuda_program_scratch(
    struct fm_cuda_program *program, int command, enum fm_cuda_role role, uint64_t bytes)
{
    if (bytes == 0)
        return FM_OK;
    int buffer = fm_cuda_program_buffer(program, bytes);
    if (buffer < 0)
        return fm_fail_memory("the program's buffers", sizeof(struct fm_cuda_buffer));
    program->commands[command].at[role] = (struct fm_cuda_ref){
        .space = FM_SPACE_ARENA, .index = buffer};
    return FM_OK;
}

void fm_cuda_program_free(struct fm_cuda_program *program)
{
    free(program->commands);
    free(program->buffers);
    *program = (struct fm_cuda_program){0};
}

static const char *const command_names[] = {
    [FM_COMMAND_FOLD] = "fold",
    [FM_COMMAND_CAST] = "cast",
    [FM_COMMAND_INPUT] = "input",
    [FM_COMMAND_FEATURES] = "features",
    [FM_COMMAND_BIAS_FORWARD] = "bias",
    [FM_COMMAND_BIAS_BACKWARD] = "bias gradient",
    [FM_COMMAND_RELU_FORWARD] = "relu",
    [FM_COMMAND_RELU_BACKWARD] = "relu gradient",
    [FM_COMMAND_NORM_TRAINING] = "norm",
    [FM_COMMAND_NORM_INFERENCE] = "norm inference",
    [FM_COMMAND_NORM_BACKWARD] = "norm gradient",
    [FM_COMMAND_MAXPOOL_FORWARD] = "maxpool",
    [FM_COMMAND_MAXPOOL_BACKWARD] = "maxpool gradient",
    [FM_COMMAND_MEANPOOL_FORWARD] = "meanpool",
    [FM_COMMAND_MEANPOOL_BACKWARD] = "meanpool gradient",
    [FM_COMMAND_DROPOUT_FORWARD] = "dropout",
    [FM_COMMAND_DROPOUT_BACKWARD] = "dropout gradient",
    [FM_COMMAND_CROSS_ENTROPY] = "cross-entropy",
    [FM_COMMAND_METRICS] = "metrics",
    [FM_COMMAND_LAYOUT] = "layout",
    [FM_COMMAND_FINITE] = "finite",
    [FM_COMMAND_STEP] = "step",
    [FM_COMMAND_UPDATE] = "update",
    [FM_COMMAND_COMMIT] = "commit",
};

static const char *const pass_names[FM_CUDA_PASSES] = {
    "forward", "loss", "backward prepare", "backward weights", "backward data", "update"};

const char *fm_cuda_pass_name(enum fm_cuda_pass pass)
{
    return pass_names[pass];
}

void fm_cuda_command_operation(const struct fm_cuda_command *command, char *name, size_t size)
{
    if (command->kind == FM_COMMAND_GRAPH)
        fm_cuda_graph_key(&command->of.graph, name, size);
    else if (command->kind == FM_COMMAND_DENSE)
        fm_cuda_dense_key(&command->of.dense, name, size);
    else
        snprintf(name, size, "%s kernel", command_names[command->kind]);
}

const char *fm_cuda_command_layer(const struct fm_cuda_command *command, const struct fm_net *net)
{
    if (command->layer >= 0)
        return net->layers[command->layer].name;
    bool input = command->kind == FM_COMMAND_INPUT || command->kind == FM_COMMAND_FEATURES;
    return input ? "input" : "-";
}
