// Which files an export is made of, and where they go.
#include "app/export/export.h"
#include "app/export/export_source.h"
#include "app/output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *const fm_export_format_names[] = {"onnx", "safetensors", "h5", NULL};

typedef enum fm_status file_writer(const struct fm_export_source *source, const char *path);

// A file of a format: how it is called and written.
struct part {
    const char *name;
    file_writer *write;
    const char *use;
};

enum {
    PARTS_MAX = 3
};

static enum fm_status write_onnx(const struct fm_export_source *source, const char *path)
{
    return fm_onnx_write(path, &source->model);
}

// The same bytes that the run has.
static enum fm_status write_weights(const struct fm_export_source *source, const char *path)
{
    unsigned char *data;
    size_t size;
    FM_TRY(fm_file_read(source->weights_path, &data, &size));
    enum fm_status status = fm_file_write(path, data, size);
    free(data);
    return status;
}

static enum fm_status write_pytorch(const struct fm_export_source *source, const char *path)
{
    return fm_pytorch_write(path, &source->model);
}

static enum fm_status write_keras(const struct fm_export_source *source, const char *path)
{
    return fm_keras_write(path, &source->model);
}

static enum fm_status write_config(const struct fm_export_source *source, const char *path)
{
    return fm_triton_write(path, &source->model, source->net.name, FM_EXPORT_TRITON_BATCH);
}

static enum fm_status write_labels(const struct fm_export_source *source, const char *path)
{
    return fm_triton_write_labels(path, &source->model);
}

static const struct part parts[][PARTS_MAX + 1] = {
    [FM_EXPORT_ONNX] = {{"model.onnx", write_onnx,
                            "for ONNX Runtime and others: u8 pictures "
                            "[N, 28, 28] to probabilities"},
        {NULL}},
    [FM_EXPORT_SAFETENSORS] = {{"model.safetensors", write_weights, "the weights as they are"},
        {"model.py", write_pytorch, "a PyTorch module that takes them: see its head"}, {NULL}},
    [FM_EXPORT_H5] = {{"model.h5", write_keras, "for Keras: keras.models.load_model()"}, {NULL}},
};

// In the model's folder of the repository. The configuration comes last: a server that looks into
// the repository meanwhile finds no model without it.
static const struct part triton_parts[PARTS_MAX + 1] = {
    {"1/model.onnx", write_onnx, "version 1 of the model"},
    {FM_TRITON_LABELS, write_labels, "the classes, which answers name"},
    {"config.pbtxt", write_config, "its configuration: tritonserver --model-repository"},
    {NULL},
};

// A folder and what goes into it.
struct place {
    char directory[FM_PATH_MAX];
    const struct part *parts;
};

static enum fm_status check_place(const struct place *place, bool force)
{
    const char *names[PARTS_MAX + 1] = {NULL};
    for (int i = 0; place->parts[i].name; i++)
        names[i] = place->parts[i].name;
    return fm_output_check(place->directory, names, force);
}

static enum fm_status write_part(const struct fm_export_source *source, const char *directory,
    const struct part *part, struct fm_export_result *result)
{
    struct fm_export_file *file = &result->files[result->count];
    struct stat info;
    FM_TRY(fm_path_join(file->path, directory, part->name));
    FM_TRY(part->write(source, file->path));
    if (stat(file->path, &info) != 0)
        return fm_fail(FM_IO, "%s: is gone as soon as it is written", file->path);
    file->bytes = (uint64_t)info.st_size;
    file->use = part->use;
    result->count++;
    return FM_OK;
}

static enum fm_status write_place(const struct fm_export_source *source, const struct place *place,
    struct fm_export_result *result)
{
    FM_TRY(fm_make_dirs(place->directory));
    for (int i = 0; place->parts[i].name; i++)
        FM_TRY(write_part(source, place->directory, &place->parts[i], result));
    return FM_OK;
}

// Where the files go: one place, or two with a repository.
static enum fm_status find_places(const struct fm_export_options *options,
    const struct fm_export_source *source, struct place places[2], int *count)
{
    *count = 0;
    if (!options->triton || options->directory || options->format != FM_EXPORT_ONNX) {
        struct place *place = &places[(*count)++];
        place->parts = parts[options->format];
        FM_TRY(options->directory ? fm_path_copy(place->directory, options->directory)
                                  : fm_path_join(place->directory, source->directory, "export"));
    }
    if (options->triton) {
        struct place *place = &places[(*count)++];
        place->parts = triton_parts;
        FM_TRY(fm_path_join(place->directory, options->triton, source->net.name));
    }
    return FM_OK;
}

static enum fm_status write_all(const struct fm_export_options *options,
    const struct fm_export_source *source, struct fm_export_result *result)
{
    struct place places[2];
    int count;
    FM_TRY(find_places(options, source, places, &count));
    for (int i = 0; i < count; i++)
        FM_TRY(check_place(&places[i], options->force));
    for (int i = 0; i < count; i++) {
        if (places[i].parts == triton_parts) {
            char version[FM_PATH_MAX];
            FM_TRY(fm_path_join(version, places[i].directory, "1"));
            FM_TRY(fm_make_dirs(version));
        }
        FM_TRY(write_place(source, &places[i], result));
    }
    return FM_OK;
}

enum fm_status fm_export_run(
    const struct fm_export_options *options, struct fm_export_result *result)
{
    struct fm_export_source *source = malloc(sizeof *source);
    if (!source)
        return fm_fail_memory("the export", sizeof *source);
    memset(result, 0, sizeof *result);
    enum fm_status status = fm_export_source_open(options->source, source);
    if (status == FM_OK) {
        snprintf(result->model, sizeof result->model, "%s", source->net.name);
        snprintf(result->remarks, sizeof result->remarks, "%s", source->remarks);
        result->test_accuracy = source->test_accuracy;
        status = write_all(options, source, result);
        fm_export_source_close(source);
    }
    free(source);
    return status;
}
