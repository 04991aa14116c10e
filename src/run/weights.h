// The weights kept of a run, in one safetensors file that other tools can read. The file alone is
// enough to predict with: its metadata says which model it is of, what the classes are called and
// how the input is sized and normalised (docs/formats.md, "model.safetensors"). So a file that
// another program has written, with the names and the metadata of ours, does as well as ours.
#ifndef FM_RUN_WEIGHTS_H
#define FM_RUN_WEIGHTS_H

#include "backend/backend.h"
#include "base/file.h"
#include "data/dataset.h"
#include "net/net.h"
#include "net/safetensors.h"

// The name of the file in a run folder.
#define FM_WEIGHTS_FILE "model.safetensors"

// A weights file, opened, its metadata checked.
struct fm_weights {
    char path[FM_PATH_MAX];
    char model[FM_NAME_MAX]; // of the zoo, as far as that is known to the file alone
    int classes;
    char *class_names[FM_CLASSES_MAX]; // owned
    int input_size;                    // of what the first layer sees; 0: the model's own
    // Of u8/255, by channel; 0 and 1 for a net that does not standardise.
    float input_mean[FM_CHANNELS_MAX], input_deviation[FM_CHANNELS_MAX];
    // FM_WEIGHTS_ALL or _SPLIT (net/files/pretrained.h), of data that it does not name; "": it does
    // not say.
    const char *trained_on;
    struct fm_tensor_file tensors;
};

// Opens a weights file, whose tensors are read when they are needed (fm_weights_apply()). FM_DATA
// names file and what is wrong with it: of one without any of our metadata all the keys that it
// takes. On failure `weights` needs no free.
enum fm_status fm_weights_open(const char *path, struct fm_weights *weights);
// The same, and reads all tensors.
enum fm_status fm_weights_read(const char *path, struct fm_weights *weights);
void fm_weights_free(struct fm_weights *weights);

// The network that the file's metadata describe: fm_run_build_net() of it. FM_DATA names the file.
enum fm_status fm_weights_net(const struct fm_weights *weights, struct fm_net *net);

// Checks that the weights are those of the net (model, classes, input size and statistics, every
// tensor's name and shape), then sets them in a model of it. A failing check changes nothing; where
// reading fails, some tensors are set. What PyTorch's batch norm counts (NAME.num_batches_tracked)
// is passed over: nothing here needs it.
enum fm_status fm_weights_apply(const struct fm_weights *weights, const struct fm_net *net,
    const struct fm_backend *api, struct fm_model *model);

#endif
