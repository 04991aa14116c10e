// What the files of the search for near duplicates share. Nobody else includes it.
//
//   near_image.c   an image under a transform: its description, distances
//   near_cells.c   descriptions in cells around pivots, and what of a cell a query looks at
//   near.c         the search
//
// An image's direction u = a / |a| is described by 50 numbers: its projections on 49 squares of 4x4
// pixels (an orthonormal set: sums / 4), and the length of what they leave of it. By Cauchy and
// Schwarz, u.v is at most the product of these descriptions, so that a pair whose descriptions are
// too far apart needs no look at its pixels: descriptions are never further apart than the images.
// They are kept in cells around pivots, sorted by the distance to their pivot, and by the triangle
// inequality a query looks at no more than a ring of each cell.
//
// Descriptions are rounded to integers, whose distances are exact. Rounding moves a description by
// at most sqrt(50) / 2 / FM_NEAR_UNIT, so a distance by twice that, 0.00044: FM_NEAR_SLACK is more.
#ifndef FM_EVAL_NEAR_PARTS_H
#define FM_EVAL_NEAR_PARTS_H

#include "data/dataset.h"
#include "eval/audit/near.h"

enum {
    FM_NEAR_DIMS = 56,    // 49 squares, the rest, and zeros up to a multiple of 8
    FM_NEAR_UNIT = 16384, // what 1 is rounded to: products of two descriptions fit in 31 bits
    FM_NEAR_TRANSFORMS_MAX = 2 * (2 * FM_NEAR_SHIFT_MAX + 1) * (2 * FM_NEAR_SHIFT_MAX + 1)
};
#define FM_NEAR_SLACK 0.0005

// Mirrored, then moved.
struct fm_near_transform {
    bool mirrored;
    int down, right;
};
// The options' transforms, the identity first; returns their number.
int fm_near_transforms(const struct fm_near_options *options,
    struct fm_near_transform transforms[FM_NEAR_TRANSFORMS_MAX]);
void fm_near_apply(
    const struct fm_near_transform *transform, const uint8_t *record, uint8_t out[FM_IMAGE_BYTES]);

uint32_t fm_near_product(const uint8_t *a, const uint8_t *b); // exact
double fm_near_norm(const uint8_t *record);
// Of two images whose directions have this product.
double fm_near_distance(double cosine);

struct fm_near_description {
    int16_t v[FM_NEAR_DIMS];
    int32_t squared; // the sum of squares of v
};
// Of a record that was an image of this norm before a transform.
void fm_near_describe(const uint8_t *record, double norm, struct fm_near_description *out);
// The squared distance of two descriptions.
double fm_near_apart(const struct fm_near_description *a, const struct fm_near_description *b);

struct fm_near_member {
    float distance; // of the descriptions of image and pivot
    uint32_t image;
};

// Images by their descriptions; descriptions[image] is set for those.
struct fm_near_cells {
    const struct fm_near_description *descriptions; // borrowed
    uint32_t *pivots, pivot_count;                  // images
    uint32_t *starts;                               // [pivot_count + 1] into members
    struct fm_near_member *members;                 // by cell, then distance
    struct fm_near_description *packed;             // in the order of members
};
// `images` [count]. On failure, too, freed with fm_near_cells_free().
enum fm_status fm_near_cells_make(const struct fm_near_description *descriptions,
    const uint32_t *images, uint32_t count, struct fm_near_cells *cells);
void fm_near_cells_free(struct fm_near_cells *cells);

// Calls `visit` for each image below `before` whose description is within `distance` of the
// query's, and may be for others that FM_NEAR_SLACK leaves open.
enum fm_status fm_near_cells_visit(const struct fm_near_cells *cells,
    const struct fm_near_description *query, double distance, uint32_t before,
    enum fm_status (*visit)(void *context, uint32_t image), void *context);

#endif
