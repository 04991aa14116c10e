// Finding runs by what they are, not by their folders' names: which finished run answers a
// question, and which unfinished one is to be gone on with.
#include "run/run.h"

#include "run/json.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

// What a run must be to be found.
struct wanted_run {
    const struct fm_run_config *config;
    bool finished;
    const char *dated_by; // the file whose time says which of several is the newest
    bool (*accepts)(const json_t *result, const void *context); // of a finished one
    const void *context;
};

// Called for a finished run: a newer one that does not do must not hide an older one that does.
static bool result_does(const char *directory, const struct wanted_run *wanted)
{
    json_t *result;
    if (fm_run_read_result(directory, &result) != FM_OK) {
        fm_error_clear();
        return false;
    }
    const char *backend = fm_json_string(result, "backend"); // that it ended on
    bool moved = backend[0] && strcmp(backend, wanted->config->backend) != 0;
    bool does = !moved && (!wanted->accepts || wanted->accepts(result, wanted->context));
    json_decref(result);
    return does;
}

// Nobody is training in it.
static bool is_idle(const char *directory)
{
    int lock;
    if (fm_run_lock(directory, &lock) != FM_OK) {
        fm_error_clear();
        return false;
    }
    fm_run_unlock(lock);
    return true;
}

// True for a run that is wanted. Folders that cannot be read as one are none of ours to complain
// about.
static bool matches(const char *directory, const struct wanted_run *wanted)
{
    if (!fm_path_is_dir(directory) || !fm_run_is_run(directory) ||
        fm_run_is_finished(directory) != wanted->finished)
        return false;
    struct fm_run_config other;
    if (fm_run_read_config(directory, &other) != FM_OK) {
        fm_error_clear();
        return false;
    }
    bool same = fm_run_config_same(wanted->config, &other);
    fm_run_config_free(&other);
    return same && (wanted->finished ? result_does(directory, wanted) : is_idle(directory));
}

// By the time of the file `name`; equal times are told apart by the folders' names, so that the
// answer never depends on the order of the directory.
static bool newer(const char *a, const char *b, const char *name)
{
    char path_a[FM_PATH_MAX], path_b[FM_PATH_MAX];
    struct stat stat_a, stat_b;
    if (fm_path_join(path_a, a, name) != FM_OK || fm_path_join(path_b, b, name) != FM_OK ||
        stat(path_a, &stat_a) != 0 || stat(path_b, &stat_b) != 0) {
        fm_error_clear();
        return false;
    }
    if (stat_a.st_mtim.tv_sec != stat_b.st_mtim.tv_sec)
        return stat_a.st_mtim.tv_sec > stat_b.st_mtim.tv_sec;
    if (stat_a.st_mtim.tv_nsec != stat_b.st_mtim.tv_nsec)
        return stat_a.st_mtim.tv_nsec > stat_b.st_mtim.tv_nsec;
    return strcmp(a, b) > 0;
}

static enum fm_status find(const char *root, const struct wanted_run *wanted, char out[FM_PATH_MAX])
{
    DIR *dir = opendir(root);
    if (!dir)
        return FM_NOT_FOUND;
    enum fm_status status = FM_NOT_FOUND;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[FM_PATH_MAX];
        if (entry->d_name[0] == '.')
            continue;
        if (fm_path_join(path, root, entry->d_name) != FM_OK) {
            fm_error_clear();
            continue;
        }
        if (matches(path, wanted) && (status != FM_OK || newer(path, out, wanted->dated_by))) {
            memcpy(out, path, strlen(path) + 1);
            status = FM_OK;
        }
    }
    closedir(dir);
    return status;
}

enum fm_status fm_run_find(const char *root, const struct fm_run_config *config,
    bool (*accepts)(const json_t *result, const void *context), const void *context,
    char out[FM_PATH_MAX])
{
    const struct wanted_run wanted = {config, true, "result.json", accepts, context};
    return find(root, &wanted, out);
}

enum fm_status fm_run_find_unfinished(
    const char *root, const struct fm_run_config *config, char out[FM_PATH_MAX])
{
    const struct wanted_run wanted = {config, false, "config.json", NULL, NULL};
    return find(root, &wanted, out);
}
