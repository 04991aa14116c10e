// Converted pictures become the four files of a data set: what is held out, whether there are
// enough, what is in both parts.
#include "data/folders/folders.h"

#include "data/folders/folders_parts.h"
#include "data/idx.h"
#include "philox.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    HELD_OUT_OF = 10 // one picture in ten of a class
};

static const uint64_t held_out_seed = 20172; // another draw than the split's

uint64_t fm_fnv1a(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

// ---- Holding out

// A picture by its content: the order in which a class's pictures are taken for the test.
struct drawn {
    uint64_t key;
    uint32_t index;
};

static int compare_drawn(const void *a, const void *b)
{
    const struct drawn *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static uint64_t content_key(const uint8_t *records, uint32_t index)
{
    uint64_t hash = fm_fnv1a(records + (size_t)index * FM_IMAGE_BYTES, FM_IMAGE_BYTES);
    return fm_draw64(held_out_seed ^ hash, (uint32_t)hash, (uint32_t)(hash >> 32), FM_STREAM_SPLIT);
}

// Behind the last of the pictures that are equal to the one at `at`.
static uint32_t end_of_equals(const struct drawn *drawn, uint32_t count, uint32_t at)
{
    uint32_t end = at + 1;
    while (end < count && drawn[end].key == drawn[at].key)
        end++;
    return end;
}

static void take_for_test(struct fm_folders *folders, const struct drawn *drawn, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        folders->pictures[drawn[i].index].part = FM_PART_TEST;
}

// Equal pictures go together, so that none is trained and tested on. So many of them that they are
// more than is wanted (one picture stands for many that are missing) are passed over; where there
// is nothing else the fewest are taken, or a part of those that are all there is.
static void hold_out_drawn(
    struct fm_folders *folders, const struct drawn *drawn, uint32_t count, uint32_t wanted)
{
    uint32_t taken = 0, fewest = count, fewest_at = 0;
    for (uint32_t at = 0, end; at < count && taken < wanted; at = end) {
        end = end_of_equals(drawn, count, at);
        if (end - at <= wanted) {
            take_for_test(folders, drawn + at, end - at);
            taken += end - at;
        } else if (end - at < fewest) {
            fewest = end - at;
            fewest_at = at;
        }
    }
    if (taken == 0)
        take_for_test(folders, drawn + fewest_at, fewest <= count / 2 ? fewest : wanted);
}

// A class of two pictures or more gives at least one, and keeps one.
static void hold_out_class(
    struct fm_folders *folders, const uint8_t *records, int label, struct drawn *drawn)
{
    const struct fm_folder_picture *pictures = folders->pictures;
    uint32_t count = 0;
    for (uint32_t i = 0; i < folders->count; i++)
        if (pictures[i].label == label && pictures[i].part == FM_PART_TRAIN)
            drawn[count++] = (struct drawn){content_key(records, i), i};
    qsort(drawn, count, sizeof *drawn, compare_drawn);
    uint32_t wanted = (count + HELD_OUT_OF / 2) / HELD_OUT_OF;
    hold_out_drawn(folders, drawn, count, wanted > 0 || count < 2 ? wanted : 1);
}

static enum fm_status hold_out(struct fm_folders *folders, const uint8_t *records)
{
    struct drawn *drawn = malloc(folders->count * sizeof *drawn);
    if (!drawn)
        return fm_fail_memory("what is held out", folders->count * sizeof *drawn);
    for (int label = 0; label < folders->classes; label++)
        hold_out_class(folders, records, label, drawn);
    free(drawn);
    return FM_OK;
}

// ---- Counting

static uint32_t count_part(const struct fm_folders *folders, enum fm_part part)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < folders->count; i++)
        count += folders->pictures[i].part == (char)part;
    return count;
}

static enum fm_status check_class(const struct fm_folders *folders, int label)
{
    const struct fm_folder_picture *first = NULL;
    for (uint32_t i = 0; i < folders->count; i++) {
        const struct fm_folder_picture *picture = &folders->pictures[i];
        if (picture->label == label && picture->part == FM_PART_TRAIN)
            return FM_OK;
        if (picture->label == label && picture->part == FM_PART_NONE && !first)
            first = picture;
    }
    return fm_fail(FM_DATA,
        "%s: none of the pictures to train on of class '%s' can be read; of the first, %s: %s",
        folders->directory, folders->names[label], first ? first->path : "",
        first && first->error ? first->error : "it cannot be read");
}

