// Where recipes are: the folder of those that are shipped, found from the library's own place, and
// what a name on the command line stands for.
#include "train/recipe.h"

#include "base/file.h"
#include "base/text.h"
#include "base/version.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char directory_set[FM_PATH_MAX];

void fm_recipe_set_directory(const char *directory)
{
    snprintf(directory_set, sizeof directory_set, "%s", directory);
}

// The shipped recipes: from an installed library, from that in build/ or a program below it.
static enum fm_status find_directory(char out[FM_PATH_MAX])
{
    static const char *const places[] = {
        FM_RECIPES_INSTALLED, FM_RECIPES_BUILT, "../" FM_RECIPES_BUILT};
    if (directory_set[0]) {
        memcpy(out, directory_set, sizeof directory_set);
        return FM_OK;
    }
    char library[FM_PATH_MAX];
    FM_TRY(fm_library_directory(library));
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        FM_TRY(fm_path_join(out, library, places[i]));
        if (fm_path_is_dir(out))
            return FM_OK;
    }
    return fm_fail(FM_NOT_FOUND, "no recipes: looked for %s, %s and %s from %s", places[0],
        places[1], places[2], library);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void fm_recipe_names_free(char **names)
{
    for (char **name = names; name && *name; name++)
        free(*name);
    free(names);
}

// Appends a copy of the first `length` bytes of `name` to the list of `count` names.
static bool append_name(char ***names, size_t count, const char *name, size_t length)
{
    char **longer = realloc(*names, (count + 2) * sizeof *longer);
    if (!longer)
        return false;
    *names = longer;
    longer[count] = strndup(name, length);
    longer[count + 1] = NULL;
    return longer[count] != NULL;
}

// The names of the recipes in a directory, sorted; ends with NULL.
static enum fm_status list_directory(const char *directory, char ***names)
{
    size_t count = 0;
    *names = calloc(1, sizeof **names);
    DIR *dir = opendir(directory);
    if (!dir) {
        free(*names);
        return fm_fail(FM_IO, "%s: cannot read the folder: %s", directory, strerror(errno));
    }
    bool complete = *names != NULL;
    for (struct dirent *entry; complete && (entry = readdir(dir));) {
        size_t length = strlen(entry->d_name);
        if (length <= 5 || strcmp(entry->d_name + length - 5, ".json") != 0)
            continue;
        complete = append_name(names, count++, entry->d_name, length - 5);
    }
    closedir(dir);
    if (!complete) {
        fm_recipe_names_free(*names);
        return fm_fail(FM_MEMORY, "%s: out of memory", directory);
    }
    qsort(*names, count, sizeof **names, by_name);
    return FM_OK;
}

enum fm_status fm_recipe_names(char ***names)
{
    char directory[FM_PATH_MAX];
    FM_TRY(find_directory(directory));
    return list_directory(directory, names);
}

static enum fm_status unknown_recipe(const char *name, const char *directory)
{
    char **names;
    FM_TRY(list_directory(directory, &names));
    struct fm_text text = {0};
    const char *nearest = fm_nearest_name(name, (const char *const *)names);
    if (nearest)
        fm_text_append(&text, "did you mean '%s'? ", nearest);
    fm_text_append(&text, "There are");
    for (int i = 0; names[i]; i++)
        fm_text_append(&text, "%s %s", i ? "," : "", names[i]);
    fm_text_append(&text, "%s; a recipe of your own is given as a path", names[0] ? "" : " none");
    enum fm_status status = fm_fail(FM_USAGE, "unknown recipe '%s': %s", name, fm_text_cstr(&text));
    fm_text_free(&text);
    fm_recipe_names_free(names);
    return status;
}

enum fm_status fm_recipe_find(const char *name, char path[FM_PATH_MAX])
{
    size_t length = strlen(name);
    if (strchr(name, '/') || (length > 5 && strcmp(name + length - 5, ".json") == 0))
        return fm_path_copy(path, name);
    char directory[FM_PATH_MAX], file[FM_NAME_MAX + 8];
    FM_TRY(find_directory(directory));
    snprintf(file, sizeof file, "%.*s.json", FM_NAME_MAX, name);
    FM_TRY(fm_path_join(path, directory, file));
    if (length == 0 || length >= FM_NAME_MAX || !fm_path_exists(path))
        return unknown_recipe(name, directory);
    return FM_OK;
}
