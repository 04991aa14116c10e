// Which folders are classes, and which pictures are in them.
#include "data/folders/folders.h"

#include "base/log.h"
#include "data/folders/folders_parts.h"
#include "data/pictures/source.h"
#include "data/pictures/source_parts.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    SEARCH_DEPTH = 1 // folders below a class's in which a picture is looked for
};

// ---- The folders in a folder

struct names {
    int count, capacity;
    char **all; // sorted bytewise
};

static void free_names(struct names *names)
{
    for (int i = 0; i < names->count; i++)
        free(names->all[i]);
    free(names->all);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum fm_status add_name(struct names *names, const char *name)
{
    if (names->count == names->capacity) {
        int capacity = names->capacity ? 2 * names->capacity : 64;
        char **larger = realloc(names->all, (size_t)capacity * sizeof *larger);
        if (!larger)
            return fm_fail_memory("folders", (size_t)capacity * sizeof *larger);
        names->all = larger;
        names->capacity = capacity;
    }
    names->all[names->count] = strdup(name);
    if (!names->all[names->count])
        return fm_fail_memory("folders", strlen(name));
    names->count++;
    return FM_OK;
}

enum care {
    LOOK, // what cannot be examined is passed over
    TAKE  // it may be a class: without it the others would have other labels
};

// Hidden ones do not count. None where there is no such directory. FM_IO, only with TAKE: the
// directory, or what is in it, is there but cannot be examined.
static enum fm_status list_folders(const char *directory, enum care care, struct names *names)
{
    enum fm_status status = FM_OK;
    struct dirent *entry;
    DIR *dir = opendir(directory);
    *names = (struct names){0};
    if (!dir && (care == LOOK || errno == ENOENT || errno == ENOTDIR))
        return FM_OK;
    if (!dir)
        return fm_fail(FM_IO, "%s: cannot read the folder: %s", directory, strerror(errno));
    while (status == FM_OK && (errno = 0, entry = readdir(dir)) != NULL) {
        struct stat info;
        if (entry->d_name[0] == '.')
            continue;
        if (fstatat(dirfd(dir), entry->d_name, &info, 0) != 0) {
            if (care == TAKE)
                status = fm_fail(FM_IO,
                    "%s/%s: cannot tell whether this is a folder: %s: repair or remove it",
                    directory, entry->d_name, strerror(errno));
        } else if (S_ISDIR(info.st_mode)) {
            status = add_name(names, entry->d_name);
        }
    }
    if (status == FM_OK && errno != 0 && care == TAKE)
        status = fm_fail(FM_IO, "%s: cannot read the folder: %s", directory, strerror(errno));
    closedir(dir);
    if (names->count > 1)
        qsort(names->all, (size_t)names->count, sizeof *names->all, compare_names);
    if (status != FM_OK) {
        free_names(names);
        *names = (struct names){0}; // callers free it, too
    }
    return status;
}

static enum fm_status has_folders(const char *directory, const char *name, bool *has)
{
    char path[FM_PATH_MAX];
    struct names names;
    *has = false;
    FM_TRY(fm_path_join(path, directory, name));
    FM_TRY(list_folders(path, TAKE, &names));
    *has = names.count > 0;
    free_names(&names);
    return FM_OK;
}

static bool holds_picture(const char *path)
{
    DIR *dir = opendir(path);
    bool found = false;
    if (!dir)
        return false;
    for (struct dirent *entry; !found && (entry = readdir(dir));)
        found = entry->d_name[0] != '.' && fm_picture_ending(entry->d_name) > 0;
    closedir(dir);
    return found;
}

// In the folder or, down to `depth`, in those in it. Somebody may have named the root of a disk by
// mistake: that must not be searched through.
static bool has_pictures(const char *directory, const char *name, int depth)
{
    char path[FM_PATH_MAX];
    struct names names = {0};
    if (fm_path_join(path, directory, name) != FM_OK || list_folders(path, LOOK, &names) != FM_OK) {
        fm_error_clear();
        return false;
    }
    bool found = holds_picture(path);
    for (int i = 0; i < names.count && depth > 0 && !found; i++)
        found = has_pictures(path, names.all[i], depth - 1);
    free_names(&names);
    return found;
}

bool fm_folders_found(const char *directory)
{
    struct names names;
    bool found;
    if (has_folders(directory, "train", &found) != FM_OK) {
        fm_error_clear();
        return true; // fm_folders_scan() tells why it cannot be read
    }
    if (list_folders(directory, LOOK, &names) != FM_OK) {
        fm_error_clear();
        return found;
    }
    for (int i = 0; i < names.count && !found; i++)
        found = has_pictures(directory, names.all[i], SEARCH_DEPTH);
    free_names(&names);
    return found;
}

// ---- Classes

// The names go into JSON, tables and pictures, as those in a classes.txt do.
static enum fm_status check_class_name(const struct fm_folders *folders, const char *name)
{
    size_t length = strlen(name);
    const char *at = name;
    while (*at && fm_utf8_length(at) > 0 && !fm_utf8_is_control(at))
        at += fm_utf8_length(at);
    if (*at)
        return fm_fail(FM_DATA,
            "%s/%s%s: found byte 0x%02x at %zu of the folder's name, which names a class: expected "
            "UTF-8 without control characters",
            folders->directory, folders->base, name, (unsigned char)*at, (size_t)(at - name));
    if (length > FM_CLASS_NAME_MAX)
        return fm_fail(FM_DATA,
            "%s/%s%s: the folder's name, which names a class, is of %zu bytes, expected at most %d",
            folders->directory, folders->base, name, length, FM_CLASS_NAME_MAX);
    return FM_OK;
}

static enum fm_status take_classes(struct fm_folders *folders, const char *base)
{
    struct names names;
    enum fm_status status = list_folders(base, TAKE, &names);
    if (status == FM_OK && (names.count < 2 || names.count > FM_CLASSES_MAX))
        status = fm_fail(FM_DATA,
            "%s: found %d folder%s of pictures, expected 2 to %d, one for each class: "
            "<class>/*.png",
            base, names.count, names.count == 1 ? "" : "s", FM_CLASSES_MAX);
    for (int i = 0; i < names.count && status == FM_OK; i++) {
        status = check_class_name(folders, names.all[i]);
        folders->names[folders->classes++] = names.all[i];
        names.all[i] = NULL;
    }
    free_names(&names);
    return status;
}

// Pictures that lie in train/ and test/ themselves are of no class.
static enum fm_status refuse_parts(const struct fm_folders *folders)
{
    if (folders->classes != 2 || strcmp(folders->names[0], "test") != 0 ||
        strcmp(folders->names[1], "train") != 0)
        return FM_OK;
    return fm_fail(FM_DATA,
        "%s/train: found no folders in it, expected one for each class: %s/train/<class>/*.png",
        folders->directory, folders->directory);
}

static int find_class(const struct fm_folders *folders, const char *name)
{
    for (int c = 0; c < folders->classes; c++)
        if (strcmp(folders->names[c], name) == 0)
            return c;
    return -1;
}

// ---- Pictures

static enum fm_status grow(struct fm_folders *folders, size_t more)
{
    size_t wanted = folders->count + more;
    if (wanted > UINT32_MAX / 2)
        return fm_fail(FM_UNSUPPORTED, "%s: found %zu pictures and more, expected at most %u",
            folders->directory, wanted, UINT32_MAX / 2);
    if (wanted <= folders->capacity)
        return FM_OK;
    size_t capacity = wanted > 2 * (size_t)folders->capacity ? wanted : 2 * folders->capacity;
    struct fm_folder_picture *larger = realloc(folders->pictures, capacity * sizeof *larger);
    if (!larger)
        return fm_fail_memory("the list of pictures", capacity * sizeof *larger);
    folders->pictures = larger;
    folders->capacity = (uint32_t)capacity;
    return FM_OK;
}

static char *text_or_null(struct fm_text *text)
{
    if (text->failed)
        fm_text_free(text);
    return text->data;
}

static const char *below(const char *directory, const char *path)
{
    path += strlen(directory);
    return path + (*path == '/');
}

// Takes over the entry's error.
static enum fm_status add_picture(
    struct fm_folders *folders, struct fm_entry *entry, int label, enum fm_part part)
{
    struct stat info = {0};
    struct fm_text error = {0};
    struct fm_folder_picture *picture = &folders->pictures[folders->count++];
    *picture = (struct fm_folder_picture){.label = label, .part = (char)part};
    picture->path = strdup(below(folders->directory, entry->path));
    if (!picture->path)
        return fm_fail_memory("a path", strlen(entry->path));
    if (entry->kind == FM_ENTRY_BROKEN) {
        picture->error = entry->error;
        entry->error = NULL;
    } else if (stat(entry->path, &info) != 0) {
        fm_text_append(&error, "%s", strerror(errno));
        picture->error = text_or_null(&error);
    }
    if (picture->error || error.failed)
        picture->part = FM_PART_NONE;
    picture->size = (uint64_t)info.st_size;
    picture->seconds = info.st_mtim.tv_sec;
    picture->nanoseconds = info.st_mtim.tv_nsec;
    return FM_OK;
}

// The pictures of a class in the training or test part; none there is an error in the former alone.
static enum fm_status add_class(
    struct fm_folders *folders, const char *base, const char *name, int label, enum fm_part part)
{
    char path[FM_PATH_MAX];
    struct fm_entries entries = {0};
    FM_TRY(fm_path_join(path, base, name));
    enum fm_status status = fm_entries_add_folder(&entries, path);
    folders->passed_over += entries.passed_over;
    if (status == FM_NOT_FOUND && part == FM_PART_TEST) {
        fm_error_clear();
        status = FM_OK;
    } else if (status == FM_NOT_FOUND) {
        status = fm_context(FM_DATA, "the class '%s'", name);
    }
    if (status == FM_OK)
        status = grow(folders, entries.count);
    for (size_t i = 0; i < entries.count && status == FM_OK; i++)
        status = add_picture(folders, &entries.all[i], label, part);
    fm_entries_free(&entries);
    return status;
}

static enum fm_status add_test(struct fm_folders *folders)
{
    char base[FM_PATH_MAX];
    struct names names;
    FM_TRY(fm_path_join(base, folders->directory, "test"));
    uint32_t before = folders->count;
    enum fm_status status = list_folders(base, TAKE, &names);
    for (int i = 0; i < names.count && status == FM_OK; i++) {
        int label = find_class(folders, names.all[i]);
        if (label < 0)
            status = fm_fail(FM_DATA,
                "%s/%s: there is no class of this name to train on: expected a folder %s/train/%s, "
                "too",
                base, names.all[i], folders->directory, names.all[i]);
        else
            status = add_class(folders, base, names.all[i], label, FM_PART_TEST);
    }
    free_names(&names);
    if (status == FM_OK && folders->count == before)
        status = fm_fail(FM_DATA,
            "%s: no pictures in the folders there: remove %s, and a tenth of the training pictures "
            "is held out to test on",
            base, base);
    return status;
}

// Beside train/ and test/ there may be others, which people have for another purpose.
static enum fm_status note_others(const struct fm_folders *folders)
{
    struct names names;
    FM_TRY(list_folders(folders->directory, LOOK, &names));
    for (int i = 0; i < names.count; i++)
        if (strcmp(names.all[i], "train") != 0 && strcmp(names.all[i], "test") != 0)
            fm_note(
                "%s/%s is left out: train/ and test/ are taken", folders->directory, names.all[i]);
    free_names(&names);
    return FM_OK;
}

// Pictures to test on of which no folder says what they show: others would be held out instead.
static enum fm_status refuse_flat_test(const struct fm_folders *folders)
{
    char test[FM_PATH_MAX];
    FM_TRY(fm_path_join(test, folders->directory, "test"));
    if (!holds_picture(test))
        return FM_OK;
    return fm_fail(FM_DATA,
        "%s: found pictures, but no folders in it, expected one for each class: "
        "%s/<class>/*.png; move it away, and a tenth of the training pictures is held out to test "
        "on",
        test, test);
}

static enum fm_status scan(struct fm_folders *folders)
{
    char base[FM_PATH_MAX];
    bool parts, test;
    FM_TRY(has_folders(folders->directory, "train", &parts));
    FM_TRY(has_folders(folders->directory, "test", &test));
    if (parts && !test)
        FM_TRY(refuse_flat_test(folders));
    if (!parts && test)
        return fm_fail(FM_DATA,
            "%s/test holds folders, but %s/train does not: expected both, or one folder for each "
            "class in %s",
            folders->directory, folders->directory, folders->directory);
    folders->held_out = !test;
    snprintf(folders->base, sizeof folders->base, "%s", parts ? "train/" : "");
    FM_TRY(parts ? fm_path_join(base, folders->directory, "train")
                 : fm_path_copy(base, folders->directory));
    FM_TRY(take_classes(folders, base));
    FM_TRY(refuse_parts(folders));
    for (int c = 0; c < folders->classes; c++)
        FM_TRY(add_class(folders, base, folders->names[c], c, FM_PART_TRAIN));
    if (parts)
        FM_TRY(note_others(folders));
    return test ? add_test(folders) : FM_OK;
}

enum fm_status fm_folders_scan(const char *directory, struct fm_folders *folders)
{
    *folders = (struct fm_folders){0};
    FM_TRY(fm_path_copy(folders->directory, directory));
    size_t length = strlen(folders->directory);
    while (length > 1 && folders->directory[length - 1] == '/')
        folders->directory[--length] = '\0';
    return scan(folders);
}

void fm_folders_free(struct fm_folders *folders)
{
    for (int c = 0; c < folders->classes; c++)
        free(folders->names[c]);
    for (uint32_t i = 0; i < folders->count; i++) {
        free(folders->pictures[i].path);
        free(folders->pictures[i].error);
    }
    free(folders->pictures);
    *folders = (struct fm_folders){0};
}
