// The named states of a model in the order of every file that holds them: all parameters, then all
// running statistics.
#ifndef FM_RUN_STATES_H
#define FM_RUN_STATES_H

#include "backend/backend.h"
#include "net/net.h"
#include "net/safetensors.h"

struct fm_state_item {
    bool running; // a running statistic, else a parameter
    const char *name;
    int ndims;
    int64_t dims[4];
    size_t count;
    size_t offset; // elements before it
};

// FM_STATE_PARAM or FM_STATE_RUNNING.
enum fm_state_kind fm_state_item_kind(const struct fm_state_item *item);

int fm_state_count(const struct fm_net *net);
struct fm_state_item fm_state_at(const struct fm_net *net, int index);

// "[64, 1, 3, 3]", cut off where it does not fit.
void fm_shape_text(char out[128], int ndims, const int64_t *dims);

// FM_DATA when `tensor` (NULL: missing, under the name `name`) has not the item's shape.
enum fm_status fm_state_check(const char *path, const char *name, const struct fm_state_item *item,
    const struct fm_tensor *tensor);

#endif
