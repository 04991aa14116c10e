// Images by name, from wherever a command is pointed to: picture files, folders of them, standard
// input, lists of paths, files in IDX format.
#ifndef FM_DATA_SOURCE_H
#define FM_DATA_SOURCE_H

#include "data/pictures/picture.h"

#include <stdbool.h>

// The names of the pictures of a folder, in either case.
#define FM_PICTURE_ENDINGS "*.png, *.jpg, *.jpeg, *.jpe or *.jfif"
// The bytes of a name's ending where it is one of these; 0: it is not, or the whole name.
size_t fm_picture_ending(const char *name);

struct fm_source_options {
    // Each a PNG or JPEG file, whatever it is called; a folder, whose pictures
    // (FM_PICTURE_ENDINGS) are taken with those of the folders in it, in the bytewise order of
    // their paths, hidden ones left out, links followed and no folder read twice; "-": one picture
    // from standard input; or an IDX file of 28x28 images (t10k-images-idx3-ubyte.gz, told by its
    // contents), whose images are taken as they are and named "<path>#<index>".
    const char *const *names;
    int count;
    // A file with a path on each line, taken after `names`; "-": standard input; NULL: none. Lines
    // end in LF or CRLF, empty ones are skipped, paths are relative to the current folder, and
    // stand for the same as names do ("-" is a file).
    const char *list;
    enum fm_convert convert;
};

// An image, or why there is none.
struct fm_source_item {
    const char *name;  // valid until the next call
    const char *error; // NULL: `record` is the image; else the message, without the name before it
    uint8_t record[FM_IMAGE_BYTES];
};

struct fm_source;

// Names are looked up now; pictures are read one at a time. What does not exist, named or in the
// list, is an item with an error, and so is a folder without any picture. FM_NOT_FOUND: there is no
// list, or no path in it. FM_USAGE: neither names nor a list; standard input wanted twice.
enum fm_status fm_source_open(const struct fm_source_options *options, struct fm_source **source);
void fm_source_close(struct fm_source *source); // NULL is allowed

// The next image; item->name is NULL at the end. A picture that cannot be read or converted is an
// item with an error, and the next call goes on behind it; so is what is neither a regular file nor
// a folder. Fails only where nothing can go on (memory, a damaged IDX file).
enum fm_status fm_source_next(struct fm_source *source, struct fm_source_item *item);

// How many images there are, as far as IDX headers can be trusted; 0: too many to count. For
// progress.
uint32_t fm_source_total(const struct fm_source *source);

// How many files the folders hold beside their pictures; hidden ones do not count.
uint32_t fm_source_passed_over(const struct fm_source *source);
// Says so in a line, and how pictures are named; nothing of none. `directory`, where they are, may
// be NULL.
void fm_warn_passed_over(const char *directory, uint32_t count);

// All images of a source in memory.
struct fm_pictures {
    uint32_t count;
    char **names;                  // [count]; owned
    uint8_t *records;              // [count][FM_IMAGE_BYTES]; owned
    uint32_t failed;               // items with an error
    char **failed_names, **errors; // [failed]; owned
    uint32_t passed_over;          // fm_source_passed_over()
};

// `progress` after each image, `total` 0 where it is not known; may be NULL; a failure of it ends
// the reading.
enum fm_status fm_pictures_read(const struct fm_source_options *options,
    enum fm_status (*progress)(void *context, uint32_t done, uint32_t total), void *context,
    struct fm_pictures *pictures);
void fm_pictures_free(struct fm_pictures *pictures);

#endif
