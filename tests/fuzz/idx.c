// IDX files, gzipped or not, as images and as labels.
#include "fuzz.h"

#include "data/idx.h"

static void read_as(const char *path, enum fm_idx_kind kind)
{
    struct fm_idx idx;
    enum fm_status status = fm_idx_read(path, kind, &idx);
    fm_fuzz_returned(status);
    if (status != FM_OK)
        return;
    uint64_t bytes = (uint64_t)idx.count * idx.rows * idx.cols;
    fm_fuzz_require(idx.size == bytes + (kind == FM_IDX_IMAGES ? 16 : 8),
        "an IDX file has the bytes that its header says");
    fm_fuzz_look_at(idx.data, bytes);
    fm_idx_free(&idx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fm_fuzz_file(data, size);
    read_as(path, FM_IDX_IMAGES);
    read_as(path, FM_IDX_LABELS);
    return 0;
}
