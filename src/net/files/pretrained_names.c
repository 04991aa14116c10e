// Whose weights a file holds, told by the names and shapes of its tensors.
#include "net/files/pretrained.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum {
    SHOWN = 3 // names of a file that fits nothing
};

// How a source names a convolution's weight and bias: '@' stands for the convolution.
struct naming {
    enum fm_pretrained_source source;
    const char *weight, *bias;
    const char *what;
};

static const struct naming namings[] = {
    {FM_PRETRAINED_KERAS, "@/@_W_1:0", "@/@_b_1:0", "Keras's weights of VGG16"},
    {FM_PRETRAINED_TORCHVISION, "features.@.weight", "features.@.bias",
        "torchvision's or timm's VGG16"},
    {FM_PRETRAINED_FMNIST, "@.weight", "@.bias", "this project's vgg16"},
    {FM_PRETRAINED_KERAS, "@/@/kernel:0", "@/@/bias:0", "Keras 2's weights of VGG16"},
    {FM_PRETRAINED_KERAS, "@/@/kernel", "@/@/bias", "Keras 3's weights of VGG16"},
    {FM_PRETRAINED_KERAS, "model_weights/@/@/kernel:0", "model_weights/@/@/bias:0",
        "Keras 2's VGG16 model"},
    {FM_PRETRAINED_KERAS, "model_weights/@/@/kernel", "model_weights/@/@/bias",
        "Keras 3's VGG16 model"},
    {FM_PRETRAINED_KERAS, "model_weights/vgg16/@/kernel:0", "model_weights/vgg16/@/bias:0",
        "a Keras 2 model with VGG16 in it"},
    {FM_PRETRAINED_KERAS, "model_weights/vgg16/@/kernel", "model_weights/vgg16/@/bias",
        "a Keras 3 model with VGG16 in it"},
};

enum {
    NAMINGS = sizeof namings / sizeof namings[0],
    DOCUMENTED = 3 // of them, that a message lists
};

// The convolutions that are looked for.
struct convs {
    int count;
    int layers[FM_PRETRAINED_TENSORS_MAX / 2]; // of the net
};

static enum fm_status find_convs(const struct fm_net *net, struct convs *convs)
{
    convs->count = 0;
    for (int l = 0; l < net->layer_count; l++) {
        const struct fm_layer *layer = &net->layers[l];
        int block, place;
        if (layer->kind != FM_LAYER_CONV)
            continue;
        if (sscanf(layer->name, "conv%d_%d", &block, &place) != 2 || layer->bias < 0 ||
            convs->count == FM_PRETRAINED_TENSORS_MAX / 2)
            return fm_fail(FM_USAGE,
                "model %s: weights of others are read for vgg16 alone (layer %s is none of its)",
                net->name, layer->name);
        convs->layers[convs->count++] = l;
    }
    return convs->count > 0
               ? FM_OK
               : fm_fail(FM_USAGE, "model %s: has no convolutions to read weights for", net->name);
}

// What the source calls the convolution. torchvision numbers the modules of its `features`: each
// convolution has a ReLU behind it, and each block a pooling.
static void conv_label(const struct naming *naming, const struct fm_net *net,
    const struct convs *convs, int conv, char out[FM_NAME_MAX])
{
    const char *name = net->layers[convs->layers[conv]].name;
    int block = 0, place = 0;
    sscanf(name, "conv%d_%d", &block, &place);
    if (naming->source == FM_PRETRAINED_KERAS)
        snprintf(out, FM_NAME_MAX, "block%d_conv%d", block, place);
    else if (naming->source == FM_PRETRAINED_TORCHVISION)
        snprintf(out, FM_NAME_MAX, "%d", 2 * conv + block - 1);
    else
        snprintf(out, FM_NAME_MAX, "%s", name);
}

static void expected_name(const struct naming *naming, const struct fm_net *net,
    const struct convs *convs, int tensor, char out[FM_TENSOR_NAME_MAX])
{
    char label[FM_NAME_MAX];
    size_t length = 0;
    conv_label(naming, net, convs, tensor / 2, label);
    out[0] = '\0';
    for (const char *s = tensor % 2 ? naming->bias : naming->weight; *s != '\0'; s++) {
        int added = snprintf(out + length, FM_TENSOR_NAME_MAX - length, "%.*s",
            *s == '@' ? FM_NAME_MAX : 1, *s == '@' ? label : s);
        length += (size_t)added;
    }
}

