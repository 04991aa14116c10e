// `fmnist models [NAME]`: what there is to train, layer by layer. Loads no backend.
#include "cli/common.h"

#include "net/zoo.h"

#include <stdlib.h>

enum {
    CLASSES = 10, // Fashion-MNIST's; the published counts of parameters are for it
    SHORT_MAX = 32
};

// A net is large (fm_net holds all its names), so it lives on the heap of one function only.
static enum fm_status with_net(
    const char *name, enum fm_status (*use)(const struct fm_net *net, void *context), void *context)
{
    struct fm_net *net = malloc(sizeof *net);
    if (!net)
        return fm_fail_memory("a network", sizeof *net);
    enum fm_status status = fm_zoo_build(name, CLASSES, net);
    if (status == FM_OK)
        status = use(net, context);
    free(net);
    return status;
}

static enum fm_status append_model(const struct fm_net *net, void *context)
{
    struct fm_table *table = context;
    char parameters[SHORT_MAX], macs[SHORT_MAX];
    const char *summary = fm_zoo_find(net->name)->summary;
    fm_table_cell(table, json_string(net->name), "%s", net->name);
    fm_table_cell(table, json_integer((json_int_t)net->param_elements), "%s",
        fm_group_digits((int64_t)net->param_elements, parameters));
    fm_table_cell(table, json_integer((json_int_t)fm_net_macs(net)), "%s",
        fm_group_digits((int64_t)fm_net_macs(net), macs));
    fm_table_cell(table, json_string(summary), "%s", summary);
    return FM_OK;
}

static enum fm_status list_models(enum fm_format format)
{
    static const struct fm_column columns[] = {
        {"name", "model", false},
        {"parameters", "parameters", true},
        {"macs", "MACs an image", true},
        {"summary", "summary", false},
    };
    struct fm_table *table;
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], &table));
    enum fm_status status = FM_OK;
    for (const struct fm_zoo_entry *entry = fm_zoo; entry->name && status == FM_OK; entry++)
        status = with_net(entry->name, append_model, table);
    if (status == FM_OK)
        status = fm_print_table(table, format);
    fm_table_free(table);
    return status;
}

// Shapes are written C x H x W, a vector as its length.
static void append_shape(struct fm_table *table, struct fm_shape shape)
{
    json_t *value = json_pack("[i, i, i]", shape.c, shape.h, shape.w);
    if (shape.h == 1 && shape.w == 1)
        fm_table_cell(table, value, "%d", shape.c);
    else
        fm_table_cell(table, value, "%dx%dx%d", shape.c, shape.h, shape.w);
}

static void append_layer(struct fm_table *table, const struct fm_net *net, int index)
{
    const struct fm_layer *layer = &net->layers[index];
    char parameters[SHORT_MAX], macs[SHORT_MAX];
    int64_t count = (int64_t)fm_layer_params(net, index);
    const char *kind = fm_layer_kind_name(layer->kind);
    fm_table_cell(table, json_string(layer->name), "%s", layer->name);
    fm_table_cell(table, json_string(kind), "%s", kind);
    append_shape(table, layer->out);
    fm_table_cell(table, json_integer(count), "%s", fm_group_digits(count, parameters));
    fm_table_cell(table, json_integer((json_int_t)layer->macs), "%s",
        fm_group_digits((int64_t)layer->macs, macs));
}

static enum fm_status layer_table(const struct fm_net *net, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"name", "layer", false},
        {"kind", "kind", false},
        {"output", "output", true},
        {"parameters", "parameters", true},
        {"macs", "MACs", true},
    };
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], table));
    for (int i = 0; i < net->layer_count; i++)
        append_layer(*table, net, i);
    return FM_OK;
}

static enum fm_status print_model_json(const struct fm_net *net, const struct fm_table *table)
{
    return fm_print_json(json_pack("{s:s, s:s, s:[i, i, i], s:I, s:I, s:o}", "name", net->name,
        "summary", fm_zoo_find(net->name)->summary, "input", net->input.shape.c, net->input.shape.h,
        net->input.shape.w, "parameters", (json_int_t)net->param_elements, "macs",
        (json_int_t)fm_net_macs(net), "layers", fm_table_json(table)));
}

// The table with a heading above it and the totals below; CSV is the table alone.
static enum fm_status print_model_text(
    const struct fm_net *net, const struct fm_table *table, enum fm_format format)
{
    struct fm_text text = {0};
    char parameters[SHORT_MAX], macs[SHORT_MAX];
    const struct fm_shape in = net->input.shape;
    bool prose = format != FM_FORMAT_CSV;
    if (prose)
        fm_text_append(&text, "%s: %s\ninput %dx%dx%d\n\n", net->name,
            fm_zoo_find(net->name)->summary, in.c, in.h, in.w);
    enum fm_status status = fm_table_print(table, format, &text);
    if (status != FM_OK) {
        fm_text_free(&text);
        return status;
    }
    if (prose)
        fm_text_append(&text, "\ntotal: %s parameters, %s MACs an image\n",
            fm_group_digits((int64_t)net->param_elements, parameters),
            fm_group_digits((int64_t)fm_net_macs(net), macs));
    return fm_print_text(&text);
}

static enum fm_status print_model(const struct fm_net *net, void *context)
{
    enum fm_format format = *(enum fm_format *)context;
    struct fm_table *table;
    FM_TRY(layer_table(net, &table));
    enum fm_status status = format == FM_FORMAT_JSON ? print_model_json(net, table)
                                                     : print_model_text(net, table, format);
    fm_table_free(table);
    return status;
}

enum fm_status fm_cmd_models(const struct fm_args *args)
{
    enum fm_format format = (enum fm_format)args->format;
    return args->operand ? with_net(args->operand, print_model, &format) : list_models(format);
}
