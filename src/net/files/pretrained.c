// Whose weights a file holds, and their way to this project's names and layout.
#include "net/files/pretrained.h"

const char *const fm_pretrained_source_names[] = {"keras", "torchvision", "fmnist", NULL};

enum fm_status fm_pretrained_read(
    const char *path, const struct fm_net *net, struct fm_pretrained *pretrained)
{
    (void)net;
    (void)pretrained;
    return fm_fail(FM_UNSUPPORTED, "%s: not read yet", path);
}

void fm_pretrained_free(struct fm_pretrained *pretrained)
{
    (void)pretrained;
}
