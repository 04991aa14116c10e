// All images of a source in memory, for whoever needs them together.
#include "data/pictures/source.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIRST_CAPACITY = 64
};

struct capacities {
    size_t good, failed;
};

// Makes room for one more in an array of elements of `size` bytes.
static enum fm_status grow(void **array, size_t capacity, size_t size)
{
    void *larger = realloc(*array, capacity * size);
    if (!larger)
        return fm_fail_memory("images", capacity * size);
    *array = larger;
    return FM_OK;
}

static enum fm_status grow_strings(char ***strings, size_t capacity)
{
    void *array = *strings;
    enum fm_status status = grow(&array, capacity, sizeof **strings);
    *strings = array;
    return status;
}

static enum fm_status copy_string(const char *from, char **to)
{
    *to = strdup(from);
    return *to ? FM_OK : fm_fail_memory(from, strlen(from));
}

static enum fm_status add_good(
    struct fm_pictures *p, const struct fm_source_item *item, size_t *capacity)
{
    if (p->count == UINT32_MAX)
        return fm_fail(FM_UNSUPPORTED, "more than 4,294,967,295 images at once");
    if (p->count == *capacity) {
        size_t more = *capacity ? 2 * *capacity : FIRST_CAPACITY;
        void *records = p->records;
        FM_TRY(grow_strings(&p->names, more));
        enum fm_status status = grow(&records, more, FM_IMAGE_BYTES);
        p->records = records;
        FM_TRY(status);
        *capacity = more;
    }
    FM_TRY(copy_string(item->name, &p->names[p->count]));
    memcpy(p->records + (size_t)p->count * FM_IMAGE_BYTES, item->record, FM_IMAGE_BYTES);
    p->count++;
    return FM_OK;
}

static enum fm_status add_failed(
    struct fm_pictures *p, const struct fm_source_item *item, size_t *capacity)
{
    if (p->failed == *capacity) {
        size_t more = *capacity ? 2 * *capacity : FIRST_CAPACITY;
        FM_TRY(grow_strings(&p->failed_names, more));
        FM_TRY(grow_strings(&p->errors, more));
        *capacity = more;
    }
    FM_TRY(copy_string(item->name, &p->failed_names[p->failed]));
    enum fm_status status = copy_string(item->error, &p->errors[p->failed]);
    if (status == FM_OK)
        p->failed++;
    else
        free(p->failed_names[p->failed]);
    return status;
}

static enum fm_status read_all(struct fm_source *source,
    enum fm_status (*progress)(void *context, uint32_t done, uint32_t total), void *context,
    struct fm_pictures *pictures)
{
    struct capacities room = {0};
    struct fm_source_item item;
    uint32_t total = fm_source_total(source), done = 0;
    pictures->passed_over = fm_source_passed_over(source);
    for (;;) {
        FM_TRY(fm_source_next(source, &item));
        if (!item.name)
            return FM_OK;
        FM_TRY(item.error ? add_failed(pictures, &item, &room.failed)
                          : add_good(pictures, &item, &room.good));
        done++;
        if (progress)
            FM_TRY(progress(context, done, total));
    }
}

enum fm_status fm_pictures_read(const struct fm_source_options *options,
    enum fm_status (*progress)(void *context, uint32_t done, uint32_t total), void *context,
    struct fm_pictures *pictures)
{
    struct fm_source *source;
    *pictures = (struct fm_pictures){0};
    FM_TRY(fm_source_open(options, &source));
    enum fm_status status = read_all(source, progress, context, pictures);
    fm_source_close(source);
    if (status != FM_OK)
        fm_pictures_free(pictures);
    return status;
}

void fm_pictures_free(struct fm_pictures *pictures)
{
    for (uint32_t i = 0; i < pictures->count; i++)
        free(pictures->names[i]);
    for (uint32_t i = 0; i < pictures->failed; i++) {
        free(pictures->failed_names[i]);
        free(pictures->errors[i]);
    }
    free(pictures->names);
    free(pictures->records);
    free(pictures->failed_names);
    free(pictures->errors);
    *pictures = (struct fm_pictures){0};
}
