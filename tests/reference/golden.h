// A model's golden file (tests/reference/golden/<model>.json, written by dump.py) with what is
// needed to repeat it: the network, its initial parameters, the images and the steps.
#ifndef FM_TESTS_REFERENCE_GOLDEN_H
#define FM_TESTS_REFERENCE_GOLDEN_H

#include "backend/backend.h"
#include "data/dataset.h"

#include <jansson.h>

struct fm_golden {
    json_t *root;
    struct fm_net net;      // with the file's input statistics
    float *params;          // initial, at the net's offsets
    struct fm_dataset data; // data/tiny
    uint32_t batch;
    struct fm_optimiser_options optimiser;
    struct fm_step step; // seed, epoch, learning rate
};

// A missing or malformed file fails the test.
void fm_golden_open(struct fm_golden *golden, const char *model);
void fm_golden_close(struct fm_golden *golden);

// A member of an object; its absence fails the test.
const json_t *fm_golden_member(const json_t *object, const char *key);
double fm_golden_number(const json_t *object, const char *key);
double fm_golden_element(const json_t *array, size_t index);

// Each returns true when the values are within the file's tolerances; otherwise prints which is
// not. Series: one value, `values` and `tolerances` an entry each. Tensor: norm, sum and samples.
// Values: a list with one tolerance. To the tolerance of a series comes the share `slack` of the
// value.
bool fm_golden_check_series(
    const char *what, const json_t *series, size_t index, double found, double slack);
bool fm_golden_check_tensor(
    const char *what, const json_t *tensor, const double *found, size_t count);
bool fm_golden_check_values(
    const char *what, const json_t *values, const double *found, size_t count);

#endif