// ---- Which naming

struct match {
    int found;                            // of the names
    int missing;                          // the first that is not there, -1: none
    int index[FM_PRETRAINED_TENSORS_MAX]; // -1: not there
};

static void match_naming(const struct fm_tensors *tensors, const struct fm_net *net,
    const struct convs *convs, const struct naming *naming, struct match *match)
{
    char name[FM_TENSOR_NAME_MAX];
    *match = (struct match){.missing = -1};
    for (int t = 0; t < 2 * convs->count; t++) {
        expected_name(naming, net, convs, t, name);
        match->index[t] = fm_tensors_find(tensors, name);
        match->found += match->index[t] >= 0;
        if (match->index[t] < 0 && match->missing < 0)
            match->missing = t;
    }
}

// A tensor named as the source has its first one, but for something before it.
static enum fm_status fail_prefixed(const struct fm_tensors *tensors, const struct fm_net *net,
    const struct convs *convs, const struct naming *naming)
{
    char name[FM_TENSOR_NAME_MAX];
    expected_name(naming, net, convs, 0, name);
    size_t tail = strlen(name);
    for (int t = 0; t < tensors->count; t++) {
        const char *found = tensors->list[t].name;
        size_t length = strlen(found);
        if (length > tail && strcmp(found + length - tail, name) == 0)
            return fm_fail(FM_DATA,
                "%s: looks like %s, but its tensors are named '%s', expected '%s': take '%.*s' off "
                "the front of all names and save it again",
                tensors->path, naming->what, found, name, (int)(length - tail), found);
    }
    return FM_OK;
}

static enum fm_status fail_foreign(
    const struct fm_tensors *tensors, const struct fm_net *net, const struct convs *convs)
{
    char name[FM_TENSOR_NAME_MAX];
    struct fm_text found = {0}, expected = {0};
    for (size_t n = 0; n < NAMINGS; n++)
        FM_TRY(fail_prefixed(tensors, net, convs, &namings[n]));
    for (int t = 0; t < tensors->count && t < SHOWN; t++)
        fm_text_append(&found, "%s'%s'", t > 0 ? ", " : "", tensors->list[t].name);
    for (size_t n = 0; n < DOCUMENTED; n++) {
        expected_name(&namings[n], net, convs, 0, name);
        fm_text_append(
            &expected, "%s'%s' and so on (%s)", n > 0 ? ", or " : "", name, namings[n].what);
    }
    fm_fail(FM_NOT_FOUND,
        "%s: holds none of VGG16's convolutions under names that are known here: found %d tensor%s"
        "%s%s%s; expected %s",
        tensors->path, tensors->count, tensors->count == 1 ? "" : "s",
        tensors->count > 0 ? ", " : "", fm_text_cstr(&found), tensors->count > SHOWN ? ", ..." : "",
        fm_text_cstr(&expected));
    fm_text_free(&found);
    fm_text_free(&expected);
    return FM_NOT_FOUND;
}

static enum fm_status choose_naming(const struct fm_tensors *tensors, const struct fm_net *net,
    const struct convs *convs, const struct naming **naming, struct match *match)
{
    char name[FM_TENSOR_NAME_MAX];
    struct match other;
    match->found = 0;
    for (size_t n = 0; n < NAMINGS; n++) {
        match_naming(tensors, net, convs, &namings[n], &other);
        if (other.found > match->found) {
            *match = other;
            *naming = &namings[n];
        }
    }
    if (match->found == 0)
        return fail_foreign(tensors, net, convs);
    if (match->found == 2 * convs->count)
        return FM_OK;
    expected_name(*naming, net, convs, match->missing, name);
    return fm_fail(FM_DATA,
        "%s: is not VGG16's: nearest is %s, of whose %d tensors of convolutions it has %d and "
        "lacks '%s'",
        tensors->path, (*naming)->what, 2 * convs->count, match->found, name);
}

// ---- Checks of the one chosen

