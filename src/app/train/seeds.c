// A group says all that its runs are before the first of them is made, so that it can go on
// wherever it was stopped.
#include "app/train/seeds.h"

#include "base/clock.h"
#include "run/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    GROUP_FORMAT = 1
};

// ---- Reading

static enum fm_status group_path(const char *directory, char path[FM_PATH_MAX])
{
    return fm_path_join(path, directory, FM_GROUP_FILE);
}

static bool is_group(const char *directory)
{
    char path[FM_PATH_MAX];
    if (group_path(directory, path) != FM_OK) {
        fm_error_clear();
        return false;
    }
    return fm_path_exists(path);
}

static enum fm_status add_directory(struct fm_seeds *seeds, const char *directory)
{
    seeds->directories[seeds->count] = strdup(directory);
    if (!seeds->directories[seeds->count])
        return fm_fail_memory("the runs' folders", strlen(directory) + 1);
    seeds->count++;
    return FM_OK;
}

static enum fm_status run_directory(const char *directory, uint64_t seed, char run[FM_PATH_MAX])
{
    char name[32];
    snprintf(name, sizeof name, "seed-%llu", (unsigned long long)seed);
    return fm_path_join(run, directory, name);
}

static enum fm_status add_runs(struct fm_seeds *seeds, int count)
{
    for (int i = 0; i < count; i++) {
        char run[FM_PATH_MAX];
        FM_TRY(run_directory(seeds->directory, seeds->config.seed + (uint64_t)i, run));
        FM_TRY(add_directory(seeds, run));
    }
    return FM_OK;
}

static enum fm_status read_group(struct fm_seeds *seeds)
{
    char path[FM_PATH_MAX];
    json_t *json;
    FM_TRY(group_path(seeds->directory, path));
    FM_TRY(fm_json_read_file(path, &json, NULL));
    json_int_t count = json_integer_value(json_object_get(json, "count"));
    enum fm_status status = FM_OK;
    if (json_integer_value(json_object_get(json, "format")) != GROUP_FORMAT || count < 1 ||
        count > FM_SEEDS_MAX)
        status = fm_fail(FM_DATA, "%s: expected \"format\" %d and \"count\" from 1 to %d", path,
            GROUP_FORMAT, FM_SEEDS_MAX);
    if (status == FM_OK)
        status = fm_run_config_from_json(json_object_get(json, "config"), path, &seeds->config);
    if (status == FM_OK)
        status = add_runs(seeds, (int)count);
    json_decref(json);
    return status;
}

// Without runs; freed with fm_seeds_free().
static enum fm_status open_seeds(const char *directory, struct fm_seeds *seeds)
{
    *seeds = (struct fm_seeds){.group = is_group(directory)};
    FM_TRY(fm_path_copy(seeds->directory, directory));
    seeds->directories = calloc(FM_SEEDS_MAX, sizeof *seeds->directories);
    return seeds->directories
               ? FM_OK
               : fm_fail_memory("the runs' folders", FM_SEEDS_MAX * sizeof *seeds->directories);
}

enum fm_status fm_seeds_read(const char *directory, struct fm_seeds *seeds)
{
    FM_TRY(open_seeds(directory, seeds));
    enum fm_status status = seeds->group ? read_group(seeds) : add_directory(seeds, directory);
    if (status != FM_OK)
        fm_seeds_free(seeds);
    return status;
}

void fm_seeds_free(struct fm_seeds *seeds)
{
    for (int i = 0; i < seeds->count; i++)
        free(seeds->directories[i]);
    free(seeds->directories);
    fm_run_config_free(&seeds->config);
    *seeds = (struct fm_seeds){0};
}

// ---- Replacing

