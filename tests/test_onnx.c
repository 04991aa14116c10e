// ONNX files as ONNX's own messages see them: nodes, attributes, values; equal bytes for equal
// models; what cannot be written. And Triton's configuration word by word. Whether ONNX Runtime
// gives the same numbers is onnx_all.py's.
#include "base/file.h"

#include <jansson.h>
#include <onnx/onnx.pb-c.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scratch.h"
#include "small_model.h"

static char root[SCRATCH_PATH_MAX], path[FM_PATH_MAX];
static struct small_model small;

static int set_up(void **state)
{
    (void)state;
    small_model_build(&small);
    assert_ok(fm_path_join(path, root, "model.onnx"));
    remove(path);
    return 0;
}

static Onnx__ModelProto *read_back(void)
{
    unsigned char *bytes;
    size_t size;
    assert_ok(fm_file_read(path, &bytes, &size));
    Onnx__ModelProto *model = onnx__model_proto__unpack(NULL, size, bytes);
    free(bytes);
    assert_non_null(model);
    return model;
}

static const Onnx__NodeProto *node_named(const Onnx__GraphProto *graph, const char *name)
{
    for (size_t i = 0; i < graph->n_node; i++)
        if (strcmp(graph->node[i]->name, name) == 0)
            return graph->node[i];
    return NULL;
}

static const Onnx__AttributeProto *attribute(const Onnx__NodeProto *node, const char *name)
{
    for (size_t i = 0; i < node->n_attribute; i++)
        if (strcmp(node->attribute[i]->name, name) == 0)
            return node->attribute[i];
    fail_msg("node %s has no attribute %s", node->name, name);
    return NULL;
}

static void has_a_node_for_each_layer(void **state)
{
    (void)state;
    static const struct {
        const char *name, *op;
    } expected[] = {{"conv1", "Conv"}, {"bn1", "BatchNormalization"}, {"relu1", "Relu"},
        {"pool1", "MaxPool"}, {"conv2", "Conv"}, {"relu2", "Relu"}, {"fc1", "Gemm"},
        {"relu3", "Relu"}, {"fc2", "Gemm"}};
    assert_ok(fm_onnx_write(path, &small.model));
    Onnx__ModelProto *model = read_back();
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        const Onnx__NodeProto *node = node_named(model->graph, expected[i].name);
        assert_non_null(node);
        assert_string_equal(node->op_type, expected[i].op);
    }
    assert_null(node_named(model->graph, "drop1")); // nothing when it predicts
    // What each node takes is there before it.
    for (size_t i = 0; i < model->graph->n_node; i++)
        for (size_t k = 0; k < model->graph->node[i]->n_input; k++) {
            const char *input = model->graph->node[i]->input[k];
            bool there = strcmp(input, "images") == 0;
            for (size_t t = 0; t < model->graph->n_initializer && !there; t++)
                there = strcmp(model->graph->initializer[t]->name, input) == 0;
            for (size_t n = 0; n < i && !there; n++)
                there = strcmp(model->graph->node[n]->output[0], input) == 0;
            assert_true(there);
        }
    const Onnx__NodeProto *conv1 = node_named(model->graph, "conv1");
    assert_int_equal(attribute(conv1, "pads")->ints[0], 1);
    assert_int_equal(attribute(node_named(model->graph, "pool1"), "strides")->ints[1], 2);
    float epsilon = attribute(node_named(model->graph, "bn1"), "epsilon")->f;
    assert_true(epsilon == FM_BATCHNORM_EPSILON);
    onnx__model_proto__free_unpacked(model, NULL);
}

static void takes_pictures_and_gives_probabilities(void **state)
{
    (void)state;
    assert_ok(fm_onnx_write(path, &small.model));
    Onnx__ModelProto *model = read_back();
    const Onnx__GraphProto *graph = model->graph;
    assert_int_equal(graph->n_input, 1);
    const Onnx__TypeProto__Tensor *images = graph->input[0]->type->tensor_type;
    assert_string_equal(graph->input[0]->name, "images");
    assert_int_equal(images->elem_type, ONNX__TENSOR_PROTO__DATA_TYPE__UINT8);
    assert_int_equal(images->shape->n_dim, 3);
    assert_string_equal(images->shape->dim[0]->dim_param, "N");
    assert_int_equal(images->shape->dim[1]->dim_value, 4);
    assert_int_equal(images->shape->dim[2]->dim_value, 6);
    assert_int_equal(graph->n_output, 2);
    assert_string_equal(graph->output[0]->name, "probabilities");
    assert_string_equal(graph->output[1]->name, "logits");
    assert_int_equal(graph->output[0]->type->tensor_type->shape->dim[1]->dim_value, 3);
    onnx__model_proto__free_unpacked(model, NULL);
}

