// A Keras model as the one HDF5 file that Keras 2 introduced and Keras 3 still reads: the layers as
// a JSON text in the attribute "model_config", the weights as data sets in groups by layer, and the
// orders of both as lists of names.
#include "net/formats/keras.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Which Keras's form the file has.
#define KERAS_VERSION "2.15.0"
#define KERAS_BACKEND "tensorflow"

enum {
    NAME_MAX_ = 2 * FM_NAME_MAX,     // of a weight: "conv1/kernel:0"
    GROWTH = 1 << 20,                // bytes that the file in memory grows by
    NAMES_MAX = FM_KERAS_LAYERS_MAX, // of a list
};

// The file being made.
struct file {
    const char *path; // for messages
    hid_t access;     // in memory alone
    hid_t group_plan; // without times, so that equal models are equal bytes
    hid_t data_plan;
    hid_t text; // a string of any length, UTF-8
    hid_t scalar;
    hid_t id;
};

static herr_t keep_innermost(unsigned depth, const H5E_error2_t *error, void *out)
{
    const char **reason = out;
    if (depth == 0)
        *reason = error->desc;
    return 0;
}

static enum fm_status failed(const struct file *file, const char *call)
{
    const char *reason = NULL;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, &reason);
    return fm_fail(FM_IO, "%s: not written: libhdf5: %s: %s", file->path, call,
        reason ? reason : "failed without a reason");
}

#define HDF5(file, call)                                                                           \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            return failed(file, #call);                                                            \
    } while (0)

static enum fm_status open_file(struct file *file)
{
    HDF5(file, file->access = H5Pcreate(H5P_FILE_ACCESS));
    HDF5(file, H5Pset_fapl_core(file->access, GROWTH, false));
    // Closing the file closes what a failure has left open in it.
    HDF5(file, H5Pset_fclose_degree(file->access, H5F_CLOSE_STRONG));
    HDF5(file, file->group_plan = H5Pcreate(H5P_GROUP_CREATE));
    HDF5(file, H5Pset_obj_track_times(file->group_plan, false));
    HDF5(file, file->data_plan = H5Pcreate(H5P_DATASET_CREATE));
    HDF5(file, H5Pset_obj_track_times(file->data_plan, false));
    HDF5(file, file->text = H5Tcopy(H5T_C_S1));
    HDF5(file, H5Tset_size(file->text, H5T_VARIABLE));
    HDF5(file, H5Tset_cset(file->text, H5T_CSET_UTF8));
    HDF5(file, file->scalar = H5Screate(H5S_SCALAR));
    // A name that no file has: libhdf5 would read one of the same name first.
    HDF5(
        file, file->id = H5Fcreate("/dev/null/model.h5", H5F_ACC_TRUNC, H5P_DEFAULT, file->access));
    return FM_OK;
}

static void close_file(struct file *file)
{
    if (file->id >= 0)
        H5Fclose(file->id);
    if (file->scalar >= 0)
        H5Sclose(file->scalar);
    if (file->text >= 0)
        H5Tclose(file->text);
    const hid_t plans[] = {file->data_plan, file->group_plan, file->access};
    for (int i = 0; i < 3; i++) {
        if (plans[i] >= 0)
            H5Pclose(plans[i]);
    }
}

static enum fm_status put_text(
    const struct file *file, hid_t object, const char *name, const char *value)
{
    hid_t attribute = H5Acreate2(object, name, file->text, file->scalar, H5P_DEFAULT, H5P_DEFAULT);
    HDF5(file, attribute);
    HDF5(file, H5Awrite(attribute, file->text, &value));
    HDF5(file, H5Aclose(attribute));
    return FM_OK;
}

// A list of names, `count` times `width` bytes, shorter ones padded with zeros.
static enum fm_status put_names(const struct file *file, hid_t object, const char *name,
    const char *names, int count, size_t width)
{
    enum fm_status status = FM_OK;
    hid_t type = H5Tcopy(H5T_C_S1);
    hid_t space = H5Screate_simple(1, (const hsize_t[1]){(hsize_t)count}, NULL);
    hid_t attribute = -1;
    if (type < 0 || space < 0 || H5Tset_size(type, width) < 0 ||
        H5Tset_strpad(type, H5T_STR_NULLPAD) < 0 ||
        (attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT)) < 0 ||
        (count > 0 && H5Awrite(attribute, type, names) < 0) || H5Aclose(attribute) < 0)
        status = failed(file, name);
    if (space >= 0)
        H5Sclose(space);
    if (type >= 0)
        H5Tclose(type);
    return status;
}

static enum fm_status put_data(const struct file *file, hid_t group, const char *name,
    const struct fm_keras_weight *weight, const float *values)
{
    enum fm_status status = FM_OK;
    hsize_t dims[4];
    for (int d = 0; d < weight->ndims; d++)
        dims[d] = (hsize_t)weight->dims[d];
    hid_t space = H5Screate_simple(weight->ndims, dims, NULL), set = -1;
    if (space < 0 ||
        (set = H5Dcreate2(
             group, name, H5T_IEEE_F32LE, space, H5P_DEFAULT, file->data_plan, H5P_DEFAULT)) < 0 ||
        H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0 ||
        H5Dclose(set) < 0)
        status = failed(file, name);
    if (space >= 0)
        H5Sclose(space);
    return status;
}

static enum fm_status make_group(
    const struct file *file, hid_t parent, const char *name, hid_t *group)
{
    HDF5(file, *group = H5Gcreate2(parent, name, H5P_DEFAULT, file->group_plan, H5P_DEFAULT));
    return FM_OK;
}

