// Where a library's code came from.
#include "base/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fm_library_missing(
    struct fm_library *library, const char *name, const char *without, enum fm_status status)
{
    *library = (struct fm_library){.name = name, .without = without};
    if (status != FM_NOT_FOUND)
        snprintf(library->fault, sizeof library->fault, "%s", fm_error_message());
    fm_error_clear();
}

void fm_library_file(const void *function, struct fm_library *library)
{
    Dl_info info;
    char *real = dladdr(function, &info) != 0 ? realpath(info.dli_fname, NULL) : NULL;
    const char *slash = real ? strrchr(real, '/') : NULL;
    snprintf(library->found, sizeof library->found, "%s", slash ? slash + 1 : "unknown");
    free(real);
}
