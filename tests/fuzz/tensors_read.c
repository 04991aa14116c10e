// Every tensor of a file, held to what its reader promises.
#include "fuzz.h"

#include "net/files/tensors_class.h"

#include <stdlib.h>
#include <string.h>

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

void fm_fuzz_tensors(const struct fm_tensors *tensors)
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
