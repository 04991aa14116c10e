// The file of chosen plans. It may have been cut short by a full disk, edited, copied from another
// machine or written by another version, and several processes may use it at once: so it is checked
// entry by entry, written whole, and merged with what lies there just before.
#include "backend/cuda/plan_cache.h"

#include "base/file.h"
#include "base/log.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define FORMAT "fmnist cuDNN plans"

enum {
    FORMAT_VERSION = 1,
    NAME_MAX_BYTES = 256
};

struct fm_cuda_plan_cache {
    char folder[FM_PATH_MAX], path[FM_PATH_MAX];
    json_t *header; // what the file must begin with, but "plans"
    json_t *known;  // key to entry: read, or written
    json_t *fresh;  // put since the last save
    bool damage_noted, write_noted;
};

// Notes come from code that must not disturb the thread's record of a failure: where the cache is
// saved while a run ends in an error, that error is what the user must read.
static char *set_record_aside(void)
{
    return fm_error_take();
}

static void put_record_back(char *record)
{
    fm_error_clear();
    fm_error_put(record);
}

// "nvidia-h100-80gb-hbm3-sm90-cudnn91900-driver13000.json"
static void file_name(const struct fm_cuda_plan_owner *owner, char name[NAME_MAX_BYTES])
{
    char slug[128];
    size_t length = 0;
    for (const char *at = owner->device; *at && length + 1 < sizeof slug; at++) {
        bool plain = isalnum((unsigned char)*at);
        if (plain || (length > 0 && slug[length - 1] != '-'))
            slug[length++] = plain ? (char)tolower((unsigned char)*at) : '-';
    }
    slug[length] = '\0';
    snprintf(name, NAME_MAX_BYTES, "%s-sm%d%d-cudnn%lld-driver%lld.json", slug, owner->major,
        owner->minor, owner->cudnn, owner->driver);
}

static json_t *header_of(const struct fm_cuda_plan_owner *owner)
{
    char capability[32];
    snprintf(capability, sizeof capability, "%d.%d", owner->major, owner->minor);
    return json_pack("{s:s, s:i, s:s, s:s, s:I, s:I}", "format", FORMAT, "version", FORMAT_VERSION,
        "device", owner->device, "capability", capability, "cudnn", (json_int_t)owner->cudnn,
        "driver", (json_int_t)owner->driver);
}

static void note_damage(struct fm_cuda_plan_cache *cache, const char *reason)
{
    if (!cache->damage_noted)
        fm_note("%s: %s; the plans that it should hold are chosen again", cache->path, reason);
    cache->damage_noted = true;
}

// ---- reading

// The first member of the header that the file does not have as it should; NULL if all are there.
static const char *foreign_member(json_t *header, const json_t *root)
{
    const char *key;
    json_t *expected;
    json_object_foreach(header, key, expected)
    {
        if (!json_equal(expected, json_object_get(root, key)))
            return key;
    }
    return NULL;
}

