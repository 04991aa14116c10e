// Lists what graphs the models become. What counts as the same graph is its key, as for plans.
#include "wanted.h"

#include "net/zoo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CLASSES = 10,
    GROWTH = 256
};

static const char *const transferred = "vgg16"; // the model that weights of others are for

static const char *const part_names[] = {
    [WANTED_WHOLE] = "",
    [WANTED_LAST] = ", its last block",
    [WANTED_BASE] = ", its base",
    [WANTED_HEAD] = ", its head",
};

static const struct {
    const char *name;
    enum fm_cuda_type type;
    enum fm_precision precision;
} precisions[WANTED_PRECISIONS] = {
    [WANTED_FP32] = {"fp32", FM_CUDA_F32, FM_PRECISION_FP32},
    [WANTED_TF32] = {"fp32 with TF32", FM_CUDA_F32, FM_PRECISION_FP32},
    [WANTED_FP16] = {"fp16", FM_CUDA_F16, FM_PRECISION_FP16},
    [WANTED_BF16] = {"bf16", FM_CUDA_BF16, FM_PRECISION_BF16},
};

const char *wanted_precision_name(enum wanted_precision precision)
{
    return precisions[precision].name;
}

static struct wanted *find(
    const struct wanted_list *list, const char *key, enum wanted_precision precision)
{
    for (int i = 0; i < list->count; i++) {
        char other[128];
        fm_cuda_graph_key(&list->items[i].spec, other, sizeof other);
        if (list->items[i].precision == precision && strcmp(other, key) == 0)
            return &list->items[i];
    }
    return NULL;
}

static enum fm_status make_room(struct wanted_list *list)
{
    if (list->count < list->capacity)
        return FM_OK;
    size_t wanted = (size_t)list->capacity + GROWTH;
    struct wanted *larger = realloc(list->items, wanted * sizeof *larger);
    if (!larger)
        return fm_fail_memory("the list of graphs", wanted * sizeof *larger);
    list->items = larger;
    list->capacity = (int)wanted;
    return FM_OK;
}

// Models come one after the other, and so do the layers of a model.
static void add_layer(struct wanted *wanted, const char *model, const char *layer)
{
    bool same_model = strcmp(wanted->last_model, model) == 0;
    size_t length = strlen(wanted->layers), name = strlen(layer);
    const char *models = strrchr(wanted->layers, ';');
    // Whole names alone: "conv1" is not in "conv10".
    for (const char *at = models ? models : wanted->layers; same_model; at++) {
        at = strstr(at, layer);
        if (!at)
            break;
        if (at > wanted->layers && at[-1] == ' ' && (at[name] == ',' || at[name] == '\0'))
            return;
    }
    if (same_model)
        snprintf(wanted->layers + length, sizeof wanted->layers - length, ", %s", layer);
    else
        snprintf(wanted->layers + length, sizeof wanted->layers - length, "%s%s %s",
            length ? "; " : "", model, layer);
    snprintf(wanted->last_model, sizeof wanted->last_model, "%s", model);
}

static enum fm_status add(struct wanted_list *list, const struct fm_net *net,
    const struct fm_cuda_command *command, enum wanted_precision precision,
    const struct wanted_program *program)
{
    char key[128];
    fm_cuda_graph_key(&command->of.graph, key, sizeof key);
    const char *layer = fm_cuda_command_layer(command, net);
    struct wanted *wanted = find(list, key, precision);
    if (!wanted) {
        FM_TRY(make_room(list));
        wanted = &list->items[list->count++];
        *wanted = (struct wanted){.spec = command->of.graph, .precision = precision};
        snprintf(wanted->first, sizeof wanted->first,
            "%s%s at %dx%d, %s, %s at batch %d%s: layer %s, %s", net->name,
            part_names[program->part], net->input.shape.h, net->input.shape.w,
            precisions[precision].name, program->mode == FM_MODE_TRAIN ? "training" : "inference",
            program->batch, program->unfused ? ", unfused" : "", layer,
            fm_cuda_pass_name(command->pass));
    }
    add_layer(wanted, net->name, layer);
    return FM_OK;
}

static enum fm_status collect_program(struct wanted_list *list, const struct fm_net *net,
    const struct fm_cuda_caps *caps, enum wanted_precision precision,
    const struct wanted_program *wanted, wanted_filter *takes)
{
    struct fm_cuda_params params;
    fm_cuda_params_place(net, precisions[precision].type, &params);
    const struct fm_model_options model = {.precision = precisions[precision].precision};
    const struct fm_compile_options compile = {
        .batch = wanted->batch, .mode = wanted->mode, .unfused = wanted->unfused};
    const struct fm_cuda_source source = {net, &params, caps, &model, &compile};
    struct fm_cuda_program program;
    enum fm_status status = fm_cuda_lower(&source, &program);
    for (int i = 0; status == FM_OK && i < program.count; i++)
        if (program.commands[i].kind == FM_COMMAND_GRAPH && takes(&program.commands[i].of.graph))
            status = add(list, net, &program.commands[i], precision, wanted);
    fm_cuda_program_free(&program);
    return status;
}

// The network of a program, made of a whole model's.
static enum fm_status cut(struct fm_net *net, enum wanted_part part, int size)
{
    struct fm_net whole;
    int mean = 0;
    if (size > 0)
        FM_TRY(fm_net_set_input_size(net, size));
    if (part == WANTED_WHOLE)
        return FM_OK;
    while (strcmp(net->layers[mean].name, "mean") != 0)
        mean++;
    whole = *net;
    if (part == WANTED_BASE)
        return fm_net_base(&whole, mean + 1, net);
    if (part == WANTED_HEAD)
        return fm_net_head(&whole, mean + 1, net);
    for (int i = 0; i < net->param_count; i++)
        net->params[i].trainable = i >= fm_net_find_param(net, "conv5_1.weight");
    return FM_OK;
}

enum fm_status wanted_collect(struct wanted_list *list, const struct fm_cuda_caps *caps,
    enum wanted_precision precision, const struct wanted_program *programs, int count, int size,
    wanted_filter *takes)
{
    struct fm_net net;
    for (int model = 0; fm_zoo_names[model]; model++)
        for (int i = 0; i < count; i++) {
            if (size > 0 && strcmp(fm_zoo_names[model], transferred) != 0)
                continue;
            FM_TRY(fm_zoo_build(fm_zoo_names[model], CLASSES, &net));
            FM_TRY(cut(&net, programs[i].part, size));
            FM_TRY(collect_program(list, &net, caps, precision, &programs[i], takes));
        }
    return FM_OK;
}

void wanted_free(struct wanted_list *list)
{
    free(list->items);
    *list = (struct wanted_list){0};
}
