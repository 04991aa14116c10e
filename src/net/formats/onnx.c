// ONNX files, by protobuf-c and the messages of the official onnx.proto.
//
// Opset 13 with IR version 7 is what ONNX 1.8 of November 2020 brought. ONNX Runtime reads it from
// its version 1.6 on, Triton from the releases of early 2021, and both still do; of the operators
// used here none has got anything since then that a network of this project would gain by.
#include "net/formats/check.h"
#include "net/formats/onnx_layers.h"

#include "base/file.h"
#include "base/text.h"
#include "base/version.h"

#include <float.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "raw_data is little-endian: tensors are written as they lie in memory"
#endif

enum {
    ONNX_IR_VERSION = 7,
    ONNX_OPSET = 13,
    METADATA_MAX = 32, // pairs, of the caller's too
};

// A file under way: the message and what it points at.
struct document {
    const struct fm_format_model *model;
    Onnx__ModelProto proto;
    Onnx__OperatorSetIdProto opset, *opset_list[1];
    Onnx__StringStringEntryProto metadata[METADATA_MAX], *metadata_list[METADATA_MAX];
    char *classes, *preprocessing; // JSON, owned
    struct fm_text about;
    struct fm_onnx_input input;
    struct fm_onnx_graph graph;
};

// ---- What the file says of itself

// Both must be UTF-8, which protobuf's strings are and jansson's, too.
static enum fm_status add_metadata(
    const char *path, struct document *document, const char *key, const char *value)
{
    size_t count = document->proto.n_metadata_props;
    json_t *json = json_pack("{s:s}", key, value);
    bool is_text = json != NULL;
    json_decref(json);
    if (!is_text)
        return fm_fail(FM_DATA, "%s: not written: the metadata \"%s\" is not UTF-8", path, key);
    if (count == METADATA_MAX)
        return fm_fail(
            FM_USAGE, "%s: not written: more than %d keys of metadata", path, METADATA_MAX);
    onnx__string_string_entry_proto__init(&document->metadata[count]);
    document->metadata[count].key = fm_onnx_text(key);
    document->metadata[count].value = fm_onnx_text(value);
    document->metadata_list[count] = &document->metadata[count];
    document->proto.n_metadata_props++;
    return FM_OK;
}

static enum fm_status make_classes(const char *path, struct document *document)
{
    const struct fm_format_model *model = document->model;
    json_t *names = json_array();
    int failed = 0;
    for (int k = 0; k < model->net->classes && !failed; k++)
        failed = json_array_append_new(names, json_string(model->class_names[k]));
    document->classes = failed ? NULL : json_dumps(names, JSON_COMPACT);
    json_decref(names);
    return document->classes ? FM_OK
                             : fm_fail(FM_DATA, "%s: not written: a class name is not UTF-8", path);
}

// What the first nodes do, for people and programs that would do it themselves.
static enum fm_status make_preprocessing(struct document *document)
{
    const struct fm_net *net = document->model->net;
    json_t *means = json_array(), *deviations = json_array();
    for (int c = 0; c < net->input.shape.c; c++) {
        json_array_append_new(means, json_real((double)fm_format_mean(net, c)));
        json_array_append_new(deviations, json_real((double)fm_format_deviation(net, c)));
    }
    json_t *json = json_pack("{s:s, s:o, s:o, s:s, s:[i,i,i]}", "scale", "u8 / 255", "mean", means,
        "deviation", deviations, "resize",
        fm_format_resizes(net) ? "bilinear, half-pixel centres" : "none", "shape",
        net->input.shape.c, net->input.shape.h, net->input.shape.w);
    document->preprocessing = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(FLT_DECIMAL_DIG));
    json_decref(json);
    return document->preprocessing ? FM_OK : fm_fail(FM_MEMORY, "out of memory: metadata");
}

static enum fm_status describe(const char *path, struct document *document)
{
    const struct fm_format_model *model = document->model;
    const struct fm_net *net = model->net;
    document->proto.metadata_props = document->metadata_list;
    FM_TRY(make_classes(path, document));
    FM_TRY(make_preprocessing(document));
    FM_TRY(add_metadata(path, document, "model", net->name));
    FM_TRY(add_metadata(path, document, "classes", document->classes));
    FM_TRY(add_metadata(path, document, "preprocessing", document->preprocessing));
    for (int i = 0; model->metadata && model->metadata[i]; i += 2)
        FM_TRY(add_metadata(path, document, model->metadata[i], model->metadata[i + 1]));
    fm_text_append(&document->about,
        "Model %s of fmnist. Takes \"images\", u8 [N, %d, %d], grey on black as the data set has "
        "them, and gives \"probabilities\" and \"logits\", fp32 [N, %d], in the order of the "
        "metadata's \"classes\". Normalising and resizing are in the graph.",
        net->name, net->input.rows, net->input.cols, net->classes);
    return document->about.failed ? fm_fail(FM_MEMORY, "out of memory: metadata") : FM_OK;
}

// ---- The file

static void assemble(struct document *document)
{
    Onnx__ModelProto *proto = &document->proto;
    proto->has_ir_version = true;
    proto->ir_version = ONNX_IR_VERSION;
    proto->producer_name = fm_onnx_text("fmnist");
    proto->producer_version = fm_onnx_text(FM_VERSION);
    proto->doc_string = fm_onnx_text(fm_text_cstr(&document->about));
    onnx__operator_set_id_proto__init(&document->opset);
    document->opset.domain = fm_onnx_text("");
    document->opset.has_version = true;
    document->opset.version = ONNX_OPSET;
    document->opset_list[0] = &document->opset;
    proto->n_opset_import = 1;
    proto->opset_import = document->opset_list;
    fm_onnx_graph_begin(&document->graph, document->model->net->name);
    fm_onnx_add_network(&document->graph, document->model, &document->input);
    proto->graph = &document->graph.proto;
}

static enum fm_status pack(const char *path, const Onnx__ModelProto *proto)
{
    size_t size = onnx__model_proto__get_packed_size(proto);
    if (size > INT32_MAX)
        return fm_fail(FM_UNSUPPORTED,
            "%s: not written: %zu bytes, and a message of protobuf has at most 2 GiB", path, size);
    uint8_t *bytes = malloc(size);
    if (!bytes)
        return fm_fail_memory("the ONNX file", size);
    onnx__model_proto__pack(proto, bytes);
    enum fm_status status = fm_file_write(path, bytes, size);
    free(bytes);
    return status;
}

enum fm_status fm_onnx_write(const char *path, const struct fm_format_model *model)
{
    FM_TRY(fm_format_check(path, model));
    struct document *document = calloc(1, sizeof *document);
    if (!document)
        return fm_fail_memory("the ONNX graph", sizeof *document);
    enum fm_status status;
    document->model = model;
    onnx__model_proto__init(&document->proto);
    FM_TRY_GOTO(status, describe(path, document), out);
    FM_TRY_GOTO(status, fm_onnx_input_make(model->net, &document->input), out);
    assemble(document);
    status = pack(path, &document->proto);
out:
    fm_onnx_input_free(&document->input);
    fm_text_free(&document->about);
    free(document->classes);
    free(document->preprocessing);
    free(document);
    return status;
}
