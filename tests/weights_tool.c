// Files for tests of the tool that begin with weights of others.
//
//   weights_tool make FILE SEED     one as torchvision's are laid out, of drawn values
//   weights_tool differ FILE FILE   the names of the tensors that differ, a line each
#include "torchvision_file.h"

#include <string.h>

static enum fm_status differ(const char *first, const char *second)
{
    struct fm_tensor_file a, b;
    FM_TRY(fm_safetensors_read(first, &a));
    enum fm_status status = fm_safetensors_read(second, &b);
    if (status != FM_OK) {
        fm_safetensors_free(&a);
        return status;
    }
    for (int i = 0; i < a.count; i++) {
        const struct fm_tensor *tensor = &a.tensors[i];
        const struct fm_tensor *other = fm_safetensors_find(&b, tensor->name);
        if (!other || other->count != tensor->count ||
            memcmp(other->data, tensor->data, tensor->count * sizeof *tensor->data) != 0)
            printf("%s\n", tensor->name);
    }
    fm_safetensors_free(&a);
    fm_safetensors_free(&b);
    return FM_OK;
}

int main(int argc, char **argv)
{
    enum fm_status status = FM_USAGE;
    if (argc == 4 && strcmp(argv[1], "make") == 0)
        status = torchvision_write(argv[2], (uint32_t)strtoul(argv[3], NULL, 10));
    else if (argc == 4 && strcmp(argv[1], "differ") == 0)
        status = differ(argv[2], argv[3]);
    if (status != FM_OK)
        fprintf(stderr, "weights_tool make|differ: %s\n", fm_error_message());
    return status != FM_OK;
}
