// Fashion-MNIST is known by its contents: a folder may be called anything.
#include "app/data_label.h"

#include <stdio.h>
#include <string.h>

// CRC-32 of the uncompressed files of https://github.com/zalandoresearch/fashion-mnist.
static const uint32_t fashion_crc32[4] = {0xb4f29f28, 0x741a4657, 0x678fe0b1, 0x80142c1f};

bool fm_is_fashion_mnist(const struct fm_dataset *dataset)
{
    for (int i = 0; i < 4; i++)
        if (dataset->files[i].crc32 != fashion_crc32[i])
            return false;
    return true;
}

void fm_data_label(const struct fm_dataset *dataset, char out[FM_PATH_MAX])
{
    if (fm_is_fashion_mnist(dataset)) {
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
