// What a build has of a library, for `fmnist info`.
#ifndef FM_BASE_LIBRARY_H
#define FM_BASE_LIBRARY_H

struct fm_library {
    const char *name;
    const char *compiled; // version compiled against; NULL: this build is without it
    char found[64];       // version or, where it tells none, file of the one loaded
    const char *without;  // what cannot be read without it
};

// Sets `found` to the file that holds `function` ("libexif.so.12.3.4"), of a library that tells no
// version.
void fm_library_file(const void *function, struct fm_library *library);

#endif
