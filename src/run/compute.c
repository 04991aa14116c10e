// A run that goes on elsewhere goes on, but says so.
#include "run/compute.h"

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "base/version.h"
#include "run/json.h"

#include <stdlib.h>
#include <string.h>

enum {
    COMPUTE_FORMAT = 1
};

static void add_plan(void *context, const char *line)
{
    json_array_append_new(context, json_string(line));
}

json_t *fm_compute_describe(
    const struct fm_engine *engine, struct fm_executor *const *executors, int count)
{
    json_t *plans = json_array();
    for (int i = 0; i < count; i++)
        engine->api->executor_plans(executors[i], add_plan, plans);
    const struct fm_device_info *info = &engine->info;
    return json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:b, s:b, s:s, s:o}", "format",
        COMPUTE_FORMAT, "version", FM_VERSION, "build", FM_BUILD_TYPE, "compiler", FM_COMPILER,
        "backend", engine->api->name, "device", info->name, "details", info->details, "threads",
        info->threads, "tf32", engine->options.tf32, "nondeterministic",
        engine->options.nondeterministic, "libraries", info->libraries, "plans", plans);
}

// "device was "A", is "B"" for a member that differs.
static void compare_member(
    const char *key, const json_t *before, const json_t *now, struct fm_text *text)
{
    if (json_equal(before, now) || (!before && json_is_false(now)))
        return; // an earlier version did not know what has not been asked for
    if (json_is_array(now)) {
        fm_text_append(text, "%sother %s were chosen", text->length ? "; " : "", key);
        return;
    }
    char *was = before ? json_dumps(before, JSON_ENCODE_ANY) : NULL;
    char *is = json_dumps(now, JSON_ENCODE_ANY);
    fm_text_append(text, "%s%s was %s, is %s", text->length ? "; " : "", key,
        was ? was : "not told", is ? is : "?");
    free(was);
    free(is);
}

static bool is_another_backend(const json_t *before, const json_t *now)
{
    const json_t *was = json_object_get(before, "backend"), *is = json_object_get(now, "backend");
    return was && is && !json_equal(was, is);
}

static void compare(const json_t *before, const json_t *now, struct fm_text *text)
{
    const char *key;
    json_t *value;
    // All else follows from these two.
    static const char *const of_another[] = {"backend", "device"};
    for (int i = 0; is_another_backend(before, now) && i < 2; i++)
        compare_member(of_another[i], json_object_get(before, of_another[i]),
            json_object_get(now, of_another[i]), text);
    if (text->length > 0)
        return;
    json_object_foreach((json_t *)now, key, value)
        compare_member(key, json_object_get(before, key), value, text);
}

// `now` with the list of changes that `before` has, and one more.
static json_t *changed(const json_t *before, const json_t *now, const char *difference)
{
    json_t *json = json_copy((json_t *)now);
    json_t *changes = json_object_get(before, "changed");
    changes = json_is_array(changes) ? json_copy(changes) : json_array();
    json_array_append_new(changes, json_string(difference));
    json_object_set_new(json, "changed", changes);
    return json;
}

static enum fm_status accept_change(
    const char *path, const json_t *before, const json_t *now, const char *difference, bool strict)
{
    const char *ends = is_another_backend(before, now) ? "will end" : "may end";
    if (strict)
        return fm_fail(FM_UNSUPPORTED,
            "%s: what computes has changed: %s; without --strict the run goes on, but %s in other "
            "bits",
            path, difference, ends);
    fm_warn("what computes has changed since the run began: %s; it goes on, but %s in other bits "
            "than an unbroken one",
        difference, ends);
    json_t *json = changed(before, now, difference);
    enum fm_status status = fm_json_write_file(path, json);
    json_decref(json);
    return status;
}

enum fm_status fm_compute_record(
    const char *directory, const json_t *compute, bool resumed, bool strict)
{
    char path[FM_PATH_MAX];
    json_t *before;
    FM_TRY(fm_path_join(path, directory, FM_COMPUTE_FILE));
    if (!compute)
        return fm_fail(FM_MEMORY, "%s: out of memory", path);
    bool missing = !fm_path_exists(path);
    if (missing && resumed && strict)
        return fm_fail(
            FM_UNSUPPORTED, "%s: is missing: nothing says what the run began with", path);
    if (missing && resumed)
        fm_warn("%s is missing: nothing says whether what computes has changed", path);
    if (missing)
        return fm_json_write_file(path, compute);
    FM_TRY(fm_json_read_file(path, &before, NULL));
    struct fm_text text = {0};
    compare(before, compute, &text);
    enum fm_status status = FM_OK;
    if (text.length > 0)
        status = accept_change(path, before, compute, fm_text_cstr(&text), strict);
    fm_text_free(&text);
    json_decref(before);
    return status;
}
