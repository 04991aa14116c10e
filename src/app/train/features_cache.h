// A folder of computed features, a file for each part: KEY.partial while it grows, batch by batch,
// and KEY.safetensors when it is whole. KEY is the SHA-256 of everything that the features depend
// on, told as text, which stands in the file, too.
#ifndef FM_APP_TRAIN_FEATURES_CACHE_H
#define FM_APP_TRAIN_FEATURES_CACHE_H

#include "base/digest.h"
#include "base/file.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fm_features_cache {
    char path[FM_PATH_MAX];    // of the whole file
    char partial[FM_PATH_MAX]; // of the growing one
    struct fm_text about;      // what the key is of
    size_t rows, columns;      // of the part
    int descriptor;            // of the growing file, locked; -1: nothing is kept
};

// `about` is taken over: it says of what these are the features, one thing a line. The folder is
// made. FM_OK also where nothing can be kept, with a warning. Closed with fm_features_cache_close()
// in any case.
enum fm_status fm_features_cache_open(const char *folder, struct fm_text *about, size_t rows,
    size_t columns, struct fm_features_cache *cache);
void fm_features_cache_close(struct fm_features_cache *cache);

// Reads the whole file, if there is one, into values [rows][columns], and says whether it did; else
// these may hold anything. One that is damaged or of something else is told of and will be
// replaced.
bool fm_features_cache_read(struct fm_features_cache *cache, float *values);

// Takes up the growing file: reads what an earlier call has left of it and returns the rows read, a
// multiple of `batch`. From here on fm_features_cache_append() adds to it. Another process that is
// at it, or a file that cannot be written, costs a warning: nothing is kept then.
size_t fm_features_cache_begin(struct fm_features_cache *cache, size_t batch, float *values);
// Adds a batch: `rows` of values.
void fm_features_cache_append(struct fm_features_cache *cache, const float *values, size_t rows);
// All rows are there: the whole file takes the growing one's place.
void fm_features_cache_finish(struct fm_features_cache *cache, float *values);

#endif
