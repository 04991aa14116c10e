// From folders of pictures to a data set like any other.
#include "data/folders/folders.h"

#include "base/log.h"
#include "base/text.h"
#include "data/folders/folders_parts.h"
#include "data/pictures/source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ERRORS_SHOWN = 10
};

// ---- Telling

// A name from outside, fit for a terminal.
static void append_clean(struct fm_text *out, const char *name)
{
    for (const char *at = name; *at;) {
        int length = fm_utf8_length(at);
        if (length == 0 || fm_utf8_is_control(at))
            fm_text_append(out, "?");
        else
            fm_text_append_bytes(out, at, (size_t)length);
        at += length > 0 ? length : 1;
    }
}

static void tell_unreadable(const struct fm_folders *folders)
{
    uint32_t count = 0;
    char digits[32];
    for (uint32_t i = 0; i < folders->count; i++) {
        const struct fm_folder_picture *picture = &folders->pictures[i];
        struct fm_text line = {0};
        if (picture->part != FM_PART_NONE || ++count > ERRORS_SHOWN)
            continue;
        append_clean(&line, picture->path);
        fm_text_append(&line, ": left out: ");
        append_clean(&line, picture->error ? picture->error : "it cannot be read");
        fm_warn("%s", fm_text_cstr(&line));
        fm_text_free(&line);
    }
    if (count > ERRORS_SHOWN)
        fm_warn("%s more pictures are left out: they cannot be read",
            fm_group_digits(count - ERRORS_SHOWN, digits));
}

static void tell_duplicates(const struct fm_dataset *dataset, uint32_t duplicates)
{
    char some[32], all[32];
    if (duplicates == 0)
        return;
    fm_warn("%s of the %s test pictures have the same content as a training picture: accuracy on "
            "the test pictures tells less than it seems to",
        fm_group_digits(duplicates, some), fm_group_digits(dataset->test.count, all));
}

static void tell(
    const struct fm_folders *folders, const struct fm_dataset *dataset, uint32_t duplicates)
{
    char digits[32];
    fm_warn_passed_over(folders->directory, folders->passed_over);
    tell_unreadable(folders);
    tell_duplicates(dataset, duplicates);
    if (folders->held_out)
        fm_note("there is no folder test/: %s pictures, a tenth of each class, are held out to "
                "test on, the same ones each time",
            fm_group_digits(dataset->test.count, digits));
}

// ---- Putting the data set together

static void take_part(const struct fm_idx_files *files, int images, struct fm_samples *samples)
{
    *samples = (struct fm_samples){
        .count = (uint32_t)(files->sizes[images + 1] - FM_IDX_LABELS_HEADER),
        .record_size = FM_IMAGE_BYTES,
        .records = files->bytes[images] + FM_IDX_IMAGES_HEADER,
        .labels = files->bytes[images + 1] + FM_IDX_LABELS_HEADER,
    };
}

// The data set takes over what the files hold.
static enum fm_status take_files(
    const struct fm_folders *folders, struct fm_idx_files *files, struct fm_dataset *dataset)
{
    take_part(files, 0, &dataset->train);
    take_part(files, 2, &dataset->test);
    for (int i = 0; i < FM_FOLDER_FILES; i++) {
        dataset->files[i].crc32 = files->crc32[i];
        dataset->files[i].size = files->sizes[i];
        dataset->owned[i] = files->bytes[i];
        files->bytes[i] = NULL;
    }
    dataset->classes = folders->classes;
    for (int c = 0; c < folders->classes; c++) {
        dataset->class_names[c] = strdup(folders->names[c]);
        if (!dataset->class_names[c])
            return fm_fail_memory("a class name", strlen(folders->names[c]));
    }
    return FM_OK;
}

