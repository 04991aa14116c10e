// How a run began, in its files: transfer, teaching, input size and the statistics of each channel,
// there and back; what is refused; what tells runs apart; and files of the versions before these
// keys.
#include "run/run.h"

#include "base/text.h"
#include "net/safetensors.h"
#include "run/network.h"
#include "run/states.h"
#include "run/weights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"
#include "fake_state.h"

#define SCRATCH_NAME "transfer"
#include "scratch_root.h"

// As fmnist 0.1.0 wrote them, but for the recipe, which is shortened.
static const char old_config[] =
    "{\"format\": 2, \"model\": \"vgg16\", \"backend\": \"cpu\", \"precision\": \"bf16\", "
    "\"emulate\": false, \"device\": \"AMD EPYC\", \"device_index\": 0, \"threads\": 2, \"tf32\": "
    "false, \"nondeterministic\": false, \"workspace\": 0, \"seed\": 1, \"full\": false, "
    "\"max_minutes\": 0.0, \"recipe\": {\"name\": \"quick\", \"epochs\": 4, \"dropout\": -1.0}, "
    "\"recipe_changes\": {}, \"data\": \"\"}";
static const char old_data[] =
    "{\"format\": 1, \"directory\": \"/usr/share/datasets/fashion-mnist\", \"classes\": 3, "
    "\"class_names\": [\"T-shirt/top\", \"Trouser\", \"Pullover\"], \"input\": {\"mean\": "
    "0.28621764, \"deviation\": 0.353106666}, \"crc32\": {\"train_images\": \"b4f29f28\", "
    "\"train_labels\": \"741a4657\", \"test_images\": \"678fe0b1\", \"test_labels\": "
    "\"80142c1f\"}}";

static const struct fm_transfer frozen = {.mode = FM_TRANSFER_FROZEN,
    .weights = "/weights/vgg16.h5",
    .sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    .source = "keras",
    .known = "Keras's VGG16",
    .feature_views = 8};
static const struct fm_transfer finetune = {.mode = FM_TRANSFER_FINETUNE,
    .weights = "/weights/vgg16.safetensors",
    .sha256 = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210",
    .source = "fmnist",
    .trained_on = "split",
    .unfreeze = FM_UNFREEZE_ALL,
    .base_rate = 0.1};
static const double keras_mean[] = {103.939 / 255, 116.779 / 255, 123.68 / 255};
static const double torch_deviation[] = {0.229, 0.224, 0.225};

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, 0, &error);
    if (!json)
        fail_msg("%s: %s", error.text, text);
    return json;
}

// The old files, read, with a transfer put into them.
static void make_config(const struct fm_transfer *transfer, struct fm_run_config *config)
{
    json_t *json = parse(old_config), *data = parse(old_data);
    assert_ok(fm_run_config_from_json(json, "config.json", config));
    assert_ok(fm_run_data_from_json(data, "data.json", config));
    json_decref(json);
    json_decref(data);
    if (transfer)
        config->transfer = *transfer;
}

static void test_files_of_the_version_before(void **state)
{
    (void)state;
    struct fm_run_config config;
    static struct fm_net net;
    make_config(NULL, &config);
    assert_int_equal(config.transfer.mode, FM_TRANSFER_SCRATCH);
    assert_int_equal(config.input_size, 0);
    assert_ok(fm_run_config_net(&config, &net));
    assert_int_equal(net.input.shape.h, 32);
    for (int c = 0; c < 3; c++) {
        assert_true(net.input.mean[c] == 0.28621764f);
        assert_true(net.input.deviation[c] == 0.353106666f);
    }
    // What has one number for all channels says it as it did before.
    json_t *written = fm_run_data_to_json(&config.data), *before = parse(old_data);
    assert_true(json_equal(written, before));
    json_decref(written);
    json_decref(before);
    fm_run_config_free(&config);
}

static void assert_same_transfer(const struct fm_transfer *found, const struct fm_transfer *told)
{
    assert_int_equal(found->mode, told->mode);
    assert_string_equal(found->weights, told->weights);
    assert_string_equal(found->sha256, told->sha256);
    assert_string_equal(found->source, told->source);
    assert_string_equal(found->trained_on, told->trained_on);
    assert_string_equal(found->known, told->known);
    assert_int_equal(found->unfreeze, told->unfreeze);
    assert_true(found->base_rate == told->base_rate);
    assert_int_equal(found->feature_views, told->feature_views);
}