static void describe_value(const json_t *value, char *text, size_t size)
{
    if (json_is_string(value))
        snprintf(text, size, "'%.60s'", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(text, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else
        snprintf(text, size, "%s", value ? "something else" : "nothing");
}

// The file's plans; NULL with `reason` where it has none that can be used, "" where there is no
// file.
static json_t *read_plans(const struct fm_cuda_plan_cache *cache, char *reason, size_t size)
{
    unsigned char *data = NULL;
    size_t bytes = 0;
    reason[0] = '\0';
    if (!fm_path_exists(cache->path))
        return NULL;
    if (fm_file_read(cache->path, &data, &bytes) != FM_OK) {
        snprintf(reason, size, "it cannot be read (%s)", fm_error_message());
        fm_error_clear();
        return NULL;
    }
    json_error_t error;
    json_t *root = json_loadb((const char *)data, bytes, JSON_ALLOW_NUL, &error);
    free(data);
    const char *foreign = root ? foreign_member(cache->header, root) : NULL;
    json_t *plans = root && !foreign ? json_object_get(root, "plans") : NULL;
    if (!root) {
        snprintf(reason, size, "line %d: not valid JSON (%s)", error.line, error.text);
    } else if (foreign) {
        char found[80], expected[80];
        describe_value(json_object_get(root, foreign), found, sizeof found);
        describe_value(json_object_get(cache->header, foreign), expected, sizeof expected);
        snprintf(reason, size, "\"%s\" is %s, expected %s", foreign, found, expected);
    } else if (!json_is_object(plans)) {
        snprintf(reason, size, "it has no object \"plans\"");
    }
    json_t *kept = json_is_object(plans) ? json_incref(plans) : NULL;
    json_decref(root);
    return kept;
}

enum fm_status fm_cuda_plan_cache_open(
    const char *folder, const struct fm_cuda_plan_owner *owner, struct fm_cuda_plan_cache **cache)
{
    enum fm_status status = FM_OK;
    char name[NAME_MAX_BYTES], reason[512];
    *cache = NULL;
    if (!folder)
        return FM_OK;
    struct fm_cuda_plan_cache *made = calloc(1, sizeof *made);
    if (!made)
        return fm_fail_memory("the cache of plans", sizeof *made);
    file_name(owner, name);
    FM_TRY_GOTO(status, fm_path_copy(made->folder, folder), out);
    FM_TRY_GOTO(status, fm_path_join(made->path, folder, name), out);
    made->header = header_of(owner);
    made->fresh = json_object();
    if (!made->header || !made->fresh) {
        status = fm_fail(FM_MEMORY, "out of memory for the cache of plans of '%s'", owner->device);
        goto out;
    }
    made->known = read_plans(made, reason, sizeof reason);
    if (reason[0])
        note_damage(made, reason);
    *cache = made;
    made = NULL;
out:
    fm_cuda_plan_cache_close(made);
    return status;
}

void fm_cuda_plan_cache_close(struct fm_cuda_plan_cache *cache)
{
    if (!cache)
        return;
    json_decref(cache->fresh);
    json_decref(cache->known);
    json_decref(cache->header);
    free(cache);
}

// ---- entries

// Of all that a changed bit could make wrong without making it unreadable.
static uint32_t checksum(const char *key, const struct fm_cuda_kept_plan *kept)
{
    unsigned char numbers[sizeof kept->workspace + sizeof kept->seconds];
    memcpy(numbers, &kept->workspace, sizeof kept->workspace);
    memcpy(numbers + sizeof kept->workspace, &kept->seconds, sizeof kept->seconds);
    uLong crc = crc32_z(0, (const unsigned char *)key, strlen(key) + 1);
    crc = crc32_z(crc, (const unsigned char *)kept->name, strlen(kept->name) + 1);
    crc = crc32_z(crc, numbers, sizeof numbers);
    return (uint32_t)crc32_z(crc, (const unsigned char *)kept->plan, kept->size);
}

bool fm_cuda_plan_cache_find(
    struct fm_cuda_plan_cache *cache, const char *key, struct fm_cuda_kept_plan *kept)
{
    json_t *entry = cache ? json_object_get(cache->fresh, key) : NULL;
    if (cache && !entry)
        entry = json_object_get(cache->known, key);
    if (!entry)
        return false;
    json_int_t workspace = 0, crc = 0;
    if (json_unpack(entry, "{s:s, s:I, s:F, s:s%, s:I}", "name", &kept->name, "workspace",
            &workspace, "seconds", &kept->seconds, "plan", &kept->plan, &kept->size, "crc32",
            &crc)) {
        fm_cuda_plan_cache_refuse(cache, key, "a member is missing or of the wrong type");
        return false;
    }
    kept->workspace = workspace;
    if (crc != (json_int_t)checksum(key, kept)) {
        fm_cuda_plan_cache_refuse(cache, key, "its checksum is wrong");
        return false;
    }
    return true;
}

void fm_cuda_plan_cache_refuse(
    struct fm_cuda_plan_cache *cache, const char *key, const char *reason)
{
    char text[768];
    if (!cache)
        return;
    snprintf(text, sizeof text, "the entry '%s' cannot be used (%s)", key, reason);
    note_damage(cache, text);
}

void fm_cuda_plan_cache_put(
    struct fm_cuda_plan_cache *cache, const char *key, const struct fm_cuda_kept_plan *kept)
{
    if (!cache)
        return;
    // Where memory is short, or the text is no UTF-8, the entry is left out: it is made again.
    json_t *entry = json_pack("{s:s, s:I, s:f, s:s%, s:I}", "name", kept->name, "workspace",
        (json_int_t)kept->workspace, "seconds", kept->seconds, "plan", kept->plan, kept->size,
        "crc32", (json_int_t)checksum(key, kept));
    if (entry)
        json_object_set_new(cache->fresh, key, entry);
}

// ---- writing

// The file's text: what lies there now, and what is fresh in its place. NULL: no memory.
static char *merged_text(struct fm_cuda_plan_cache *cache)
{
    char reason[512]; // of damage that has been noted, or is overwritten
    char *text = NULL;
    json_t *plans = read_plans(cache, reason, sizeof reason);
    json_t *root = json_copy(cache->header);
    if (!plans)
        plans = json_object();
    if (json_object_update(plans, cache->fresh) == 0 && json_object_set(root, "plans", plans) == 0)
        text = json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    json_decref(plans);
    return text;
}

static enum fm_status write_merged(struct fm_cuda_plan_cache *cache)
{
    FM_TRY(fm_make_dirs(cache->folder));
    char *text = merged_text(cache);
    if (!text)
        return fm_fail(FM_MEMORY, "%s: out of memory", cache->path);
    enum fm_status status = fm_file_write(cache->path, text, strlen(text));
    free(text);
    return status;
}

bool fm_cuda_plan_cache_save(struct fm_cuda_plan_cache *cache)
{
    if (!cache || json_object_size(cache->fresh) == 0)
        return cache != NULL;
    char *record = set_record_aside();
    bool written = write_merged(cache) == FM_OK;
    if (written) {
        if (!cache->known)
            cache->known = json_object();
        json_object_update(cache->known, cache->fresh);
        json_object_clear(cache->fresh);
    } else if (!cache->write_noted) {
        fm_note("%s; the next start chooses its plans again", fm_error_message());
        cache->write_noted = true;
    }
    put_record_back(record);
    return written;
}
