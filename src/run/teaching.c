// What a run was taught by, as JSON and back: config.json and result.json hold it in the same
// words.
#include "run/run.h"

#include "run/object.h"

#include <assert.h>
#include <string.h>

static const char *const teaching_keys[] = {"share", "teachers", NULL};
static const char *const teacher_keys[] = {"run", "model", "sha256", "source", NULL};

json_t *fm_teaching_to_json(const struct fm_teaching *teaching)
{
    if (teaching->count == 0)
        return json_null();
    json_t *teachers = json_array();
    for (int i = 0; i < teaching->count; i++) {
        const struct fm_run_teacher *teacher = &teaching->teachers[i];
        json_t *json = json_pack("{s:s, s:s, s:s, s:s}", "run", teacher->run, "model",
            teacher->model, "sha256", teacher->sha256, "source", teacher->source);
        if (json_array_append_new(teachers, json) != 0) {
            json_decref(teachers); // a path that is not UTF-8
            return NULL;
        }
    }
    return json_pack("{s:f, s:o}", "share", teaching->share, "teachers", teachers);
}

static enum fm_status get_teacher(const struct fm_object *object, struct fm_run_teacher *teacher)
{
    FM_TRY(fm_object_check_keys(object, teacher_keys));
    FM_TRY(fm_object_get_string(object, "run", teacher->run, sizeof teacher->run));
    FM_TRY(fm_object_get_string(object, "model", teacher->model, sizeof teacher->model));
    FM_TRY(fm_object_get_sha256(object, "sha256", teacher->sha256));
    return fm_object_get_string(object, "source", teacher->source, sizeof teacher->source);
}

static enum fm_status get_teaching(const struct fm_object *object, struct fm_teaching *teaching)
{
    static const char expected[] = "an array of 1 to 8 objects";
    static_assert(FM_TEACHERS_MAX == 8, "what is expected says so");
    const json_t *teachers = json_object_get(object->json, "teachers");
    size_t count = json_array_size(teachers);
    FM_TRY(fm_object_check_keys(object, teaching_keys));
    FM_TRY(fm_object_get_number(object, "share", 0, &teaching->share));
    if (teaching->share < FM_TEACHER_SHARE_MIN || teaching->share > 1)
        return fm_object_wrong(object, "share", "a number from 0.001 to 1");
    if (count < 1 || count > FM_TEACHERS_MAX)
        return fm_object_wrong(object, "teachers", expected);
    for (size_t i = 0; i < count; i++) {
        const struct fm_object teacher = {
            json_array_get(teachers, i), object->path, "teaching.teachers."};
        if (!json_is_object(teacher.json))
            return fm_object_wrong(object, "teachers", expected);
        FM_TRY(get_teacher(&teacher, &teaching->teachers[i]));
    }
    teaching->count = (int)count;
    return FM_OK;
}

enum fm_status fm_teaching_from_json(
    const json_t *json, const char *path, struct fm_teaching *teaching)
{
    struct fm_object object;
    memset(teaching, 0, sizeof *teaching);
    FM_TRY(fm_object_optional(json, path, "teaching", "teaching.", &object));
    return object.json ? get_teaching(&object, teaching) : FM_OK;
}

bool fm_teaching_same(const struct fm_teaching *a, const struct fm_teaching *b)
{
    if (a->count != b->count || a->share != b->share)
        return false;
    for (int i = 0; i < a->count; i++)
        if (strcmp(a->teachers[i].sha256, b->teachers[i].sha256) != 0)
            return false;
    return true;
}
