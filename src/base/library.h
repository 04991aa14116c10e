// What a build has of a library, for `fmnist info`.
#ifndef FM_BASE_LIBRARY_H
#define FM_BASE_LIBRARY_H

#include "base/status.h"

struct fm_library {
    const char *name;
    const char *compiled; // version compiled against; NULL: this build is without it
    char found[64];       // version or, where it tells none, file of the one loaded
    const char *without;  // what cannot be done without it: "read HDF5 files (Keras)"
    char fault[256];      // why what is in this build cannot be loaded; "": nothing of the kind
};

// Of a library whose module could not be loaded, with `status`; forgets the thread's message.
void fm_library_missing(
    struct fm_library *library, const char *name, const char *without, enum fm_status status);

// Sets `found` to the file that holds `function` ("libexif.so.12.3.4"), of a library that tells no
// version.
void fm_library_file(const void *function, struct fm_library *library);

#endif
