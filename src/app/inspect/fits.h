// Which model of this project a file's tensors fit, by their names and shapes.
#ifndef FM_APP_INSPECT_FITS_H
#define FM_APP_INSPECT_FITS_H

#include "base/status.h"
#include "base/text.h"
#include "net/files/tensors.h"

#include <stdbool.h>

struct fm_fit {
    bool fits;
    char model[64];      // of the zoo; "" where not one name is known
    int classes;         // of a whole network; 0 of a base alone
    struct fm_text what; // a sentence: what it is, or what the nearest model misses
};

// `sha256` and `md5` of the file, by which some are known.
enum fm_status fm_fit_find(
    const struct fm_tensors *tensors, const char *sha256, const char *md5, struct fm_fit *fit);
void fm_fit_free(struct fm_fit *fit);

#endif
