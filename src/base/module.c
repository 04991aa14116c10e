#include "base/module.h"

#include "base/file.h"
#include "base/version.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum {
    LOADED_MAX = 8
};

static char fixed_directory[FM_PATH_MAX];

void fm_module_set_directory(const char *directory)
{
    snprintf(fixed_directory, sizeof fixed_directory, "%s", directory);
}

bool fm_module_directory_is_set(void)
{
    return fixed_directory[0] != '\0';
}

// "DIRECTORY/fmnist-NAME.so" into `out`; true if the file is there.
static bool module_in(char out[FM_PATH_MAX], const char *directory, const char *name)
{
    int need = snprintf(out, FM_PATH_MAX, "%s/fmnist-%s%s", directory, name, FM_MODULE_SUFFIX);
    return need > 0 && need < FM_PATH_MAX && fm_path_exists(out);
}

static bool find_module(char out[FM_PATH_MAX], const char *name)
{
    static const char *const places[] = {"fmnist", "modules", "../modules"};
    char library[FM_PATH_MAX], directory[FM_PATH_MAX];
    if (fixed_directory[0])
        return module_in(out, fixed_directory, name);
    bool found = false;
    enum fm_status status = fm_library_directory(library);
    for (size_t i = 0; status == FM_OK && !found && i < sizeof places / sizeof places[0]; i++) {
        status = fm_path_join(directory, library, places[i]);
        found = status == FM_OK && module_in(out, directory, name);
    }
    if (status != FM_OK)
        fm_error_clear(); // no module: the caller says what there is
    return found;
}

bool fm_module_exists(const char *name)
{
    char path[FM_PATH_MAX];
    return find_module(path, name);
}

static enum fm_status fail_kind(const struct fm_module_kind *kind, const char *path)
{
    return fm_fail(FM_BACKEND, "%s: not a %s of interface version %u: build it again", path,
        kind->name, kind->abi);
}

// The module's table, from its entry function.
static enum fm_status ask_module(
    const struct fm_module_kind *kind, void *module, const char *path, const void **table)
{
    fm_module_entry *entry;
    void *symbol = dlsym(module, kind->entry);
    memcpy(&entry, &symbol, sizeof entry); // ISO C has no cast from an object to a function pointer
    if (!symbol)
        return fm_fail(
            FM_BACKEND, "%s: no symbol %s: not a %s of fmnist", path, kind->entry, kind->name);
    const struct fm_module_host host = {kind->abi, &fm_error_own_sink, &fm_log_own_sink};
    const uint32_t *given = entry(&host);
    if (!given || *given != kind->abi)
        return fail_kind(kind, path);
    *table = given;
    return FM_OK;
}

// The modules loaded, each with its table: a module is asked once, as other threads may be using
// it.
static struct loaded_module {
    void *module;
    const void *table;
    struct fm_module_kind kind;
} loaded_modules[LOADED_MAX];
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;

static enum fm_status load_file(
    const struct fm_module_kind *kind, const char *name, const char *path, const void **table)
{
    // Never closed: OpenMP's worker threads and the GPU libraries outlive any moment to do so.
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!module)
        return fm_fail(FM_BACKEND, "cannot load %s '%s': %s", kind->name, name, dlerror());
    int i = 0; // the loader gives the same handle for the same file
    while (i < LOADED_MAX && loaded_modules[i].module && loaded_modules[i].module != module)
        i++;
    if (i == LOADED_MAX)
        return fm_fail(FM_BACKEND, "%s: more than %d modules loaded", path, LOADED_MAX);
    struct loaded_module *loaded = &loaded_modules[i];
    if (!loaded->module) {
        FM_TRY(ask_module(kind, module, path, &loaded->table));
        loaded->module = module;
        loaded->kind = *kind;
    }
    if (strcmp(loaded->kind.entry, kind->entry) != 0 || loaded->kind.abi != kind->abi)
        return fail_kind(kind, path);
    *table = loaded->table;
    return FM_OK;
}

bool fm_module_join(const struct fm_module_host *host, uint32_t abi)
{
    if (host->abi != abi)
        return false;
    fm_error_set_sink(host->errors);
    fm_log_set_sink(host->log);
    return true;
}

enum fm_status fm_module_load(
    const struct fm_module_kind *kind, const char *name, const void **table)
{
    char path[FM_PATH_MAX];
    if (!find_module(path, name))
        return fm_fail(FM_NOT_FOUND, "%s '%s' is not part of this build", kind->name, name);
    pthread_mutex_lock(&loading);
    enum fm_status status = load_file(kind, name, path, table);
    pthread_mutex_unlock(&loading);
    return status;
}