static enum fm_status check_counts(const struct fm_folders *folders)
{
    uint32_t train = count_part(folders, FM_PART_TRAIN), test = count_part(folders, FM_PART_TEST);
    for (int label = 0; label < folders->classes; label++)
        FM_TRY(check_class(folders, label));
    if (train < FM_FOLDERS_TRAIN_MIN)
        return fm_fail(FM_DATA,
            "%s: found %" PRIu32 " pictures to train on (%" PRIu32 " to test on, %" PRIu32
            " that cannot be read), expected at least %d: some of them are needed to select and to "
            "calibrate on",
            folders->directory, train, test, count_part(folders, FM_PART_NONE),
            FM_FOLDERS_TRAIN_MIN);
    if (test == 0 && folders->held_out)
        return fm_fail(FM_DATA,
            "%s: no class has more than one picture that can be read: none can be held out to test "
            "on",
            folders->directory);
    if (test == 0)
        return fm_fail(FM_DATA, "%s/test: none of the pictures can be read", folders->directory);
    return FM_OK;
}

// Test pictures whose record is that of a training picture.
static enum fm_status count_duplicates(
    const struct fm_folders *folders, const uint8_t *records, uint32_t *duplicates)
{
    uint32_t trained = 0;
    struct drawn *train = malloc(folders->count * sizeof *train);
    if (!train)
        return fm_fail_memory("the pictures' keys", folders->count * sizeof *train);
    for (uint32_t i = 0; i < folders->count; i++)
        if (folders->pictures[i].part == FM_PART_TRAIN)
            train[trained++] = (struct drawn){content_key(records, i), i};
    qsort(train, trained, sizeof *train, compare_drawn);
    *duplicates = 0;
    for (uint32_t i = 0; i < folders->count; i++) {
        if (folders->pictures[i].part != FM_PART_TEST)
            continue;
        uint64_t key = content_key(records, i);
        uint32_t low = 0, high = trained; // the first key that is not below
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            if (train[middle].key < key)
                low = middle + 1;
            else
                high = middle;
        }
        bool same = false;
        for (; low < trained && train[low].key == key && !same; low++)
            same = memcmp(records + (size_t)train[low].index * FM_IMAGE_BYTES,
                       records + (size_t)i * FM_IMAGE_BYTES, FM_IMAGE_BYTES) == 0;
        *duplicates += same;
    }
    free(train);
    return FM_OK;
}

// ---- The files

static void put_big_endian(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (24 - 8 * i));
}

static enum fm_status allocate_file(
    struct fm_idx_files *files, int index, size_t header, size_t size)
{
    files->sizes[index] = header + size;
    files->bytes[index] = malloc(header + size);
    return files->bytes[index] ? FM_OK : fm_fail_memory("the converted pictures", header + size);
}

static enum fm_status make_part(const struct fm_folders *folders, const uint8_t *records,
    enum fm_part part, int images, struct fm_idx_files *files)
{
    uint32_t count = count_part(folders, part), at = 0;
    FM_TRY(allocate_file(files, images, FM_IDX_IMAGES_HEADER, (size_t)count * FM_IMAGE_BYTES));
    FM_TRY(allocate_file(files, images + 1, FM_IDX_LABELS_HEADER, count));
    uint8_t *pixels = files->bytes[images], *labels = files->bytes[images + 1];
    put_big_endian(pixels, FM_IDX_IMAGES);
    put_big_endian(pixels + 4, count);
    put_big_endian(pixels + 8, FM_IMAGE_SIDE);
    put_big_endian(pixels + 12, FM_IMAGE_SIDE);
    put_big_endian(labels, FM_IDX_LABELS);
    put_big_endian(labels + 4, count);
    for (uint32_t i = 0; i < folders->count; i++) {
        if (folders->pictures[i].part != (char)part)
            continue;
        memcpy(pixels + FM_IDX_IMAGES_HEADER + (size_t)at * FM_IMAGE_BYTES,
            records + (size_t)i * FM_IMAGE_BYTES, FM_IMAGE_BYTES);
        labels[FM_IDX_LABELS_HEADER + at++] = (uint8_t)folders->pictures[i].label;
    }
    for (int i = images; i <= images + 1; i++)
        files->crc32[i] = (uint32_t)crc32_z(0, files->bytes[i], files->sizes[i]);
    return FM_OK;
}

void fm_idx_files_free(struct fm_idx_files *files)
{
    for (int i = 0; i < FM_FOLDER_FILES; i++)
        free(files->bytes[i]);
    *files = (struct fm_idx_files){0};
}

enum fm_status fm_folders_make_files(
    struct fm_folders *folders, const uint8_t *records, struct fm_idx_files *files)
{
    if (folders->held_out)
        FM_TRY(hold_out(folders, records));
    FM_TRY(check_counts(folders));
    FM_TRY(count_duplicates(folders, records, &files->duplicates));
    FM_TRY(make_part(folders, records, FM_PART_TRAIN, 0, files));
    return make_part(folders, records, FM_PART_TEST, 2, files);
}