static void holds_the_tensors_values(void **state)
{
    (void)state;
    assert_ok(fm_onnx_write(path, &small.model));
    Onnx__ModelProto *model = read_back();
    for (int i = 0; i < small.file.count; i++) {
        const struct fm_tensor *tensor = &small.tensors[i];
        const Onnx__TensorProto *found = NULL;
        for (size_t t = 0; t < model->graph->n_initializer && !found; t++)
            if (strcmp(model->graph->initializer[t]->name, tensor->name) == 0)
                found = model->graph->initializer[t];
        assert_non_null(found);
        assert_int_equal(found->n_dims, tensor->ndims);
        for (int d = 0; d < tensor->ndims; d++)
            assert_int_equal(found->dims[d], tensor->dims[d]);
        assert_int_equal(found->raw_data.len, tensor->count * sizeof(float));
        assert_memory_equal(found->raw_data.data, tensor->data, found->raw_data.len);
    }
    onnx__model_proto__free_unpacked(model, NULL);
}

static void says_what_it_is(void **state)
{
    (void)state;
    assert_ok(fm_onnx_write(path, &small.model));
    Onnx__ModelProto *model = read_back();
    const char *accuracy = NULL, *classes = NULL;
    for (size_t i = 0; i < model->n_metadata_props; i++) {
        if (strcmp(model->metadata_props[i]->key, "test_accuracy") == 0)
            accuracy = model->metadata_props[i]->value;
        if (strcmp(model->metadata_props[i]->key, "classes") == 0)
            classes = model->metadata_props[i]->value;
    }
    assert_non_null(accuracy);
    assert_string_equal(accuracy, "0.875");
    assert_non_null(classes);
    json_t *names = json_loads(classes, 0, NULL);
    assert_int_equal(json_array_size(names), 3);
    for (size_t k = 0; k < 3; k++)
        assert_string_equal(json_string_value(json_array_get(names, k)), small.class_names[k]);
    json_decref(names);
    onnx__model_proto__free_unpacked(model, NULL);
}

static void writes_equal_bytes(void **state)
{
    (void)state;
    unsigned char *first, *second;
    size_t sizes[2];
    assert_ok(fm_onnx_write(path, &small.model));
    assert_ok(fm_file_read(path, &first, &sizes[0]));
    assert_ok(fm_onnx_write(path, &small.model));
    assert_ok(fm_file_read(path, &second, &sizes[1]));
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(first, second, sizes[0]);
    free(first);
    free(second);
}

static void refuses_a_name_that_is_no_text(void **state)
{
    (void)state;
    static char latin1[] = "caf\xe9";
    char *kept = small.class_names[1];
    small.class_names[1] = latin1;
    assert_int_not_equal(fm_onnx_write(path, &small.model), FM_OK);
    fm_error_clear();
    small.class_names[1] = kept;
    assert_false(fm_path_exists(path));
}

static void configures_triton(void **state)
{
    (void)state;
    static const char expected[] =
        "name: \"small-1.0\"\nplatform: \"onnxruntime_onnx\"\nmax_batch_size: 8\n"
        "input [\n  {\n    name: \"images\"\n    data_type: TYPE_UINT8\n    dims: [ 4, 6 ]\n  "
        "}\n]\n"
        "output [\n  {\n    name: \"probabilities\"\n    data_type: TYPE_FP32\n    dims: [ 3 ]\n"
        "    label_filename: \"labels.txt\"\n  },\n"
        "  {\n    name: \"logits\"\n    data_type: TYPE_FP32\n    dims: [ 3 ]\n  }\n]\n"
        "dynamic_batching { }\n";
    unsigned char *text;
    size_t size;
    assert_ok(fm_triton_write(path, &small.model, "small-1.0", 8));
    assert_ok(fm_file_read(path, &text, &size));
    assert_string_equal((const char *)text, expected);
    free(text);
    static const char *const wrong[] = {"", ".hidden", "a/b", "a b", "caf\xc3\xa9"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(fm_triton_write(path, &small.model, wrong[i], 8), FM_USAGE);
        fm_error_clear();
    }
    assert_int_equal(fm_triton_write(path, &small.model, "small", 0), FM_USAGE);
    fm_error_clear();
}

int main(void)
{
    scratch_make(root, "onnx");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(has_a_node_for_each_layer, set_up),
        cmocka_unit_test_setup(takes_pictures_and_gives_probabilities, set_up),
        cmocka_unit_test_setup(holds_the_tensors_values, set_up),
        cmocka_unit_test_setup(says_what_it_is, set_up),
        cmocka_unit_test_setup(writes_equal_bytes, set_up),
        cmocka_unit_test_setup(refuses_a_name_that_is_no_text, set_up),
        cmocka_unit_test_setup(configures_triton, set_up),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(root);
    return failed;
}
