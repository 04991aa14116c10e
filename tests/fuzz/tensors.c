// Files of tensors, of the format that FORMAT names: listed, then read, as inspect and --weights
// do.
#include "fuzz.h"

#include "net/files/pretrained.h"
#include "net/files/tensors_class.h"
#include "net/zoo.h"
#include "run/weights.h"

#include <stdlib.h>

enum {
    ELEMENTS_MAX = 1 << 20 // a file of some kilobytes has no more to give
};

// A safetensors file may also be one of this project's.
static void read_weights(const char *path)
{
    struct fm_weights weights;
    enum fm_status status = fm_weights_read(path, &weights);
    if (status == FM_OK)
        fm_weights_free(&weights);
    fm_fuzz_returned(status);
}

static void read_pretrained(const char *path)
{
    static struct fm_net net;
    struct fm_pretrained pretrained;
    if (net.layer_count == 0 && fm_zoo_build("vgg16", 10, &net) != FM_OK)
        abort();
    enum fm_status status = fm_pretrained_read(path, &net, &pretrained);
    if (status == FM_OK)
        fm_pretrained_free(&pretrained);
    fm_fuzz_returned(status);
}

static void read_all(const struct fm_tensors *tensors)
{
    for (int i = 0; i < tensors->count; i++) {
        const struct fm_tensor_info *info = &tensors->list[i];
        if (info->count > ELEMENTS_MAX || !info->readable)
            continue;
        float *values = malloc((info->count + 1) * sizeof *values);
        if (values == NULL)
            abort();
        fm_fuzz_returned(fm_tensors_read(tensors, i, values));
        free(values);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fm_fuzz_file(data, size);
    struct fm_tensors tensors;
    enum fm_status status = fm_tensors_open_as(path, &FORMAT, &tensors);
    fm_fuzz_returned(status);
    if (status == FM_OK) {
        read_all(&tensors);
        fm_tensors_close(&tensors);
    }
    read_pretrained(path);
    read_weights(path);
    return 0;
}
