// Initial weights from the counter-based generator, so that a seed means the same weights on every
// backend and whatever the order in which the parameters are filled.
#include "net/init.h"

#include "philox.h"

#include <math.h>

void fm_init_param(
    const struct fm_net *net, int param, enum fm_init init, uint64_t seed, float *out)
{
    const struct fm_param *p = &net->params[param];
    if (p->kind != FM_PARAM_WEIGHT) {
        for (size_t i = 0; i < p->count; i++)
            out[i] = p->kind == FM_PARAM_SCALE ? 1.0f : 0.0f;
        return;
    }

    double fans = init == FM_INIT_HE_UNIFORM ? p->fan_in : (double)p->fan_in + p->fan_out;
    double bound = sqrt(6.0 / fans);
    for (size_t i = 0; i < p->count; i += 4) {
        struct fm_draws draws = fm_philox(
            seed, 0, (uint32_t)param, FM_STREAM_INIT, (uint32_t)(i / 4));
        for (size_t j = 0; j < 4 && i + j < p->count; j++)
            out[i + j] = (float)(bound * (2.0 * fm_draw_unit(draws.v[j]) - 1.0));
    }
}
