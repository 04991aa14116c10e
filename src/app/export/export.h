// A finished run, or a weights file, as files for other programs: what `fmnist export` does.
#ifndef FM_APP_EXPORT_EXPORT_H
#define FM_APP_EXPORT_EXPORT_H

#include "base/file.h"
#include "base/status.h"
#include "net/net.h"

#include <stdbool.h>
#include <stdint.h>

enum fm_export_format {
    FM_EXPORT_ONNX,        // model.onnx
    FM_EXPORT_SAFETENSORS, // model.safetensors, and model.py, a PyTorch module that takes it
    FM_EXPORT_H5,          // model.h5, a Keras model
};
extern const char *const fm_export_format_names[]; // by enum fm_export_format; ends with NULL

enum {
    FM_EXPORT_FILES_MAX = 6,
    FM_EXPORT_REMARKS_MAX = 1024, // what is longer is cut off
    FM_EXPORT_TRITON_BATCH = 256  // pictures at once at most that Triton may put together
};

struct fm_export_options {
    const char *source;    // the folder of a finished run, or a weights file of this project
    int format;            // enum fm_export_format
    const char *directory; // that the files go to; NULL: <run>/export, or export/ beside the file
    // NULL, or a model repository of Triton, which gets <model>/config.pbtxt, <model>/labels.txt
    // and <model>/1/model.onnx. Then model.onnx is written there alone, unless `directory` is
    // named.
    const char *triton;
    bool force; // files of an earlier export are replaced
};

struct fm_export_file {
    char path[FM_PATH_MAX];
    uint64_t bytes;
    const char *use; // what takes it, and how, in half a line
};

struct fm_export_result {
    struct fm_export_file files[FM_EXPORT_FILES_MAX]; // written, in this order
    int count;
    char model[FM_NAME_MAX];
    double test_accuracy;                // of the run; NaN where none is known
    char remarks[FM_EXPORT_REMARKS_MAX]; // of the run, fm_remarks_learned(); "" of most
};

// FM_EXISTS, before anything is written, where a file of an export is there already, unless
// `force`. FM_NOT_FOUND: no run there, or one that is not finished. FM_UNSUPPORTED: this build has
// no library for the format. Each file is written whole or not at all.
enum fm_status fm_export_run(
    const struct fm_export_options *options, struct fm_export_result *result);

#endif
