// Near duplicates: pairs of images that show the same thing, copied, mirrored, shifted by a pixel,
// brightened or recompressed.
//
// Two images a and b (as vectors of their 784 pixels) are as far apart as their directions are:
//     d(a, b) = | a / |a| - T(b) / |b| | = sqrt(2 - 2 a.T(b) / (|a| |b|))
// the least over the allowed T, which mirrors or not and moves by so many pixels (what is moved
// over the edge is lost, and counts as different). So 0 is the same image, at any brightness, and
// sqrt(2) one with no lit pixel in common.
//
// No pair within the distance is missed, and none that is further apart is reported: what is left
// out is left out by bounds (near.c), and the distance itself comes from integers.
#ifndef FM_EVAL_NEAR_H
#define FM_EVAL_NEAR_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    FM_NEAR_SHIFT_MAX = 3,       // pixels
    FM_NEAR_PAIRS_MAX = 1000000, // that are kept
};

// Of Fashion-MNIST's test images and their nearest training image those up to here are, to the eye,
// the same product; from about 0.09 on they are different ones of the same cut.
#define FM_NEAR_DISTANCE 0.07

struct fm_near_pair {
    uint32_t a, b; // a < b
    float distance;
    bool identical;     // byte for byte
    bool mirrored;      // T(b) is mirrored left to right, and then
    int8_t down, right; // moved by so many pixels
};

struct fm_near_options {
    double distance; // at most; below 0.5
    bool mirrored;   // mirror images, too
    int shift;       // pixels that one may be moved by, in each direction, 0 to FM_NEAR_SHIFT_MAX
    // After a part of the work; may be NULL. A failure ends the search, with that failure.
    enum fm_status (*progress)(void *context, uint32_t done, uint32_t total);
    // Each pair as it is found, those that are not in the list included; may be NULL.
    void (*found)(void *context, const struct fm_near_pair *pair);
    void *context;
};

struct fm_near {
    struct fm_near_pair *pairs; // owned; by distance, then a, then b
    uint32_t count;
    uint64_t dropped; // pairs that the list has no room for, beyond FM_NEAR_PAIRS_MAX
};

// Finds the pairs among records[count], each 28x28 u8. In the list the first of identical images
// stands for all: each other makes a pair with it; and a pair of two such groups is told as the
// pairs of one's first with all of the other. Images that are all black have no direction: they are
// identical or in no pair. FM_USAGE: options out of range. On failure nothing needs to be freed.
enum fm_status fm_near_find(const uint8_t *const *records, uint32_t count,
    const struct fm_near_options *options, struct fm_near *near);
void fm_near_free(struct fm_near *near);

// The definition, computed directly: the least distance of two images over the options' T.
struct fm_near_pair fm_near_compare(
    const uint8_t *a, const uint8_t *b, const struct fm_near_options *options);

#endif
