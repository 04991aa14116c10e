// Backends are modules so that a machine without one of their libraries needs none of it, and a
// command that computes nothing maps nothing.
#include "backend/registry.h"

#include "base/log.h"
#include "base/module.h"
#include "base/text.h"

#include <dlfcn.h>
#include <string.h>

// In the order of preference: a GPU, where there is one, is what the tool is for.
const char *const fm_backend_names[] = {"cuda", "cpu", NULL};

static bool is_known(const char *name)
{
    for (int i = 0; fm_backend_names[i]; i++)
        if (strcmp(fm_backend_names[i], name) == 0)
            return true;
    return false;
}

static bool has_module(const char *name)
{
    return is_known(name) && fm_module_exists(name);
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

// An unknown or missing module fails with FM_NOT_FOUND and the list of those there are.
static enum fm_status load_module(const char *name, const struct fm_backend **backend)
{
    static const struct fm_module_kind kind = {"backend", FM_BACKEND_ENTRY, FM_BACKEND_ABI};
    const void *table = NULL;
    if (!has_module(name))
        return fail_unavailable(name);
    FM_TRY(fm_module_load(&kind, name, &table));
    *backend = table;
    return FM_OK;
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
    if (fm_module_directory_is_set() || strcmp(name, "cuda") != 0)
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
