// What a Keras model of a network is made of, and the file that holds it: a Sequential model
// of layers by their names, as Keras 2 and 3 both read them from a JSON text, and the weights of
// each in Keras's order and layout.
//
// Pictures come as u8 [N, rows, cols, 1]. The first layers are this project's preprocessing:
// "to_float" divides by 255, "normalise" is a 1x1 convolution that repeats grey to the channels and
// takes (x - mean) / deviation of each, "resize" is bilinear with half-pixel centres, as Keras's
// Resizing is. Then come the network's layers by their own names, "flatten" before the first dense
// one, and at the end "probabilities", a softmax.
#ifndef FM_NET_FORMATS_KERAS_H
#define FM_NET_FORMATS_KERAS_H

#include "net/formats/formats.h"

#include <jansson.h>

enum {
    FM_KERAS_LAYERS_MAX = FM_LAYERS_MAX + 6,
    FM_KERAS_WEIGHTS_MAX = 4,
    FM_KERAS_NORMALISE = -2, // a layer of ours with weights that the network does not have
    FM_KERAS_NO_WEIGHTS = -1,
};

struct fm_keras_layer {
    char name[FM_NAME_MAX];
    // Whose weights it has: a layer of the network, or one of the two above.
    int of;
};

struct fm_keras_layers {
    struct fm_keras_layer list[FM_KERAS_LAYERS_MAX];
    int count;
    json_t *config; // {"class_name": "Sequential", "config": ...}, owned
};

// The layers of a network that fm_format_check() has passed. Freed by json_decref(config).
enum fm_status fm_keras_layers(const struct fm_net *net, struct fm_keras_layers *layers);

struct fm_keras_weight {
    char name[16]; // "kernel"
    int ndims;
    int dims[4];
    size_t count;
};

// The weights of a layer: *count of them, at most FM_KERAS_WEIGHTS_MAX.
void fm_keras_weights(const struct fm_net *net, const struct fm_keras_layer *layer,
    struct fm_keras_weight weights[FM_KERAS_WEIGHTS_MAX], int *count);

// The values of a weight of the layer, in Keras's layout: `out` [weights[index].count].
void fm_keras_values(
    const struct fm_format_model *model, const struct fm_keras_layer *layer, int index, float *out);

// The file of a model that fm_format_check() has passed: *size bytes, freed by the caller. In the
// module with libhdf5. FM_IO: libhdf5 failed; `path` is for messages.
enum fm_status fm_keras_image(
    const char *path, const struct fm_format_model *model, unsigned char **image, size_t *size);

#endif