static void round_trip(const struct fm_transfer *transfer, int input_size)
{
    struct fm_run_config config, back;
    static struct fm_net net;
    make_config(transfer, &config);
    config.input_size = input_size;
    memcpy(config.data.input_mean, keras_mean, sizeof keras_mean);
    memcpy(config.data.input_deviation, torch_deviation, sizeof torch_deviation);
    assert_ok(fm_run_create(in_root("run"), &config, true));
    assert_ok(fm_run_write_data(in_root("run"), &config.data));
    assert_ok(fm_run_read_whole_config(in_root("run"), &back));
    assert_same_transfer(&back.transfer, transfer);
    assert_int_equal(back.input_size, input_size);
    assert_true(fm_run_config_same(&config, &back));
    assert_ok(fm_run_config_net(&back, &net));
    assert_int_equal(net.input.shape.h, input_size ? input_size : 32);
    for (int c = 0; c < 3; c++) {
        assert_true(net.input.mean[c] == (float)keras_mean[c]);
        assert_true(net.input.deviation[c] == (float)torch_deviation[c]);
    }
    fm_run_config_free(&config);
    fm_run_config_free(&back);
}

static void test_round_trip(void **state)
{
    (void)state;
    round_trip(&frozen, 32);
    round_trip(&frozen, 48);
    round_trip(&finetune, 64);
    round_trip(&finetune, 0);
}

// Whether two runs that differ in one value are told apart.
static void compare(const struct fm_transfer *of, void (*change)(struct fm_run_config *), bool same)
{
    struct fm_run_config a, b;
    make_config(of, &a);
    make_config(of, &b);
    change(&b);
    assert_int_equal(fm_run_config_same(&a, &b), same);
    assert_int_equal(fm_run_config_goes_on(&a, &b), same);
    fm_run_config_free(&a);
    fm_run_config_free(&b);
}

static void change_mode(struct fm_run_config *config)
{
    config->transfer.mode = FM_TRANSFER_SCRATCH;
}

static void change_weights(struct fm_run_config *config)
{
    config->transfer.sha256[63] ^= 1;
}

static void move_weights(struct fm_run_config *config)
{
    snprintf(config->transfer.weights, sizeof config->transfer.weights, "/elsewhere/v.h5");
}

static void change_views(struct fm_run_config *config)
{
    config->transfer.feature_views++;
}

static void change_unfreeze(struct fm_run_config *config)
{
    config->transfer.unfreeze ^= 1;
}

static void change_rate(struct fm_run_config *config)
{
    config->transfer.base_rate /= 2;
}

static void change_size(struct fm_run_config *config)
{
    config->input_size = 64;
}

static void name_own_size(struct fm_run_config *config)
{
    config->input_size = 32;
}

static void test_same(void **state)
{
    (void)state;
    compare(&frozen, change_mode, false);
    compare(&frozen, change_weights, false);
    compare(&frozen, move_weights, true);
    compare(&frozen, change_views, false);
    compare(&frozen, change_unfreeze, true); // no matter to a frozen base
    compare(&frozen, change_rate, true);
    compare(&frozen, change_size, false);
    compare(&frozen, name_own_size, true);
    compare(&finetune, change_weights, false);
    compare(&finetune, change_unfreeze, false);
    compare(&finetune, change_rate, false);
    compare(&finetune, change_views, true);
    compare(NULL, change_weights, true); // from scratch there are none
    compare(NULL, change_size, false);
}

// ---- teaching

