// The run folder: made once, filled by one training, found again by the commands that report.
#include "run/run.h"

#include "run/checkpoint.h"
#include "run/compute.h"
#include "run/events.h"
#include "run/json.h"
#include "run/weights.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

// All files that a run or its evaluation writes into its folder.
// result.json first: a removal that is cut short leaves no folder that looks finished.
static const char *const run_files[] = {"result.json", "confusion-select.png",
    "confusion-calibrate.png", "confusion-test.png", FM_WEIGHTS_FILE, FM_CHECKPOINT_LAST,
    FM_CHECKPOINT_PREVIOUS, FM_RUN_TIMES, FM_RUN_LOG, FM_COMPUTE_FILE, "data.json", "config.json",
    NULL};

static bool holds(const char *directory, const char *name)
{
    char path[FM_PATH_MAX];
    if (fm_path_join(path, directory, name) != FM_OK) {
        fm_error_clear(); // a path too long to be one
        return false;
    }
    return fm_path_exists(path);
}

bool fm_run_is_run(const char *directory)
{
    return holds(directory, "config.json");
}

enum fm_status fm_run_check_is_run(const char *directory)
{
    if (fm_run_is_run(directory))
        return FM_OK;
    if (!fm_path_exists(directory))
        return fm_fail(FM_NOT_FOUND,
            "%s: no such file or folder; 'fmnist train --model NAME --out DIR' makes a run",
            directory);
    return fm_fail(FM_NOT_FOUND,
        "%s holds no run: there is no config.json in it; 'fmnist train --model NAME --out DIR' "
        "makes one",
        directory);
}

bool fm_run_is_finished(const char *directory)
{
    return holds(directory, "result.json");
}

// TensorBoard's files have numbers for names.
static enum fm_status remove_events(const char *directory)
{
    DIR *dir = opendir(directory);
    enum fm_status status = FM_OK;
    if (!dir)
        return errno == ENOENT ? FM_OK
                               : fm_fail(FM_IO, "%s: cannot read the directory: %s", directory,
                                     strerror(errno));
    for (struct dirent *entry; status == FM_OK && (entry = readdir(dir));)
        if (fm_events_is_name(entry->d_name) && unlinkat(dirfd(dir), entry->d_name, 0) != 0 &&
            errno != ENOENT)
            status = fm_fail(
                FM_IO, "%s/%s: cannot remove: %s", directory, entry->d_name, strerror(errno));
    closedir(dir);
    return status;
}

static enum fm_status remove_files(const char *directory)
{
    for (int i = 0; run_files[i]; i++) {
        char path[FM_PATH_MAX];
        FM_TRY(fm_path_join(path, directory, run_files[i]));
        if (unlink(path) != 0 && errno != ENOENT)
            return fm_fail(FM_IO, "%s: cannot remove: %s", path, strerror(errno));
    }
    return remove_events(directory);
}

// Not while somebody is at it.
static enum fm_status replace_run(const char *directory)
{
    int lock = -1;
    if (fm_run_is_run(directory))
        FM_TRY(fm_run_lock(directory, &lock));
    enum fm_status status = remove_files(directory);
    fm_run_unlock(lock);
    return status;
}

static enum fm_status fail_used(const char *directory, const char *name)
{
    return fm_fail(FM_EXISTS,
        "%s: holds a run already (%s); --force replaces it, --out DIR takes another folder",
        directory, name);
}

static enum fm_status refuse_if_used(const char *directory)
{
    for (int i = 0; run_files[i]; i++) {
        if (holds(directory, run_files[i]))
            return fail_used(directory, run_files[i]);
    }
    return fm_events_exist(directory) ? fail_used(directory, "TensorBoard's event files") : FM_OK;
}

// The file that makes a folder a run is made by one of several that want the folder, however close
// together they have looked whether it is free.
static enum fm_status create_config(const char *directory, const json_t *json)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, directory, "config.json"));
    enum fm_status status = fm_json_create_file(path, json);
    if (status != FM_EXISTS)
        return status;
    fm_error_clear();
    return fail_used(directory, "config.json");
}

static enum fm_status create(const char *directory, const json_t *config, bool force)
{
    FM_TRY(fm_make_dirs(directory));
    FM_TRY(force ? replace_run(directory) : refuse_if_used(directory));
    return create_config(directory, config);
}

enum fm_status fm_run_create(const char *directory, const struct fm_run_config *config, bool force)
{
    if (holds(directory, FM_GROUP_FILE))
        return fm_fail(FM_EXISTS,
            "%s: holds a group of runs (" FM_GROUP_FILE "); --out DIR takes another folder",
            directory);
    json_t *json = fm_run_config_to_json(config);
    if (!json)
        return fm_fail(FM_DATA,
            "%s/config.json: not written: the path of the data, of the weights or of a teacher is "
            "not UTF-8",
            directory);
    enum fm_status status = create(directory, json, force);
    json_decref(json);
    return status;
}

