// Where a result was measured: without this, no number of it could be compared with another.
#include "run/run.h"

#include "base/clock.h"
#include "base/version.h"

#include <string.h>
#include <zlib.h>

// A string that may hold any bytes: arguments need not be UTF-8, JSON must be.
static json_t *string_to_json(const char *string)
{
    json_t *json = json_string(string);
    return json ? json : json_string("(not UTF-8)");
}

json_t *fm_run_machine(void)
{
    struct fm_machine machine;
    fm_machine_describe(&machine);
    return json_pack("{s:s, s:s, s:i, s:I, s:s}", "processor", machine.processor, "features",
        machine.features, "cores", machine.cores, "memory", (json_int_t)machine.memory, "system",
        machine.system);
}

json_t *fm_run_environment(const struct fm_engine *engine, int argc, char *const *argv)
{
    struct fm_text command = {0};
    for (int i = 0; i < argc; i++) {
        // Where the program lies means nothing on another machine.
        const char *slash = i == 0 ? strrchr(argv[0], '/') : NULL;
        fm_text_append(&command, "%s", i ? " " : "");
        fm_text_append_shell(&command, slash ? slash + 1 : argv[i]);
    }
    char time[32];
    json_t *json = json_pack("{s:s, s:o, s:{s:s, s:s, s:s}, s:o, s:s, s:{s:s, s:s}, s:i, "
                             "s:{s:s, s:s, s:s}}",
        "time", fm_clock_iso8601(time), "command", string_to_json(fm_text_cstr(&command)), "build",
        "version", FM_VERSION, "type", FM_BUILD_TYPE, "compiler", FM_COMPILER, "machine",
        fm_run_machine(), "backend", engine->api->name, "device", "name", engine->info.name,
        "details", engine->info.details, "threads", engine->info.threads, "libraries", "backend",
        engine->info.libraries, "zlib", zlibVersion(), "jansson", jansson_version_str());
    fm_text_free(&command);
    return json;
}
