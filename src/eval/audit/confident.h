// Confident learning: which labels are probably wrong, told from probabilities of networks that
// have not seen them. After Northcutt, Jiang, Chuang 2021, "Confident Learning: Estimating
// Uncertainty in Dataset Labels", Journal of Artificial Intelligence Research 70, arXiv:1911.00068;
// sections and equations below are that paper's.
//
// n samples of m classes. `probabilities` [n][m] are out of sample: row x holds p(label = j; x) as
// predicted by a network that was trained without x. `labels` [n] are the given ones, below m.
#ifndef FM_EVAL_CONFIDENT_H
#define FM_EVAL_CONFIDENT_H

#include "base/status.h"

#include <stdint.h>

struct fm_confident {
    int classes;
    uint32_t count;     // n
    uint32_t uncounted; // samples that reach no class's threshold
    uint32_t *given;    // [m] samples given each label
    double *thresholds; // [m] mean of p(label = j; x) over those given j; NaN where there are none
    uint64_t *counts;   // [m][m] the confident joint C[given][true]
    double *joint;      // [m][m] its estimate Q[given][true], a share of n; sums to 1
    double noise;       // estimated share of wrong labels: what of Q lies beside the diagonal
    int16_t *confidently; // [n] the class that a sample was counted for; -1: none
};

// Section 3.1. t_j is the mean self-confidence of class j (equation 2). A sample given i is counted
// in C[i][j] for the class j of largest probability among those with p(j; x) >= t_j (equation 1:
// where several reach theirs, the argmax resolves the collision; the lower class where two are
// equal); for none where none is reached. Q scales each row of C to the samples given that label
// and all to sum 1 (equation 3); a label whose row has counted nothing is taken to be right.
//
// FM_DATA: a label not below `classes`; FM_NUMERIC: a probability not within [0, 1]. On failure
// nothing needs to be freed.
enum fm_status fm_confident_count(const float *probabilities, const uint8_t *labels, uint32_t count,
    int classes, struct fm_confident *confident);
void fm_confident_free(struct fm_confident *confident);

// Which samples are found to be labelled wrongly, section 3.2.
enum fm_prune {
    FM_PRUNE_CONFUSION,  // another class has the largest probability (the paper's baseline)
    FM_PRUNE_JOINT,      // counted beside the diagonal of C
    FM_PRUNE_CLASS,      // of each label i the n * sum over j != i of Q[i][j] of least p(i; x)
    FM_PRUNE_NOISE_RATE, // of each i, j != i the n * Q[i][j] of largest p(j; x) - p(i; x)
    FM_PRUNE_BOTH,       // found by the two before
    FM_PRUNES,
};
extern const char *const fm_prune_names[]; // by enum fm_prune; ends with NULL

// found[x] becomes 1 or 0. Numbers are rounded to the nearest integer; of equal samples the first
// is taken first. Whatever the rule, a sample whose given label has the largest probability is not
// found: nothing speaks against its label.
enum fm_status fm_confident_find(const struct fm_confident *confident, const float *probabilities,
    const uint8_t *labels, enum fm_prune rule, uint8_t *found);

// What samples are ranked by, the least first.
enum fm_rank {
    FM_RANK_SELF_CONFIDENCE, // p(given; x)
    FM_RANK_MARGIN,          // p(given; x) - the largest p(j; x) of the others, in [-1, 1]
    FM_RANKS,
};
extern const char *const fm_rank_names[]; // by enum fm_rank; ends with NULL

// A row's score.
double fm_confident_score(const float *row, int classes, uint8_t label, enum fm_rank rank);
// The class of largest probability but the given one: what the label should be, if it is wrong.
uint8_t fm_confident_suggest(const float *row, int classes, uint8_t label);

// All samples in the order of their score, most suspicious first, into order[n]; equal ones in
// their order.
enum fm_status fm_confident_order(const float *probabilities, const uint8_t *labels, uint32_t count,
    int classes, enum fm_rank rank, uint32_t *order);

#endif