static const struct fm_teaching taught = {.count = 2,
    .share = 0.75,
    .teachers = {{.run = "/runs/one",
                     .model = "deeper",
                     .sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
        {.run = "/runs/two",
            .model = "vgg16",
            .sha256 = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210",
            .source = "keras"}}};

static void test_teaching_round_trip(void **state)
{
    (void)state;
    struct fm_run_config config, back;
    make_config(NULL, &config);
    assert_int_equal(config.teaching.count, 0); // as files of the version before have it
    config.teaching = taught;
    assert_ok(fm_run_create(in_root("run"), &config, true));
    assert_ok(fm_run_write_data(in_root("run"), &config.data));
    assert_ok(fm_run_read_whole_config(in_root("run"), &back));
    assert_int_equal(back.teaching.count, 2);
    assert_true(back.teaching.share == 0.75);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(back.teaching.teachers[i].run, taught.teachers[i].run);
        assert_string_equal(back.teaching.teachers[i].model, taught.teachers[i].model);
        assert_string_equal(back.teaching.teachers[i].sha256, taught.teachers[i].sha256);
        assert_string_equal(back.teaching.teachers[i].source, taught.teachers[i].source);
    }
    assert_true(fm_run_config_same(&config, &back));
    snprintf(back.teaching.teachers[1].run, sizeof back.teaching.teachers[1].run, "/elsewhere");
    assert_true(fm_run_config_same(&config, &back)); // the same weights
    back.teaching.share = 0.5;
    assert_false(fm_run_config_same(&config, &back));
    back.teaching = taught;
    back.teaching.teachers[1].sha256[0] = '0';
    assert_false(fm_run_config_goes_on(&config, &back));
    back.teaching = (struct fm_teaching){0};
    assert_false(fm_run_config_goes_on(&config, &back));
    fm_run_config_free(&config);
    fm_run_config_free(&back);
}

// `text` in place of the teaching of a config.json that is right.
static void refuse_teaching(const char *text, const char *message)
{
    struct fm_run_config config;
    json_t *json = parse(old_config);
    json_object_set_new(json, "teaching", json_loads(text, JSON_DECODE_ANY, NULL));
    assert_fails(fm_run_config_from_json(json, "x/config.json", &config), FM_DATA, message);
    json_decref(json);
}

static void test_teaching_wrong(void **state)
{
    (void)state;
    refuse_teaching("1", "key \"teaching\": found an integer, expected an object or null");
    refuse_teaching("{\"share\": 0.5}", "\"teaching.teachers\" is missing");
    refuse_teaching("{\"share\": 0.5, \"teachers\": []}",
        "\"teaching.teachers\": found [], expected an array of 1 to 8 objects");
    refuse_teaching("{\"share\": 0.5, \"teachers\": [1]}", "expected an array of 1 to 8 objects");
    refuse_teaching("{\"share\": 0, \"teachers\": []}", "\"teaching.share\": found 0, expected");
    refuse_teaching("{\"share\": 1.5, \"teachers\": []}", "\"teaching.share\": found 1.5");
    refuse_teaching("{\"share\": 0.5, \"teachers\": [], \"x\": 1}", "unknown key \"teaching.x\"");
    refuse_teaching("{\"share\": 0.5, \"teachers\": [{\"run\": \"/r\", \"model\": \"simple\"}]}",
        "\"teaching.teachers.sha256\" is missing");
    refuse_teaching("{\"share\": 0.5, \"teachers\": [{\"run\": \"/r\", \"model\": \"simple\", "
                    "\"sha256\": \"12\"}]}",
        "\"teaching.teachers.sha256\": found \"12\", expected 64 hexadecimal digits");
}

// ---- what is refused

static const struct {
    const struct fm_transfer *of;
    const char *key, *value, *message;
} wrong[] = {
    {&frozen, "mode", "\"scratch\"",
        "\"transfer.mode\": found \"scratch\", expected \"frozen\" or \"finetune\""},
    {&frozen, "sha256", "\"0123\"", "\"transfer.sha256\": found \"0123\", expected 64 hex"},
    {&frozen, "source", NULL, "\"transfer.source\" is missing"},
    {&frozen, "known", NULL, "\"transfer.known\" is missing"},
    {&frozen, "feature_views", "-1", "\"transfer.feature_views\": found -1, expected an integer"},
    {&frozen, "colour", "1", "unknown key \"transfer.colour\""},
    {&finetune, "unfreeze", "\"some\"", "\"transfer.unfreeze\": found \"some\", expected \"last\""},
    {&finetune, "base_rate", "null", "\"transfer.base_rate\": found null, expected a number"},
};

