// What becomes of a picture on its way to a network: see picture.h.
#include "data/picture.h"

const char *const fm_convert_names[] = {"auto", "photo", "none", NULL};
