// Are new images still like those that a network was made on? What `fmnist drift` computes, with no
// device and no files in it: two sets of images with the network's probabilities go in.
//
// Two-sample tests after "Failing Loudly" (Rabanser, Guennemann, Lipton 2019, arXiv:1810.11953), of
// three kinds:
//     outputs       Kolmogorov-Smirnov on each class's probability and on the largest one
//     images        Kolmogorov-Smirnov on each statistic of eval/drift/image_statistics.h
//     class shares  chi-square on how many images are given each class
// made one by permutations (eval/drift/permutation.h), so that `level` is how often images that
// have not drifted are called drifted. The same images give the same answer: the permutations' seed
// is fixed.
//
// Another mix of classes is drift, too, and by itself moves outputs and statistics. Where the class
// shares differ, the other tests are therefore made once more within the predicted classes (values
// become ranks within their class, permutations stay within it): what differs there, another mix
// does not explain.
#ifndef FM_APP_DRIFTING_H
#define FM_APP_DRIFTING_H

#include "base/text.h"
#include "data/dataset.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    FM_DRIFT_LEAST = 5, // images of either set; fewer are refused
    FM_DRIFT_FEW = 20   // images of either set; of fewer the answer says that they show little
};

struct fm_drift_set {
    uint32_t count;
    const uint8_t *records;     // [count][28][28]
    const float *probabilities; // [count][classes]
};

enum fm_drift_kind {
    FM_DRIFT_OUTPUTS,
    FM_DRIFT_IMAGES,
    FM_DRIFT_SHARES,
    FM_DRIFT_KINDS
};
extern const char *const fm_drift_kind_keys[];  // "outputs", "images", "class_shares"
extern const char *const fm_drift_kind_names[]; // "outputs", "images", "class shares"

struct fm_drift_test {
    enum fm_drift_kind kind;
    char *name;             // "p(Shirt)", "confidence", "edges", "class shares"; owned
    double statistic;       // D, 0 to 1; chi-square
    double p;               // of the test alone (eval/drift/twosample.h)
    double bonferroni;      // p times the number of tests, at most 1: for comparison
    double corrected;       // p of the family (eval/drift/permutation.h): what decides
    double effect;          // shift of the mean in deviations of the reference; of class shares:
                            // total variation distance, 0 to 1
    double reference, seen; // means of the two sets; NaN of class shares
    double within;          // corrected p within the predicted classes; NaN: not tested there
    bool drifted;           // corrected <= level
};

// An image's distance: Mahalanobis's, of its statistics and confidence, from the mean of the
// reference images that are given the same class, with the covariance within classes (as of Lee,
// Lee, Lee, Shin 2018, arXiv:1807.03888, there of a network's features).
struct fm_drift_image {
    uint32_t index; // in the set
    int predicted;
    float confidence; // its probability
    double distance;
    const char *furthest; // the statistic, or "confidence", that is furthest from its mean
    double deviations;    // by how many standard deviations within the class, signed
};

struct fm_drift {
    int classes;
    uint32_t reference, count; // images
    double level;
    uint32_t permutations, within_permutations; // the latter 0: not tested within classes
    struct fm_drift_test *tests;
    int test_count;
    uint64_t reference_classes[FM_CLASSES_MAX], seen_classes[FM_CLASSES_MAX]; // given each class
    struct fm_drift_image *images; // [count], furthest first
    bool drifted;
    bool kinds[FM_DRIFT_KINDS];  // some test of the kind has drifted
    bool within[FM_DRIFT_KINDS]; // within the classes, too
};

struct fm_drift_options {
    int classes;
    char *const *class_names;
    double level; // of the whole family: 0.05
    enum fm_status (*progress)(void *context, uint32_t done, uint32_t total); // permutations; NULL
    void *context;
};

// FM_DATA with fewer than FM_DRIFT_LEAST images in either set. On failure nothing needs to be
// freed.
enum fm_status fm_drift_compare(const struct fm_drift_set *reference,
    const struct fm_drift_set *seen, const struct fm_drift_options *options,
    struct fm_drift *drift);
void fm_drift_free(struct fm_drift *drift);

// How many images are given a class that fewer than FM_DRIFT_LEAST of the reference are given:
// within it there is next to nothing to compare them with.
uint32_t fm_drift_incomparable(const struct fm_drift *drift);
// Whether finding no drift within the classes means that there is none: not where those are most of
// the images, or leave fewer than FM_DRIFT_LEAST others.
bool fm_drift_within_known(const struct fm_drift *drift);

// The answer in a sentence without a full stop.
void fm_drift_verdict(const struct fm_drift *drift, struct fm_text *out);

#endif