static void test_wrong(void **state)
{
    (void)state;
    struct fm_run_config config;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        json_t *json = parse(old_config), *transfer = fm_transfer_to_json(wrong[i].of);
        if (wrong[i].value)
            json_object_set_new(
                transfer, wrong[i].key, json_loads(wrong[i].value, JSON_DECODE_ANY, NULL));
        else
            json_object_del(transfer, wrong[i].key);
        json_object_set_new(json, "transfer", transfer);
        assert_fails(
            fm_run_config_from_json(json, "x/config.json", &config), FM_DATA, wrong[i].message);
        json_decref(json);
    }
    json_t *json = parse(old_config);
    json_object_set_new(json, "transfer", json_string("frozen"));
    assert_fails(fm_run_config_from_json(json, "x/config.json", &config), FM_DATA,
        "x/config.json: key \"transfer\": found a string, expected an object or null");
    json_object_set_new(json, "transfer", json_null());
    json_object_set_new(json, "input_size", json_integer(0));
    assert_fails(fm_run_config_from_json(json, "x/config.json", &config), FM_DATA,
        "key \"input_size\": found 0, expected an integer from 1");
    json_decref(json);
    json = parse(old_data);
    json_object_set_new(json_object_get(json, "input"), "mean", json_pack("[f, f]", 0.1, 0.2));
    memset(&config, 0, sizeof config);
    assert_fails(fm_run_data_from_json(json, "x/data.json", &config), FM_DATA,
        "key \"input.mean\": found [0.1");
    json_decref(json);
}

// ---- Weights

struct fm_model {
    const struct fm_net *net;
    float params[1024], running[64];
    int sets;
};

static enum fm_status fake_get(
    struct fm_model *model, enum fm_state_kind kind, const char *name, float *data, size_t count)
{
    memcpy(data, fake_state(model->net, model->params, model->running, kind, name, count),
        count * sizeof *data);
    return FM_OK;
}

static enum fm_status fake_set(struct fm_model *model, enum fm_state_kind kind, const char *name,
    const float *data, size_t count)
{
    model->sets++;
    memcpy(fake_state(model->net, model->params, model->running, kind, name, count), data,
        count * sizeof *data);
    return FM_OK;
}

static const struct fm_backend fake = {
    .abi = FM_BACKEND_ABI, .name = "fake", .model_get = fake_get, .model_set = fake_set};

static char *const class_names[] = {"a", "b", "c"};
static const float mean[] = {103.939f / 255, 116.779f / 255, 123.68f / 255};
static const float deviation[] = {1.0f / 255, 0.224f, 1.0f / 3};

static void make_net(struct fm_net *net, int channels, int side)
{
    struct fm_input input = {
        .rows = 4, .cols = 4, .shape = {channels, side, side}, .standardise = true};
    fm_net_begin(net, "small", &input);
    fm_net_set_input_channels(net, mean, deviation);
    assert_ok(fm_net_conv(net, "conv1", 2, 3, 0, true));
    assert_ok(fm_net_batchnorm(net, "bn1"));
    assert_ok(fm_net_meanpool(net, "mean"));
    assert_ok(fm_net_dense(net, "fc1", 3, true));
    assert_ok(fm_net_end(net));
}

static void write_weights(const struct fm_net *net)
{
    struct fm_model model = {.net = net};
    for (size_t i = 0; i < net->param_elements; i++)
        model.params[i] = 1.0f / (float)(i + 3);
    assert_ok(fm_run_save_weights(root, net, class_names, NULL, &fake, &model));
}

static const char *weights_path(void)
{
    return in_root("model.safetensors");
}

static void assert_loads(const struct fm_net *net, const char *message)
{
    struct fm_model model = {.net = net};
    enum fm_status status = fm_run_load_weights(root, net, &fake, &model);
    if (!message) {
        assert_ok(status);
        assert_true(model.params[0] == 1.0f / 3);
        return;
    }
    assert_fails(status, FM_DATA, message);
    assert_int_equal(model.sets, 0);
}

static void test_weights_of_channels(void **state)
{
    (void)state;
    static struct fm_net net, larger;
    struct fm_weights weights;
    make_net(&net, 3, 4);
    make_net(&larger, 3, 6);
    write_weights(&net);
    assert_ok(fm_weights_read(weights_path(), &weights));
    assert_int_equal(weights.input_size, 4);
    assert_memory_equal(weights.input_mean, mean, sizeof mean);
    assert_memory_equal(weights.input_deviation, deviation, sizeof deviation);
    fm_weights_free(&weights);
    assert_loads(&net, NULL);
    assert_loads(&larger, "of an input of 4x4 pixels, expected 6x6");
    const float other[] = {mean[0], mean[1], 0.5f};
    fm_net_set_input_channels(&net, other, deviation);
    assert_loads(
        &net, "with mean 0.485019594 and deviation 0.333333343 in channel 3, expected 0.5");

    // Of a network of one channel only the first counts.
    make_net(&net, 1, 4);
    write_weights(&net);
    assert_ok(fm_weights_read(weights_path(), &weights));
    assert_true(weights.input_mean[2] == mean[0]);
    fm_weights_free(&weights);
    assert_loads(&net, NULL);
}

