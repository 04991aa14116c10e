// The two logs of a run: lines of JSON that are only ever appended, and cut back to a checkpoint
// when a run goes on from one.
#include "run/run.h"

#include "run/json.h"

#include <stdlib.h>
#include <string.h>

enum fm_status fm_run_log(const char *directory, const char *name, const json_t *line)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, directory, name));
    struct fm_text text = {0};
    fm_json_dump(line, JSON_COMPACT, &text);
    fm_text_append(&text, "\n");
    enum fm_status status = text.failed ? fm_fail(FM_MEMORY, "%s: out of memory", path)
                                        : fm_file_append(path, fm_text_cstr(&text));
    fm_text_free(&text);
    return status;
}

// Where a checkpoint stands.
struct position {
    uint64_t step;
    int epoch;
};

static enum fm_status parse_line(
    const char *path, int number, const char *text, size_t length, json_t **line)
{
    *line = json_loadb(text, length, 0, NULL);
    if (json_is_integer(json_object_get(*line, "step")) &&
        json_is_integer(json_object_get(*line, "epoch")))
        return FM_OK;
    json_decref(*line);
    return fm_fail(FM_DATA,
        "%s:%d: found '%.*s', expected an object with the integers \"step\" and \"epoch\"", path,
        number, (int)(length < 40 ? length : 40), text);
}

static bool is_after(const json_t *line, const struct position *position)
{
    return (uint64_t)json_integer_value(json_object_get(line, "step")) > position->step ||
           json_integer_value(json_object_get(line, "epoch")) > position->epoch;
}

// The bytes of `text` that stay; a last line without its end does not count as one.
static enum fm_status find_end(const char *path, const char *text, const struct position *position,
    size_t *kept, json_t **last)
{
    int number = 1;
    *kept = 0;
    for (const char *at = text, *end; (end = strchr(at, '\n')); at = end + 1, number++) {
        json_t *line;
        FM_TRY(parse_line(path, number, at, (size_t)(end - at), &line));
        if (is_after(line, position)) {
            json_decref(line);
            return FM_OK;
        }
        json_decref(*last);
        *last = line;
        *kept = (size_t)(end + 1 - text);
    }
    return FM_OK;
}

enum fm_status fm_run_cut_log(
    const char *directory, const char *name, uint64_t step, int epoch, json_t **last)
{
    char path[FM_PATH_MAX];
    unsigned char *text;
    size_t size, kept = 0;
    json_t *line = NULL;
    if (last)
        *last = NULL;
    FM_TRY(fm_path_join(path, directory, name));
    if (!fm_path_exists(path))
        return FM_OK;
    FM_TRY(fm_file_read(path, &text, &size));
    const struct position position = {step, epoch};
    enum fm_status status = find_end(path, (const char *)text, &position, &kept, &line);
    if (status == FM_OK && kept < size)
        status = fm_file_write(path, text, kept);
    free(text);
    if (status == FM_OK && last)
        *last = json_incref(line);
    json_decref(line);
    return status;
}
