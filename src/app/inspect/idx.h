// Files of a data set, which are no weights: told by `fmnist inspect` all the same.
#ifndef FM_APP_INSPECT_IDX_H
#define FM_APP_INSPECT_IDX_H

#include "net/files/tensors.h"

// Sets *found when the file is an IDX file, gzipped or not, and lists its contents as one tensor of
// `tensors`, which nothing can be read from; else leaves both. Fails as fm_idx_read() where it is
// one, and damaged.
enum fm_status fm_inspect_idx(const char *path, struct fm_tensors *tensors, bool *found);

#endif
