// A file fits a model when every tensor of the model is there in its shape; else the model counts
// as nearest of which most are.
#include "app/inspect/fits.h"

#include "net/files/pretrained.h"
#include "net/zoo.h"
#include "run/states.h"

#include <stdio.h>
#include <string.h>

enum {
    CLASSES_MIN = 2,
    CLASSES_MAX = 256,
    ANY_CLASSES = 10
};

// How much of a model is in a file.
struct match {
    struct fm_net net;
    int found, wanted;
    char problem[640]; // the first tensor that is missing or of another shape
};

// The classes that the file's last layer has, if it has that layer; 0 if not.
static int classes_of(const struct fm_tensors *tensors, const char *model)
{
    struct fm_net net;
    if (fm_zoo_build(model, ANY_CLASSES, &net) != FM_OK)
        return 0;
    const struct fm_layer *last = &net.layers[net.layer_count - 1];
    int at = fm_tensors_find(tensors, net.params[last->weight].name);
    int64_t classes = at >= 0 && tensors->list[at].ndims > 0 ? tensors->list[at].dims[0] : 0;
    return classes >= CLASSES_MIN && classes <= CLASSES_MAX ? (int)classes : 0;
}

static void note_problem(
    struct match *m, const struct fm_state_item *item, const struct fm_tensor_info *info)
{
    char expected[128], found[128];
    if (m->problem[0])
        return;
    fm_shape_text(expected, item->ndims, item->dims);
    if (!info) {
        snprintf(m->problem, sizeof m->problem, "'%s' %s is missing", item->name, expected);
        return;
    }
    fm_shape_text(found, info->ndims, info->dims);
    snprintf(m->problem, sizeof m->problem, "'%s' has the shape %s, expected %s", item->name, found,
        expected);
}

static bool same_shape(const struct fm_state_item *item, const struct fm_tensor_info *info)
{
    return info->readable && item->ndims == info->ndims &&
           memcmp(item->dims, info->dims, (size_t)item->ndims * sizeof *item->dims) == 0;
}

static enum fm_status match_model(
    const struct fm_tensors *tensors, const char *model, struct match *m)
{
    int classes = classes_of(tensors, model);
    memset(m, 0, sizeof *m);
    FM_TRY(fm_zoo_build(model, classes > 0 ? classes : ANY_CLASSES, &m->net));
    m->wanted = fm_state_count(&m->net);
    for (int i = 0; i < m->wanted; i++) {
        struct fm_state_item item = fm_state_at(&m->net, i);
        int at = fm_tensors_find(tensors, item.name);
        const struct fm_tensor_info *info = at >= 0 ? &tensors->list[at] : NULL;
        if (info && same_shape(&item, info))
            m->found++;
        else
            note_problem(m, &item, info);
    }
    return FM_OK;
}

// PyTorch's batch norm counts its batches; nobody else needs that.
static bool is_counter(const char *name)
{
    static const char end[] = "num_batches_tracked";
    size_t length = strlen(name);
    return length >= sizeof end - 1 && strcmp(name + length - (sizeof end - 1), end) == 0;
}

static int surplus(const struct fm_tensors *tensors, const struct fm_net *net)
{
    int count = 0;
    for (int i = 0; i < tensors->count; i++) {
        const char *name = tensors->list[i].name;
        if (fm_net_find_param(net, name) < 0 && fm_net_find_running(net, name) < 0 &&
            !is_counter(name))
            count++;
    }
    return count;
}

static void tell_whole(const struct fm_tensors *tensors, const struct match *m, struct fm_fit *fit)
{
    int more = surplus(tensors, &m->net);
    fit->fits = more == 0;
    fit->classes = m->net.classes;
    fm_text_append(
        &fit->what, "all tensors of fmnist's %s with %d classes", m->net.name, m->net.classes);
    if (more > 0)
        fm_text_append(&fit->what, ", and %d that it does not have", more);
    else if (!fm_tensors_metadata(tensors, "fmnist_format"))
        fm_text_append(&fit->what,
            ", without the metadata that say what its classes are and how its input is "
            "normalised (docs/formats.md, \"model.safetensors\")");
}

static void tell_nearest(const struct match *m, struct fm_fit *fit)
{
    fm_text_append(&fit->what, "none; nearest is %s, of which %d of %d tensors are there: %s",
        m->net.name, m->found, m->wanted, m->problem);
}

// `near`: what is said of weights for a base that the file nearly has; "": nothing.
static enum fm_status find_whole(
    const struct fm_tensors *tensors, const char *near, struct fm_fit *fit)
{
    struct match best = {.found = 0}, m;
    for (int i = 0; fm_zoo_names[i]; i++) {
        FM_TRY(match_model(tensors, fm_zoo_names[i], &m));
        // Of two that have as many, the one that misses fewer.
        if (m.found > best.found || (m.found == best.found && m.wanted < best.wanted))
            best = m;
    }
    if (best.found == 0) {
        fm_text_append(
            &fit->what, "none: %s", near[0] ? near : "no tensor is called as in a model of fmnist");
        return FM_OK;
    }
    snprintf(fit->model, sizeof fit->model, "%s", best.net.name);
    if (best.found == best.wanted)
        tell_whole(tensors, &best, fit);
    else
        tell_nearest(&best, fit);
    return FM_OK;
}

// Weights that others have trained for a base: the file need hold nothing else.
static enum fm_status find_base(const struct fm_tensors *tensors, const char *sha256,
    const char *md5, struct fm_fit *fit, bool *found, struct fm_text *near)
{
    static const char *const called[] = {"Keras", "torchvision", "fmnist"};
    struct fm_net net;
    enum fm_pretrained_source source;
    int index[FM_PRETRAINED_TENSORS_MAX];
    FM_TRY(fm_zoo_build("vgg16", ANY_CLASSES, &net));
    enum fm_status status = fm_pretrained_recognise(tensors, &net, &source, index);
    *found = status == FM_OK && source != FM_PRETRAINED_FMNIST;
    // Of a source, but not whole, or with what is not read: the message says so behind the path.
    if (status == FM_DATA || (status == FM_UNSUPPORTED && tensors->format != FM_TENSORS_ONNX))
        fm_text_append_line(near, fm_error_message() + strlen(tensors->path) + strlen(": "));
    fm_error_clear();
    if (!*found)
        return FM_OK;
    const char *known = fm_pretrained_known(sha256, md5);
    fit->fits = true;
    snprintf(fit->model, sizeof fit->model, "%s", net.name);
    fm_text_append(&fit->what,
        "the convolutions of VGG16 as %s has them (%s): for fmnist train --model vgg16 --weights",
        called[source], known[0] ? known : "of unknown origin");
    return FM_OK;
}

enum fm_status fm_fit_find(
    const struct fm_tensors *tensors, const char *sha256, const char *md5, struct fm_fit *fit)
{
    bool found = false;
    struct fm_text near = {0};
    memset(fit, 0, sizeof *fit);
    enum fm_status status = find_base(tensors, sha256, md5, fit, &found, &near);
    if (status == FM_OK && !found)
        status = find_whole(tensors, fm_text_cstr(&near), fit);
    fm_text_free(&near);
    if (status != FM_OK)
        fm_fit_free(fit);
    return status;
}

void fm_fit_free(struct fm_fit *fit)
{
    fm_text_free(&fit->what);
}
