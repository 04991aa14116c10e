// The manifest of a cache of pictures: lines; of what comes from outside, a newline is written as
// \n.
#include "data/folders/folders_parts.h"
#include "data/pictures/picture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    // Raised with every change in data/pictures or data/folders by which the same pictures become
    // other records, or the same listing another data set.
    CONVERSION = 4
};

const char *const fm_idx_file_names[FM_FOLDER_FILES] = {"train-images-idx3-ubyte",
    "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

// ---- Writing

static void append_line(struct fm_text *out, const char *string)
{
    for (size_t length; *string; string += length) {
        length = strcspn(string, "\n\\");
        fm_text_append_bytes(out, string, length);
        if (string[length])
            fm_text_append(out, string[length] == '\n' ? "\\n" : "\\\\");
        length += string[length] != '\0';
    }
    fm_text_append(out, "\n");
}

void fm_manifest_append_listing(struct fm_text *out, const struct fm_folders *folders)
{
    struct fm_library libraries[FM_PICTURE_LIBRARIES];
    char absolute[FM_PATH_MAX];
    fm_path_absolute(absolute, folders->directory);
    fm_text_append(out, "fmnist pictures %d\n", CONVERSION);
    fm_picture_libraries(libraries);
    for (int i = 0; i < FM_PICTURE_LIBRARIES; i++)
        if (!libraries[i].compiled)
            fm_text_append(out, "without %s\n", libraries[i].name);
    fm_text_append(out, "directory ");
    append_line(out, absolute);
    for (int c = 0; c < folders->classes; c++)
        fm_text_append(out, "class %s\n", folders->names[c]);
    for (uint32_t i = 0; i < folders->count; i++) {
        const struct fm_folder_picture *p = &folders->pictures[i];
        fm_text_append(out, "picture %" PRIu64 " %" PRId64 ".%09" PRId64 " ", p->size, p->seconds,
            p->nanoseconds);
        append_line(out, p->path);
    }
}

// The part that tells what has become of the pictures.
static void append_outcome(
    struct fm_text *out, const struct fm_folders *folders, const struct fm_idx_files *files)
{
    fm_text_append(out, "duplicates %" PRIu32 "\n", files->duplicates);
    for (int i = 0; i < FM_FOLDER_FILES; i++)
        fm_text_append(out, "file %s %08" PRIx32 " %zu\n", fm_idx_file_names[i], files->crc32[i],
            files->sizes[i]);
    fm_text_append(out, "parts ");
    for (uint32_t i = 0; i < folders->count; i++)
        fm_text_append_bytes(out, &folders->pictures[i].part, 1);
    fm_text_append(out, "\n");
    for (uint32_t i = 0; i < folders->count; i++) {
        if (folders->pictures[i].part != FM_PART_NONE)
            continue;
        fm_text_append(out, "error ");
        append_line(out, folders->pictures[i].error ? folders->pictures[i].error : "");
    }
}

static uint32_t checksum(const char *text, size_t length)
{
    return (uint32_t)crc32_z(0, (const unsigned char *)text, length);
}

void fm_manifest_append(
    struct fm_text *out, const struct fm_folders *folders, const struct fm_idx_files *files)
{
    fm_manifest_append_listing(out, folders);
    append_outcome(out, folders, files);
    uint32_t end = checksum(fm_text_cstr(out), out->length);
    fm_text_append(out, "end %08" PRIx32 "\n", end);
}

// ---- Reading

struct reader {
    const char *path, *at;
};

static enum fm_status fail_at(const struct reader *r, const char *expected)
{
    return fm_fail(FM_DATA, "%s: found '%.20s', expected '%s'", r->path, r->at, expected);
}

// The rest of the line that begins with `word`; freed by the caller.
static enum fm_status read_line(struct reader *r, const char *word, char **line)
{
    size_t length = strlen(word), kept = 0;
    const char *end = strchr(r->at, '\n');
    if (!end || strncmp(r->at, word, length) != 0)
        return fail_at(r, word);
    char *out = *line = malloc((size_t)(end - r->at) + 1);
    if (!out)
        return fm_fail_memory(r->path, (size_t)(end - r->at));
    for (const char *at = r->at + length; at < end; at++) {
        bool escaped = *at == '\\' && at + 1 < end;
        at += escaped;
        out[kept++] = (char)(escaped && *at == 'n' ? '\n' : *at);
    }
    out[kept] = '\0';
    r->at = end + 1;
    return FM_OK;
}

static enum fm_status read_parts(struct reader *r, struct fm_folders *folders)
{
    char *parts;
    FM_TRY(read_line(r, "parts ", &parts));
    bool fits = strlen(parts) == folders->count && strspn(parts, "aex") == folders->count;
    for (uint32_t i = 0; i < folders->count && fits; i++)
        folders->pictures[i].part = parts[i];
    free(parts);
    if (!fits)
        return fm_fail(FM_DATA, "%s: expected a part for each picture", r->path);
    for (uint32_t i = 0; i < folders->count; i++) {
        struct fm_folder_picture *picture = &folders->pictures[i];
        if (picture->part != FM_PART_NONE)
            continue;
        free(picture->error);
        picture->error = NULL;
        FM_TRY(read_line(r, "error ", &picture->error));
    }
    return FM_OK;
}

// The files are those that were written: their checksums were taken while they were read.
static enum fm_status check_files(struct reader *r, const struct fm_dataset *dataset)
{
    for (int i = 0; i < FM_FOLDER_FILES; i++) {
        struct fm_text expected = {0};
        char *found = NULL;
        fm_text_append(&expected, "%s %08" PRIx32 " %" PRIu64, fm_idx_file_names[i],
            dataset->files[i].crc32, dataset->files[i].size);
        enum fm_status status = read_line(r, "file ", &found);
        if (status == FM_OK && strcmp(found, fm_text_cstr(&expected)) != 0)
            status = fm_fail(FM_DATA, "%s: found the checksum and size of %s, expected %s", r->path,
                fm_text_cstr(&expected), found);
        free(found);
        fm_text_free(&expected);
        FM_TRY(status);
    }
    return FM_OK;
}

static enum fm_status check_end(const char *path, const char *text, size_t size)
{
    char expected[32];
    const char *last = text + size;
    while (last > text && (last == text + size || last[-1] != '\n'))
        last--;
    snprintf(
        expected, sizeof expected, "end %08" PRIx32 "\n", checksum(text, (size_t)(last - text)));
    if (strlen(text) == size && strcmp(last, expected) == 0)
        return FM_OK;
    return fm_fail(FM_DATA, "%s: its checksum does not fit", path);
}

static enum fm_status check_classes(
    const char *cache, const struct fm_folders *folders, const struct fm_dataset *dataset)
{
    if (dataset->classes != folders->classes)
        return fm_fail(FM_DATA, "%s: found %d classes, expected %d", cache, dataset->classes,
            folders->classes);
    for (int c = 0; c < folders->classes; c++)
        if (strcmp(dataset->class_names[c], folders->names[c]) != 0)
            return fm_fail(FM_DATA, "%s: found the class '%s', expected '%s'", cache,
                dataset->class_names[c], folders->names[c]);
    return FM_OK;
}

static enum fm_status read_duplicates(struct reader *r, uint32_t *duplicates)
{
    char *count;
    int64_t number = 0;
    FM_TRY(read_line(r, "duplicates ", &count));
    enum fm_status status = fm_parse_int(r->path, count, 0, UINT32_MAX, &number);
    free(count);
    *duplicates = (uint32_t)number;
    return status;
}

enum fm_status fm_manifest_read(const char *path, const char *cache, const char *text, size_t size,
    struct fm_folders *folders, struct fm_dataset *dataset, uint32_t *duplicates)
{
    struct fm_text listing = {0};
    FM_TRY(check_end(path, text, size));
    fm_manifest_append_listing(&listing, folders);
    bool same = !listing.failed && strncmp(text, listing.data, listing.length) == 0;
    struct reader r = {path, text + listing.length};
    fm_text_free(&listing);
    if (!same) // two states of the folder with the same hash
        return fm_fail(FM_DATA, "%s: is of other pictures", path);
    FM_TRY(read_duplicates(&r, duplicates));
    FM_TRY(fm_dataset_open(cache, dataset));
    FM_TRY(check_classes(cache, folders, dataset));
    FM_TRY(check_files(&r, dataset));
    return read_parts(&r, folders); // last: a damaged cache must leave the pictures as they were
}
