// Which data a figure was measured on: the original's claims are about Fashion-MNIST and nothing
// else, so that every figure of another set is labelled with its name.
#ifndef FM_APP_DATA_LABEL_H
#define FM_APP_DATA_LABEL_H

#include "data/dataset.h"

// "Fashion-MNIST", or the last part of the directory's path ("tiny").
void fm_data_label(const struct fm_dataset *dataset, char out[FM_PATH_MAX]);

#endif
