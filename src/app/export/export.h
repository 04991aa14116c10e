// A finished run, or a weights file, as files for other programs: what `fmnist export` does.
#ifndef FM_APP_EXPORT_EXPORT_H
#define FM_APP_EXPORT_EXPORT_H

#include "base/file.h"
#include "base/status.h"

#include <stdbool.h>

enum fm_export_format {
    FM_EXPORT_ONNX,        // model.onnx
    FM_EXPORT_SAFETENSORS, // model.safetensors, and model.py, a PyTorch module that takes it
    FM_EXPORT_H5,          // model.h5, a Keras model
};
extern const char *const fm_export_format_names[]; // by enum fm_export_format; ends with NULL

enum {
    FM_EXPORT_FILES_MAX = 6
};

struct fm_export_options {
    const char *source;    // a run folder, or a weights file of this project
    int format;            // enum fm_export_format
    const char *directory; // that the files go to; NULL: <run>/export, or beside the file
    const char *triton; // NULL, or a model repository that gets <name>/config.pbtxt, 1/model.onnx
    bool force;         // files of an earlier export are replaced
};

struct fm_export_result {
    char files[FM_EXPORT_FILES_MAX][FM_PATH_MAX]; // written, in this order
    int count;
    char model[64];
    double test_accuracy; // of the run; NaN where none is known
};

enum fm_status fm_export_run(
    const struct fm_export_options *options, struct fm_export_result *result);

#endif
