// What a training step costs at least on an H100, from the programs that the backend lowers models
// to: prints the tables of docs/gpu-performance.md. It needs no device and measures nothing.
//
// The floor of a command is the longer of its arithmetic at the rate that a large fp16 product was
// seen to reach, and its traffic at the bandwidth that a large copy was seen to reach; a step's,
// the sum over its commands, which run one after the other.
#include "backend/cuda/program.h"
#include "net/zoo.h"

#include <stdio.h>
#include <string.h>

enum {
    BATCH = 256,
    CLASSES = 10
};

static const double product_rate = 800e12, bandwidth = 3.0e12;
static const struct fm_cuda_caps h100 = {.major = 9, .workspace = FM_CUDA_WORKSPACE_LIMIT};

// What commands are added up by.
enum group {
    CONVOLUTION,
    NORM,
    DENSE,
    POOL,
    DROPOUT,
    ELEMENTWISE,
    UPDATE,
    OTHER,
    GROUPS,
};

struct sums {
    int graphs, products, kernels;
    double flops, bytes, floor;
    double arithmetic; // the part of `floor` that arithmetic bounds
    double groups[GROUPS];
};

static enum group group_of(const struct fm_cuda_command *c)
{
    switch (c->kind) {
    case FM_COMMAND_GRAPH:
        return c->of.graph.kind < FM_GRAPH_NORM ? CONVOLUTION : NORM;
    case FM_COMMAND_NORM_TRAINING:
    case FM_COMMAND_NORM_BACKWARD:
        return NORM;
    case FM_COMMAND_DENSE:
        return DENSE;
    case FM_COMMAND_MAXPOOL_FORWARD:
    case FM_COMMAND_MAXPOOL_BACKWARD:
    case FM_COMMAND_MEANPOOL_FORWARD:
    case FM_COMMAND_MEANPOOL_BACKWARD:
        return POOL;
    case FM_COMMAND_DROPOUT_FORWARD:
    case FM_COMMAND_DROPOUT_BACKWARD:
        return DROPOUT;
    case FM_COMMAND_BIAS_FORWARD:
    case FM_COMMAND_BIAS_BACKWARD:
    case FM_COMMAND_RELU_FORWARD:
    case FM_COMMAND_RELU_BACKWARD:
        return ELEMENTWISE;
    default:
        return c->pass == FM_CUDA_UPDATE ? UPDATE : OTHER;
    }
}

static bool is_arithmetic(const struct fm_cuda_command *c)
{
    return c->flops / product_rate > c->bytes / bandwidth;
}

static double floor_of(const struct fm_cuda_command *c)
{
    return is_arithmetic(c) ? c->flops / product_rate : c->bytes / bandwidth;
}

static struct sums sum_up(const struct fm_cuda_program *program)
{
    struct sums sums = {0};
    for (int i = 0; i < program->count; i++) {
        const struct fm_cuda_command *c = &program->commands[i];
        sums.graphs += c->kind == FM_COMMAND_GRAPH;
        sums.products += c->kind == FM_COMMAND_DENSE;
        sums.flops += c->flops;
        sums.bytes += c->bytes;
        sums.floor += floor_of(c);
        sums.arithmetic += is_arithmetic(c) ? floor_of(c) : 0;
        sums.groups[group_of(c)] += floor_of(c);
    }
    sums.kernels = program->count - sums.graphs - sums.products;
    return sums;
}

// ---- tables: a row a model, a row a command

static void print_totals(const struct fm_net *net, const struct fm_cuda_program *program)
{
    struct sums s = sum_up(program);
    printf("| %s | %d | %d | %d | %.1f | %.1f | %.1f | %.0f %% | %.2f | %.1f | not measured on a "
           "GPU |\n",
        net->name, s.graphs, s.products, s.kernels, s.flops / 1e9, s.bytes / 1e6, 1e6 * s.floor,
        100 * s.arithmetic / s.floor, BATCH / s.floor / 1e6, (double)program->arena / 1e6);
}

static void print_groups(const struct fm_net *net, const struct fm_cuda_program *program)
{
    struct sums s = sum_up(program);
    printf("| %s |", net->name);
    for (int g = 0; g < GROUPS; g++)
        printf(" %.1f |", 1e6 * s.groups[g]);
    puts("");
}

static void print_command(const struct fm_net *net, const struct fm_cuda_command *c)
{
    char operation[128];
    fm_cuda_command_operation(c, operation, sizeof operation);
    const char *by = "own";
    if (c->kind == FM_COMMAND_GRAPH || c->kind == FM_COMMAND_DENSE)
        by = c->kind == FM_COMMAND_GRAPH ? "cuDNN" : "cuBLASLt";
    printf("| %s | %s | %s | %s | %.2f | %.2f | %.2f | %s |\n", fm_cuda_command_layer(c, net),
        fm_cuda_pass_name(c->pass), by, operation, c->flops / 1e9, c->bytes / 1e6,
        1e6 * floor_of(c), is_arithmetic(c) ? "arithmetic" : "memory");
}

static void print_commands(const struct fm_net *net, const struct fm_cuda_program *program)
{
    struct sums s = sum_up(program);
    printf("\n### %s, by command\n\n"
           "| layer | pass | by | operation | GFLOP | MB | floor, us | bound by |\n"
           "|---|---|---|---|--:|--:|--:|---|\n",
        net->name);
    for (int i = 0; i < program->count; i++)
        print_command(net, &program->commands[i]);
    printf("| all | | | %d commands | %.2f | %.2f | %.2f | |\n", program->count, s.flops / 1e9,
        s.bytes / 1e6, 1e6 * s.floor);
}

// ---- a model's program

typedef void printer(const struct fm_net *net, const struct fm_cuda_program *program);

static enum fm_status lower(const char *name, printer *print)
{
    static struct fm_net net;
    static struct fm_cuda_params params;
    struct fm_cuda_program program = {0};
    FM_TRY(fm_zoo_build(name, CLASSES, &net));
    fm_cuda_params_place(&net, FM_CUDA_F16, &params);
    const struct fm_model_options model = {.precision = FM_PRECISION_FP16};
    const struct fm_compile_options compile = {.batch = BATCH, .mode = FM_MODE_TRAIN};
    const struct fm_cuda_source source = {&net, &params, &h100, &model, &compile};
    enum fm_status status;
    FM_TRY_GOTO(status, fm_cuda_lower(&source, &program), out);
    FM_TRY_GOTO(status, fm_cuda_arena_plan(&program), out);
    print(&net, &program);
out:
    fm_cuda_program_free(&program);
    return status;
}

static enum fm_status for_all(const char *head, printer *print)
{
    fputs(head, stdout);
    for (int i = 0; fm_zoo_names[i]; i++)
        FM_TRY(lower(fm_zoo_names[i], print));
    return FM_OK;
}

static enum fm_status print_all(void)
{
    FM_TRY(for_all("\n### A step of each model\n\n"
                   "| model | graphs of cuDNN | products of cuBLASLt | own kernels | GFLOP | MB | "
                   "floor, us | bound by arithmetic | million images/s at the floor | arena, MB | "
                   "time |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n",
        print_totals));
    FM_TRY(for_all("\n### Where the floor lies, us\n\n"
                   "| model | convolutions | batch norm | dense | pooling | dropout | ReLU and "
                   "bias gradients | update | input and loss |\n"
                   "|---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        print_groups));
    return for_all("", print_commands);
}

int main(void)
{
    if (print_all() == FM_OK)
        return 0;
    fprintf(stderr, "roofline: error: %s\n", fm_error_message());
    return 1;
}
