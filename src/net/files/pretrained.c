// The way of others' weights to this project's names and layout, with the preprocessing that each
// source trained them on.
#include "net/files/pretrained.h"

#include "base/digest.h"
#include "base/log.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const fm_pretrained_source_names[] = {"keras", "torchvision", "fmnist", NULL};

// ---- Known files

static const struct {
    const char *sha256, *md5;
    uint64_t size;
    const char *what;
} known_files[] = {
    {NULL, "6d6bbae143d832006294945121d1f1fc", 58889256,
        "Keras's VGG16 of ImageNet, without the classifier"},
    {"57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8", NULL, 0,
        "timm's VGG16 of ImageNet (torchvision's weights)"},
};

enum {
    KNOWN = sizeof known_files / sizeof known_files[0]
};

const char *fm_pretrained_known(const char *sha256, const char *md5)
{
    for (int k = 0; k < KNOWN; k++) {
        if ((known_files[k].sha256 && strcmp(known_files[k].sha256, sha256) == 0) ||
            (known_files[k].md5 && strcmp(known_files[k].md5, md5) == 0))
            return known_files[k].what;
    }
    return "";
}

static enum fm_status recognise(const struct fm_tensors *from, struct fm_pretrained *p)
{
    char md5[FM_MD5_SIZE];
    FM_TRY(fm_digest_file(from->path, p->sha256, md5));
    snprintf(p->known, sizeof p->known, "%s", fm_pretrained_known(p->sha256, md5));
    for (int k = 0; k < KNOWN && p->known[0] == '\0'; k++) {
        if (known_files[k].md5 && known_files[k].size == from->size)
            fm_warn("%s: has the size of %s, but another checksum (md5 %s, expected %s): it was "
                    "changed, or damaged on its way",
                from->path, known_files[k].what, md5, known_files[k].md5);
    }
    return FM_OK;
}

// ---- Preprocessing

static enum fm_status take_channels(
    const struct fm_tensors *from, const char *key, bool positive, float out[FM_CHANNELS_MAX])
{
    const char *text = fm_tensors_metadata(from, key);
    json_t *json = text != NULL ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    bool right = json_is_number(json) ||
                 (json_is_array(json) && json_array_size(json) == FM_CHANNELS_MAX);
    for (size_t c = 0; right && c < FM_CHANNELS_MAX; c++) {
        const json_t *value = json_is_array(json) ? json_array_get(json, c) : json;
        out[c] = (float)json_number_value(value);
        right = json_is_number(value) && isfinite(out[c]) && (positive ? out[c] > 0 : out[c] >= 0);
    }
    json_decref(json);
    if (right)
        return FM_OK;
    return fm_fail(FM_DATA,
        "%s: metadata \"%s\": found %s%.80s%s, expected %s number, or an array of %d: what the "
        "weights were trained on",
        from->path, key, text != NULL ? "\"" : "", text != NULL ? text : "nothing",
        text != NULL ? "\"" : "", positive ? "a positive" : "a", FM_CHANNELS_MAX);
}

const char *fm_weights_trained_on(const char *metadata)
{
    static const char *const known[] = {FM_WEIGHTS_ALL, FM_WEIGHTS_SPLIT, NULL};
    for (int i = 0; metadata && known[i]; i++)
        if (strcmp(metadata, known[i]) == 0)
            return known[i];
    return "";
}

static void take_images(const struct fm_tensors *from, struct fm_pretrained *p)
{
    const char *text = fm_tensors_metadata(from, FM_WEIGHTS_TRAINED_ON);
    snprintf(p->trained_on, sizeof p->trained_on, "%s", fm_weights_trained_on(text));
}

static enum fm_status set_preprocessing(const struct fm_tensors *from, struct fm_pretrained *p)
{
    // Caffe's way, which Keras's VGG16 took over: u8, blue first, minus ImageNet's means.
    static const float keras_mean[] = {103.939f, 116.779f, 123.68f};
    static const float torch_mean[] = {0.485f, 0.456f, 0.406f};
    static const float torch_deviation[] = {0.229f, 0.224f, 0.225f};
    if (p->source == FM_PRETRAINED_FMNIST) {
        take_images(from, p);
        FM_TRY(take_channels(from, "input_mean", false, p->mean));
        return take_channels(from, "input_deviation", true, p->deviation);
    }
    bool keras = p->source == FM_PRETRAINED_KERAS;
    for (int c = 0; c < FM_CHANNELS_MAX; c++) {
        p->mean[c] = keras ? keras_mean[c] / 255.0f : torch_mean[c];
        p->deviation[c] = keras ? 1.0f / 255.0f : torch_deviation[c];
    }
    return FM_OK;
}