// Writes the file again with a tensor more, or with one value of its metadata changed, or left out.
static void rewrite(const char *tensor, const char *key, const char *value)
{
    struct fm_tensor_file file;
    assert_ok(fm_safetensors_read(weights_path(), &file));
    struct fm_tensor tensors[16];
    const char *metadata[32];
    int count = file.count, used = 0;
    assert_true(count < 16);
    memcpy(tensors, file.tensors, (size_t)count * sizeof tensors[0]);
    if (tensor) {
        tensors[count] = tensors[0];
        snprintf(tensors[count++].name, sizeof tensors[0].name, "%s", tensor);
    }
    for (char **pair = file.metadata; pair[0]; pair += 2) {
        bool changed = key && strcmp(pair[0], key) == 0;
        if (changed && !value)
            continue;
        metadata[used++] = pair[0];
        metadata[used++] = changed ? value : pair[1];
    }
    metadata[used] = NULL;
    assert_ok(fm_safetensors_write(weights_path(), tensors, count, metadata));
    fm_safetensors_free(&file);
}

static const struct {
    const char *tensor, *key, *value, *message; // NULL: it is taken
} rewritten[] = {
    {"bn1.num_batches_tracked", NULL, NULL, NULL},
    {".num_batches_tracked", NULL, NULL, "tensor \".num_batches_tracked\" is none of model small"},
    {"bn1.num_batches", NULL, NULL, "tensor \"bn1.num_batches\" is none of model small"},
    {NULL, "input_size", NULL, NULL}, // as earlier versions wrote it
    {NULL, "input_size", "0", "metadata \"input_size\": found \"0\", expected a number of pixels"},
    {NULL, "input_size", "x", "metadata \"input_size\": found \"x\", expected a number of pixels"},
    {NULL, "input_mean", "[0.5, 0.5]",
        "found \"[0.5, 0.5]\", expected a number not below 0, or an"},
    {NULL, "input_mean", "[0.5, 0.5, \"x\"]", "expected a number not below 0, or an array of 3"},
    {NULL, "input_deviation", "[1, 0, 1]", "expected a positive number, or an array of 3"},
    {NULL, "fmnist_format", NULL, "\"class_names\" (a JSON array), \"input_mean\""},
};

static void test_weights_of_others(void **state)
{
    (void)state;
    static struct fm_net net;
    make_net(&net, 3, 4);
    for (size_t i = 0; i < sizeof rewritten / sizeof rewritten[0]; i++) {
        write_weights(&net);
        rewrite(rewritten[i].tensor, rewritten[i].key, rewritten[i].value);
        assert_loads(&net, rewritten[i].message);
    }
}

// A file as PyTorch's users write one of their model.half(): batch norm's count first, an I64
// without dimensions, then all else as F16, each value a half, in an order of its own. The texts
// that a person adds are as short as can be.
static void write_like_pytorch(const struct fm_net *net)
{
    struct fm_text text = {0};
    size_t at = 8;
    fm_text_append(&text,
        "{\"__metadata__\":{\"fmnist_format\":\"2\",\"model\":\"small\",\"classes\":\"3\","
        "\"class_names\":\"[\\\"a\\\",\\\"b\\\",\\\"c\\\"]\",\"input_mean\":\"[0.5]\","
        "\"input_deviation\":\"0.25\"},\"bn1.num_batches_tracked\":{\"dtype\":\"I64\","
        "\"shape\":[],\"data_offsets\":[0,8]}");
    for (int i = fm_state_count(net) - 1; i >= 0; i--) {
        struct fm_state_item item = fm_state_at(net, i);
        char shape[128];
        fm_shape_text(shape, item.ndims, item.dims);
        fm_text_append(&text, ",\"%s\":{\"dtype\":\"F16\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
            item.name, shape, at, at + 2 * item.count);
        at += 2 * item.count;
    }
    fm_text_append(&text, "}");
    unsigned char *file = calloc(1, 8 + text.length + at);
    assert_non_null(file);
    for (int i = 0; i < 8; i++)
        file[i] = (unsigned char)((uint64_t)text.length >> 8 * i);
    memcpy(file + 8, text.data, text.length);
    for (size_t i = 8; i < at; i += 2)
        file[8 + text.length + i + 1] = 0x38; // 0.5 as F16, little-endian
    assert_ok(fm_file_write(weights_path(), file, 8 + text.length + at));
    fm_text_free(&text);
    free(file);
}

