// Between the files that make up data/folders/folders.h; for no one else.
#ifndef FM_DATA_FOLDERS_PARTS_H
#define FM_DATA_FOLDERS_PARTS_H

#include "data/dataset.h"

enum fm_part {
    FM_PART_TRAIN = 'a',
    FM_PART_TEST = 'e',
    FM_PART_NONE = 'x' // cannot be read
};

struct fm_folder_picture {
    char *path; // below the directory; owned
    int label;
    char part;     // enum fm_part: by its folder, and then as it is used
    char *error;   // FM_PART_NONE: why, without the path before it; owned
    bool may_pass; // the error is not the file's content: another time it may be read
    uint64_t size; // bytes
    int64_t seconds, nanoseconds; // when it was changed
};

// Zero-initialise.
struct fm_folders {
    char directory[FM_PATH_MAX];
    char base[16]; // "train/", or "" where the classes are in the directory itself
    bool held_out; // there is no test folder
    int classes;
    char *names[FM_CLASSES_MAX]; // owned
    uint32_t count, capacity;
    struct fm_folder_picture *pictures; // training part first; within it by class, then by path
    uint32_t passed_over;               // files beside them
};
void fm_folders_free(struct fm_folders *folders);

// What there is, by folder and name alone: no picture is read.
enum fm_status fm_folders_scan(const char *directory, struct fm_folders *folders);

enum {
    FM_FOLDER_FILES = 4 // as in struct fm_dataset: train images, train labels, test images, labels
};
// The four files of a data set in IDX format, in memory.
struct fm_idx_files {
    uint8_t *bytes[FM_FOLDER_FILES]; // owned
    size_t sizes[FM_FOLDER_FILES];
    uint32_t crc32[FM_FOLDER_FILES];
    uint32_t duplicates; // test pictures whose record is a training picture's, too
};
enum {
    FM_IDX_IMAGES_HEADER = 16,
    FM_IDX_LABELS_HEADER = 8
};
void fm_idx_files_free(struct fm_idx_files *files);

// Of pictures that are converted, records [count][FM_IMAGE_BYTES]: holds out what there is to hold
// out and puts the files together. FM_DATA: too few.
enum fm_status fm_folders_make_files(
    struct fm_folders *folders, const uint8_t *records, struct fm_idx_files *files);

// Converts every picture, sets its part and error, and makes the files.
enum fm_status fm_folders_convert(struct fm_folders *folders, struct fm_idx_files *files);

extern const char *const fm_idx_file_names[FM_FOLDER_FILES];

// The manifest's first part, which is known before any picture is read: a kept data set is of these
// pictures if its manifest begins with this, byte for byte.
void fm_manifest_append_listing(struct fm_text *out, const struct fm_folders *folders);
// All of it.
void fm_manifest_append(
    struct fm_text *out, const struct fm_folders *folders, const struct fm_idx_files *files);
// Checks the text of the manifest `path` and what it says of the files in `cache`, its folder,
// which it opens as `dataset`; then sets each picture's part and error. After a failure the data
// set may be open, and the pictures are as they were.
enum fm_status fm_manifest_read(const char *path, const char *cache, const char *text, size_t size,
    struct fm_folders *folders, struct fm_dataset *dataset, uint32_t *duplicates);

// The cache's folder for these pictures as they are now; "" where there is no place for one.
enum fm_status fm_folders_cache_path(const struct fm_folders *folders, char path[FM_PATH_MAX]);
// FM_NOT_FOUND, without a message: it is not there. Any other failure: it is, but damaged. Sets
// each picture's part and error, `*duplicates` and the data set's samples, files and names.
enum fm_status fm_folders_cache_read(
    const char *path, struct fm_folders *folders, struct fm_dataset *dataset, uint32_t *duplicates);
// Makes the folder, in place of a damaged one, and removes those of the directory's earlier states.
enum fm_status fm_folders_cache_write(
    const char *path, const struct fm_folders *folders, const struct fm_idx_files *files);

// 64-bit FNV-1a (Fowler, Noll, Vo; offset basis and prime of RFC 9923).
uint64_t fm_fnv1a(const void *data, size_t size);

#endif