// The weights of one layer: the group <layer>, in it the names in Keras's order, and the data sets
// <layer>/<layer>/<weight>:0.
static enum fm_status put_layer(const struct file *file, hid_t parent,
    const struct fm_format_model *model, const struct fm_keras_layer *layer)
{
    struct fm_keras_weight weights[FM_KERAS_WEIGHTS_MAX];
    char names[FM_KERAS_WEIGHTS_MAX][NAME_MAX_] = {{0}};
    int count;
    fm_keras_weights(model->net, layer, weights, &count);
    hid_t group, inner;
    FM_TRY(make_group(file, parent, layer->name, &group));
    for (int i = 0; i < count; i++)
        snprintf(names[i], sizeof names[i], "%s/%s:0", layer->name, weights[i].name);
    FM_TRY(put_names(file, group, "weight_names", names[0], count, sizeof names[0]));
    if (count > 0) {
        FM_TRY(make_group(file, group, layer->name, &inner));
        HDF5(file, H5Gclose(inner));
    }
    for (int i = 0; i < count; i++) {
        float *values = malloc(weights[i].count * sizeof *values);
        if (!values)
            return fm_fail_memory("a Keras weight", weights[i].count * sizeof *values);
        fm_keras_values(model, layer, i, values);
        enum fm_status status = put_data(file, group, names[i], &weights[i], values);
        free(values);
        FM_TRY(status);
    }
    HDF5(file, H5Gclose(group));
    return FM_OK;
}

static enum fm_status put_weights(const struct file *file, const struct fm_format_model *model,
    const struct fm_keras_layers *layers)
{
    hid_t group, top;
    char names[NAMES_MAX][FM_NAME_MAX] = {{0}};
    FM_TRY(make_group(file, file->id, "model_weights", &group));
    for (int i = 0; i < layers->count; i++)
        snprintf(names[i], sizeof names[i], "%s", layers->list[i].name);
    FM_TRY(put_names(file, group, "layer_names", names[0], layers->count, sizeof names[0]));
    FM_TRY(put_text(file, group, "backend", KERAS_BACKEND));
    FM_TRY(put_text(file, group, "keras_version", KERAS_VERSION));
    for (int i = 0; i < layers->count; i++)
        FM_TRY(put_layer(file, group, model, &layers->list[i]));
    FM_TRY(make_group(file, group, "top_level_model_weights", &top));
    FM_TRY(put_names(file, top, "weight_names", NULL, 0, 1));
    HDF5(file, H5Gclose(top));
    HDF5(file, H5Gclose(group));
    return FM_OK;
}

// What this project knows of the model, for those who look: Keras passes over it.
static enum fm_status put_notes(const struct file *file, const struct fm_format_model *model)
{
    json_t *names = json_array();
    int wrong = 0;
    for (int k = 0; k < model->net->classes; k++)
        wrong |= json_array_append_new(names, json_string(model->class_names[k]));
    char *text = json_dumps(names, JSON_COMPACT);
    json_decref(names);
    if (wrong || !text) {
        free(text);
        return fm_fail(FM_DATA, "%s: not written: a class name is not UTF-8", file->path);
    }
    enum fm_status status = put_text(file, file->id, "fmnist_class_names", text);
    free(text);
    FM_TRY(status);
    FM_TRY(put_text(file, file->id, "fmnist_model", model->net->name));
    for (const char *const *item = model->metadata; item && item[0]; item += 2) {
        char name[NAME_MAX_];
        snprintf(name, sizeof name, "fmnist_%s", item[0]);
        if (H5Aexists(file->id, name) == 0)
            FM_TRY(put_text(file, file->id, name, item[1]));
    }
    return FM_OK;
}

static enum fm_status put_model(const struct file *file, const struct fm_format_model *model)
{
    struct fm_keras_layers layers;
    FM_TRY(fm_keras_layers(model->net, &layers));
    char *text = json_dumps(layers.config, JSON_COMPACT | JSON_REAL_PRECISION(15));
    enum fm_status status = text ? put_text(file, file->id, "model_config", text)
                                 : fm_fail_memory("a Keras model's description", 0);
    if (status == FM_OK)
        status = put_weights(file, model, &layers);
    free(text);
    json_decref(layers.config);
    return status;
}

// The file's bytes as they would be on a disk.
static enum fm_status take_image(const struct file *file, unsigned char **image, size_t *size)
{
    HDF5(file, H5Fflush(file->id, H5F_SCOPE_GLOBAL));
    ssize_t length = H5Fget_file_image(file->id, NULL, 0);
    HDF5(file, length);
    *image = malloc((size_t)length);
    if (!*image)
        return fm_fail_memory("a Keras file", (unsigned long long)length);
    *size = (size_t)length;
    HDF5(file, H5Fget_file_image(file->id, *image, *size));
    return FM_OK;
}

static enum fm_status make_image(
    struct file *file, const struct fm_format_model *model, unsigned char **image, size_t *size)
{
    FM_TRY(open_file(file));
    FM_TRY(put_text(file, file->id, "keras_version", KERAS_VERSION));
    FM_TRY(put_text(file, file->id, "backend", KERAS_BACKEND));
    FM_TRY(put_notes(file, model));
    FM_TRY(put_model(file, model));
    return take_image(file, image, size);
}

enum fm_status fm_keras_image(
    const char *path, const struct fm_format_model *model, unsigned char **image, size_t *size)
{
    struct file file = {path, -1, -1, -1, -1, -1, -1};
    enum fm_status status;
    *image = NULL;
    // libhdf5 would print its errors; ours tell them.
    H5E_BEGIN_TRY
    {
        status = make_image(&file, model, image, size);
        close_file(&file);
    }
    H5E_END_TRY
    if (status != FM_OK) {
        free(*image);
        *image = NULL;
    }
    return status;
}