// Every run of the group, so that nobody is at it; `locks` [count], -1 where there is no run.
static enum fm_status lock_all(const struct fm_seeds *seeds, int *locks)
{
    for (int i = 0; i < seeds->count; i++)
        locks[i] = -1;
    for (int i = 0; i < seeds->count; i++)
        if (fm_run_is_run(seeds->directories[i]))
            FM_TRY(fm_run_lock(seeds->directories[i], &locks[i]));
    return FM_OK;
}

// What makes it a group goes first: a removal that is cut short leaves no half of one.
static enum fm_status remove_locked(const struct fm_seeds *seeds)
{
    static const char *const files[] = {FM_SEEDS_SUMMARY, FM_GROUP_FILE};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[FM_PATH_MAX];
        FM_TRY(fm_path_join(path, seeds->directory, files[i]));
        unlink(path);
        if (fm_path_exists(path))
            return fm_fail(FM_IO, "%s: cannot remove", path);
    }
    for (int i = 0; i < seeds->count; i++)
        FM_TRY(fm_run_remove(seeds->directories[i]));
    return FM_OK;
}

// Locks all, acts (NULL: that they could be locked is all that is asked), and lets go.
static enum fm_status with_locks(
    const struct fm_seeds *seeds, enum fm_status (*act)(const struct fm_seeds *))
{
    int *locks = calloc((size_t)seeds->count, sizeof *locks);
    if (!locks)
        return fm_fail_memory("locks", (size_t)seeds->count * sizeof *locks);
    enum fm_status status = lock_all(seeds, locks);
    if (status == FM_OK && act)
        status = act(seeds);
    for (int i = 0; i < seeds->count; i++)
        fm_run_unlock(locks[i]);
    free(locks);
    return status;
}

static enum fm_status remove_group(const char *directory)
{
    struct fm_seeds seeds;
    FM_TRY(fm_seeds_read(directory, &seeds));
    enum fm_status status = with_locks(&seeds, remove_locked);
    fm_seeds_free(&seeds);
    return status;
}

// Removes the group that is there, and single runs in the folders of the new one's: a group that is
// stopped before it has made its own would take them for these.
static enum fm_status replace(const struct fm_job *job, int count, const char *directory)
{
    struct fm_seeds seeds;
    FM_TRY(open_seeds(directory, &seeds));
    seeds.config.seed = job->seed;
    enum fm_status status = add_runs(&seeds, count);
    if (status == FM_OK)
        status = with_locks(&seeds, NULL);
    if (status == FM_OK && seeds.group)
        status = remove_group(directory);
    if (status == FM_OK)
        status = with_locks(&seeds, remove_locked);
    fm_seeds_free(&seeds);
    return status;
}

// ---- Beginning

static enum fm_status make_runs(const struct fm_seeds *seeds, bool force)
{
    for (int i = 0; i < seeds->count; i++) {
        struct fm_run_config config = seeds->config;
        config.seed += (uint64_t)i;
        if (force || !fm_run_is_run(seeds->directories[i]))
            FM_TRY(fm_run_create(seeds->directories[i], &config, force));
    }
    return FM_OK;
}

enum fm_status fm_seeds_complete(const struct fm_seeds *seeds)
{
    return seeds->group ? make_runs(seeds, false) : FM_OK;
}

enum fm_status fm_seeds_check_run(const struct fm_seeds *seeds, int index)
{
    struct fm_run_config found, expected = seeds->config;
    if (!seeds->group)
        return FM_OK;
    expected.seed += (uint64_t)index;
    FM_TRY(fm_run_read_config(seeds->directories[index], &found));
    bool same = fm_run_config_begins_same(&found, &expected);
    fm_run_config_free(&found);
    if (same)
        return FM_OK;
    return fm_fail(FM_DATA,
        "%s holds another training than the group that it lies in, which %s/" FM_GROUP_FILE
        " describes: move it away and go on with --resume %s, which trains it anew",
        seeds->directories[index], seeds->directory, seeds->directory);
}

