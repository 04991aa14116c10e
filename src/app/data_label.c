// A name for people: Fashion-MNIST is known by its contents, any other set by its folder.
#include "app/data_label.h"

#include <stdio.h>
#include <string.h>

void fm_data_label(const struct fm_dataset *dataset, char out[FM_PATH_MAX])
{
    if (dataset->fashion_mnist) {
        snprintf(out, FM_PATH_MAX, "Fashion-MNIST");
        return;
    }
    const char *path = dataset->directory;
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    snprintf(out, FM_PATH_MAX, "%.*s", (int)(end - start), path + start);
    if (out[0] == '\0' || strcmp(out, ".") == 0 || strcmp(out, "..") == 0)
        snprintf(out, FM_PATH_MAX, "%s", path);
}
