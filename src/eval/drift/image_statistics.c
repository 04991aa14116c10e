// Sums over pixels are whole numbers, so that equal images have equal statistics everywhere.
#include "eval/drift/image_statistics.h"

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
    int bright, left, right, top, bottom; // of bright pixels; the box only where there are some
};

static void add_bright_row(struct sums *s, const uint8_t *row, int y)
{
    int bright = 0, left = SIDE, right = 0;
    for (int x = 0; x < SIDE; x++) {
        bool is_bright = row[x] >= BRIGHT;
        bright += is_bright;
        left = is_bright && x < left ? x : left;
        right = is_bright ? x : right;
    }
    if (bright == 0)
        return;
    s->left = s->bright && s->left < left ? s->left : left;
    s->right = s->bright && s->right > right ? s->right : right;
    s->top = s->bright ? s->top : y;
    s->bottom = y;
    s->bright += bright;
}

// A row at a time: what a row sums up to is all that its columns are needed for.
static struct sums sum_up(const uint8_t *record)
{
    struct sums s = {0};
    for (int y = 0; y < SIDE; y++) {
        int value = 0, squares = 0, x_sum = 0, xx_sum = 0;
        for (int x = 0; x < SIDE; x++) {
            int v = record[y * SIDE + x];
            value += v;
            squares += v * v;
            x_sum += v * x;
            xx_sum += v * x * x;
        }
        s.value += value;
        s.squares += squares;
        s.x += x_sum;
        s.xx += xx_sum;
        s.y += (int64_t)value * y;
        s.yy += (int64_t)value * y * y;
        s.xy += (int64_t)x_sum * y;
        add_bright_row(&s, record + y * SIDE, y);
    }
    return s;
}

static double edges(const uint8_t *record)
{
    int across = 0, down = 0;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x + 1 < SIDE; x++)
            across += abs(record[y * SIDE + x + 1] - record[y * SIDE + x]);
    for (int i = 0; i < SIDE * (SIDE - 1); i++)
        down += abs(record[i + SIDE] - record[i]);
    return (across + down) / (2.0 * SIDE * (SIDE - 1) * WHITE);
}

static double sharpness(const uint8_t *record)
{
    int sum = 0;
    for (int y = 1; y + 1 < SIDE; y++)
        for (int x = 1; x + 1 < SIDE; x++) {
            const uint8_t *p = record + y * SIDE + x;
            sum += abs(4 * p[0] - p[-1] - p[1] - p[-SIDE] - p[SIDE]);
        }
    return sum / (4.0 * (SIDE - 2) * (SIDE - 2) * WHITE);
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
