// The layers of a Keras model, and the JSON text that Keras makes them from. Only keys that Keras 2
// and Keras 3 both know are written; the rest are their defaults.
#include "net/formats/check.h"
#include "net/formats/keras.h"

#include <stdio.h>
#include <string.h>

// The layers so far; `list` is those of the JSON text.
struct builder {
    struct fm_keras_layers *layers;
    json_t *list;
    bool flat; // the layers' values are vectors by now
};

// Adds a layer. `config` is taken over: its own keys, to which those of every layer are added.
static void add(
    struct builder *builder, const char *class_name, const char *name, int of, json_t *config)
{
    struct fm_keras_layer *layer = &builder->layers->list[builder->layers->count++];
    memset(layer, 0, sizeof *layer);
    snprintf(layer->name, sizeof layer->name, "%s", name);
    layer->of = of;
    json_object_set_new(config, "name", json_string(name));
    if (!json_object_get(config, "dtype"))
        json_object_set_new(config, "dtype", json_string("float32"));
    json_array_append_new(
        builder->list, json_pack("{s:s, s:o}", "class_name", class_name, "config", config));
}

static json_t *conv_config(int filters, int kernel, bool same, bool bias)
{
    return json_pack("{s:i, s:[i,i], s:[i,i], s:s, s:s, s:b, s:s}", "filters", filters,
        "kernel_size", kernel, kernel, "strides", 1, 1, "padding", same ? "same" : "valid",
        "data_format", "channels_last", "use_bias", bias, "activation", "linear");
}

static void add_input(struct builder *builder, const struct fm_net *net)
{
    const struct fm_input *input = &net->input;
    add(builder, "InputLayer", "images", FM_KERAS_NO_WEIGHTS,
        json_pack("{s:[n,i,i,i], s:s, s:b, s:b}", "batch_input_shape", input->rows, input->cols, 1,
            "dtype", "uint8", "sparse", 0, "ragged", 0));
    add(builder, "Rescaling", "to_float", FM_KERAS_NO_WEIGHTS,
        json_pack("{s:f, s:f}", "scale", 1.0 / 255.0, "offset", 0.0));
    json_t *normalise = conv_config(input->shape.c, 1, false, true);
    json_object_set_new(normalise, "trainable", json_false());
    add(builder, "Conv2D", "normalise", FM_KERAS_NORMALISE, normalise);
    if (fm_format_resizes(net))
        add(builder, "Resizing", "resize", FM_KERAS_NO_WEIGHTS,
            json_pack("{s:i, s:i, s:s, s:b}", "height", input->shape.h, "width", input->shape.w,
                "interpolation", "bilinear", "crop_to_aspect_ratio", 0));
}

static void add_dense(
    struct builder *builder, const char *name, int of, const struct fm_layer *layer)
{
    if (!builder->flat)
        add(builder, "Flatten", "flatten", FM_KERAS_NO_WEIGHTS, json_object());
    builder->flat = true;
    add(builder, "Dense", name, of,
        json_pack("{s:i, s:b, s:s}", "units", layer->out.c, "use_bias", layer->bias >= 0,
            "activation", "linear"));
}

static void add_layer(struct builder *builder, const struct fm_net *net, int index)
{
    const struct fm_layer *layer = &net->layers[index];
    switch (layer->kind) {
    case FM_LAYER_CONV:
        add(builder, "Conv2D", layer->name, index,
            conv_config(layer->out.c, layer->kernel, layer->padding > 0, layer->bias >= 0));
        break;
    case FM_LAYER_BATCHNORM:
        add(builder, "BatchNormalization", layer->name, index,
            // Keras's momentum is what is kept of the old value.
            json_pack("{s:i, s:f, s:f, s:b, s:b}", "axis", -1, "momentum",
                fm_format_decimal(1.0f - FM_BATCHNORM_MOMENTUM), "epsilon",
                fm_format_decimal(FM_BATCHNORM_EPSILON), "center", 1, "scale", 1));
        break;
    case FM_LAYER_RELU:
        add(builder, "ReLU", layer->name, FM_KERAS_NO_WEIGHTS, json_object());
        break;
    case FM_LAYER_MAXPOOL:
        add(builder, "MaxPooling2D", layer->name, FM_KERAS_NO_WEIGHTS,
            json_pack("{s:[i,i], s:[i,i], s:s, s:s}", "pool_size", 2, 2, "strides", 2, 2, "padding",
                "valid", "data_format", "channels_last"));
        break;
    case FM_LAYER_MEANPOOL:
        add(builder, "GlobalAveragePooling2D", layer->name, FM_KERAS_NO_WEIGHTS,
            json_pack("{s:s}", "data_format", "channels_last"));
        builder->flat = true;
        break;
    case FM_LAYER_DROPOUT:
        add(builder, "Dropout", layer->name, FM_KERAS_NO_WEIGHTS,
            json_pack("{s:f}", "rate", fm_format_decimal(layer->rate)));
        break;
    case FM_LAYER_DENSE:
        add_dense(builder, layer->name, index, layer);
        break;
    }
}

enum fm_status fm_keras_layers(const struct fm_net *net, struct fm_keras_layers *layers)
{
    memset(layers, 0, sizeof *layers);
    struct builder builder = {.layers = layers, .list = json_array()};
    add_input(&builder, net);
    for (int i = 0; i < net->layer_count; i++)
        add_layer(&builder, net, i);
    add(&builder, "Softmax", "probabilities", FM_KERAS_NO_WEIGHTS, json_pack("{s:i}", "axis", -1));
    bool whole = json_array_size(builder.list) == (size_t)layers->count;
    layers->config = json_pack("{s:s, s:{s:s, s:o}}", "class_name", "Sequential", "config", "name",
        net->name, "layers", builder.list);
    if (layers->config && whole)
        return FM_OK;
    json_decref(layers->config);
    layers->config = NULL;
    return fm_fail_memory("a Keras model's description", 0);
}
