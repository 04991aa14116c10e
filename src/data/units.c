// The first of a unit stands for it, so that units do not depend on the order in which they grew.
#include "data/units.h"

void fm_units_begin(uint32_t *unit, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        unit[i] = i;
}

// The way there is halved for those who come after.
static uint32_t first_of(uint32_t *unit, uint32_t sample)
{
    while (unit[sample] != sample) {
        unit[sample] = unit[unit[sample]];
        sample = unit[sample];
    }
    return sample;
}

void fm_units_join(uint32_t *unit, uint32_t a, uint32_t b)
{
    uint32_t x = first_of(unit, a), y = first_of(unit, b);
    if (x < y)
        unit[y] = x;
    else
        unit[x] = y;
}

void fm_units_settle(uint32_t *unit, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) // what lies below is settled by then
        unit[i] = unit[unit[i]];
}
