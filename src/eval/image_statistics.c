// Sums over pixels are whole numbers, so that equal images have equal statistics everywhere.
#include "eval/image_statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIDE = FM_IMAGE_SIDE,
    BRIGHT = 32,
    WHITE = 255
};

const char *const fm_image_statistic_names[FM_IMAGE_STATISTICS] = {"mean", "contrast", "dark share",
    "edges", "sharpness", "centre x", "centre y", "width", "height", "slant"};

// Sums over the pixels of value, value * column and so on.
struct sums {
    int64_t value, squares, x, y, xx, yy, xy;
    int bright, left, right, top, bottom; // of bright pixels
};

static void add_bright(struct sums *s, int x, int y)
{
    s->left = s->bright && s->left < x ? s->left : x;
    s->right = s->bright && s->right > x ? s->right : x;
    s->top = s->bright ? s->top : y;
    s->bottom = y;
    s->bright++;
}

static struct sums sum_up(const uint8_t *record)
{
    struct sums s = {0};
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            int64_t v = record[y * SIDE + x];
            s.value += v;
            s.squares += v * v;
            s.x += v * x;
            s.y += v * y;
            s.xx += v * x * x;
            s.yy += v * y * y;
            s.xy += v * x * y;
            if (v >= BRIGHT)
                add_bright(&s, x, y);
        }
    return s;
}

static double edges(const uint8_t *record)
{
    int64_t sum = 0;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            const uint8_t *p = record + y * SIDE + x;
            sum += x + 1 < SIDE ? abs(p[1] - p[0]) : 0;
            sum += y + 1 < SIDE ? abs(p[SIDE] - p[0]) : 0;
        }
    return (double)sum / (2.0 * SIDE * (SIDE - 1) * WHITE);
}

static double sharpness(const uint8_t *record)
{
    int64_t sum = 0;
    for (int y = 1; y + 1 < SIDE; y++)
        for (int x = 1; x + 1 < SIDE; x++) {
            const uint8_t *p = record + y * SIDE + x;
            sum += abs(4 * p[0] - p[-1] - p[1] - p[-SIDE] - p[SIDE]);
        }
    return (double)sum / (4.0 * (SIDE - 2) * (SIDE - 2) * WHITE);
}

static double slant(const struct sums *s)
{
    double n = (double)s->value, x = (double)s->x / n, y = (double)s->y / n;
    double xx = (double)s->xx / n - x * x, yy = (double)s->yy / n - y * y;
    double xy = (double)s->xy / n - x * y;
    return xx > 1e-9 && yy > 1e-9 ? xy / sqrt(xx * yy) : 0;
}

void fm_image_statistics(
    const uint8_t record[FM_IMAGE_BYTES], float statistics[FM_IMAGE_STATISTICS])
{
    struct sums s = sum_up(record);
    double mean = (double)s.value / FM_IMAGE_BYTES;
    double variance = (double)s.squares / FM_IMAGE_BYTES - mean * mean;
    bool black = s.value == 0;
    double centre = (SIDE - 1) / 2.0;
    double x = black ? centre : (double)s.x / (double)s.value;
    double y = black ? centre : (double)s.y / (double)s.value;
    statistics[FM_IMAGE_MEAN] = (float)(mean / WHITE);
    statistics[FM_IMAGE_CONTRAST] = (float)(sqrt(fmax(variance, 0)) / WHITE);
    statistics[FM_IMAGE_DARK] = (float)(1 - (double)s.bright / FM_IMAGE_BYTES);
    statistics[FM_IMAGE_EDGES] = (float)edges(record);
    statistics[FM_IMAGE_SHARPNESS] = (float)sharpness(record);
    statistics[FM_IMAGE_CENTRE_X] = (float)((x + 0.5) / SIDE);
    statistics[FM_IMAGE_CENTRE_Y] = (float)((y + 0.5) / SIDE);
    statistics[FM_IMAGE_WIDTH] = s.bright ? (float)(s.right - s.left + 1) / SIDE : 0;
    statistics[FM_IMAGE_HEIGHT] = s.bright ? (float)(s.bottom - s.top + 1) / SIDE : 0;
    statistics[FM_IMAGE_SLANT] = black ? 0 : (float)slant(&s);
}
