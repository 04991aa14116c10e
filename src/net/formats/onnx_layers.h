// A network as nodes of ONNX, from raw u8 pictures to probabilities.
#ifndef FM_NET_FORMATS_ONNX_LAYERS_H
#define FM_NET_FORMATS_ONNX_LAYERS_H

#include "net/formats/formats.h"
#include "net/formats/onnx_graph.h"

// The values that the nodes of the input are made with.
struct fm_onnx_input {
    float scale[FM_CHANNELS_MAX], offset[FM_CHANNELS_MAX]; // fm_normalise()'s
    float *rows, *cols; // [h][rows], [cols][w]: what resizing multiplies with; owned, may be NULL
};
enum fm_status fm_onnx_input_make(const struct fm_net *net, struct fm_onnx_input *input);
void fm_onnx_input_free(struct fm_onnx_input *input);

// Nodes, initialisers, the input "images" and the outputs "probabilities" and "logits" of a model
// that fm_format_check() has passed. Nodes of layers have the layers' names, and the values that
// they put out likewise; those of the input are named "input.…", which no layer is. `input` and the
// model must outlive the graph.
void fm_onnx_add_network(struct fm_onnx_graph *graph, const struct fm_format_model *model,
    const struct fm_onnx_input *input);

#endif
