// The folder of an audit keeps what took long to compute, so that it must be known what that was.
#include "app/audit/auditing_parts.h"

#include "backend/precision.h"
#include "data/folds.h"
#include "run/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum {
    FOLDS_FORMAT = 2,
    FOLDS_FORMAT_APART = 1 // dealt without a look at near duplicates
};

// audit.json first: a removal that is cut short leaves no folder that looks finished.
static const char *const files[] = {
    FM_AUDIT_FILE, "audit.html", "issues.csv", "duplicates.csv", FM_AUDIT_FOLDS, NULL};

enum fm_status fm_audit_fold_path(const struct fm_audit *audit, int fold, char out[FM_PATH_MAX])
{
    char name[64];
    snprintf(name, sizeof name, "fold-%d.safetensors", fold + 1);
    return fm_path_join(out, audit->directory, name);
}

enum fm_status fm_audit_fold_folder(const struct fm_audit *audit, int fold, char out[FM_PATH_MAX])
{
    char name[64];
    snprintf(name, sizeof name, "fold-%d", fold + 1);
    return fm_path_join(out, audit->directory, name);
}

// All that decides what the folds' networks predict.
static json_t *configuration(const struct fm_audit *audit, const struct fm_engine *engine)
{
    char images[16], labels[16];
    const struct fm_data_file *data = audit->dataset->files;
    snprintf(images, sizeof images, "%08x", (unsigned)data[0].crc32);
    snprintf(labels, sizeof labels, "%08x", (unsigned)data[1].crc32);
    json_t *json = json_pack(
        "{s:i, s:s, s:s, s:s, s:b, s:b, s:b, s:i, s:I, s:f, s:o, s:{s:s, s:s}}", "format",
        FOLDS_FORMAT, "model", audit->config.model, "backend", engine->api->name, "precision",
        fm_precision_name(audit->precision), "emulate", audit->emulated, "tf32",
        engine->options.tf32, "nondeterministic", engine->options.nondeterministic, "folds",
        audit->folds, "seed", (json_int_t)audit->seed, "plant", audit->plant, "recipe",
        fm_recipe_to_json(&audit->recipe), "crc32", "train_images", images, "train_labels", labels);
    if (audit->config.input_size > 0)
        json_object_set_new(json, "input_size", json_integer(audit->config.input_size));
    if (audit->config.transfer.mode != FM_TRANSFER_SCRATCH) {
        json_t *transfer = fm_transfer_to_json(&audit->config.transfer);
        json_object_del(transfer, "weights"); // the same, wherever they are
        json_object_set_new(json, "transfer", transfer);
    }
    return json;
}

static enum fm_status remove_file(const char *path)
{
    FM_TRY(fm_file_remove(path));
    return FM_OK;
}

static enum fm_status remove_all(const struct fm_audit *audit)
{
    char path[FM_PATH_MAX];
    for (int i = 0; files[i]; i++) {
        FM_TRY(fm_path_join(path, audit->directory, files[i]));
        FM_TRY(remove_file(path));
    }
    for (int fold = 0; fold < FM_FOLDS_MAX; fold++) {
        FM_TRY(fm_audit_fold_path(audit, fold, path));
        FM_TRY(remove_file(path));
        FM_TRY(fm_audit_fold_folder(audit, fold, path));
        if (fm_path_is_dir(path))
            FM_TRY(fm_run_remove(path));
    }
    return FM_OK;
}

// The first key whose value differs, or that one of them alone has.
static const char *difference(json_t *found, json_t *wanted)
{
    const char *key;
    json_t *value;
    json_object_foreach(
        wanted, key, value) if (!fm_json_same(json_object_get(found, key), value)) return key;
    json_object_foreach(found, key, value) if (!json_object_get(wanted, key)) return key;
    return NULL;
}

// Whether the folder's folds are those of this audit: FM_EXISTS where they are not. Of those from
// before it takes fm_audit_keep_together() to tell.
static enum fm_status compare(struct fm_auditing *a, const char *path, json_t *wanted)
{
    json_t *found, *format;
    FM_TRY(fm_json_read_file(path, &found, NULL));
    format = json_object_get(found, "format");
    a->from_before = json_integer_value(format) == FOLDS_FORMAT_APART;
    if (a->from_before)
        json_integer_set(format, FOLDS_FORMAT);
    const char *key = difference(found, wanted);
    enum fm_status status = FM_OK;
    if (key)
        status = fm_fail(FM_EXISTS,
            "%s: holds an audit with another \"%s\" (" FM_AUDIT_FOLDS
            "); --force replaces it, --out DIR takes another folder",
            a->audit->directory, key);
    json_decref(found);
    return status;
}

static enum fm_status refuse_strangers(const char *directory)
{
    for (int i = 0; files[i]; i++) {
        char path[FM_PATH_MAX];
        FM_TRY(fm_path_join(path, directory, files[i]));
        if (fm_path_exists(path))
            return fm_fail(FM_EXISTS,
                "%s: holds %s, but no " FM_AUDIT_FOLDS
                " that says of what audit; --force replaces it, --out DIR takes another folder",
                directory, files[i]);
    }
    return FM_OK;
}

static enum fm_status lock_folder(const char *directory, const char *path, int *lock)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fm_fail(FM_IO, "%s: cannot open: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        close(fd);
        return fm_fail(FM_EXISTS, "%s: another process is at work on this audit", directory);
    }
    *lock = fd; // also where the file system knows no locks: there nobody is kept out
    return FM_OK;
}

// With --force: not while somebody is at it.
static enum fm_status replace(const struct fm_audit *audit, const char *path)
{
    int lock = -1;
    if (fm_path_exists(path))
        FM_TRY(lock_folder(audit->directory, path, &lock));
    enum fm_status status = remove_all(audit);
    fm_run_unlock(lock);
    return status;
}

static enum fm_status settle(struct fm_auditing *a, const char *path, json_t *wanted)
{
    const struct fm_audit *audit = a->audit;
    if (a->options->force)
        FM_TRY(replace(audit, path));
    if (fm_path_exists(path))
        return compare(a, path, wanted);
    FM_TRY(refuse_strangers(audit->directory));
    return fm_json_create_file(path, wanted);
}

enum fm_status fm_audit_open_folder(struct fm_auditing *a, int *lock)
{
    struct fm_audit *audit = a->audit;
    char path[FM_PATH_MAX];
    *lock = -1;
    json_t *wanted = configuration(audit, a->engine);
    if (!wanted)
        return fm_fail_memory("the audit's configuration", sizeof *audit);
    enum fm_status status = fm_make_dirs(audit->directory);
    if (status == FM_OK)
        status = fm_path_join(path, audit->directory, FM_AUDIT_FOLDS);
    if (status == FM_OK)
        status = settle(a, path, wanted);
    if (status == FM_OK)
        status = lock_folder(audit->directory, path, lock);
    json_decref(wanted);
    return status;
}
