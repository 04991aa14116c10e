// Between the files that make up data/pictures/source.h; for no one else.
#ifndef FM_DATA_SOURCE_PARTS_H
#define FM_DATA_SOURCE_PARTS_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum fm_entry_kind {
    FM_ENTRY_PICTURE,
    FM_ENTRY_INPUT, // standard input
    FM_ENTRY_IDX,
    FM_ENTRY_BROKEN // nothing to read: `error` says why
};

// A name that has been looked up: it stands for one image, or for those of an IDX file.
struct fm_entry {
    enum fm_entry_kind kind;
    char *path;
    char *error;     // FM_ENTRY_BROKEN, without the path before it; else NULL
    uint32_t images; // as an IDX file's header has it, not checked yet; else 1
};

// Zero-initialise.
struct fm_entries {
    size_t count, capacity;
    struct fm_entry *all;
    uint32_t passed_over; // files of the folders that are no pictures by their names
};
void fm_entries_free(struct fm_entries *entries);

// Takes over `path` and `error`, also where it fails.
enum fm_status fm_entries_add(
    struct fm_entries *entries, enum fm_entry_kind kind, char *path, char *error, uint32_t images);

// What a name stands for: a file, or the pictures of a folder. What cannot be found is an entry
// that says so, as one name of many must not keep the others from being read.
enum fm_status fm_entries_add_name(struct fm_entries *entries, const char *name);
// All pictures of a folder and those in it, sorted. FM_NOT_FOUND where there are none. Counts the
// other files in either case.
enum fm_status fm_entries_add_folder(struct fm_entries *entries, const char *folder);
// The names in a list file, each as fm_entries_add_name() takes it. FM_NOT_FOUND where there is no
// list or no name in it.
enum fm_status fm_entries_add_list(struct fm_entries *entries, const char *list);

#endif
