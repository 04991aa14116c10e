// Weights that others have trained, for VGG16's thirteen convolutions: found out from the file
// itself whose they are, checked name by name and shape by shape, and brought to this project's
// names and layout. Each source goes with its own preprocessing, which the weights are worth
// nothing without.
#ifndef FM_NET_FILES_PRETRAINED_H
#define FM_NET_FILES_PRETRAINED_H

#include "base/file.h"
#include "base/status.h"
#include "net/files/tensors.h"
#include "net/net.h"
#include "net/safetensors.h"

enum fm_pretrained_source {
    FM_PRETRAINED_KERAS,       // HDF5, HWIO, "block1_conv1/block1_conv1_W_1:0"; BGR minus means
    FM_PRETRAINED_TORCHVISION, // safetensors, OIHW, "features.0.weight"; RGB normalised. timm's too
    FM_PRETRAINED_FMNIST,      // safetensors with this project's metadata: run/weights.h
    FM_PRETRAINED_SOURCE_COUNT,
};
extern const char *const fm_pretrained_source_names[]; // "keras", "torchvision", "fmnist"; NULL

// What a file of this project's says of the images of its run's data that it was trained on:
// metadata FM_WEIGHTS_TRAINED_ON, one of these two. One that leaves it out does not know.
#define FM_WEIGHTS_TRAINED_ON "trained_on"
#define FM_WEIGHTS_ALL "all"     // with --full: on what other runs hold out, too
#define FM_WEIGHTS_SPLIT "split" // on what no run holds out
// Which of the two a file's text is: "" for another, and for NULL, where there is none.
const char *fm_weights_trained_on(const char *metadata);

struct fm_pretrained {
    char path[FM_PATH_MAX];
    enum fm_pretrained_source source;
    char sha256[65];    // of the file, hexadecimal
    char known[96];     // what a file of this checksum is known as; "" of one that is not known
    char trained_on[8]; // FM_WEIGHTS_ALL or _SPLIT; "" where the file does not say so
    // What the weights were trained on, of u8/255, by input channel of the first layer in the
    // file's own order: Keras's first channel is blue. Grey images look the same in each.
    float mean[FM_CHANNELS_MAX], deviation[FM_CHANNELS_MAX];
    struct fm_tensor *tensors; // [count], named as the net's params, canonical layout, owned
    int count;                 // 26: weight and bias of 13 convolutions
};

// Reads a file of one of the sources for the convolutions of `net`, the zoo's vgg16; a classifier
// in it is passed over. FM_NOT_FOUND: not one tensor has a name of any source. FM_DATA: no source's
// names fit (which is nearest, and what is missing of it), a shape is another than expected, a
// weight is not finite. On failure there is nothing to free.
enum fm_status fm_pretrained_read(
    const char *path, const struct fm_net *net, struct fm_pretrained *pretrained);

// Whose weights an open file holds, by names and shapes alone; fails as fm_pretrained_read().
// index[2 * c] becomes that of the weight of convolution c in the file's list, index[2 * c + 1]
// that of its bias.
enum {
    FM_PRETRAINED_TENSORS_MAX = 64
};
enum fm_status fm_pretrained_recognise(const struct fm_tensors *file, const struct fm_net *net,
    enum fm_pretrained_source *source, int index[FM_PRETRAINED_TENSORS_MAX]);

// What a file of these digests is known as; "" where it is not.
const char *fm_pretrained_known(const char *sha256, const char *md5);

void fm_pretrained_free(struct fm_pretrained *pretrained); // one that is all zero, too

#endif
