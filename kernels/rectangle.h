// A rectangle of an image's pixels: what augmentation erases (augment.h) and mixing takes of
// another image (mix.h).
#ifndef FM_KERNELS_RECTANGLE_H
#define FM_KERNELS_RECTANGLE_H

#include "philox.h"

struct fm_rectangle {
    int top, left, height, width; // height 0: none
};

FM_SHARED_FN int fm_rectangle_holds(struct fm_rectangle r, int y, int x)
{
    return y >= r.top && y < r.top + r.height && x >= r.left && x < r.left + r.width;
}

// One of this size, its place drawn uniformly from all within an image of `rows` and `cols`.
FM_SHARED_FN struct fm_rectangle fm_rectangle_draw(
    int height, int width, int rows, int cols, uint32_t top_draw, uint32_t left_draw)
{
    struct fm_rectangle r = {0, 0, height, width};
    r.top = (int)fm_draw_below(top_draw, (uint32_t)(rows - height) + 1u);
    r.left = (int)fm_draw_below(left_draw, (uint32_t)(cols - width) + 1u);
    return r;
}

#endif
