// What may be asked of an executor is the interface's, so that every backend refuses it in the same
// words.
#include "backend/compile_options.h"

static enum fm_status check_records(
    const struct fm_net *net, const struct fm_compile_options *options)
{
    bool augments = fm_augment_any(&options->augment);
    if (options->mirror && augments)
        return fm_fail(FM_USAGE,
            "compile: `mirror` is for images as they are, but augmentation is asked for, too");
    if (net->input.features > 0 && (options->mirror || augments))
        return fm_fail(FM_USAGE,
            "compile: the records of network '%s' are features: only images can be augmented or "
            "mirrored",
            net->name);
    if (net->input.features > 0 && options->mix.share > 0.0f && options->mix.cut > 0.0f)
        return fm_fail(FM_USAGE,
            "compile: the records of network '%s' are features: only of images a rectangle can be "
            "cut",
            net->name);
    return FM_OK;
}

static enum fm_status check_share(float share, const char *of_what)
{
    if (share >= 0.0f && share <= 1.0f)
        return FM_OK;
    return fm_fail(FM_USAGE, "compile: a share of %g %s, expected 0 to 1", (double)share, of_what);
}

enum fm_status fm_compile_check(
    const struct fm_net *net, const struct fm_compile_options *options, bool averages)
{
    bool trains = options->mode == FM_MODE_TRAIN;
    if (options->batch < 1)
        return fm_fail(FM_USAGE, "a batch of %d: expected at least 1", options->batch);
    if (trains && net->classes == 0)
        return fm_fail(FM_USAGE,
            "compile: network '%s' ends in features, not in classes: it has no loss to train by",
            net->name);
    if (trains && (options->average || options->mirror))
        return fm_fail(FM_USAGE, "compile: `average` and `mirror` are for inference");
    FM_TRY(check_share(options->mix.share, "mixed"));
    FM_TRY(check_share(options->mix.cut, "cut"));
    FM_TRY(check_share(options->soft_share, "for soft targets"));
    if (!trains && (options->mix.share > 0.0f || options->soft_share > 0.0f))
        return fm_fail(FM_USAGE, "compile: `mix` and `soft_share` are for training");
    FM_TRY(check_records(net, options));
    if (options->average && !averages)
        return fm_fail(FM_USAGE, "compile: this model keeps no average");
    return FM_OK;
}
