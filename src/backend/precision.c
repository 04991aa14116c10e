// The choice follows what a device says of itself; no name of a device or processor stands here.
#include "backend/precision.h"

#include <string.h>

static const char *const precision_names[FM_PRECISION_COUNT] = {"fp32", "bf16", "fp16"};

const char *fm_precision_name(enum fm_precision precision)
{
    return precision_names[precision];
}

static enum fm_status fail_not_native(const struct fm_engine *engine, enum fm_precision precision)
{
    const char *why = engine->info.missing[precision];
    return fm_fail(FM_UNSUPPORTED, "backend '%s' does not train in %s: %s%s", engine->api->name,
        precision_names[precision], why ? why : engine->info.name,
        engine->info.emulated[precision] ? "; --emulate computes in fp32 and rounds" : "");
}

static enum fm_status decide_emulation(
    const struct fm_engine *engine, enum fm_precision precision, bool emulate, bool *emulated)
{
    const struct fm_device_info *info = &engine->info;
    if (emulate && precision == FM_PRECISION_FP32)
        return fm_fail(FM_USAGE, "fp32 has nothing to emulate: choose bf16 or fp16 by --precision");
    if (emulate && !info->emulated[precision])
        return fm_fail(FM_UNSUPPORTED, "backend '%s' does not emulate %s", engine->api->name,
            precision_names[precision]);
    // A user who asks for fp16 where it can only be emulated can mean nothing else; bf16 may be
    // asked for its speed, so its emulation must be.
    bool only_way = precision == FM_PRECISION_FP16 && info->emulated[precision];
    if (!emulate && !info->precisions[precision] && !only_way)
        return fail_not_native(engine, precision);
    *emulated = emulate || !info->precisions[precision];
    return FM_OK;
}

enum fm_status fm_precision_choose(const char *name, const struct fm_engine *engine, bool emulate,
    enum fm_precision *precision, bool *emulated)
{
    if (strcmp(name, "auto") == 0) {
        if (emulate)
            return fm_fail(FM_USAGE,
                "precision 'auto' is never emulated: name what to emulate, bf16 or fp16, by "
                "--precision");
        *precision = engine->info.preferred;
        *emulated = false;
        return FM_OK;
    }
    for (int i = 0; i < FM_PRECISION_COUNT; i++)
        if (strcmp(name, precision_names[i]) == 0) {
            *precision = (enum fm_precision)i;
            return decide_emulation(engine, *precision, emulate, emulated);
        }
    return fm_fail(FM_USAGE, "invalid precision '%s': expected auto, fp32, bf16 or fp16", name);
}
