// The promise is in the header; what is here is short, so that the two can be compared.
#include "eval/label/selective.h"

#include "eval/label/binomial.h"
#include "philox.h"

#include <stdlib.h>

static const uint64_t ties_seed = 20172;

struct fm_guess fm_guess_of(const float *probabilities, int classes)
{
    int best = 0, second = -1;
    double doubt = 0;
    for (int k = 1; k < classes; k++)
        best = probabilities[k] > probabilities[best] ? k : best;
    for (int k = 0; k < classes; k++) {
        if (k == best)
            continue;
        doubt += (double)probabilities[k];
        if (second < 0 || probabilities[k] > probabilities[second])
            second = k;
    }
    return (struct fm_guess){best, second, probabilities[best], probabilities[second], doubt};
}

// ---- One threshold

struct ranked {
    double doubt;
    uint64_t tie; // drawn
    bool wrong;
};

static int compare(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->doubt != y->doubt)
        return x->doubt < y->doubt ? -1 : 1;
    return x->tie < y->tie ? -1 : x->tie > y->tie;
}

// Between two errors a rank is the surer the later it is, so that only an error can end the
// sequence once it has begun.
static void test_in_order(const struct ranked *images, uint32_t count, double risk, double delta,
    struct fm_threshold *threshold)
{
    uint32_t errors = 0;
    for (uint32_t j = 1; j <= count; j++) {
        bool first = j == threshold->needed;
        errors += images[j - 1].wrong;
        if (j < threshold->needed)
            continue;
        if ((first || images[j - 1].wrong) && fm_binomial_cdf(errors, j, risk) > delta)
            return;
        bool within_equals = j < count && images[j].doubt == images[j - 1].doubt;
        if (first || within_equals)
            continue;
        threshold->met = true;
        threshold->doubt = images[j - 1].doubt;
        threshold->taken = j;
        threshold->errors = errors;
    }
}

enum fm_status fm_threshold_find(const double *doubts, const bool *wrong, uint32_t count,
    double risk, double delta, struct fm_threshold *threshold)
{
    uint64_t needed = fm_binomial_needed(risk, delta);
    *threshold = (struct fm_threshold){.doubt = -1, .bound = 1, .count = count};
    threshold->needed = needed < UINT32_MAX ? (uint32_t)needed : UINT32_MAX;
    if (count < threshold->needed)
        return FM_OK;
    struct ranked *images = malloc(count * sizeof *images);
    if (!images)
        return fm_fail_memory("the order of calibration images", count * sizeof *images);
    for (uint32_t i = 0; i < count; i++)
        images[i] = (struct ranked){
            doubts[i], fm_draw64(ties_seed, 0, i, FM_STREAM_SHUFFLE), wrong[i]};
    qsort(images, count, sizeof *images, compare);
    test_in_order(images, count, risk, delta, threshold);
    free(images);
    if (threshold->met)
        threshold->bound = fm_binomial_upper(threshold->errors, threshold->taken, delta);
    return FM_OK;
}

// ---- All of them

enum fm_status fm_selective_calibrate(const struct fm_guess *guesses, const uint8_t *labels,
    uint32_t count, const struct fm_selective_options *options, struct fm_selective *selective)
{
    int groups = options->per_class ? options->classes : 1;
    double *doubts = malloc((count + 1) * sizeof *doubts);
    bool *wrong = malloc((count + 1) * sizeof *wrong);
    enum fm_status status = doubts && wrong
                                ? FM_OK
                                : fm_fail_memory("the calibration", count * sizeof *doubts);
    *selective = (struct fm_selective){
        .options = *options, .delta = (1 - options->confidence) / groups};
    for (int group = 0; group < groups && status == FM_OK; group++) {
        uint32_t members = 0;
        for (uint32_t i = 0; i < count; i++) {
            if (options->per_class && guesses[i].best != group)
                continue;
            doubts[members] = guesses[i].doubt;
            wrong[members++] = guesses[i].best != labels[i];
        }
        status = fm_threshold_find(
            doubts, wrong, members, options->risk, selective->delta, &selective->thresholds[group]);
    }
    free(wrong);
    free(doubts);
    return status;
}

const struct fm_threshold *fm_selective_threshold(
    const struct fm_selective *selective, const struct fm_guess *guess)
{
    return &selective->thresholds[selective->options.per_class ? guess->best : 0];
}

bool fm_selective_takes(const struct fm_selective *selective, const struct fm_guess *guess)
{
    const struct fm_threshold *threshold = fm_selective_threshold(selective, guess);
    return threshold->met && guess->doubt <= threshold->doubt;
}
