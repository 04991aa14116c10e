// A model of Triton Inference Server is a folder with a configuration in protobuf's text format,
// whose few fields are written here, beside the files of its versions.
#include "net/formats/formats.h"

#include "base/file.h"
#include "base/text.h"

#include <ctype.h>
#include <string.h>

enum {
    NAME_LENGTH_MAX = 200
};

// Triton takes any folder's name; it is also a part of URLs, and of paths on its side.
static enum fm_status check_name(const char *path, const char *name)
{
    bool right = name[0] != '\0' && name[0] != '.' && strlen(name) <= NAME_LENGTH_MAX;
    for (const char *c = name; *c && right; c++)
        right = isascii(*c) && (isalnum((unsigned char)*c) || strchr("_.-", *c));
    if (right)
        return FM_OK;
    return fm_fail(FM_USAGE,
        "%s: not written: '%s' is no name for a model of Triton, expected up to %d letters, "
        "digits, '_', '-' and '.', which it does not begin with",
        path, name, NAME_LENGTH_MAX);
}

static enum fm_status write_text(const char *path, struct fm_text *text)
{
    enum fm_status status = text->failed ? fm_fail(FM_MEMORY, "%s: out of memory", path)
                                         : fm_file_write(path, text->data, text->length);
    fm_text_free(text);
    return status;
}

enum fm_status fm_triton_write(
    const char *path, const struct fm_format_model *model, const char *name, int batch_max)
{
    const struct fm_net *net = model->net;
    struct fm_text text = {0};
    FM_TRY(check_name(path, name));
    if (batch_max < 1)
        return fm_fail(FM_USAGE, "%s: not written: batches of %d pictures", path, batch_max);
    fm_text_append(&text,
        "name: \"%s\"\n"
        "platform: \"onnxruntime_onnx\"\n"
        "max_batch_size: %d\n",
        name, batch_max);
    fm_text_append(&text,
        "input [\n"
        "  {\n"
        "    name: \"images\"\n"
        "    data_type: TYPE_UINT8\n"
        "    dims: [ %d, %d ]\n"
        "  }\n"
        "]\n",
        net->input.rows, net->input.cols);
    fm_text_append(&text,
        "output [\n"
        "  {\n"
        "    name: \"probabilities\"\n"
        "    data_type: TYPE_FP32\n"
        "    dims: [ %d ]\n"
        "    label_filename: \"" FM_TRITON_LABELS "\"\n"
        "  },\n"
        "  {\n"
        "    name: \"logits\"\n"
        "    data_type: TYPE_FP32\n"
        "    dims: [ %d ]\n"
        "  }\n"
        "]\n"
        "dynamic_batching { }\n",
        net->classes, net->classes);
    return write_text(path, &text);
}

enum fm_status fm_triton_write_labels(const char *path, const struct fm_format_model *model)
{
    struct fm_text text = {0};
    for (int k = 0; k < model->net->classes; k++) {
        fm_text_append_line(&text, model->class_names[k]);
        fm_text_append(&text, "\n");
    }
    return write_text(path, &text);
}
