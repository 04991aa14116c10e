// Backends are modules so that a machine without one of their libraries needs none of it, and a
// command that computes nothing maps nothing.
#include "backend/registry.h"

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "base/version.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

// In the order of preference: a GPU, where there is one, is what the tool is for.
const char *const fm_backend_names[] = {"cuda", "cpu", NULL};

enum {
    LOADED_MAX = 8
};

static char fixed_directory[FM_PATH_MAX];

void fm_registry_set_directory(const char *directory)
{
    snprintf(fixed_directory, sizeof fixed_directory, "%s", directory);
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

static bool is_known(const char *name)
{
    for (int i = 0; fm_backend_names[i]; i++)
        if (strcmp(fm_backend_names[i], name) == 0)
            return true;
    return false;
}

static bool has_module(const char *name)
{
    char path[FM_PATH_MAX];
    return is_known(name) && find_module(path, name);
}

static enum fm_status fail_unavailable(const char *name)
{
    struct fm_text present = {0};
    for (int i = 0; fm_backend_names[i]; i++)
        if (has_module(fm_backend_names[i]))
            fm_text_append(&present, "%s%s", present.length ? ", " : "", fm_backend_names[i]);
    const char *list = present.length ? fm_text_cstr(&present) : "none";
    enum fm_status status;
    const char *nearest = fm_nearest_name(name, fm_backend_names);
    if (is_known(name))
        status = fm_fail(FM_NOT_FOUND,
            "backend '%s' is not part of this build (there is: %s); build it (CMake's output says "
            "what is missing), or choose one with --backend",
            name, list);
    else if (nearest)
        status = fm_fail(FM_NOT_FOUND, "unknown backend '%s'; did you mean '%s'? (there is: %s)",
            name, nearest, list);
    else
        status = fm_fail(FM_NOT_FOUND, "unknown backend '%s' (there is: %s)", name, list);
    fm_text_free(&present);
    return status;
}

// The module's table, from its entry function.
static enum fm_status ask_module(void *module, const char *path, const struct fm_backend **backend)
{
    fm_backend_entry *entry;
    void *symbol = dlsym(module, FM_BACKEND_ENTRY);
    memcpy(&entry, &symbol, sizeof entry); // ISO C has no cast from an object to a function pointer
    if (!symbol)
        return fm_fail(
            FM_BACKEND, "%s: no symbol %s: not a backend of fmnist", path, FM_BACKEND_ENTRY);
    static const struct fm_backend_host host = {
        FM_BACKEND_ABI, &fm_error_own_sink, &fm_log_own_sink};
    const struct fm_backend *table = entry(&host);
    if (!table || table->abi != FM_BACKEND_ABI)
        return fm_fail(FM_BACKEND, "%s: interface version %u, expected %d: build it again", path,
            table ? table->abi : 0, FM_BACKEND_ABI);
    *backend = table;
    return FM_OK;
}

// The modules loaded, each with its table: a module is asked once, as other threads may be using
// it.
static struct loaded_module {
    void *module;
    const struct fm_backend *backend;
} loaded_modules[LOADED_MAX];
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;

static enum fm_status load_file(
    const char *name, const char *path, const struct fm_backend **backend)
{
    // Never closed: OpenMP's worker threads and the GPU libraries outlive any moment to do so.
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!module)
        return fm_fail(FM_BACKEND, "cannot load backend '%s': %s", name, dlerror());
    int i = 0; // the loader gives the same handle for the same file
    while (i < LOADED_MAX && loaded_modules[i].module && loaded_modules[i].module != module)
        i++;
    if (i == LOADED_MAX)
        return fm_fail(FM_BACKEND, "%s: more than %d backends loaded", path, LOADED_MAX);
    if (!loaded_modules[i].module) {
        FM_TRY(ask_module(module, path, &loaded_modules[i].backend));
        loaded_modules[i].module = module;
    }
    *backend = loaded_modules[i].backend;
    return FM_OK;
}

// An unknown or missing module fails with FM_NOT_FOUND and the list of those there are.
static enum fm_status load_module(const char *name, const struct fm_backend **backend)
{
    char path[FM_PATH_MAX];
    if (!is_known(name) || !find_module(path, name))
        return fail_unavailable(name);
    pthread_mutex_lock(&loading);
    enum fm_status status = load_file(name, path, backend);
    pthread_mutex_unlock(&loading);
    return status;
}

static enum fm_status open_named(
    const char *name, const struct fm_device_options *options, struct fm_engine *engine)
{
    FM_TRY(load_module(name, &engine->api));
    FM_TRY(engine->api->device_open(options, &engine->device));
    engine->api->device_describe(engine->device, &engine->info);
    engine->options = (struct fm_device_options){
        .index = options->index, .threads = engine->info.threads};
    if (engine->info.threads == 0) { // threads are a processor's
        engine->options.tf32 = options->tf32;
        engine->options.nondeterministic = options->nondeterministic;
        engine->options.workspace = options->workspace;
    }
    return FM_OK;
}

// A device that is not there, or whose libraries are not, nobody expects to be used. One that is
// there and does not serve is missed: whoever has it expects the run to be on it.
static bool is_missed(enum fm_status status, const struct fm_engine *engine)
{
    return engine->api && status != FM_NOT_FOUND;
}

// Whether a module's hardware may be there. The libraries of a GPU take a tenth of a second to
// load, and without a driver are not needed; the CUDA runtime looks for it by the same name. A
// folder that was named is taken at its word: it may hold another implementation.
static bool may_serve(const char *name)
{
    if (fixed_directory[0] || strcmp(name, "cuda") != 0)
        return true;
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (!driver)
        return false;
    dlclose(driver);
    return true;
}

// The first backend that has a usable device.
static enum fm_status open_first(const struct fm_device_options *options, struct fm_engine *engine)
{
    struct fm_text reasons = {0}, missed = {0};
    enum fm_status status = FM_NOT_FOUND;
    for (int i = 0; status != FM_OK && fm_backend_names[i]; i++) {
        if (!has_module(fm_backend_names[i]))
            continue;
        if (!may_serve(fm_backend_names[i])) {
            fm_text_append(&reasons, "; %s: no driver was found", fm_backend_names[i]);
            continue;
        }
        status = open_named(fm_backend_names[i], options, engine);
        if (status == FM_OK)
            break;
        fm_text_append(&reasons, "; %s: %s", fm_backend_names[i], fm_error_message());
        if (is_missed(status, engine))
            fm_text_append(&missed, "%s%s", missed.length ? "; " : "", fm_error_message());
        fm_error_clear();
        memset(engine, 0, sizeof *engine);
    }
    if (status != FM_OK)
        status = fm_fail(FM_NOT_FOUND, "no usable backend%s",
            reasons.length ? fm_text_cstr(&reasons) : ": none is part of this build");
    else if (missed.length)
        fm_warn("%s; '%s' is used instead", fm_text_cstr(&missed), engine->api->name);
    fm_text_free(&missed);
    fm_text_free(&reasons);
    return status;
}

enum fm_status fm_engine_open(
    const char *name, const struct fm_device_options *options, struct fm_engine *engine)
{
    memset(engine, 0, sizeof *engine);
    if (name && strcmp(name, "auto") != 0) {
        enum fm_status status = open_named(name, options, engine);
        if (status != FM_OK)
            memset(engine, 0, sizeof *engine);
        return status;
    }
    return open_first(options, engine);
}

void fm_engine_close(struct fm_engine *engine)
{
    if (engine->api)
        engine->api->device_close(engine->device);
    memset(engine, 0, sizeof *engine);
}
