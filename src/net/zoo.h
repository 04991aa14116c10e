// The models by name.
#ifndef FM_NET_ZOO_H
#define FM_NET_ZOO_H

#include "net/net.h"

struct fm_zoo_entry {
    const char *name;    // "deeper"
    const char *summary; // one line for `fmnist models`
    size_t parameters;   // with 10 classes, asserted by fm_zoo_build
};

extern const struct fm_zoo_entry fm_zoo[]; // ends with name == NULL
extern const char *const fm_zoo_names[];   // ends with NULL

const struct fm_zoo_entry *fm_zoo_find(const char *name);

// FM_USAGE with a suggestion for an unknown name.
enum fm_status fm_zoo_build(const char *name, int classes, struct fm_net *net);

#endif
