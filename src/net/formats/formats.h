// A trained network as files of other programs. Each writer takes a network and its tensors (all
// parameters and running statistics, by their names, in canonical layout) and knows nothing of
// runs, data or devices.
//
// All of them take raw pictures, u8 [N][rows][cols] as the data set has them, whatever the network
// does with them first: repeating to channels, normalising, resizing.
#ifndef FM_NET_FORMATS_FORMATS_H
#define FM_NET_FORMATS_FORMATS_H

#include "base/status.h"
#include "net/net.h"
#include "net/safetensors.h"

struct fm_format_model {
    const struct fm_net *net; // with the input's statistics
    const struct fm_tensor_file *tensors;
    char *const *class_names;    // [net->classes]
    const char *const *metadata; // key, value, ..., NULL: "test_accuracy", "precision", "seed", ...
};

// ONNX (https://onnx.ai): input "images" u8 [N, rows, cols]; outputs "probabilities" and "logits",
// fp32 [N, classes]. N is free. Nodes have the layers' names, initialisers the tensors'. The file's
// metadata are "model", "classes" (a JSON array of the names), "preprocessing" (JSON) and those of
// the model. Equal models give equal bytes. FM_UNSUPPORTED without protobuf-c and onnx.proto in
// this build; FM_DATA: a name or value is not UTF-8, or what fm_format_check() finds.
enum fm_status fm_onnx_write(const char *path, const struct fm_format_model *model);

// A Keras model in HDF5, which keras.models.load_model() reads: u8 pictures [N, rows, cols, 1] to
// probabilities. FM_UNSUPPORTED without libhdf5 in this build.
enum fm_status fm_keras_write(const char *path, const struct fm_format_model *model);

// A Python file with the network as a torch.nn.Module, whose parameters have the names of the
// tensors, and functions that load and save weights files of this project.
enum fm_status fm_pytorch_write(const char *path, const struct fm_format_model *model);

// Triton Inference Server's model configuration (config.pbtxt) for the ONNX file of this model,
// under `name`, with batches up to `batch_max`. Which devices it runs on, and how often, is left to
// the server. FM_USAGE: `name` is none for a model of Triton. And the file that names the classes,
// a line each, which the configuration refers to.
#define FM_TRITON_LABELS "labels.txt"
enum fm_status fm_triton_write(
    const char *path, const struct fm_format_model *model, const char *name, int batch_max);
enum fm_status fm_triton_write_labels(const char *path, const struct fm_format_model *model);

#endif
