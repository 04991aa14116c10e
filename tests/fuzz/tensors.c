// Files of tensors, of the format that FORMAT names: listed, then read, as --weights does; then
// what inspect says of the file.
#include "fuzz.h"

#include "app/inspect/inspect.h"
#include "net/files/pretrained.h"
#include "net/files/tensors_class.h"
#include "net/zoo.h"
#include "run/weights.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A safetensors file may also be one of this project's.
static void read_weights(const char *path)
{
    struct fm_weights weights;
    struct fm_net net;
    enum fm_status status = fm_weights_read(path, &weights);
    fm_fuzz_returned(status);
    if (status != FM_OK)
        return;
    for (int t = 0; t < weights.tensors.count; t++) {
        const struct fm_tensor *tensor = &weights.tensors.tensors[t];
        fm_fuzz_look_at(tensor->data, tensor->count * sizeof *tensor->data);
    }
    fm_fuzz_returned(fm_weights_net(&weights, &net));
    fm_weights_free(&weights);
}

static void read_pretrained(const char *path)
{
    static struct fm_net net;
    struct fm_pretrained pretrained;
    if (net.layer_count == 0)
        fm_fuzz_require(fm_zoo_build("vgg16", 10, &net) == FM_OK, "there is VGG16");
    enum fm_status status = fm_pretrained_read(path, &net, &pretrained);
    if (status == FM_OK)
        fm_pretrained_free(&pretrained);
    fm_fuzz_returned(status);
}

static void inspect(const char *path, size_t size)
{
    static const enum fm_format formats[] = {
        FM_FORMAT_TEXT, FM_FORMAT_JSON, FM_FORMAT_CSV, FM_FORMAT_MARKDOWN};
    struct fm_text out = {0};
    enum fm_status status = fm_inspect(path, formats[size / 8 % 4], &out);
    fm_fuzz_returned(status);
    if (status == FM_OK && formats[size / 8 % 4] == FM_FORMAT_JSON) {
        json_t *json = json_loads(fm_text_cstr(&out), JSON_REJECT_DUPLICATES, NULL);
        fm_fuzz_require(json_is_object(json), "what inspect says as JSON is JSON");
        json_decref(json);
    }
    fm_fuzz_look_at(fm_text_cstr(&out), strlen(fm_text_cstr(&out)));
    fm_text_free(&out);
}

// libhdf5 works in a process of its own because it does crash: that is no finding, but worth to
// know.
static int crashes;

static void tell_crashes(void)
{
    if (crashes > 0)
        fprintf(stderr, "NOTE: libhdf5 crashed in its process on %d files\n", crashes);
}

static void count_crash(const char *path)
{
    static const char crashed[] = ": libhdf5 failed on it (signal"; // child.c's, behind the path
    const char *message = fm_error_message();
    size_t length = strlen(path);
    if (strncmp(message, path, length) != 0 ||
        strncmp(message + length, crashed, sizeof crashed - 1) != 0)
        return;
    if (crashes++ == 0)
        atexit(tell_crashes);
}

// The other readers begin with the same one: of files that it refuses, or that take a process each,
// some are enough for them.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fm_fuzz_file(data, size);
    struct fm_tensors tensors;
    enum fm_status status = fm_tensors_open_as(path, &FORMAT, &tensors);
    count_crash(path);
    fm_fuzz_returned(status);
    if (status == FM_OK) {
        fm_fuzz_tensors(&tensors);
        fm_tensors_close(&tensors);
    }
    if ((status == FM_OK && FORMAT.format != FM_TENSORS_HDF5) || size % 8 == 0) {
        read_pretrained(path);
        read_weights(path);
        inspect(path, size);
    }
    return 0;
}
