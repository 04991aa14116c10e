// What the published original aimed at and claimed, beside what is measured here.
//
// The original is the Keras notebook "Fashion MNIST Deep Learning: CNN Architecture Comparison".
// Its figures are quoted as it gives them; nothing of it was run.
#ifndef FM_APP_CLAIMS_H
#define FM_APP_CLAIMS_H

#include "report/table.h"

#include <jansson.h>

struct fm_claims_context {
    json_t *const *results; // result.json of each model measured
    int result_count;
    const char *data_label; // NULL for Fashion-MNIST whole; else put with every figure: "data/tiny"
    const char *command;    // what measured them: "fmnist compare --seed 2"
    // What the file of the weights that vgg16's base was taken from is known as; NULL or "": none
    // is, and the figures say so.
    const char *weights;
    // Of each result, where its times were measured if not as the command would: "with 32 threads
    // on NAME", else "". NULL: all as it would.
    const char *const *elsewhere;
};

// Columns: subject, model, aim, claim, measured, command. A row for each figure and each model that
// the original has (and simple-ref and deeper-ref where they are measured). A figure that nothing
// here measures reads "not measured". The original's vgg16 has a frozen base: such a result is held
// against it, or else one from scratch, but never a fine-tuned one. The caller frees the table.
enum fm_status fm_claims_table(const struct fm_claims_context *context, struct fm_table **table);
// The same without the column `command`, for people: it repeats one long text in every row.
enum fm_status fm_claims_shown(const struct fm_claims_context *context, struct fm_table **table);

// Sentences that belong under the table; ends with NULL.
extern const char *const fm_claims_notes[];

#endif
