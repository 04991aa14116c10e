// Images one after the other from whatever was named: see source.h.
#include "data/pictures/source.h"

#include "data/idx.h"
#include "data/pictures/picture_parts.h"
#include "data/pictures/source_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fm_source {
    enum fm_convert convert;
    struct fm_entries entries;
    size_t next;         // entry
    struct fm_idx idx;   // of that entry, while its images are handed out
    uint32_t next_image; // of `idx`
    struct fm_text name, error;
};

// ---- Opening

static enum fm_status check_input(const struct fm_source_options *options)
{
    int wanted = options->list && strcmp(options->list, "-") == 0;
    for (int i = 0; i < options->count; i++)
        wanted += strcmp(options->names[i], "-") == 0;
    if (wanted > 1)
        return fm_fail(
            FM_USAGE, "standard input ('-') can be read once, and is named %d times", wanted);
    if (options->count == 0 && !options->list)
        return fm_fail(FM_USAGE,
            "no images named: expected files, folders, '-' or a list of paths (--from FILE)");
    return FM_OK;
}

static enum fm_status look_up(const struct fm_source_options *options, struct fm_entries *entries)
{
    FM_TRY(check_input(options));
    for (int i = 0; i < options->count; i++)
        if (strcmp(options->names[i], "-") == 0)
            FM_TRY(fm_entries_add(entries, FM_ENTRY_INPUT, strdup("-"), NULL, 1));
        else
            FM_TRY(fm_entries_add_name(entries, options->names[i]));
    return options->list ? fm_entries_add_list(entries, options->list) : FM_OK;
}

enum fm_status fm_source_open(const struct fm_source_options *options, struct fm_source **source)
{
    *source = NULL;
    struct fm_source *s = calloc(1, sizeof *s);
    if (!s)
        return fm_fail_memory("a source of images", sizeof *s);
    s->convert = options->convert;
    enum fm_status status = look_up(options, &s->entries);
    if (status == FM_OK)
        *source = s;
    else
        fm_source_close(s);
    return status;
}

void fm_source_close(struct fm_source *source)
{
    if (!source)
        return;
    fm_entries_free(&source->entries);
    fm_idx_free(&source->idx);
    fm_text_free(&source->name);
    fm_text_free(&source->error);
    free(source);
}

// ---- Reading

static void set_text(struct fm_text *text, const char *string)
{
    fm_text_free(text);
    fm_text_append(text, "%s", string);
}

// The message without the name, which whoever prints it has put before it.
static void set_error(struct fm_source *source, const char *name, const char *message)
{
    size_t length = strlen(name);
    bool named = strncmp(message, name, length) == 0 && strncmp(message + length, ": ", 2) == 0;
    set_text(&source->error, named ? message + length + 2 : message);
}

static enum fm_status read_input(const char *name, struct fm_picture *picture)
{
    uint8_t *bytes;
    size_t size;
    FM_TRY(fm_picture_bytes_read(STDIN_FILENO, name, 0, &bytes, &size));
    enum fm_status status = fm_picture_decode(name, bytes, size, picture);
    free(bytes);
    return status;
}

static enum fm_status read_picture(
    const struct fm_entry *entry, enum fm_convert convert, uint8_t record[FM_IMAGE_BYTES])
{
    struct fm_picture picture = {0};
    bool from_input = entry->kind == FM_ENTRY_INPUT;
    FM_TRY(from_input ? read_input(entry->path, &picture) : fm_picture_read(entry->path, &picture));
    enum fm_status status = fm_picture_convert(entry->path, &picture, convert, record);
    fm_picture_free(&picture);
    return status;
}

// One image or none, and why.
static enum fm_status next_picture(
    struct fm_source *source, const struct fm_entry *entry, struct fm_source_item *item)
{
    bool broken = entry->kind == FM_ENTRY_BROKEN;
    enum fm_status status = FM_OK;
    set_text(&source->name, entry->path);
    fm_text_free(&source->error);
    if (!broken)
        status = read_picture(entry, source->convert, item->record);
    if (status == FM_MEMORY)
        return status;
    if (broken || status != FM_OK)
        set_error(source, entry->path, broken ? entry->error : fm_error_message());
    if (status != FM_OK)
        fm_error_clear();
    item->error = broken || status != FM_OK ? fm_text_cstr(&source->error) : NULL;
    source->next++;
    return FM_OK;
}

static enum fm_status open_idx(struct fm_source *source, const char *path)
{
    FM_TRY(fm_idx_read(path, FM_IDX_IMAGES, &source->idx));
    source->next_image = 0;
    if (source->idx.rows == FM_IMAGE_SIDE && source->idx.cols == FM_IMAGE_SIDE)
        return FM_OK;
    return fm_fail(FM_DATA, "%s: found images of %" PRIu32 "x%" PRIu32 ", expected %dx%d", path,
        source->idx.rows, source->idx.cols, FM_IMAGE_SIDE, FM_IMAGE_SIDE);
}

static enum fm_status next_of_idx(
    struct fm_source *source, const struct fm_entry *entry, struct fm_source_item *item)
{
    if (!source->idx.data)
        FM_TRY(open_idx(source, entry->path));
    fm_text_free(&source->name);
    fm_text_append(&source->name, "%s#%" PRIu32, entry->path, source->next_image);
    memcpy(item->record, source->idx.data + (size_t)source->next_image * FM_IMAGE_BYTES,
        FM_IMAGE_BYTES);
    if (++source->next_image == source->idx.count) {
        fm_idx_free(&source->idx);
        source->next++;
    }
    return FM_OK;
}

enum fm_status fm_source_next(struct fm_source *source, struct fm_source_item *item)
{
    item->name = item->error = NULL;
    if (source->next == source->entries.count)
        return FM_OK;
    const struct fm_entry *entry = &source->entries.all[source->next];
    FM_TRY(entry->kind == FM_ENTRY_IDX ? next_of_idx(source, entry, item)
                                       : next_picture(source, entry, item));
    if (source->name.failed || source->error.failed)
        return fm_fail(FM_MEMORY, "out of memory for an image's name");
    item->name = fm_text_cstr(&source->name);
    return FM_OK;
}

uint32_t fm_source_total(const struct fm_source *source)
{
    uint64_t total = 0;
    for (size_t i = 0; i < source->entries.count; i++)
        total += source->entries.all[i].images;
    return total <= UINT32_MAX ? (uint32_t)total : 0;
}

uint32_t fm_source_passed_over(const struct fm_source *source)
{
    return source->entries.passed_over;
}
