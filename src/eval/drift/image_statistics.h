// What of an image can be told in a few numbers, without a network: what `fmnist drift` watches,
// besides the network's outputs.
#ifndef FM_EVAL_IMAGE_STATISTICS_H
#define FM_EVAL_IMAGE_STATISTICS_H

#include "data/dataset.h"

#include <stdint.h>

// Of a record of 28x28, pixels as shares of white. "Bright" pixels are those of at least 32/255:
// Fashion-MNIST's background is 0, and what lies between is the rim of an object or noise.
enum fm_image_statistic {
    FM_IMAGE_MEAN,      // mean of the pixels
    FM_IMAGE_CONTRAST,  // their standard deviation
    FM_IMAGE_DARK,      // share of pixels that are not bright
    FM_IMAGE_EDGES,     // mean absolute difference of neighbours, across and down
    FM_IMAGE_SHARPNESS, // mean absolute Laplacian (four neighbours, a quarter) of inner pixels:
                        // high with noise, low with blur
    FM_IMAGE_CENTRE_X,  // centre of mass, 0 the left edge, 1 the right one; 0.5 of a black image
    FM_IMAGE_CENTRE_Y,  // 0 top, 1 bottom
    FM_IMAGE_WIDTH,     // of the bright pixels' bounding box, as a share of 28; 0 if there are none
    FM_IMAGE_HEIGHT,    //
    FM_IMAGE_SLANT, // correlation of column and row, weighted by the pixels, -1 to 1: turns with
                    // the object; 0 where it has no extent
    FM_IMAGE_STATISTICS // how many
};
extern const char *const fm_image_statistic_names[FM_IMAGE_STATISTICS]; // "mean", ...

void fm_image_statistics(
    const uint8_t record[FM_IMAGE_BYTES], float statistics[FM_IMAGE_STATISTICS]);

#endif
