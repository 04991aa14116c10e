// All 28x28 images of a page in one picture, each once: a page of thousands of tiles holds one data
// URI in place of thousands, and PNG compresses across them.
//
// The picture is a grid of FM_ATLAS_COLUMNS columns (fewer where there are fewer images). Each
// image has a black edge of a pixel around it, so that a scaled crop never shows its neighbour:
// image i lies at x = 30 (i mod 128) + 1, y = 30 (i div 128) + 1.
#ifndef FM_REPORT_ATLAS_H
#define FM_REPORT_ATLAS_H

#include "base/status.h"
#include "base/text.h"

#include <stdint.h>

enum {
    FM_ATLAS_COLUMNS = 128,
    FM_ATLAS_PITCH = 30,
    // Images: 16,380 pixels a side, which browsers still decode into one texture.
    FM_ATLAS_MAX = FM_ATLAS_COLUMNS * 546
};

struct fm_atlas {
    uint8_t *records; // [count][28][28], owned
    uint64_t *keys;   // [count]
    int *slots;       // [slot_count] hash table of indices + 1; 0: free
    int count, capacity, slot_count;
};
// Zero-initialise.
void fm_atlas_free(struct fm_atlas *atlas);

// The index of the image with this key; `record` [28][28] is copied where the key is new.
// FM_UNSUPPORTED above FM_ATLAS_MAX images.
enum fm_status fm_atlas_add(
    struct fm_atlas *atlas, uint64_t key, const uint8_t *record, int *index);

int fm_atlas_columns(const struct fm_atlas *atlas);
int fm_atlas_rows(const struct fm_atlas *atlas);
// The picture as a PNG file's bytes, appended; of at least one image.
enum fm_status fm_atlas_png(const struct fm_atlas *atlas, struct fm_text *png);

#endif
