// What two images have in common, and what tells quickly that it cannot be enough: near_parts.h.
#include "eval/audit/near_parts.h"

#include <math.h>
#include <string.h>

enum {
    SIDE = FM_IMAGE_SIDE,
    BYTES = FM_IMAGE_BYTES,
    BLOCK = 4,
    BLOCKS = SIDE / BLOCK
};

int fm_near_transforms(const struct fm_near_options *options,
    struct fm_near_transform transforms[FM_NEAR_TRANSFORMS_MAX])
{
    int count = 0;
    transforms[count++] = (struct fm_near_transform){0};
    for (int mirrored = 0; mirrored <= options->mirrored; mirrored++)
        for (int down = -options->shift; down <= options->shift; down++)
            for (int right = -options->shift; right <= options->shift; right++)
                if (mirrored || down || right)
                    transforms[count++] = (struct fm_near_transform){mirrored, down, right};
    return count;
}

void fm_near_apply(
    const struct fm_near_transform *t, const uint8_t *record, uint8_t out[FM_IMAGE_BYTES])
{
    memset(out, 0, BYTES);
    for (int row = 0; row < SIDE; row++) {
        int from = row - t->down;
        if (from < 0 || from >= SIDE)
            continue;
        for (int column = 0; column < SIDE; column++) {
            int source = column - t->right;
            if (source < 0 || source >= SIDE)
                continue;
            out[row * SIDE + column] =
                record[from * SIDE + (t->mirrored ? SIDE - 1 - source : source)];
        }
    }
}

uint32_t fm_near_product(const uint8_t *a, const uint8_t *b)
{
    uint32_t sum = 0; // at most 784 * 255 * 255, which fits
    for (int i = 0; i < BYTES; i++)
        sum += (uint32_t)a[i] * b[i];
    return sum;
}

double fm_near_norm(const uint8_t *record)
{
    return sqrt((double)fm_near_product(record, record));
}

// Identical directions have distance 0 whatever the square roots were rounded to.
double fm_near_distance(double cosine)
{
    double squared = 2 - 2 * cosine;
    return squared < 1e-12 ? 0 : sqrt(squared);
}

void fm_near_describe(const uint8_t *record, double norm, struct fm_near_description *out)
{
    double rest = (double)fm_near_product(record, record) / (norm * norm);
    memset(out, 0, sizeof *out);
    for (int block = 0; block < BLOCKS * BLOCKS; block++) {
        const uint8_t *corner = record + (block / BLOCKS) * BLOCK * SIDE + (block % BLOCKS) * BLOCK;
        int sum = 0;
        for (int i = 0; i < BLOCK * BLOCK; i++)
            sum += corner[i / BLOCK * SIDE + i % BLOCK];
        double value = sum / (BLOCK * norm);
        rest -= value * value;
        out->v[block] = (int16_t)lround(value * FM_NEAR_UNIT);
    }
    out->v[BLOCKS * BLOCKS] = (int16_t)lround(sqrt(fmax(rest, 0)) * FM_NEAR_UNIT);
    for (int i = 0; i < FM_NEAR_DIMS; i++)
        out->squared += out->v[i] * out->v[i];
}

double fm_near_apart(const struct fm_near_description *a, const struct fm_near_description *b)
{
    int32_t sum = 0;
    for (int i = 0; i < FM_NEAR_DIMS; i++)
        sum += a->v[i] * b->v[i];
    return (a->squared + b->squared - 2 * sum) * (1.0 / ((double)FM_NEAR_UNIT * FM_NEAR_UNIT));
}

struct fm_near_pair fm_near_compare(
    const uint8_t *a, const uint8_t *b, const struct fm_near_options *options)
{
    struct fm_near_transform transforms[FM_NEAR_TRANSFORMS_MAX];
    struct fm_near_pair best = {.b = 1, .distance = (float)M_SQRT2};
    double norms = fm_near_norm(a) * fm_near_norm(b);
    best.identical = memcmp(a, b, BYTES) == 0;
    if (best.identical || norms == 0) {
        best.distance = best.identical ? 0 : best.distance;
        return best;
    }
    int count = fm_near_transforms(options, transforms);
    for (int t = 0; t < count; t++) {
        uint8_t moved[BYTES];
        fm_near_apply(&transforms[t], b, moved);
        float distance = (float)fm_near_distance((double)fm_near_product(a, moved) / norms);
        if (distance < best.distance) {
            best.distance = distance;
            best.mirrored = transforms[t].mirrored;
            best.down = (int8_t)transforms[t].down;
            best.right = (int8_t)transforms[t].right;
        }
    }
    return best;
}
