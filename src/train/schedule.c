// Learning-rate schedules. They count submitted steps, so that a skipped update changes no rate.
#include "train/recipe.h"

double fm_schedule_rate(const struct fm_recipe *recipe, uint64_t step, uint64_t steps)
{
    if (recipe->schedule == FM_SCHEDULE_CONSTANT)
        return recipe->learning_rate;
    // A step stands at its middle, so that neither the first nor the last has a rate of 0.
    double at = (double)step + 0.5, end = (double)steps;
    double top = recipe->warmup_share * end;
    return recipe->learning_rate * (at < top ? at / top : (end - at) / (end - top));
}