// Whether the folder is free for a group of these seeds, or made so.
static enum fm_status clear_way(const struct fm_job *job, int count, const char *directory)
{
    if (fm_run_is_run(directory))
        return fm_fail(FM_EXISTS,
            "%s: holds a single run (config.json); --out DIR takes another folder", directory);
    if (is_group(directory) && !job->force)
        return fm_fail(FM_EXISTS,
            "%s: holds a group of runs already; --force replaces it, --out DIR takes another "
            "folder",
            directory);
    if (job->force)
        return replace(job, count, directory);
    for (int i = 0; i < count; i++) {
        char run[FM_PATH_MAX];
        FM_TRY(run_directory(directory, job->seed + (uint64_t)i, run));
        if (fm_run_is_run(run))
            return fm_fail(FM_EXISTS,
                "%s: holds a run already (config.json); --force replaces it, --out DIR takes "
                "another folder",
                run);
    }
    return FM_OK;
}

static enum fm_status make_group(const struct fm_run_config *config, int count, json_t **group)
{
    *group = json_pack("{s:i, s:I, s:i, s:o}", "format", GROUP_FORMAT, "seed",
        (json_int_t)config->seed, "count", count, "config", fm_run_config_to_json(config));
    if (*group)
        return FM_OK;
    return fm_fail(FM_DATA,
        FM_GROUP_FILE ": not written: the path of the data, of the weights or of a teacher is not "
                      "UTF-8");
}

// Of several that want the folder one gets it: FM_EXISTS for the others.
static enum fm_status claim(const json_t *group, const char *directory)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_make_dirs(directory));
    FM_TRY(group_path(directory, path));
    return fm_json_create_file(path, group);
}

static enum fm_status claim_stamped(
    const struct fm_job *job, const json_t *group, char directory[FM_PATH_MAX])
{
    char stamp[32];
    fm_clock_stamp(stamp);
    enum fm_status status = FM_EXISTS;
    for (int i = 1; i <= FM_JOB_NAMES_TRIED && status == FM_EXISTS; i++) {
        fm_error_clear();
        FM_TRY(fm_job_name_folder(job, stamp, i, directory));
        if (!fm_path_exists(directory))
            status = claim(group, directory);
    }
    return status;
}

static enum fm_status claim_named(
    const struct fm_job *job, const json_t *group, int count, char directory[FM_PATH_MAX])
{
    FM_TRY(fm_path_copy(directory, job->directory));
    FM_TRY(clear_way(job, count, directory));
    return claim(group, directory);
}

static enum fm_status begin(const struct fm_job *job, const struct fm_run_config *config, int count,
    char directory[FM_PATH_MAX])
{
    json_t *group;
    struct fm_seeds seeds;
    FM_TRY(make_group(config, count, &group));
    enum fm_status status = job->directory ? claim_named(job, group, count, directory)
                                           : claim_stamped(job, group, directory);
    json_decref(group);
    FM_TRY(status);
    FM_TRY(fm_seeds_read(directory, &seeds));
    status = make_runs(&seeds, job->force);
    fm_seeds_free(&seeds);
    return status;
}

enum fm_status fm_seeds_begin(const struct fm_engine *engine, const struct fm_job *job, int count,
    char directory[FM_PATH_MAX])
{
    struct fm_run_config config;
    FM_TRY(fm_recipe_check(&job->recipe));
    FM_TRY(fm_job_config(engine, NULL, NULL, job, &config));
    enum fm_status status = begin(job, &config, count, directory);
    fm_run_config_free(&config);
    return status;
}

void fm_seeds_discard(const struct fm_seeds *seeds)
{
    char path[FM_PATH_MAX];
    bool left = false;
    for (int i = 0; i < seeds->count; i++) {
        fm_run_discard(seeds->directories[i]);
        left = left || fm_path_exists(seeds->directories[i]);
    }
    if (!seeds->group || left || group_path(seeds->directory, path) != FM_OK)
        return;
    unlink(path);
    rmdir(seeds->directory);
}
