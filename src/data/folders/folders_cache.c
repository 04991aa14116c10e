// Converted pictures are kept, so that a second start reads four files in place of ten thousands.
#include "data/folders/folders.h"

#include "base/text.h"
#include "data/folders/folders_parts.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    STALE_SECONDS = 24 * 60 * 60 // after which a half-made folder is nobody's
};
#define MANIFEST "manifest"

// ---- Places

// "" where neither variable says where; XDG: a relative path is to be ignored.
static enum fm_status find_root(char out[FM_PATH_MAX])
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    out[0] = '\0';
    if (xdg && xdg[0] == '/')
        return fm_path_join(out, xdg, "fmnist/datasets");
    return home && home[0] == '/' ? fm_path_join(out, home, ".cache/fmnist/datasets") : FM_OK;
}

enum fm_status fm_folders_cache_path(const struct fm_folders *folders, char path[FM_PATH_MAX])
{
    char root[FM_PATH_MAX], absolute[FM_PATH_MAX], name[64];
    struct fm_text listing = {0};
    FM_TRY(find_root(root));
    path[0] = '\0';
    if (!root[0])
        return FM_OK;
    fm_manifest_append_listing(&listing, folders);
    if (listing.failed)
        return fm_fail(FM_MEMORY, "out of memory for the list of pictures");
    fm_path_absolute(absolute, folders->directory);
    snprintf(name, sizeof name, "%016" PRIx64 "-%016" PRIx64, fm_fnv1a(absolute, strlen(absolute)),
        fm_fnv1a(listing.data, listing.length));
    fm_text_free(&listing);
    return fm_path_join(path, root, name);
}

// ---- Reading

enum fm_status fm_folders_cache_read(
    const char *cache, struct fm_folders *folders, struct fm_dataset *dataset, uint32_t *duplicates)
{
    char path[FM_PATH_MAX];
    unsigned char *text;
    size_t size;
    if (!fm_path_exists(cache))
        return FM_NOT_FOUND;
    FM_TRY(fm_path_join(path, cache, MANIFEST));
    if (fm_file_read(path, &text, &size) != FM_OK)
        return FM_IO;
    enum fm_status status = fm_manifest_read(
        path, cache, (const char *)text, size, folders, dataset, duplicates);
    free(text);
    return status == FM_NOT_FOUND ? FM_DATA : status; // a file of it that is missing
}

// ---- Writing

// A folder of ours with all that is in it, one level deep; what cannot be removed stays.
static void remove_folder(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    rmdir(path);
}

static bool is_stale(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && time(NULL) - info.st_mtime > STALE_SECONDS;
}

// Folders of the same directory's pictures as they were before, and what killed processes have
// left half made long ago.
static void sweep(const char *root, const char *name)
{
    enum {
        DIRECTORY_HASH = 17 // and the dash behind it
    };
    DIR *dir = opendir(root);
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[FM_PATH_MAX];
        if (strncmp(entry->d_name, name, DIRECTORY_HASH) != 0 || strcmp(entry->d_name, name) == 0 ||
            fm_path_join(path, root, entry->d_name) != FM_OK)
            continue;
        if (!strstr(entry->d_name, FM_TEMPORARY_MARK) || is_stale(path))
            remove_folder(path);
    }
    closedir(dir);
    fm_error_clear();
}

static enum fm_status write_into(
    const char *folder, const struct fm_folders *folders, const struct fm_idx_files *files)
{
    char path[FM_PATH_MAX];
    struct fm_text text = {0};
    for (int i = 0; i < FM_FOLDER_FILES; i++) {
        FM_TRY(fm_path_join(path, folder, fm_idx_file_names[i]));
        FM_TRY(fm_file_write(path, files->bytes[i], files->sizes[i]));
    }
    for (int c = 0; c < folders->classes; c++)
        fm_text_append(&text, "%s\n", folders->names[c]);
    FM_TRY(fm_path_join(path, folder, "classes.txt"));
    enum fm_status status = fm_file_write(path, fm_text_cstr(&text), text.length);
    fm_text_free(&text);
    FM_TRY(status);
    fm_manifest_append(&text, folders, files);
    status = fm_path_join(path, folder, MANIFEST);
    if (status == FM_OK && text.failed)
        status = fm_fail(FM_MEMORY, "%s: out of memory", path);
    if (status == FM_OK)
        status = fm_file_write(path, fm_text_cstr(&text), text.length);
    fm_text_free(&text);
    return status;
}

// Puts the finished folder in place. What is there already is another process's, which has found
// the same pictures, or the damaged one that this replaces: in both cases the newer one is right.
static enum fm_status put_in_place(const char *temporary, const char *path)
{
    char away[FM_PATH_MAX];
    if (rename(temporary, path) == 0)
        return FM_OK;
    if (errno != EEXIST && errno != ENOTEMPTY)
        return fm_fail(FM_IO, "%s: cannot put it in place: %s", path, strerror(errno));
    int needed = snprintf(away, sizeof away, "%s-old", temporary);
    if (needed < 0 || needed >= FM_PATH_MAX || rename(path, away) != 0)
        return fm_fail(FM_IO, "%s: cannot replace it: %s", path, strerror(errno));
    int failed = rename(temporary, path);
    int code = errno;
    remove_folder(away);
    if (failed && code != EEXIST && code != ENOTEMPTY)
        return fm_fail(FM_IO, "%s: cannot put it in place: %s", path, strerror(code));
    if (failed) // another process was faster, with the same pictures
        remove_folder(temporary);
    return FM_OK;
}

enum fm_status fm_folders_cache_write(
    const char *path, const struct fm_folders *folders, const struct fm_idx_files *files)
{
    char root[FM_PATH_MAX], temporary[FM_PATH_MAX];
    FM_TRY(find_root(root));
    FM_TRY(fm_make_dirs(root));
    int needed = snprintf(temporary, sizeof temporary, "%s" FM_TEMPORARY_MARK "XXXXXX", path);
    if (needed < 0 || needed >= FM_PATH_MAX)
        return fm_fail(FM_IO, "path too long: %s", path);
    if (!mkdtemp(temporary))
        return fm_fail(FM_IO, "%s: cannot make the directory: %s", temporary, strerror(errno));
    enum fm_status status = write_into(temporary, folders, files);
    if (status == FM_OK)
        status = put_in_place(temporary, path);
    if (status != FM_OK)
        remove_folder(temporary);
    else
        sweep(root, strrchr(path, '/') + 1);
    fm_sync_parent(path);
    return status;
}
