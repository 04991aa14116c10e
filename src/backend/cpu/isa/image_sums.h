// Sums over a batch of what was summed image by image: [image][channel], in double.
//
// A line of the cache holds several channels of an image, which are added up together, in the
// images' order: channel by channel each line would be fetched as many times.
#ifndef FM_CPU_ISA_IMAGE_SUMS_H
#define FM_CPU_ISA_IMAGE_SUMS_H

#include "backend/cpu/isa/element.h"

#include <string.h>

enum {
    LINE_SUMS = 8 // doubles of a line
};

static inline int lines_of(const struct fm_view *v)
{
    return (v->c + LINE_SUMS - 1) / LINE_SUMS;
}

// Channels of a line from c on.
static inline int line_channels(const struct fm_view *v, int c)
{
    return least(LINE_SUMS, v->c - c);
}

// Of the channels from c on.
static inline void add_images(
    const struct fm_view *v, const double *image_sums, int c, double sums[LINE_SUMS])
{
    int count = line_channels(v, c);
    memset(sums, 0, LINE_SUMS * sizeof *sums);
    for (int n = 0; n < v->n; n++)
        for (int k = 0; k < count; k++)
            sums[k] += image_sums[(size_t)n * (size_t)v->c + (size_t)(c + k)];
}

// To to[channel].
static inline void add_all_images(const struct fm_view *v, const double *image_sums, float *to)
{
#pragma omp parallel for schedule(static)
    for (int line = 0; line < lines_of(v); line++) {
        int c = line * LINE_SUMS;
        double sums[LINE_SUMS];
        add_images(v, image_sums, c, sums);
        for (int k = 0; k < line_channels(v, c); k++)
            to[c + k] = (float)sums[k];
    }
}

#endif
