// Whose weights a file holds is told by the names in it, all of which must be there; then each is
// checked, read and turned into this project's layout.
#include "net/files/pretrained.h"

#include "base/digest.h"
#include "net/files/tensors.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const fm_pretrained_source_names[] = {"keras", "torchvision", "fmnist", NULL};

enum {
    CONVOLUTIONS = 13,
    TENSORS = 2 * CONVOLUTIONS, // a weight and a bias each
};

// A way to name them.
struct naming {
    enum fm_pretrained_source source;
    const char *what; // for messages
    enum fm_tensors_format format;
    const char *needs; // metadata key that files of it have; NULL: none
    // What comes before what a convolution is called there ("block1_conv1", "features.0",
    // "conv1_1"), which Keras writes twice, "x/x", and what comes behind it.
    const char *prefix, *weight, *bias;
};

static const struct naming namings[] = {
    {FM_PRETRAINED_KERAS, "Keras's VGG16 without top", FM_TENSORS_HDF5, NULL, "", "_W_1:0",
        "_b_1:0"},
    {FM_PRETRAINED_KERAS, "Keras's VGG16", FM_TENSORS_HDF5, NULL, "", "/kernel:0", "/bias:0"},
    {FM_PRETRAINED_KERAS, "a Keras model with VGG16's layers", FM_TENSORS_HDF5, NULL,
        "model_weights/", "/kernel:0", "/bias:0"},
    {FM_PRETRAINED_TORCHVISION, "torchvision's VGG16", FM_TENSORS_SAFETENSORS, NULL, "", ".weight",
        ".bias"},
    {FM_PRETRAINED_FMNIST, "fmnist's vgg16", FM_TENSORS_SAFETENSORS, "fmnist_format", "", ".weight",
        ".bias"},
};

static const int torchvision_features[CONVOLUTIONS] = {
    0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28};
static const int blocks[] = {2, 2, 3, 3, 3}; // convolutions of each

// Preprocessing that goes with them, of u8/255. Keras's takes 0 to 255 in the order blue, green,
// red and subtracts ImageNet's means ("caffe" mode of keras.applications.imagenet_utils);
// torchvision's is that of all its models.
static const float caffe_means[FM_CHANNELS_MAX] = {103.939f, 116.779f, 123.68f};
static const float torch_mean[FM_CHANNELS_MAX] = {0.485f, 0.456f, 0.406f};
static const float torch_deviation[FM_CHANNELS_MAX] = {0.229f, 0.224f, 0.225f};

// Files that are known, by either digest.
static const struct {
    const char *sha256, *md5, *what;
} known[] = {
    {NULL, "6d6bbae143d832006294945121d1f1fc", "Keras's VGG16 for ImageNet, without top"},
    {"57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8", NULL,
        "timm's VGG16 for ImageNet"},
};

// ---- Names

static void convolution_name(enum fm_pretrained_source source, int index, char out[FM_NAME_MAX])
{
    int block = 0, within = index;
    while (within >= blocks[block])
        within -= blocks[block++];
    if (source == FM_PRETRAINED_TORCHVISION)
        snprintf(out, FM_NAME_MAX, "features.%d", torchvision_features[index]);
    else
        snprintf(out, FM_NAME_MAX, source == FM_PRETRAINED_KERAS ? "block%d_conv%d" : "conv%d_%d",
            block + 1, within + 1);
}

// The name of tensor 0 to 25: weight, bias, weight, ...
static void tensor_name(const struct naming *naming, int tensor, char out[FM_TENSOR_NAME_MAX])
{
    char name[FM_NAME_MAX];
    const char *end = tensor % 2 == 0 ? naming->weight : naming->bias;
    convolution_name(naming->source, tensor / 2, name);
    if (naming->source == FM_PRETRAINED_KERAS)
        snprintf(out, FM_TENSOR_NAME_MAX, "%s%s/%s%s", naming->prefix, name, name, end);
    else
        snprintf(out, FM_TENSOR_NAME_MAX, "%s%s%s", naming->prefix, name, end);
}

// How many of a naming's tensors are there, and the first that is not.
static int count_names(
    const struct fm_tensors *file, const struct naming *naming, char missing[FM_TENSOR_NAME_MAX])
{
    int found = 0;
    missing[0] = '\0';
    for (int i = 0; i < TENSORS; i++) {
        char name[FM_TENSOR_NAME_MAX];
        tensor_name(naming, i, name);
        if (fm_tensors_find(file, name) >= 0)
            found++;
        else if (!missing[0])
            snprintf(missing, FM_TENSOR_NAME_MAX, "%s", name);
    }
    return found;
}