// ---- Elements

// Keras's HWIO to OIHW.
static void reorder(const struct fm_param *param, const float *hwio, float *oihw)
{
    size_t outs = (size_t)param->dims[0], ins = (size_t)param->dims[1];
    size_t area = (size_t)param->dims[2] * (size_t)param->dims[3];
    for (size_t o = 0; o < outs; o++)
        for (size_t i = 0; i < ins; i++)
            for (size_t hw = 0; hw < area; hw++)
                oihw[(o * ins + i) * area + hw] = hwio[(hw * ins + i) * outs + o];
}

static enum fm_status check_finite(const struct fm_tensors *from, int index, const float *values)
{
    const struct fm_tensor_info *info = &from->list[index];
    for (size_t i = 0; i < info->count; i++) {
        if (!isfinite(values[i]))
            return fm_fail(FM_DATA, "%s: tensor '%s': element %zu is %g, expected finite weights",
                from->path, info->name, i, (double)values[i]);
    }
    return FM_OK;
}

static enum fm_status read_tensor(const struct fm_tensors *from, int index, bool hwio,
    const struct fm_param *param, struct fm_tensor *out)
{
    snprintf(out->name, sizeof out->name, "%s", param->name);
    out->ndims = param->ndims;
    for (int d = 0; d < param->ndims; d++)
        out->dims[d] = param->dims[d];
    out->count = param->count;
    out->data = malloc(param->count * sizeof *out->data);
    float *raw = malloc(param->count * sizeof *raw);
    enum fm_status status = FM_OK;
    if (out->data == NULL || raw == NULL)
        status = fm_fail_memory("weights", 2 * param->count * sizeof *raw);
    if (status == FM_OK)
        status = fm_tensors_read(from, index, raw);
    if (status == FM_OK)
        status = check_finite(from, index, raw);
    if (status == FM_OK && hwio && param->ndims == 4)
        reorder(param, raw, out->data);
    else if (status == FM_OK)
        memcpy(out->data, raw, param->count * sizeof *raw);
    free(raw);
    return status;
}

static enum fm_status read_all(
    const struct fm_tensors *from, const struct fm_net *net, struct fm_pretrained *p)
{
    int index[FM_PRETRAINED_TENSORS_MAX];
    FM_TRY(fm_pretrained_recognise(from, net, &p->source, index));
    FM_TRY(set_preprocessing(from, p));
    FM_TRY(recognise(from, p));
    p->tensors = calloc(FM_PRETRAINED_TENSORS_MAX, sizeof *p->tensors);
    if (p->tensors == NULL)
        return fm_fail_memory("weights", FM_PRETRAINED_TENSORS_MAX * sizeof *p->tensors);
    bool hwio = p->source == FM_PRETRAINED_KERAS;
    for (int l = 0; l < net->layer_count; l++) {
        const struct fm_layer *layer = &net->layers[l];
        const int params[2] = {layer->weight, layer->bias};
        for (int i = 0; layer->kind == FM_LAYER_CONV && i < 2; i++) {
            struct fm_tensor *tensor = &p->tensors[p->count];
            FM_TRY(read_tensor(from, index[p->count++], hwio, &net->params[params[i]], tensor));
        }
    }
    return FM_OK;
}

enum fm_status fm_pretrained_read(
    const char *path, const struct fm_net *net, struct fm_pretrained *pretrained)
{
    struct fm_tensors from;
    memset(pretrained, 0, sizeof *pretrained);
    if (fm_path_is_dir(path))
        return fm_fail(FM_DATA,
            "%s: is a folder, expected a file of weights: of a run that is its model.safetensors",
            path);
    FM_TRY(fm_path_copy(pretrained->path, path));
    FM_TRY(fm_tensors_open(path, &from));
    enum fm_status status = read_all(&from, net, pretrained);
    fm_tensors_close(&from);
    if (status != FM_OK)
        fm_pretrained_free(pretrained);
    return status;
}

void fm_pretrained_free(struct fm_pretrained *pretrained)
{
    for (int t = 0; t < pretrained->count; t++)
        free(pretrained->tensors[t].data);
    free(pretrained->tensors);
    memset(pretrained, 0, sizeof *pretrained);
}