static void test_a_file_as_pytorch_writes_it(void **state)
{
    (void)state;
    static struct fm_net net;
    static const float half[] = {0.5f, 0.5f, 0.5f}, quarter[] = {0.25f, 0.25f, 0.25f};
    make_net(&net, 1, 4);
    fm_net_set_input_channels(&net, half, quarter);
    write_like_pytorch(&net);
    struct fm_model model = {.net = &net};
    assert_ok(fm_run_load_weights(root, &net, &fake, &model));
    assert_int_equal(model.sets, fm_state_count(&net));
    for (size_t i = 0; i < net.param_elements; i++)
        assert_true(model.params[i] == 0.5f);
    for (size_t i = 0; i < net.running_elements; i++)
        assert_true(model.running[i] == 0.5f);
}

static void test_network_of_a_file(void **state)
{
    (void)state;
    static struct fm_net net, read;
    struct fm_weights weights = {.path = "x.safetensors", .model = "vgg16", .classes = 3};
    memcpy(weights.input_mean, mean, sizeof mean);
    memcpy(weights.input_deviation, deviation, sizeof deviation);
    assert_ok(fm_weights_net(&weights, &read));
    assert_ok(fm_run_build_net("vgg16", 3, 32, mean, deviation, &net));
    assert_int_equal(read.input.shape.h, 32);
    assert_memory_equal(&read.input, &net.input, sizeof net.input);
    weights.input_size = 48;
    assert_ok(fm_weights_net(&weights, &read));
    assert_int_equal(read.input.shape.h, 48);
    snprintf(weights.model, sizeof weights.model, "simple"); // which flattens what it sees
    assert_fails(fm_weights_net(&weights, &read), FM_DATA, "x.safetensors: ");
    snprintf(weights.model, sizeof weights.model, "lenet");
    assert_fails(fm_weights_net(&weights, &read), FM_DATA,
        "x.safetensors: is of model \"lenet\", which this version does not know");
}

// Which convolutions of vgg16 are trained, by how many of the first are not, and at which rate.
static void expect_trained(const struct fm_transfer *transfer, int untrained, double rate)
{
    static struct fm_net net;
    assert_ok(fm_run_build_net("vgg16", 3, 0, mean, deviation, &net));
    assert_ok(fm_run_set_trained(transfer, &net));
    for (int p = 0; p < net.param_count; p++) {
        const struct fm_param *param = &net.params[p];
        bool base = strncmp(param->name, "conv", 4) == 0, trained = p >= 2 * untrained;
        float expected = base && trained ? (float)rate : 1;
        if (param->trainable != trained || param->lr_multiplier != expected)
            fail_msg("%s: %s at %g times the rate, expected %s at %g", param->name,
                param->trainable ? "trained" : "not trained", (double)param->lr_multiplier,
                trained ? "trained" : "not trained", (double)expected);
    }
}

static void test_what_is_trained(void **state)
{
    (void)state;
    static struct fm_net simple;
    struct fm_transfer last = finetune;
    const struct fm_transfer scratch = {0};
    last.unfreeze = FM_UNFREEZE_LAST;
    expect_trained(&frozen, 13, 1);
    expect_trained(&last, 10, 0.1);
    expect_trained(&finetune, 0, 0.1);
    expect_trained(&scratch, 0, 1);
    assert_ok(fm_run_build_net("simple", 3, 0, mean, deviation, &simple));
    assert_int_equal(fm_run_base_layers(&simple), 0);
    assert_ok(fm_run_set_trained(&scratch, &simple));
    assert_fails(fm_run_set_trained(&frozen, &simple), FM_USAGE, "model simple has no base");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_of_the_version_before),
        cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_teaching_round_trip),
        cmocka_unit_test(test_teaching_wrong),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test_setup_teardown(test_weights_of_channels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_weights_of_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_file_as_pytorch_writes_it, set_up, tear_down),
        cmocka_unit_test(test_network_of_a_file),
        cmocka_unit_test(test_what_is_trained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
