// What is exported: the weights of a run or of a file alone, the network that they are of, and what
// is known of them. Internal to this folder.
#ifndef FM_APP_EXPORT_EXPORT_SOURCE_H
#define FM_APP_EXPORT_EXPORT_SOURCE_H

#include "base/text.h"
#include "net/formats/formats.h"
#include "run/weights.h"

enum {
    FM_EXPORT_METADATA_MAX = 16, // pairs
    FM_EXPORT_VALUE_MAX = 1024
};

struct fm_export_source {
    char directory[FM_PATH_MAX]; // where it lies
    char weights_path[FM_PATH_MAX];
    struct fm_weights weights;
    struct fm_net net;
    double dropout;       // the rate that it was trained with; negative: the model's own
    double test_accuracy; // NaN: not known
    char remarks[FM_EXPORT_VALUE_MAX];                        // of the run; "": none
    char values[FM_EXPORT_METADATA_MAX][FM_EXPORT_VALUE_MAX]; // of the metadata
    const char *metadata[2 * FM_EXPORT_METADATA_MAX + 1];
    struct fm_format_model model; // of all that
};

// `source`: a run folder or a weights file. On failure nothing needs to be closed.
enum fm_status fm_export_source_open(const char *path, struct fm_export_source *source);
void fm_export_source_close(struct fm_export_source *source);

#endif
