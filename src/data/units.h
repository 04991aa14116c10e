// Samples that belong together, as one is near another: units, which no division takes apart.
#ifndef FM_DATA_UNITS_H
#define FM_DATA_UNITS_H

#include <stdint.h>

// unit[count]: of each sample itself or one of its unit with a lower number. At first each sample
// is a unit of its own.
void fm_units_begin(uint32_t *unit, uint32_t count);
// The units of `a` and `b` become one.
void fm_units_join(uint32_t *unit, uint32_t a, uint32_t b);
// Afterwards unit[i] is the first sample of i's unit; joining may go on.
void fm_units_settle(uint32_t *unit, uint32_t count);

#endif
