// What changes with the step: the learning rate and the decay of the weights' moving average. They
// count submitted steps, so that a skipped update changes neither.
#include "train/recipe.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

double fm_schedule_rate(const struct fm_recipe *recipe, uint64_t step, uint64_t steps)
{
    if (recipe->schedule == FM_SCHEDULE_CONSTANT)
        return recipe->learning_rate;
    // A step stands at its middle, so that neither the first nor the last has a rate of 0.
    double at = (double)step + 0.5, end = (double)steps;
    double top = recipe->warmup_share * end;
    if (at < top)
        return recipe->learning_rate * (at / top);
    if (recipe->schedule == FM_SCHEDULE_COSINE)
        return recipe->learning_rate * (0.5 + 0.5 * cos(pi * ((at - top) / (end - top))));
    return recipe->learning_rate * ((end - at) / (end - top));
}

float fm_recipe_ema_decay(const struct fm_recipe *recipe, uint64_t step)
{
    double early = (1 + (double)step) / (10 + (double)step);
    return (float)(recipe->ema_decay < early ? recipe->ema_decay : early);
}
