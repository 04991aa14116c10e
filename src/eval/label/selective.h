// Which predictions are sure enough to go without a person: thresholds whose risk is bounded.
//
// A prediction's doubt is what the network leaves to all other classes. Images of a doubt up to a
// threshold are taken, the others are not. The risk of a threshold t,
//
//     R(t) = P(the prediction is wrong | its doubt is at most t),
//
// is to be at most r for all images to come, and that with a probability of at least 1 - delta over
// the draw of the calibration images: whoever calibrates again and again is wrong at most every
// 20th time (delta = 0.05). The calibration images are n independent draws of the distribution that
// the images to come are drawn of, with their labels, and the network has not been trained on them.
// (Fashion-MNIST's are drawn without replacement, and each class in proportion, which makes their
// counts vary less, not more.)
//
// The method is fixed-sequence testing (Angelopoulos, Bates, Candes, Jordan, Lei: "Learn then
// Test", arXiv:2110.01052) on selective risk (Geifman, El-Yaniv 2017, arXiv:1705.08500): the images
// stand in order of their doubt, d(1) <= d(2) <= ...; from rank s on, one after another, the
// hypothesis that the risk up to that rank is above r is tested, and the first that cannot be
// rejected ends the sequence. With K(j) errors in the first j images rank j is rejected if
//
//     P(Binomial(j, r) <= K(j)) <= delta,
//
// the same as Clopper and Pearson's bound of confidence 1 - delta being at most r. s is the
// smallest number of images that can reject at all, without one error: (1 - r)^s <= delta. The
// threshold is the doubt of the last rank rejected after the first. No correction for the number of
// tests is needed; the search by halves with a union bound over its steps that Geifman and El-Yaniv
// use is valid, too, but takes fewer images.
//
// Why it holds although the thresholds are those of the data. Let R be continuous and G the doubts
// whose risk is above r. An error of the method is a threshold in G.
//  1. Given the number N of images below a doubt b that is fixed, they are N independent draws of
//     those below b, so that K(N) is Binomial(N, R(b)). Given d(s+1), the s images before it are
//     such draws of those below d(s+1).
//  2. If d(s+1) is in G, the method errs only if it rejects rank s, and given d(s+1) that has a
//     probability of at most delta by 1.
//  3. Else let [b, b'] be the stretch outside of G that d(s+1) lies in; b' < d of any threshold in
//     G that the sequence can reach, and R(b') = r. An error takes the sequence past the N' images
//     up to b', so it has rejected rank N'. N' alone makes K(N') Binomial(N', r), and so do N' and
//     the number N of images up to b, on which it depends whether d(s+1) lies there: at both ends
//     the risk is r (or b is where no image is below), hence between them, too. So the probability
//     is at most delta for each stretch, given that d(s+1) lies in it.
//  4. The cases exclude each other: delta in all, whatever the shape of R.
// Equal doubts are put in an order drawn at random, as a continuous doubt would have done, and a
// threshold never lies within them.
//
// A threshold for each class divides delta among the classes (Bonferroni): the images that are
// given a class are draws of their own, and all bounds hold together. Each then needs at least s
// images of its own.
#ifndef FM_EVAL_SELECTIVE_H
#define FM_EVAL_SELECTIVE_H

#include "base/status.h"
#include "data/dataset.h"

#include <stdbool.h>
#include <stdint.h>

// What the network says of an image.
struct fm_guess {
    int best, second; // classes; the first of those that are equal
    float probability, second_probability;
    // The sum of the probabilities of all classes but the best. Unlike 1 - probability it tells
    // sure from surer where a float's probability is 1.
    double doubt;
};
struct fm_guess fm_guess_of(const float *probabilities, int classes); // [classes], at least 2

struct fm_threshold {
    bool met;        // there is one: else no image can be taken, and the next three are 0, 0, 1
    double doubt;    // images up to this are taken; negative where none are
    uint32_t taken;  // calibration images up to it
    uint32_t errors; // wrong ones among them
    double bound;    // Clopper and Pearson's of their risk, at the delta that was tested at
    uint32_t count;  // calibration images, taken or not
    uint32_t needed; // of a count below this no threshold can come: s
};

// One threshold from `count` images: doubts [count], not negative, and whether the prediction was
// wrong [count]. `risk` and `delta` in (0, 1).
enum fm_status fm_threshold_find(const double *doubts, const bool *wrong, uint32_t count,
    double risk, double delta, struct fm_threshold *threshold);

struct fm_selective_options {
    int classes;
    double risk;       // 1 - the precision asked for
    double confidence; // 1 - delta, of all thresholds together
    bool per_class;    // a threshold for each predicted class
};

struct fm_selective {
    struct fm_selective_options options;
    double delta; // that each threshold was tested at
    struct fm_threshold
        thresholds[FM_CLASSES_MAX]; // by predicted class; [0] alone unless per_class
};

// From guesses [count] and the labels [count] that are right.
enum fm_status fm_selective_calibrate(const struct fm_guess *guesses, const uint8_t *labels,
    uint32_t count, const struct fm_selective_options *options, struct fm_selective *selective);

// The threshold that a guess is held against, and whether it is sure enough.
const struct fm_threshold *fm_selective_threshold(
    const struct fm_selective *selective, const struct fm_guess *guess);
bool fm_selective_takes(const struct fm_selective *selective, const struct fm_guess *guess);

#endif
