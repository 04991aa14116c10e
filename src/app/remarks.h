// What must be known to read a run's figures rightly; of most runs there is nothing.
#ifndef FM_APP_REMARKS_H
#define FM_APP_REMARKS_H

#include "base/text.h"

#include <jansson.h>
#include <stdbool.h>

// The kept epoch is not the last, and was chosen on so few images that chance chose it
// (FM_SELECT_LEAST).
bool fm_remarks_chosen_by_few(const json_t *result);

// Appends to `out`, "; " between the remarks: that VGG16 began without ImageNet weights, what
// taught it, that --max-minutes ended the run, what differs from the recipe's file, which epoch few
// images chose, that all training images were trained on (--full). `result` is what result.json
// holds.
void fm_remarks_append(const json_t *result, struct fm_text *out);

// The same for data that are not Fashion-MNIST.
void fm_remarks_append_data(const json_t *result, struct fm_text *out);

// Of these only what taught the run and that all training images were trained on: what must be
// known of a network wherever it is put to use. "": nothing; what `out` has no room for is cut off.
void fm_remarks_learned(const json_t *result, char *out, size_t size);

// Appends what taught a run, "deeper and simple, 0.9 of the targets"; nothing where nothing did.
void fm_remarks_append_teaching(const json_t *result, struct fm_text *out);

#endif
