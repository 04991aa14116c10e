// A network with drawn weights, as the writers of formats take it, and what the CPU backend
// computes with them: what other programs are held against. Include cmocka.h first.
#ifndef FM_TESTS_REFERENCE_DRAWN_H
#define FM_TESTS_REFERENCE_DRAWN_H

#include "net/formats/formats.h"

struct fm_drawn {
    struct fm_net net;
    struct fm_tensor_file tensors; // the parameters, then the running statistics
    struct fm_format_model model;  // all of the above, with class names and metadata
    float *params, *running;       // at the net's offsets, owned
    char *class_names[10];
    // Of the weights file, as run/weights.h has it.
    char *file_metadata[15];
    char names[512], mean[96], deviation[96], input_size[16];
};

// A model of the zoo, 10 classes. Kernels are drawn as a training's would be; biases, scales and
// running statistics, too, so that none of them is one that does nothing. `input_size` 0: the
// model's own.
void fm_drawn_open(struct fm_drawn *drawn, const char *model, int input_size);
void fm_drawn_close(struct fm_drawn *drawn);

// Writes `path` as a weights file.
void fm_drawn_write(const struct fm_drawn *drawn, const char *path);

// Sets the values of a parameter, in the model as well.
void fm_drawn_set(struct fm_drawn *drawn, const char *name, const float *values, size_t count);

enum {
    FM_DRAWN_LAYERS_OF = 8 // images whose layers are kept
};

// Predicts the test images of data/tiny on the CPU in fp32, and writes a safetensors file with
// "images" [N, 28, 28] (as numbers from 0 to 255) and "logits" [N, 10], and of the first
// FM_DRAWN_LAYERS_OF images "input" (what the first layer sees) and each layer's output under its
// name, NCHW.
void fm_drawn_compute(const struct fm_drawn *drawn, const char *path);

#endif
