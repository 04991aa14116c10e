// Steps of training on both backends, compared one by one.
#include "parity/parity.h"

#include <stdio.h>
#include <string.h>

static struct parity_state *step(
    const struct parity_side *side, struct fm_executor *executor, int batch, uint32_t number)
{
    const struct parity_batch samples = parity_batch(number * (uint32_t)batch, batch, number);
    parity_must(side->api->sums_set(side->model, &(struct fm_sums){0}));
    parity_submit(side, executor, (int)number % FM_SLOTS, &samples);
    return parity_get(side);
}

// What is not trained stays, bit by bit.
static bool untrained_stays(
    const char *name, const struct parity_state *found, const struct parity_state *before)
{
    bool stays = true;
    for (int i = 0; i < found->net->param_count; i++) {
        const struct fm_param *p = &found->net->params[i];
        const float *a = found->range[PARITY_PARAM] + p->offset;
        if (p->trainable || !memcmp(a, before->range[PARITY_PARAM] + p->offset, p->count * 4))
            continue;
        fprintf(stderr, "%s: %s is not trained, but has changed\n", name, p->name);
        stays = false;
    }
    return stays;
}

bool parity_steps(struct parity *p, bool unfused, uint32_t count, double slack)
{
    struct fm_compile_options options = parity_training_of(p);
    struct fm_executor *reference = parity_compile(&p->reference, &options);
    options.unfused = unfused;
    struct fm_executor *tested = parity_compile(&p->tested, &options);
    struct parity_state *before = parity_copy(p->begin);
    bool close = true;
    for (uint32_t s = 0; s < count; s++) {
        char when[64];
        snprintf(when, sizeof when, "%sstep %u", unfused ? "unfused, " : "", s + 1);
        parity_set(&p->reference, before);
        parity_set(&p->tested, before);
        struct parity_state *expected = step(&p->reference, reference, p->what.batch, s);
        struct parity_state *found = step(&p->tested, tested, p->what.batch, s);
        close &= parity_states_close(p, when, found, expected, before, slack);
        close &= untrained_stays(p->name, found, before);
        parity_free(found);
        parity_free(before);
        before = expected;
    }
    parity_free(before);
    p->reference.api->executor_destroy(reference);
    p->tested.api->executor_destroy(tested);
    return close;
}
