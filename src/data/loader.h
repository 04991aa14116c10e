// The loader: a thread gathers the next batch into one staging slot while the other is in use.
//
// Life of a slot: free -> filled by the thread -> taken with fm_loader_next() -> given back with
// fm_loader_release() -> free once `slot_wait` has returned in the loader's thread.
#ifndef FM_DATA_LOADER_H
#define FM_DATA_LOADER_H

#include "base/status.h"
#include "data/dataset.h"
#include "data/slot.h"

struct fm_loader;

struct fm_loader_options {
    const struct fm_samples *samples; // must outlive the loader
    struct fm_slot *slots[FM_SLOTS];  // must outlive the loader
    // Returns when the device has taken the slot's contents, so that it may be refilled. Called in
    // the loader's thread. NULL: at once.
    enum fm_status (*slot_wait)(void *context, int slot);
    void *context;
};

enum fm_status fm_loader_open(const struct fm_loader_options *options, struct fm_loader **loader);
void fm_loader_close(struct fm_loader *loader); // also in the middle of a pass; NULL is allowed

// Begins a pass over `ids` in this order, in batches of `batch` and a smaller tail. `ids` must stay
// unchanged until the pass is over. The former pass must be over.
enum fm_status fm_loader_begin(
    struct fm_loader *loader, const uint32_t *ids, uint32_t count, uint32_t batch);

// The next filled slot (its records and labels, where it has them, ids and step->count are set; the
// other fields of the step are the caller's to fill in), or -1 at the end of the pass. Blocks until
// it is filled; the time blocked is counted. A failure of slot_wait is returned here, after the
// slots filled before it, and by every later call. FM_USAGE when the caller holds all slots and
// would wait for itself.
enum fm_status fm_loader_next(struct fm_loader *loader, int *slot);
void fm_loader_release(struct fm_loader *loader, int slot);

// Seconds that fm_loader_next() has blocked since the loader was opened.
double fm_loader_waited(const struct fm_loader *loader);

#endif
