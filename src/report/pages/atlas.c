// Images are looked up by key for every tile that shows one, hence the hash table.
#include "report/pages/atlas.h"

#include "data/pictures/picture.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIRST_CAPACITY = 256,
    SLOTS_AN_IMAGE = 2 // of the hash table, at least
};

void fm_atlas_free(struct fm_atlas *atlas)
{
    free(atlas->records);
    free(atlas->keys);
    free(atlas->slots);
    *atlas = (struct fm_atlas){0};
}

// The finaliser of MurmurHash3: keys are often consecutive, and so are not slots.
static uint64_t mix(uint64_t key)
{
    key = (key ^ (key >> 33)) * 0xff51afd7ed558ccdULL;
    key = (key ^ (key >> 33)) * 0xc4ceb9fe1a85ec53ULL;
    return key ^ (key >> 33);
}

// The slot that holds the key, or the free one where it belongs; slot_count is a power of two.
static int *find_slot(const struct fm_atlas *atlas, uint64_t key)
{
    size_t mask = (size_t)atlas->slot_count - 1, at = (size_t)mix(key) & mask;
    while (atlas->slots[at] && atlas->keys[atlas->slots[at] - 1] != key)
        at = (at + 1) & mask;
    return &atlas->slots[at];
}

static enum fm_status grow(struct fm_atlas *atlas)
{
    int capacity = atlas->capacity ? 2 * atlas->capacity : FIRST_CAPACITY;
    size_t n = (size_t)capacity;
    uint8_t *records = realloc(atlas->records, n * FM_IMAGE_BYTES);
    if (records)
        atlas->records = records;
    uint64_t *keys = realloc(atlas->keys, n * sizeof *keys);
    if (keys)
        atlas->keys = keys;
    int *slots = calloc(n * SLOTS_AN_IMAGE, sizeof *slots);
    if (!records || !keys || !slots) {
        free(slots);
        return fm_fail_memory("the images of a page", n * FM_IMAGE_BYTES);
    }
    free(atlas->slots);
    atlas->slots = slots;
    atlas->slot_count = capacity * SLOTS_AN_IMAGE;
    atlas->capacity = capacity;
    for (int i = 0; i < atlas->count; i++)
        *find_slot(atlas, keys[i]) = i + 1;
    return FM_OK;
}

enum fm_status fm_atlas_add(struct fm_atlas *atlas, uint64_t key, const uint8_t *record, int *index)
{
    if (atlas->count == atlas->capacity)
        FM_TRY(grow(atlas));
    int *slot = find_slot(atlas, key);
    if (!*slot) {
        if (atlas->count == FM_ATLAS_MAX)
            return fm_fail(FM_UNSUPPORTED, "a page of more than %d images", FM_ATLAS_MAX);
        memcpy(atlas->records + (size_t)atlas->count * FM_IMAGE_BYTES, record, FM_IMAGE_BYTES);
        atlas->keys[atlas->count] = key;
        *slot = ++atlas->count;
    }
    *index = *slot - 1;
    return FM_OK;
}

int fm_atlas_columns(const struct fm_atlas *atlas)
{
    return atlas->count < FM_ATLAS_COLUMNS ? atlas->count : FM_ATLAS_COLUMNS;
}

int fm_atlas_rows(const struct fm_atlas *atlas)
{
    return (atlas->count + FM_ATLAS_COLUMNS - 1) / FM_ATLAS_COLUMNS;
}

enum fm_status fm_atlas_png(const struct fm_atlas *atlas, struct fm_text *png)
{
    size_t width = (size_t)fm_atlas_columns(atlas) * FM_ATLAS_PITCH;
    size_t height = (size_t)fm_atlas_rows(atlas) * FM_ATLAS_PITCH;
    uint8_t *pixels = calloc(width, height);
    if (!pixels)
        return fm_fail_memory("the picture of a page's images", width * height);
    for (size_t i = 0; i < (size_t)atlas->count; i++) {
        size_t left = i % FM_ATLAS_COLUMNS * FM_ATLAS_PITCH + 1;
        size_t top = i / FM_ATLAS_COLUMNS * FM_ATLAS_PITCH + 1;
        for (size_t y = 0; y < FM_IMAGE_SIDE; y++)
            memcpy(pixels + (top + y) * width + left,
                atlas->records + i * FM_IMAGE_BYTES + y * FM_IMAGE_SIDE, FM_IMAGE_SIDE);
    }
    enum fm_status status = fm_png_encode_grey(pixels, (uint32_t)width, (uint32_t)height, png);
    free(pixels);
    return status;
}
