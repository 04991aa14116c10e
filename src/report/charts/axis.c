// Ticks are what makes a chart readable, and the part with most corner cases: equal values, ranges
// of 1e-9 and 1e300, values off by a rounding error. They are kept here, apart from all drawing.
#include "report/charts/axis.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// Ratios of values this large and their reciprocals can still be computed with.
static const double largest = 1e150;

static double bounded(double value, bool log)
{
    return fmax(log ? 1 / largest : -largest, fmin(largest, value));
}

static double linear_or_log(const struct fm_scale *s, double value)
{
    value = bounded(value, s->log);
    return s->log ? log10(value) : value;
}

bool fm_extent_add(struct fm_extent *e, const struct fm_axis *axis, double value)
{
    if (!isfinite(value) || (axis->log && value <= 0))
        return false;
    value = bounded(value, axis->log);
    e->low = e->count ? fmin(e->low, value) : value;
    e->high = e->count ? fmax(e->high, value) : value;
    int exponent;
    e->fractions |= value != floor(value);
    e->not_powers |= value < 1 || frexp(value, &exponent) != 0.5;
    e->count++;
    return true;
}

double fm_scale_at(const struct fm_scale *s, double value)
{
    double low = linear_or_log(s, s->low), high = linear_or_log(s, s->high);
    return (linear_or_log(s, value) - low) / (high - low);
}

// ---- Writing a tick

static const struct {
    double unit;
    const char *letter;
} units[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}, {1, ""}};

// A figure with `decimals` of them in the unit that fits `size`, the largest value nearby.
static void write_plain(char out[FM_TICK_TEXT], double value, double size, double step)
{
    size_t u = 0;
    while (units[u].unit > 1 && (size < 1e4 || size < units[u].unit))
        u++;
    if (step / units[u].unit < 0.0009) // "1000.0001k" is no help
        u = sizeof units / sizeof units[0] - 1;
    if (value == 0)
        u = sizeof units / sizeof units[0] - 1; // "0", not "0k"
    double unit = units[u].unit, decimals = ceil(-log10(step / unit) - 1e-9);
    snprintf(out, FM_TICK_TEXT, "%.*f%s", (int)fmax(0, fmin(12, decimals)), value / unit,
        units[u].letter);
}

// "1.5e-07", without the zeros of C's exponents.
static void write_exponent(char out[FM_TICK_TEXT], double value, double size, double step)
{
    double digits = value == 0 ? 0 : floor(log10(size)) - floor(log10(step) + 1e-9);
    char text[FM_TICK_TEXT];
    snprintf(text, sizeof text, "%.*e", (int)fmax(0, fmin(9, digits)), value);
    char *e = strchr(text, 'e');
    if (value == 0 || !e) {
        snprintf(out, FM_TICK_TEXT, "0");
        return;
    }
    const char *exponent = e + 2;
    exponent += strspn(exponent, "0");
    snprintf(
        out, FM_TICK_TEXT, "%.*s%s%s", (int)(e + 1 - text), text, e[1] == '-' ? "-" : "", exponent);
}

static void write_tick(
    const struct fm_axis *axis, char out[FM_TICK_TEXT], double value, double size, double step)
{
    if (axis->percent && size < 1e4 && step > 1e-9) {
        double decimals = ceil(-log10(100 * step) - 1e-9);
        snprintf(out, FM_TICK_TEXT, "%.*f %%", (int)fmax(0, decimals), 100 * value);
    } else if (size >= 1e15 || size < 1e-3 || step < 1e-12) {
        write_exponent(out, value, size, step);
    } else {
        write_plain(out, value, size, step);
    }
}

static void add_tick(
    struct fm_scale *s, const struct fm_axis *axis, double value, double size, double step)
{
    if (s->tick_count == FM_TICKS_MAX)
        return;
    s->ticks[s->tick_count] = value;
    write_tick(axis, s->texts[s->tick_count], value, size, step);
    s->tick_count++;
}

// ---- Linear

// 1, 2 or 5 times a power of ten, at least `least`.
static double nice_step(double least)
{
    double power = pow(10, floor(log10(least)));
    double share = least / power;
    return power * (share <= 1 + 1e-9 ? 1 : share <= 2 + 1e-9 ? 2 : share <= 5 + 1e-9 ? 5 : 10);
}

static void linear_ticks(struct fm_scale *s, const struct fm_axis *axis, double step)
{
    double size = fmax(fabs(s->low), fabs(s->high));
    double first = ceil(s->low / step - 1e-6), last = floor(s->high / step + 1e-6);
    for (double i = first; i <= last && s->tick_count < FM_TICKS_MAX; i++)
        add_tick(s, axis, i == 0 ? 0 : i * step, size, step); // never -0
}

static double step_of(const struct fm_scale *s, bool whole, int most)
{
    double step = nice_step((s->high - s->low) / most);
    return whole ? fmax(1, step) : step;
}