// A convolution that VGG16 has not: the file is of a larger relative (VGG19).
static bool is_convolution(const struct naming *naming, const char *name)
{
    int block, place, end = 0;
    if (naming->source == FM_PRETRAINED_TORCHVISION)
        return strncmp(name, "features.", 9) == 0;
    if (naming->source == FM_PRETRAINED_FMNIST)
        return strncmp(name, "conv", 4) == 0;
    for (const char *part = name; part != NULL; part = strchr(part, '/')) {
        part += *part == '/';
        if (sscanf(part, "block%d_conv%d%n", &block, &place, &end) == 2 && end > 0)
            return true;
    }
    return false;
}

static enum fm_status check_surplus(const struct fm_tensors *tensors, const struct naming *naming,
    const struct convs *convs, const struct match *match)
{
    for (int t = 0; t < tensors->count; t++) {
        bool ours = !is_convolution(naming, tensors->list[t].name);
        for (int i = 0; i < 2 * convs->count && !ours; i++)
            ours = match->index[i] == t;
        if (!ours)
            return fm_fail(FM_DATA,
                "%s: is not VGG16's: it has all names of %s, but '%s' besides, which VGG16 has not",
                tensors->path, naming->what, tensors->list[t].name);
    }
    return FM_OK;
}

static void append_shape(struct fm_text *text, const int64_t *dims, int ndims)
{
    for (int d = 0; d < ndims; d++)
        fm_text_append(text, "%s%lld", d > 0 ? ", " : "[", (long long)dims[d]);
    fm_text_append(text, "%s", ndims > 0 ? "]" : "[]");
}

static enum fm_status check_shape(const struct fm_tensors *tensors, int index,
    enum fm_pretrained_source source, const struct fm_param *param)
{
    const struct fm_tensor_info *info = &tensors->list[index];
    int64_t dims[4] = {0};
    for (int d = 0; d < param->ndims; d++)
        dims[d] = param->dims[d];
    if (source == FM_PRETRAINED_KERAS && param->ndims == 4) { // HWIO
        const int64_t hwio[4] = {dims[2], dims[3], dims[1], dims[0]};
        memcpy(dims, hwio, sizeof dims);
    }
    if (!info->readable)
        return fm_tensors_fail_type(tensors, info);
    bool same = info->ndims == param->ndims;
    for (int d = 0; same && d < param->ndims; d++)
        same = info->dims[d] == dims[d];
    if (same)
        return FM_OK;
    struct fm_text found = {0}, expected = {0};
    append_shape(&found, info->dims, info->ndims);
    append_shape(&expected, dims, param->ndims);
    fm_fail(FM_DATA, "%s: tensor '%s' has the shape %s, expected %s of VGG16", tensors->path,
        info->name, fm_text_cstr(&found), fm_text_cstr(&expected));
    fm_text_free(&found);
    fm_text_free(&expected);
    return FM_DATA;
}

// Another model of this project may have some names in common with vgg16.
static enum fm_status check_model(const struct fm_tensors *tensors)
{
    const char *model = fm_tensors_metadata(tensors, "model");
    if (fm_tensors_metadata(tensors, "fmnist_format") == NULL || model == NULL ||
        strcmp(model, "vgg16") == 0)
        return FM_OK;
    return fm_fail(
        FM_DATA, "%s: is of this project's model '%.40s', expected vgg16", tensors->path, model);
}

enum fm_status fm_pretrained_recognise(const struct fm_tensors *tensors, const struct fm_net *net,
    enum fm_pretrained_source *source, int index[FM_PRETRAINED_TENSORS_MAX])
{
    struct convs convs;
    struct match match = {0};
    const struct naming *naming = NULL;
    FM_TRY(find_convs(net, &convs));
    if (tensors->format == FM_TENSORS_ONNX)
        return fm_fail(FM_DATA,
            "%s: an ONNX file: weights to begin with are read from safetensors and HDF5 files",
            tensors->path);
    FM_TRY(check_model(tensors));
    FM_TRY(choose_naming(tensors, net, &convs, &naming, &match));
    FM_TRY(check_surplus(tensors, naming, &convs, &match));
    for (int t = 0; t < 2 * convs.count; t++) {
        const struct fm_layer *layer = &net->layers[convs.layers[t / 2]];
        const struct fm_param *param = &net->params[t % 2 ? layer->bias : layer->weight];
        FM_TRY(check_shape(tensors, match.index[t], naming->source, param));
        index[t] = match.index[t];
    }
    *source = naming->source;
    return FM_OK;
}