// The pictures' paths, which the data set takes over.
static enum fm_status take_names(
    struct fm_folders *folders, enum fm_part part, uint32_t count, char ***names)
{
    uint32_t taken = 0;
    *names = calloc(count, sizeof **names);
    if (!*names)
        return fm_fail_memory("the pictures' names", count * sizeof **names);
    for (uint32_t i = 0; i < folders->count && taken < count; i++) {
        if (folders->pictures[i].part != (char)part)
            continue;
        (*names)[taken++] = folders->pictures[i].path;
        folders->pictures[i].path = NULL;
    }
    return FM_OK;
}

// What is told of the data set is where the pictures are, not where they are kept.
static enum fm_status describe(struct fm_folders *folders, struct fm_dataset *dataset)
{
    snprintf(dataset->directory, sizeof dataset->directory, "%s", folders->directory);
    for (int i = 0; i < FM_FOLDER_FILES; i++)
        snprintf(dataset->files[i].path, sizeof dataset->files[i].path, "%s", folders->directory);
    dataset->pictures = true;
    dataset->test_held_out = folders->held_out;
    FM_TRY(take_names(folders, FM_PART_TRAIN, dataset->train.count, &dataset->train_names));
    return take_names(folders, FM_PART_TEST, dataset->test.count, &dataset->test_names);
}

// ---- Opening

static uint32_t count_passing(const struct fm_folders *folders)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < folders->count; i++)
        count += folders->pictures[i].may_pass;
    return count;
}

// Not without pictures that could not be opened or read: neither their size nor their time changes
// when they can be.
static enum fm_status keep(
    const char *cache, const struct fm_folders *folders, const struct fm_idx_files *files)
{
    enum fm_status status = FM_OK;
    uint32_t passing = count_passing(folders);
    char digits[32];
    if (passing > 0)
        fm_note("%s: the converted pictures are not kept, as %s of them could not be read, which "
                "may pass",
            folders->directory, fm_group_digits(passing, digits));
    else if (!cache[0])
        fm_note("%s: the converted pictures are not kept: neither $XDG_CACHE_HOME nor $HOME names "
                "a folder",
            folders->directory);
    else
        status = fm_folders_cache_write(cache, folders, files);
    if (status == FM_OK || status == FM_MEMORY)
        return status;
    fm_note("%s: the converted pictures are not kept, and will be converted again: %s",
        folders->directory, fm_error_message());
    fm_error_clear();
    return FM_OK;
}

static enum fm_status convert(
    const char *cache, struct fm_folders *folders, struct fm_dataset *dataset, uint32_t *duplicates)
{
    struct fm_idx_files files = {0};
    enum fm_status status = fm_folders_convert(folders, &files);
    *duplicates = files.duplicates;
    if (status == FM_OK)
        status = keep(cache, folders, &files);
    if (status == FM_OK)
        status = take_files(folders, &files, dataset);
    fm_idx_files_free(&files);
    return status;
}

static enum fm_status open_scanned(struct fm_folders *folders, struct fm_dataset *dataset)
{
    char cache[FM_PATH_MAX];
    uint32_t duplicates = 0;
    FM_TRY(fm_folders_cache_path(folders, cache));
    enum fm_status status = cache[0] ? fm_folders_cache_read(cache, folders, dataset, &duplicates)
                                     : FM_NOT_FOUND;
    if (status != FM_OK && status != FM_NOT_FOUND) {
        fm_note("%s: what was kept of its pictures is damaged, so they are converted again (%s)",
            folders->directory, fm_error_message());
        fm_dataset_close(dataset);
    }
    fm_error_clear();
    if (status != FM_OK)
        FM_TRY(convert(cache, folders, dataset, &duplicates));
    tell(folders, dataset, duplicates);
    return describe(folders, dataset);
}

enum fm_status fm_folders_open(const char *directory, struct fm_dataset *dataset)
{
    struct fm_folders folders = {0};
    enum fm_status status = fm_folders_scan(directory, &folders);
    if (status == FM_OK)
        status = open_scanned(&folders, dataset);
    fm_folders_free(&folders);
    return status;
}
