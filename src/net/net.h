// A network as a static list of layers with inferred shapes and named parameters. It knows no
// backend: it says what is computed, never how.
#ifndef FM_NET_NET_H
#define FM_NET_NET_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FM_NAME_MAX = 64,
    FM_LAYERS_MAX = 64,
    FM_PARAMS_MAX = 96,
    FM_CHANNELS_MAX = 3,
    FM_FEATURES_MAX = 1024, // of a record: 4096 bytes
};

enum fm_layer_kind {
    FM_LAYER_CONV,      // cross-correlation, square kernel, stride 1, zero padding
    FM_LAYER_BATCHNORM, // over N, H, W; eps and momentum below
    FM_LAYER_RELU,
    FM_LAYER_MAXPOOL,  // 2x2, stride 2; an odd last row or column is dropped
    FM_LAYER_MEANPOOL, // global average: H and W become 1
    FM_LAYER_DROPOUT,  // inverted: kept elements are scaled by 1/(1 - rate) in training
    FM_LAYER_DENSE,    // flattens its input in the order C, H, W
};

#define FM_BATCHNORM_EPSILON 1e-5f // PyTorch's default
#define FM_BATCHNORM_MOMENTUM 0.1f // running = 0.9 running + 0.1 batch, unbiased variance there

struct fm_shape {
    int c, h, w; // of one sample; a vector has h = w = 1
};

// How a record becomes the first layer's input: augment, (u8/255 - mean)/deviation, repeated to
// `channels`, resized bilinearly (half-pixel centres, no antialias) to `shape`.
//
// Or, with `features`, a record is so many fp32 values, which the first layer sees as they are:
// what a base put out whose head is a network of its own. Nothing else of this counts then.
struct fm_input {
    int rows, cols;              // of a record, u8
    int features;                // 0: a record is an image; else `shape` is {features, 1, 1}
    struct fm_shape shape;       // what the first layer sees
    bool standardise;            // false: u8/255 only (mean 0, deviation 1)
    float mean[FM_CHANNELS_MAX]; // of u8/255
    float deviation[FM_CHANNELS_MAX];
};

enum fm_param_kind {
    FM_PARAM_WEIGHT, // conv [out, in, kh, kw] (OIHW), dense [out, in]
    FM_PARAM_BIAS,   // [out]
    FM_PARAM_SCALE,  // batch norm's gamma [c]
    FM_PARAM_SHIFT,  // batch norm's beta [c]
};

struct fm_param {
    char name[FM_NAME_MAX]; // "conv1.weight", "bn1.bias": PyTorch's endings
    enum fm_param_kind kind;
    int ndims;
    int dims[4];
    size_t count;  // elements
    size_t offset; // first element within the contiguous range of all parameters (no gaps)
    int fan_in, fan_out;
    bool trainable;      // an untrained prefix of layers gets no backward
    bool decay;          // weight decay applies: weights only
    float lr_multiplier; // of the step's learning rate
};

// Batch norm's running statistics: named tensors that are not trained.
struct fm_running {
    char name[FM_NAME_MAX]; // "bn1.running_mean", "bn1.running_var"
    size_t count;
    size_t offset; // within the contiguous range of all running statistics
    float initial; // 0 for means, 1 for variances
};

struct fm_layer {
    enum fm_layer_kind kind;
    char name[FM_NAME_MAX];
    struct fm_shape in, out;
    int kernel, padding; // conv
    float rate;          // dropout
    uint32_t stream;  // dropout: its ordinal, 0 for the first (enum fm_stream in kernels/philox.h)
    int weight, bias; // indices of params, -1 if none (batch norm: scale, shift)
    int running;      // batch norm: index of the running mean; the variance follows it. Else -1
    uint64_t macs;    // multiply-accumulates of a forward pass, a sample (conv and dense)
};

struct fm_net {
    char name[FM_NAME_MAX]; // "deeper"
    struct fm_input input;
    int classes; // 0 of a network that ends in features
    int outputs; // values that the last layer puts out for a sample: `classes`, or features
    int layer_count, param_count, running_count;
    struct fm_layer layers[FM_LAYERS_MAX];
    struct fm_param params[FM_PARAMS_MAX];
    struct fm_running running[FM_PARAMS_MAX];
    size_t param_elements; // of all params: the published count of parameters
    size_t running_elements;
};

// Building: fm_net_begin, then layers from input to output. Names are unique; shapes, fans, offsets
// and MACs are inferred. A layer that does not fit its input fails with FM_DATA and both shapes.
// Conv, dense: `bias` adds a bias parameter.
void fm_net_begin(struct fm_net *net, const char *name, const struct fm_input *input);
enum fm_status fm_net_conv(
    struct fm_net *net, const char *name, int channels, int kernel, int padding, bool bias);
enum fm_status fm_net_batchnorm(struct fm_net *net, const char *name);
enum fm_status fm_net_relu(struct fm_net *net, const char *name);
enum fm_status fm_net_maxpool(struct fm_net *net, const char *name);
enum fm_status fm_net_meanpool(struct fm_net *net, const char *name);
enum fm_status fm_net_dropout(struct fm_net *net, const char *name, float rate);
enum fm_status fm_net_dense(struct fm_net *net, const char *name, int features, bool bias);
// The last layer must be a dense one of at least 2 features, which become the classes.
enum fm_status fm_net_end(struct fm_net *net);

// Ends a network whose outputs are features and not classes: it can predict them, but neither be
// trained nor scored. The last layer's output becomes [c * h * w] in the order C, H, W.
enum fm_status fm_net_end_features(struct fm_net *net);

// The layers [0, count) of an ended network as one that ends in features, and those behind them as
// one that takes these features as its records: names (the network's, too), parameters (with their
// shapes, `trainable` and rates) and dropout streams stay; offsets are their own. FM_USAGE where
// there is nothing on one of the sides, where the features are more than FM_FEATURES_MAX, and where
// the head would need them as an image: it sees a vector. Neither changes its target then.
enum fm_status fm_net_base(const struct fm_net *net, int count, struct fm_net *base);
enum fm_status fm_net_head(const struct fm_net *net, int count, struct fm_net *head);

// The first layer sees side x side pixels. FM_USAGE where that would change the shape of a
// parameter, or leave a layer nothing, and of a network whose records are features; the network
// stays as it was.
enum fm_status fm_net_set_input_size(struct fm_net *net, int side);

// Bytes of a record.
size_t fm_input_record_size(const struct fm_input *input);

// Gives every dropout layer this rate in [0, 1).
void fm_net_set_dropout(struct fm_net *net, float rate);
// Sets the input's statistics of every channel; ignored by a net that does not standardise.
void fm_net_set_input_statistics(struct fm_net *net, float mean, float deviation);
// The same of each channel its own.
void fm_net_set_input_channels(
    struct fm_net *net, const float mean[FM_CHANNELS_MAX], const float deviation[FM_CHANNELS_MAX]);

const char *fm_layer_kind_name(enum fm_layer_kind kind);           // "conv"
size_t fm_layer_params(const struct fm_net *net, int layer);       // elements
size_t fm_shape_size(struct fm_shape shape);                       // c * h * w
int fm_net_find_param(const struct fm_net *net, const char *name); // index, or -1
int fm_net_find_running(const struct fm_net *net, const char *name);
uint64_t fm_net_macs(const struct fm_net *net); // of a forward pass of one sample

#endif
