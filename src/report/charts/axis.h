// Axes: which range of values one shows, where its ticks are and how they are written.
#ifndef FM_REPORT_AXIS_H
#define FM_REPORT_AXIS_H

#include "report/charts/chart.h"

enum {
    FM_TICKS_MAX = 24,
    FM_TICK_TEXT = 32
};

// What there is to show. Zero-initialise, then add each value.
struct fm_extent {
    long count; // of values that can be shown
    double low, high;
    bool fractions;  // a value is not whole
    bool not_powers; // a value is not a power of two
};
// A value that cannot stand on the axis (not finite, or not positive on a logarithmic one) is left
// out: false. Values beyond 1e150 count as 1e150.
bool fm_extent_add(struct fm_extent *extent, const struct fm_axis *axis, double value);

struct fm_scale {
    bool log;
    double low, high; // shown; low < high
    int tick_count;
    double ticks[FM_TICKS_MAX];
    char texts[FM_TICKS_MAX][FM_TICK_TEXT]; // "0.5", "20k", "95 %", "1e-06"
};

// Chooses range and ticks, about `most_ticks` of them. Linear ticks are multiples of 1, 2 or 5
// times a power of ten, and whole where all values are whole; logarithmic ones 1, 2 and 5 times
// powers of ten, only powers of ten, or powers of two where all values are some. `low` and `high`
// that are NaN follow the values: with a `room` of 0 as far as the next tick (logarithmic: a little
// further than the values), otherwise with that share of the range on either side. Shares from 0 to
// 1 stay between them. Nothing to show gives 0 to 1 (logarithmic: 1 to 10).
void fm_scale_fit(struct fm_scale *scale, const struct fm_axis *axis,
    const struct fm_extent *extent, double low, double high, int most_ticks, double room);

// Where a value stands: 0 at `low`, 1 at `high`, beyond outside.
double fm_scale_at(const struct fm_scale *scale, double value);

#endif
