// The pictures of a folder and of those in it. Links are followed; a folder that is reached by
// several ways is read once, so that links in a circle end.
#include "data/pictures/source.h"

#include "base/log.h"
#include "base/text.h"
#include "data/pictures/source_parts.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

struct folder_id {
    dev_t device;
    ino_t inode;
};

struct walk {
    struct fm_entries *entries;
    struct folder_id *seen; // [count]
    size_t count, capacity;
};

size_t fm_picture_ending(const char *name)
{
    static const char *const endings[] = {".png", ".jpg", ".jpeg", ".jpe", ".jfif"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t ending = strlen(endings[i]);
        if (length > ending && strcasecmp(name + length - ending, endings[i]) == 0)
            return ending;
    }
    return 0;
}

void fm_warn_passed_over(const char *directory, uint32_t count)
{
    char digits[32];
    if (count > 0)
        fm_warn("%s%s%s file%s passed over: the pictures of a folder are named " FM_PICTURE_ENDINGS,
            directory ? directory : "", directory ? ": " : "", fm_group_digits(count, digits),
            count == 1 ? " is" : "s are");
}

// Whether this is a folder that has not been read yet; remembers it.
static enum fm_status enter(struct walk *walk, const struct stat *info, bool *entered)
{
    *entered = false;
    for (size_t i = 0; i < walk->count; i++)
        if (walk->seen[i].device == info->st_dev && walk->seen[i].inode == info->st_ino)
            return FM_OK;
    if (walk->count == walk->capacity) {
        size_t capacity = walk->capacity ? 2 * walk->capacity : 16;
        struct folder_id *larger = realloc(walk->seen, capacity * sizeof *larger);
        if (!larger)
            return fm_fail_memory("folders", capacity * sizeof *larger);
        walk->seen = larger;
        walk->capacity = capacity;
    }
    walk->seen[walk->count++] = (struct folder_id){info->st_dev, info->st_ino};
    *entered = true;
    return FM_OK;
}

static char *joined(const char *folder, const char *name)
{
    struct fm_text path = {0};
    size_t length = strlen(folder);
    fm_text_append(
        &path, "%s%s%s", folder, length > 0 && folder[length - 1] == '/' ? "" : "/", name);
    return path.data; // NULL: out of memory
}

static enum fm_status add_broken(struct walk *walk, const char *path, const char *what, int code)
{
    struct fm_text error = {0};
    fm_text_append(&error, "cannot %s: %s", what, strerror(code));
    char *copy = strdup(path);
    return fm_entries_add(walk->entries, FM_ENTRY_BROKEN, copy, error.data, 1);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// The names in a folder, sorted, without hidden ones; freed by free_names().
struct names {
    size_t count, capacity;
    char **all;
};

static void free_names(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->all[i]);
    free(names->all);
}

static bool add_name(struct names *names, const char *name)
{
    if (names->count == names->capacity) {
        size_t capacity = names->capacity ? 2 * names->capacity : 64;
        char **larger = realloc(names->all, capacity * sizeof *larger);
        if (!larger)
            return false;
        names->all = larger;
        names->capacity = capacity;
    }
    names->all[names->count] = strdup(name);
    return names->all[names->count] && ++names->count > 0;
}

// `*code` is errno where the folder cannot be read, else 0.
static enum fm_status list_folder(const char *path, struct names *names, int *code)
{
    const struct dirent *entry;
    bool kept = true;
    DIR *folder = opendir(path);
    *code = folder ? 0 : errno;
    if (!folder)
        return FM_OK;
    while (kept && (errno = 0, entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.')
            kept = add_name(names, entry->d_name);
    if (kept)
        *code = errno;
    closedir(folder);
    if (!kept)
        return fm_fail_memory(path, names->capacity * sizeof *names->all);
    if (names->count > 1)
        qsort(names->all, names->count, sizeof *names->all, compare_names);
    return FM_OK;
}

static enum fm_status walk_folder(struct walk *walk, const char *path);

// Takes over `path`.
static enum fm_status walk_entry(struct walk *walk, const char *name, char *path)
{
    struct stat info;
    bool entered = false;
    enum fm_status status = FM_OK;
    if (!path)
        return fm_fail_memory(name, strlen(name));
    bool there = stat(path, &info) == 0, picture = fm_picture_ending(name) > 0;
    int code = there ? 0 : errno;
    if (there && S_ISDIR(info.st_mode)) {
        status = enter(walk, &info, &entered);
        if (entered)
            status = walk_folder(walk, path);
    } else if (picture) {
        return fm_entries_add(walk->entries, FM_ENTRY_PICTURE, path, NULL, 1);
    } else if (!there) {
        status = add_broken(walk, path, "tell whether it is a folder", code);
    } else if (S_ISREG(info.st_mode)) {
        walk->entries->passed_over++;
    }
    free(path);
    return status;
}

static enum fm_status walk_folder(struct walk *walk, const char *path)
{
    struct names names = {0};
    int code = 0;
    enum fm_status status = list_folder(path, &names, &code);
    if (status == FM_OK && code != 0)
        status = add_broken(walk, path, "read the folder", code);
    for (size_t i = 0; i < names.count && status == FM_OK; i++)
        status = walk_entry(walk, names.all[i], joined(path, names.all[i]));
    free_names(&names);
    return status;
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct fm_entry *)a)->path, ((const struct fm_entry *)b)->path);
}

enum fm_status fm_entries_add_folder(struct fm_entries *entries, const char *folder)
{
    struct walk walk = {.entries = entries};
    struct stat info;
    size_t before = entries->count;
    bool entered;
    if (stat(folder, &info) != 0)
        return fm_fail(FM_IO, "%s: cannot read the folder: %s", folder, strerror(errno));
    enum fm_status status = enter(&walk, &info, &entered);
    if (status == FM_OK)
        status = walk_folder(&walk, folder);
    free(walk.seen);
    FM_TRY(status);
    size_t found = entries->count - before;
    if (found == 0)
        return fm_fail(FM_NOT_FOUND,
            "%s: no pictures in this folder or those in it: expected files "
            "named " FM_PICTURE_ENDINGS,
            folder);
    qsort(entries->all + before, found, sizeof *entries->all, compare_entries);
    return FM_OK;
}