static enum fm_status choose(const struct fm_tensors *file, const struct naming **chosen)
{
    int most = 0;
    char missing[FM_TENSOR_NAME_MAX] = "", first[FM_TENSOR_NAME_MAX];
    *chosen = NULL;
    for (size_t n = 0; n < sizeof namings / sizeof namings[0]; n++) {
        const struct naming *naming = &namings[n];
        if (naming->format != file->format)
            continue;
        int found = count_names(file, naming, first);
        if (found > most) {
            most = found;
            *chosen = naming;
            memcpy(missing, first, sizeof missing);
        }
    }
    if (most == TENSORS && (!(*chosen)->needs || fm_tensors_metadata(file, (*chosen)->needs)))
        return FM_OK;
    if (most == TENSORS)
        return fm_fail(FM_DATA,
            "%s: has the tensors of %s, and nothing says how its images were normalised: the "
            "metadata \"%s\" is missing",
            file->path, (*chosen)->what, (*chosen)->needs);
    if (most > 0)
        return fm_fail(FM_DATA, "%s: nearest to %s, but has %d of its %d tensors: '%s' is missing",
            file->path, (*chosen)->what, most, TENSORS, missing);
    return fm_fail(FM_DATA,
        "%s: a %s file with none of the names of VGG16's convolutions, as Keras "
        "(block1_conv1/block1_conv1_W_1:0), torchvision and timm (features.0.weight) or fmnist "
        "(conv1_1.weight) call them; 'fmnist inspect' says what is in it",
        file->path, fm_tensors_format_names[file->format]);
}

// ---- Preprocessing

// A number, or an array of one for each channel; `least`: all must be greater.
static bool numbers(const char *text, double least, float out[FM_CHANNELS_MAX])
{
    json_t *json = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    bool right = json_is_number(json) ||
                 (json_is_array(json) && json_array_size(json) == FM_CHANNELS_MAX);
    for (size_t c = 0; right && c < FM_CHANNELS_MAX; c++) {
        const json_t *value = json_is_array(json) ? json_array_get(json, c) : json;
        right = json_is_number(value) && isfinite(json_number_value(value)) &&
                json_number_value(value) > least;
        out[c] = (float)json_number_value(value);
    }
    json_decref(json);
    return right;
}

static enum fm_status own_preprocessing(const struct fm_tensors *file, struct fm_pretrained *p)
{
    const char *model = fm_tensors_metadata(file, "model");
    if (!model || strcmp(model, "vgg16") != 0)
        return fm_fail(FM_DATA, "%s: metadata \"model\": found %s, expected vgg16", file->path,
            model ? model : "nothing");
    if (!numbers(fm_tensors_metadata(file, "input_mean"), -1, p->mean) ||
        !numbers(fm_tensors_metadata(file, "input_deviation"), 0, p->deviation))
        return fm_fail(FM_DATA,
            "%s: metadata \"input_mean\" and \"input_deviation\": expected a number or an array of "
            "three each",
            file->path);
    return FM_OK;
}

static enum fm_status set_preprocessing(const struct fm_tensors *file, struct fm_pretrained *p)
{
    if (p->source == FM_PRETRAINED_FMNIST)
        return own_preprocessing(file, p);
    for (int c = 0; c < FM_CHANNELS_MAX; c++) {
        bool keras = p->source == FM_PRETRAINED_KERAS;
        p->mean[c] = keras ? caffe_means[c] / 255.0f : torch_mean[c];
        p->deviation[c] = keras ? 1.0f / 255.0f : torch_deviation[c];
    }
    return FM_OK;
}

// ---- Tensors

static void shape_text(char out[96], const int64_t *dims, int ndims)
{
    int used = snprintf(out, 96, "[");
    for (int d = 0; d < ndims && used < 90; d++)
        used += snprintf(
            out + used, (size_t)(96 - used), "%s%lld", d > 0 ? ", " : "", (long long)dims[d]);
    snprintf(out + (used < 95 ? used : 94), 2, "]");
}

// Keras's kernels are [h, w, i, o].
static bool turned(const struct naming *naming, const struct fm_param *param)
{
    return naming->source == FM_PRETRAINED_KERAS && param->ndims == 4;
}

// The dimensions that the file must have for a parameter of [o, i, h, w] or [o].
static void dims_there(
    const struct naming *naming, const struct fm_param *param, int64_t dims[FM_TENSOR_DIMS_MAX])
{
    static const int hwio[4] = {2, 3, 1, 0};
    for (int d = 0; d < param->ndims; d++)
        dims[d] = param->dims[turned(naming, param) ? hwio[d] : d];
}

static enum fm_status check_shape(const struct fm_tensors *file, const struct fm_tensor_info *info,
    const struct naming *naming, const struct fm_param *param)
{
    int64_t dims[FM_TENSOR_DIMS_MAX] = {0};
    char found[96], expected[96];
    dims_there(naming, param, dims);
    if (info->ndims == param->ndims && memcmp(info->dims, dims, (size_t)info->ndims * 8) == 0)
        return FM_OK;
    shape_text(found, info->dims, info->ndims);
    shape_text(expected, dims, param->ndims);
    return fm_fail(FM_DATA, "%s: tensor '%s' has the shape %s, expected %s", file->path, info->name,
        found, expected);
}

// [h, w, i, o] to [o, i, h, w].
static void to_oihw(const float *from, const struct fm_param *param, float *to)
{
    size_t o = (size_t)param->dims[0], i = (size_t)param->dims[1];
    size_t pixels = (size_t)param->dims[2] * (size_t)param->dims[3];
    for (size_t p = 0; p < pixels; p++)
        for (size_t in = 0; in < i; in++)
            for (size_t out = 0; out < o; out++)
                to[(out * i + in) * pixels + p] = from[(p * i + in) * o + out];
}