enum fm_status fm_run_remove(const char *directory)
{
    FM_TRY(remove_files(directory));
    rmdir(directory); // fails where there is anything else
    return FM_OK;
}

void fm_run_discard(const char *directory)
{
    char path[FM_PATH_MAX];
    if (holds(directory, "data.json") || fm_path_join(path, directory, "config.json") != FM_OK)
        return;
    unlink(path);
    rmdir(directory); // fails where there is anything else
}

enum fm_status fm_run_write_data(const char *directory, const struct fm_run_data *data)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, directory, "data.json"));
    json_t *json = fm_run_data_to_json(data);
    if (!json)
        return fm_fail(FM_DATA,
            "%s: not written: a class name or the data directory's path is not UTF-8", path);
    enum fm_status status = fm_json_write_file(path, json);
    json_decref(json);
    return status;
}

static enum fm_status read_data(const char *directory, struct fm_run_config *config)
{
    char path[FM_PATH_MAX];
    json_t *json;
    FM_TRY(fm_path_join(path, directory, "data.json"));
    if (!fm_path_exists(path))
        return FM_OK;
    FM_TRY(fm_json_read_file(path, &json, NULL));
    enum fm_status status = fm_run_data_from_json(json, path, config);
    json_decref(json);
    return status;
}

enum fm_status fm_run_read_config(const char *directory, struct fm_run_config *config)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, directory, "config.json"));
    if (!fm_path_exists(path) && fm_checkpoint_exists(directory))
        return fm_fail(FM_NOT_FOUND,
            "%s: config.json is missing: the checkpoint there cannot be resumed", directory);
    FM_TRY(fm_run_check_is_run(directory));
    json_t *json;
    FM_TRY(fm_json_read_file(path, &json, NULL));
    enum fm_status status = fm_run_config_from_json(json, path, config);
    json_decref(json);
    FM_TRY(status);
    status = read_data(directory, config);
    if (status != FM_OK)
        fm_run_config_free(config);
    return status;
}

enum fm_status fm_run_read_whole_config(const char *directory, struct fm_run_config *config)
{
    FM_TRY(fm_run_read_config(directory, config));
    if (config->has_data)
        return FM_OK;
    fm_run_config_free(config);
    return fm_fail(FM_NOT_FOUND,
        "%s: this run has not read its data yet: there is no data.json in it (fmnist train "
        "--resume %s starts it)",
        directory, directory);
}

enum fm_status fm_run_lock(const char *directory, int *lock)
{
    char path[FM_PATH_MAX];
    *lock = -1;
    FM_TRY(fm_path_join(path, directory, "config.json"));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fm_fail(FM_IO, "%s: cannot open: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        close(fd);
        return fm_fail(FM_EXISTS, "%s: another process is training in this folder", directory);
    }
    *lock = fd; // also where the file system knows no locks: there nobody is kept out
    return FM_OK;
}

void fm_run_unlock(int lock)
{
    if (lock >= 0)
        close(lock);
}

enum fm_status fm_run_sweep(const char *directory)
{
    static const char mark[] = FM_TEMPORARY_MARK;
    DIR *dir = opendir(directory);
    if (!dir)
        return fm_fail(FM_IO, "%s: cannot read the directory: %s", directory, strerror(errno));
    for (struct dirent *entry; (entry = readdir(dir));) {
        size_t length = 0;
        for (int i = 0; run_files[i] && !length; i++) {
            length = strlen(run_files[i]);
            if (strncmp(entry->d_name, run_files[i], length) != 0)
                length = 0;
        }
        if (length && strncmp(entry->d_name + length, mark, sizeof mark - 1) == 0)
            unlinkat(dirfd(dir), entry->d_name, 0); // what stays is no more than untidy
    }
    closedir(dir);
    return FM_OK;
}

enum fm_status fm_run_write_result(const char *directory, const json_t *result)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, directory, "result.json"));
    return fm_json_write_file(path, result);
}

enum fm_status fm_run_read_result(const char *directory, json_t **result)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, directory, "result.json"));
    if (!fm_path_exists(path))
        return fm_fail(
            FM_NOT_FOUND, "%s: the run is not finished: there is no result.json in it", directory);
    FM_TRY(fm_json_read_file(path, result, NULL));
    if (json_integer_value(json_object_get(*result, "format")) == FM_RESULT_FORMAT &&
        json_is_string(json_object_get(*result, "model")))
        return FM_OK;
    json_decref(*result);
    *result = NULL;
    return fm_fail(
        FM_DATA, "%s: not a result: expected \"format\" %d and \"model\"", path, FM_RESULT_FORMAT);
}