// Values that differ by less than can be written apart are one value.
static void widen(struct fm_scale *s, const struct fm_axis *axis, bool whole)
{
    double size = fmax(fabs(s->low), fabs(s->high));
    if (s->high - s->low > 1e-9 * size && s->high > s->low)
        return;
    double room = size == 0 ? 1 : axis->percent ? 0.05 : whole && size < 1e9 ? 1 : 0.1 * size;
    s->low -= room;
    s->high += room;
}

static void fit_linear(struct fm_scale *s, const struct fm_axis *axis, const struct fm_extent *e,
    double low, double high, int most, double room)
{
    bool whole = e->count && !e->fractions && !axis->percent;
    s->low = e->count ? e->low : 0;
    s->high = e->count ? e->high : 1;
    if (isfinite(low))
        s->low = bounded(low, false);
    if (isfinite(high))
        s->high = bounded(high, false);
    if (s->high < s->low) // a limit beyond the values
        *(isfinite(low) ? &s->high : &s->low) = isfinite(low) ? s->low : s->high;
    widen(s, axis, whole);
    double step = step_of(s, whole, most), span = s->high - s->low;
    double below = room > 0 ? s->low - room * span : step * floor(s->low / step + 1e-6);
    double above = room > 0 ? s->high + room * span : step * ceil(s->high / step - 1e-6);
    if (axis->percent && e->count && e->low >= 0 && e->high <= 1) {
        below = fmax(0, below);
        above = fmin(1, above);
    }
    s->low = isfinite(low) && low < above ? low : below;
    s->high = isfinite(high) && high > s->low ? high : above;
    linear_ticks(s, axis, step_of(s, whole, most));
}

// ---- Logarithmic

// Ticks at base^(every*i) times the mantissas; how many there are in the range.
static int log_ticks(struct fm_scale *s, const struct fm_axis *axis, double base, int every,
    const double *mantissas, int mantissa_count, bool count_only)
{
    int count = 0;
    double first = floor(log(s->low) / log(base) / every) - 1;
    double last = ceil(log(s->high) / log(base) / every) + 1;
    for (double i = first; i <= last; i++)
        for (int m = 0; m < mantissa_count; m++) {
            double value = mantissas[m] * pow(base, every * i);
            if (value < s->low * (1 - 1e-9) || value > s->high * (1 + 1e-9))
                continue;
            count++;
            if (!count_only)
                add_tick(s, axis, value, value, base == 2 ? 1 : pow(base, every * i));
        }
    return count;
}

static bool fine_log_ticks(struct fm_scale *s, const struct fm_axis *axis, int most)
{
    static const double sets[3][9] = {{1, 2, 5}, {1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 3}};
    static const int counts[3] = {3, 9, 2};
    for (int set = 0; set < 3; set++) {
        int count = log_ticks(s, axis, 10, 1, sets[set], counts[set], true);
        if (count >= 3 && count <= most) {
            log_ticks(s, axis, 10, 1, sets[set], counts[set], false);
            return true;
        }
    }
    return false;
}

static void fit_log(struct fm_scale *s, const struct fm_axis *axis, const struct fm_extent *e,
    double low, double high, int most, double room)
{
    static const double one[1] = {1};
    s->low = e->count ? e->low : 1;
    s->high = e->count ? e->high : 10;
    if (isfinite(low) && low > 0)
        s->low = bounded(low, true);
    if (isfinite(high) && high > 0)
        s->high = bounded(high, true);
    if (s->high < s->low) // a limit beyond the values
        *(isfinite(low) ? &s->high : &s->low) = isfinite(low) ? s->low : s->high;
    if (s->high / s->low < 1 + 1e-6) {
        double middle = sqrt(s->low) * sqrt(s->high);
        s->low = middle / 2;
        s->high = middle * 2;
    }
    double factor = pow(s->high / s->low, fmax(room, 0.03));
    if (!(isfinite(low) && low > 0))
        s->low /= factor;
    if (!(isfinite(high) && high > 0))
        s->high *= factor;

    double decades = log10(s->high) - log10(s->low); // the quotient may be too large
    if (e->count && !e->not_powers && e->high <= 1048576) {
        int every = 1;
        while (log_ticks(s, axis, 2, every, one, 1, true) > most)
            every++;
        log_ticks(s, axis, 2, every, one, 1, false);
    } else if (!fine_log_ticks(s, axis, most)) {
        if (decades < 1)
            linear_ticks(s, axis, step_of(s, false, most));
        else
            log_ticks(s, axis, 10, (int)fmax(1, ceil(decades / most)), one, 1, false);
    }
}

void fm_scale_fit(struct fm_scale *s, const struct fm_axis *axis, const struct fm_extent *e,
    double low, double high, int most_ticks, double room)
{
    *s = (struct fm_scale){.log = axis->log};
    if (axis->log)
        fit_log(s, axis, e, low, high, most_ticks, room);
    else
        fit_linear(s, axis, e, low, high, most_ticks, room);
}
