// See golden.h.
#include "reference/golden.h"

#include "net/init.h"
#include "net/zoo.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const json_t *fm_golden_member(const json_t *object, const char *key)
{
    const json_t *member = json_object_get(object, key);
    if (member == NULL)
        fail_msg("golden file: '%s' is missing", key);
    return member;
}

double fm_golden_number(const json_t *object, const char *key)
{
    const json_t *number = fm_golden_member(object, key);
    if (!json_is_number(number))
        fail_msg("golden file: '%s' is not a number", key);
    return json_number_value(number);
}

double fm_golden_element(const json_t *array, size_t index)
{
    const json_t *element = json_array_get(array, index);
    if (!json_is_number(element))
        fail_msg("golden file: element %zu is missing or not a number", index);
    return json_number_value(element);
}

void fm_golden_open(struct fm_golden *golden, const char *model)
{
    char path[FM_PATH_MAX];
    json_error_t error;
    memset(golden, 0, sizeof *golden);
    snprintf(path, sizeof path, "%s/tests/reference/golden/%s.json", FM_TEST_SOURCE_DIR, model);
    golden->root = json_load_file(path, 0, &error);
    if (golden->root == NULL)
        fail_msg("%s:%d: %s", path, error.line, error.text);
    if (fm_zoo_build(model, 10, &golden->net) != FM_OK ||
        fm_dataset_open(FM_TEST_SOURCE_DIR "/data/tiny", &golden->data) != FM_OK)
        fail_msg("%s: %s", model, fm_error_message());

    const json_t *root = golden->root;
    fm_net_set_input_statistics(&golden->net, (float)fm_golden_number(root, "mean"),
        (float)fm_golden_number(root, "deviation"));
    golden->batch = (uint32_t)fm_golden_number(root, "batch");
    golden->optimiser = (struct fm_optimiser_options){.kind = FM_OPTIMISER_ADAM,
        .beta1 = (float)fm_golden_number(root, "beta1"),
        .beta2 = (float)fm_golden_number(root, "beta2"),
        .epsilon = (float)fm_golden_number(root, "epsilon")};
    golden->step = (struct fm_step){
        .seed = (uint64_t)json_integer_value(fm_golden_member(root, "seed")),
        .epoch = (uint32_t)fm_golden_number(root, "epoch"),
        .learning_rate = (float)fm_golden_number(root, "learning_rate"),
    };
    golden->params = malloc(golden->net.param_elements * sizeof(float));
    assert_non_null(golden->params);
    for (int p = 0; p < golden->net.param_count; p++)
        fm_init_param(&golden->net, p, FM_INIT_HE_UNIFORM,
            (uint64_t)fm_golden_number(root, "init_seed"),
            golden->params + golden->net.params[p].offset);
}

void fm_golden_close(struct fm_golden *golden)
{
    fm_dataset_close(&golden->data);
    free(golden->params);
    json_decref(golden->root);
}

// NaN is close to nothing.
static bool close_to(const char *what, const char *part, size_t index, double found,
    double expected, double tolerance)
{
    if (fabs(found - expected) <= tolerance)
        return true;
    fprintf(stderr, "%s: %s %zu is %.9g, expected %.9g: off by %.3g, allowed %.3g\n", what, part,
        index, found, expected, fabs(found - expected), tolerance);
    return false;
}

bool fm_golden_check_series(
    const char *what, const json_t *series, size_t index, double found, double slack)
{
    double expected = fm_golden_element(fm_golden_member(series, "values"), index);
    double tolerance = fm_golden_element(fm_golden_member(series, "tolerances"), index);
    return close_to(what, "value", index, found, expected, tolerance + slack * fabs(expected));
}

bool fm_golden_check_tensor(
    const char *what, const json_t *tensor, const double *found, size_t count)
{
    const json_t *samples = fm_golden_member(tensor, "samples");
    size_t sampled = json_array_size(samples);
    double sum = 0.0, squares = 0.0;
    assert_int_equal(count, (size_t)fm_golden_number(tensor, "count"));
    assert_true(sampled > 0);
    for (size_t i = 0; i < count; i++) {
        sum += found[i];
        squares += found[i] * found[i];
    }
    bool close = close_to(what, "norm", 0, sqrt(squares), fm_golden_number(tensor, "norm"),
        fm_golden_number(tensor, "norm_tolerance"));
    close &= close_to(what, "sum", 0, sum, fm_golden_number(tensor, "sum"),
        fm_golden_number(tensor, "sum_tolerance"));
    for (size_t i = 0; i < sampled; i++) {
        size_t index = i * count / sampled;
        close &= close_to(what, "element", index, found[index], fm_golden_element(samples, i),
            fm_golden_number(tensor, "sample_tolerance"));
    }
    return close;
}

bool fm_golden_check_values(
    const char *what, const json_t *values, const double *found, size_t count)
{
    const json_t *list = fm_golden_member(values, "values");
    bool close = true;
    assert_int_equal(json_array_size(list), count);
    for (size_t i = 0; i < count; i++)
        close &= close_to(what, "element", i, found[i], fm_golden_element(list, i),
            fm_golden_number(values, "tolerance"));
    return close;
}
