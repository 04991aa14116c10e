// Files of tensors, of the format that FORMAT names: listed, then read, as --weights does; then
// what inspect says of the file.
#include "fuzz.h"

#include "app/inspect/inspect.h"
#include "net/files/pretrained.h"
#include "net/files/tensors_class.h"
#include "net/zoo.h"
#include "run/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A safetensors file may also be one of this project's.
static void read_weights(const char *path)
{
    struct fm_weights weights;
    struct fm_net net;
    enum fm_status status = fm_weights_read(path, &weights);
    fm_fuzz_returned(status);
    if (status != FM_OK)
        return;
    for (int t = 0; t < weights.tensors.count; t++) {
        const struct fm_tensor *tensor = &weights.tensors.tensors[t];
        fm_fuzz_look_at(tensor->data, tensor->count * sizeof *tensor->data);
    }
    fm_fuzz_returned(fm_weights_net(&weights, &net));
    fm_weights_free(&weights);
}

static void read_pretrained(const char *path)
{
    static struct fm_net net;
    struct fm_pretrained pretrained;
    if (net.layer_count == 0)
        fm_fuzz_require(fm_zoo_build("vgg16", 10, &net) == FM_OK, "there is VGG16");
    enum fm_status status = fm_pretrained_read(path, &net, &pretrained);
    if (status == FM_OK)
        fm_pretrained_free(&pretrained);
    fm_fuzz_returned(status);
}

static void inspect(const char *path, size_t size)
{
    static const enum fm_format formats[] = {
        FM_FORMAT_TEXT, FM_FORMAT_JSON, FM_FORMAT_CSV, FM_FORMAT_MARKDOWN};
    struct fm_text out = {0};
    enum fm_status status = fm_inspect(path, formats[size / 8 % 4], &out);
    fm_fuzz_returned(status);
    fm_fuzz_look_at(fm_text_cstr(&out), strlen(fm_text_cstr(&out)));
    fm_text_free(&out);
}

// What the list says of a tensor is what stands in the file, which has at least a byte for each
// element that can be read: no claim is larger than the file.
static void check_info(const struct fm_tensors *tensors, const struct fm_tensor_info *info)
{
    size_t length = strnlen(info->name, sizeof info->name), count = 1;
    fm_fuzz_require(length > 0 && length < sizeof info->name, "a tensor has a name");
    fm_fuzz_require(info->ndims >= 0 && info->ndims <= FM_TENSOR_DIMS_MAX, "of few dimensions");
    for (int d = 0; d < info->ndims; d++)
        fm_fuzz_require(
            info->dims[d] >= 0 && !__builtin_mul_overflow(count, (size_t)info->dims[d], &count),
            "the product of its dimensions fits");
    fm_fuzz_require(count == info->count, "its elements are the product of its dimensions");
    const struct fm_tensor_type *type = fm_tensor_type_find(info->type);
    if (type != NULL && type->bits > 0)
        fm_fuzz_require( // by eights, so that nothing overflows
            info->count / 8 * type->bits + (info->count % 8 * type->bits + 7) / 8 == info->bytes,
            "its bytes are those of its elements");
    if (tensors->format == FM_TENSORS_SAFETENSORS)
        fm_fuzz_require(info->bytes <= tensors->size, "its bytes are in the file");
    if (info->readable)
        fm_fuzz_require(info->count <= tensors->size, "its elements are in the file");
}

static void read_all(const struct fm_tensors *tensors)
{
    for (int i = 0; i < tensors->count; i++) {
        const struct fm_tensor_info *info = &tensors->list[i];
        check_info(tensors, info);
        size_t bytes = info->readable ? info->count * sizeof(float) : 0;
        float *values = malloc(bytes); // exactly: a byte more shows
        fm_fuzz_require(values != NULL || bytes == 0, "there is memory");
        enum fm_status status = fm_tensors_read(tensors, i, values);
        fm_fuzz_returned(status);
        fm_fuzz_require(info->readable || status == FM_UNSUPPORTED, "what is not readable is not");
        if (status == FM_OK)
            fm_fuzz_look_at(values, bytes);
        free(values);
    }
}

// libhdf5 works in a process of its own because it does crash: that is no finding, but worth to
// know.
static int crashes;

static void tell_crashes(void)
{
    if (crashes > 0)
        fprintf(stderr, "NOTE: a library crashed in its process on %d files\n", crashes);
}

static void count_crash(void)
{
    static const char crashed[] = "failed on it (signal";
    if (strstr(fm_error_message(), crashed) == NULL)
        return;
    if (crashes++ == 0)
        atexit(tell_crashes);
}

// The other readers begin with the same one: of files that it refuses some are enough for them.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fm_fuzz_file(data, size);
    struct fm_tensors tensors;
    enum fm_status status = fm_tensors_open_as(path, &FORMAT, &tensors);
    count_crash();
    fm_fuzz_returned(status);
    if (status == FM_OK) {
        read_all(&tensors);
        fm_tensors_close(&tensors);
    }
    if (status == FM_OK || size % 8 == 0) {
        read_pretrained(path);
        read_weights(path);
        inspect(path, size);
    }
    return 0;
}