static enum fm_status check_finite(
    const struct fm_tensors *file, const char *name, const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return fm_fail(FM_DATA, "%s: tensor '%s': element %zu is %f: expected finite numbers",
                file->path, name, i, (double)values[i]);
    return FM_OK;
}

static enum fm_status read_tensor(const struct fm_tensors *file, const struct naming *naming,
    int index, const struct fm_param *param, struct fm_tensor *tensor)
{
    char name[FM_TENSOR_NAME_MAX];
    tensor_name(naming, index, name);
    int at = fm_tensors_find(file, name);
    bool turn = turned(naming, param);
    FM_TRY(check_shape(file, &file->list[at], naming, param));
    snprintf(tensor->name, sizeof tensor->name, "%s", param->name);
    tensor->ndims = param->ndims;
    for (int d = 0; d < param->ndims; d++)
        tensor->dims[d] = param->dims[d];
    tensor->count = param->count;
    tensor->data = malloc(param->count * sizeof *tensor->data);
    float *there = turn ? malloc(param->count * sizeof *there) : tensor->data;
    enum fm_status status = tensor->data && there
                                ? fm_tensors_read(file, at, there)
                                : fm_fail_memory(name, param->count * sizeof *there);
    if (status == FM_OK)
        status = check_finite(file, name, there, param->count);
    if (status == FM_OK && turn)
        to_oihw(there, param, tensor->data);
    if (turn)
        free(there);
    return status;
}

// The net's parameters of convolution 0 to 12: its weight, then its bias.
static enum fm_status find_params(const struct fm_net *net, int params[TENSORS])
{
    int count = 0;
    for (int l = 0; l < net->layer_count; l++) {
        const struct fm_layer *layer = &net->layers[l];
        if (layer->kind != FM_LAYER_CONV)
            continue;
        if (count == TENSORS || layer->bias < 0)
            break;
        params[count++] = layer->weight;
        params[count++] = layer->bias;
    }
    return count == TENSORS
               ? FM_OK
               : fm_fail(FM_USAGE, "network %s is not VGG16: there are no weights of others for it",
                     net->name);
}

static enum fm_status read_all(
    const struct fm_tensors *file, const struct fm_net *net, struct fm_pretrained *p)
{
    const struct naming *naming;
    int params[TENSORS];
    FM_TRY(find_params(net, params));
    FM_TRY(choose(file, &naming));
    p->source = naming->source;
    FM_TRY(set_preprocessing(file, p));
    p->tensors = calloc(TENSORS, sizeof *p->tensors);
    if (!p->tensors)
        return fm_fail_memory("weights", TENSORS * sizeof *p->tensors);
    p->count = TENSORS;
    for (int i = 0; i < TENSORS; i++)
        FM_TRY(read_tensor(file, naming, i, &net->params[params[i]], &p->tensors[i]));
    return FM_OK;
}

enum fm_status fm_pretrained_recognise(
    const struct fm_tensors *file, const struct fm_net *net, enum fm_pretrained_source *source)
{
    const struct naming *naming;
    int params[TENSORS];
    FM_TRY(find_params(net, params));
    FM_TRY(choose(file, &naming));
    for (int i = 0; i < TENSORS; i++) {
        char name[FM_TENSOR_NAME_MAX];
        tensor_name(naming, i, name);
        const struct fm_tensor_info *info = &file->list[fm_tensors_find(file, name)];
        FM_TRY(check_shape(file, info, naming, &net->params[params[i]]));
    }
    *source = naming->source;
    return FM_OK;
}

const char *fm_pretrained_known(const char *sha256, const char *md5)
{
    for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
        if ((known[k].sha256 && strcmp(known[k].sha256, sha256) == 0) ||
            (known[k].md5 && strcmp(known[k].md5, md5) == 0))
            return known[k].what;
    return "";
}

static enum fm_status identify(const char *path, struct fm_pretrained *p)
{
    char md5[FM_MD5_SIZE];
    FM_TRY(fm_digest_file(path, p->sha256, md5));
    snprintf(p->known, sizeof p->known, "%s", fm_pretrained_known(p->sha256, md5));
    return FM_OK;
}

enum fm_status fm_pretrained_read(
    const char *path, const struct fm_net *net, struct fm_pretrained *pretrained)
{
    struct fm_tensors file;
    memset(pretrained, 0, sizeof *pretrained);
    FM_TRY(fm_path_copy(pretrained->path, path));
    FM_TRY(fm_tensors_open(path, &file));
    enum fm_status status = read_all(&file, net, pretrained);
    fm_tensors_close(&file);
    if (status == FM_OK)
        status = identify(path, pretrained);
    if (status != FM_OK)
        fm_pretrained_free(pretrained);
    return status;
}

void fm_pretrained_free(struct fm_pretrained *pretrained)
{
    for (int i = 0; i < pretrained->count; i++)
        free(pretrained->tensors[i].data);
    free(pretrained->tensors);
    memset(pretrained, 0, sizeof *pretrained);
}
