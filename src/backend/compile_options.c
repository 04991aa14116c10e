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
    if (net->input.features > 0 && options->mix.share > 0.0f && options->mix.cut_share > 0.0f)
        return fm_fail(FM_USAGE,
            "compile: the records of network '%s' are features: only images can be mixed by "
            "rectangles (CutMix)",
            net->name);
    return FM_OK;
}

static enum fm_status check_share(float share, const char *name)
{
    if (share >= 0.0f && share <= 1.0f)
        return FM_OK;
    return fm_fail(FM_USAGE, "compile: a share of %g %s, expected 0 to 1", (double)share, name);
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
    FM_TRY(check_share(options->mix.cut_share, "cut"));
    FM_TRY(check_share(options->soft_share, "for soft targets"));
    if (!trains && (options->mix.share > 0.0f || options->soft_share > 0.0f))
        return fm_fail(FM_USAGE, "compile: `mix` and `soft_share` are for training");
    FM_TRY(check_records(net, options));
    if (options->average && !averages)
        return fm_fail(FM_USAGE, "compile: this model keeps no average");
    return FM_OK;
}

struct fm_augment_ranges fm_compile_augment_ranges(
    const struct fm_compile_options *options, const struct fm_input *input)
{
    const struct fm_augment *augment = &options->augment;
    return (struct fm_augment_ranges){.shift = augment->shift,
        .flip = augment->flip,
        .rows = input->rows,
        .cols = input->cols,
        .erase_threshold = fm_draw_threshold(augment->erase),
        .erase_size = augment->erase_size};
}

struct fm_mix_ranges fm_compile_mix_ranges(
    const struct fm_compile_options *options, const struct fm_input *input)
{
    return fm_mix_ranges_of(options->mix.share, options->mix.cut_share, input->rows, input->cols);
}
