// What the files of app/label/labelling.h share.
#ifndef FM_APP_LABELLING_PARTS_H
#define FM_APP_LABELLING_PARTS_H

#include "app/label/labelling.h"

// FM_EXISTS where the folder holds a file that labelling writes, unless `force`.
enum fm_status fm_labelling_check_folder(const char *directory, bool force);

// Predicts the records `ids` (NULL: the first `count`); the caller frees *guesses, after a failure,
// too. `what` is for progress.
enum fm_status fm_labelling_guess(struct fm_labelling *labelling, const char *what,
    const uint8_t *records, const uint32_t *ids, uint32_t count, struct fm_guess **guesses);

// Holds the answers against the pictures' names and the run's classes: labels and by_person of
// those that have one.
enum fm_status fm_labelling_match(struct fm_labelling *labelling);
// The labels of those that have no answer and need none; counts answered and missing.
void fm_labelling_merge(struct fm_labelling *labelling);

// "all", or the class of a threshold.
const char *fm_labelling_group(const struct fm_labelling *labelling, int threshold);
int fm_labelling_groups(const struct fm_labelling *labelling); // how many thresholds there are

#endif
