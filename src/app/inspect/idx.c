// IDX files: read whole, as they are small and their checksums tell whether they are sound.
#include "app/inspect/idx.h"

#include "data/idx.h"
#include "net/files/tensors_class.h"

#include <stdio.h>
#include <sys/stat.h>
#include <zlib.h>

enum {
    MAGIC = 4
};

// What the first bytes say, unpacked where they are gzipped; 0: no IDX file.
static unsigned kind_of(const char *path)
{
    unsigned char head[MAGIC] = {0};
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return 0;
    gzFile file = gzopen(path, "rb");
    if (file == NULL)
        return 0;
    int got = gzread(file, head, MAGIC);
    gzclose(file);
    unsigned kind = (unsigned)head[2] << 8 | head[3];
    bool known = kind == FM_IDX_IMAGES || kind == FM_IDX_LABELS;
    return got == MAGIC && head[0] == 0 && head[1] == 0 && known ? kind : 0;
}

static enum fm_status list(
    const char *path, unsigned kind, const struct fm_idx *idx, struct fm_tensors *tensors)
{
    struct fm_tensor_info *info;
    struct stat stored;
    const int64_t dims[] = {idx->count, idx->rows, idx->cols};
    FM_TRY(fm_path_copy(tensors->path, path));
    if (stat(path, &stored) == 0)
        tensors->size = (uint64_t)stored.st_size;
    FM_TRY(fm_tensors_add(tensors, kind == FM_IDX_IMAGES ? "images" : "labels", &info));
    FM_TRY(fm_tensors_set_shape(tensors, info, dims, kind == FM_IDX_IMAGES ? 3 : 1));
    snprintf(info->type, sizeof info->type, "U8");
    info->bytes = info->count;
    return FM_OK;
}

enum fm_status fm_inspect_idx(const char *path, struct fm_tensors *tensors, bool *found)
{
    struct fm_idx idx;
    unsigned kind = kind_of(path);
    if (kind == 0)
        return FM_OK;
    *found = true;
    FM_TRY(fm_idx_read(path, (enum fm_idx_kind)kind, &idx));
    enum fm_status status = list(path, kind, &idx, tensors);
    fm_idx_free(&idx);
    return status;
}
