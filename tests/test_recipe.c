// Recipes: what the shipped files say, what is refused and with which line, flags, JSON,
// and the schedules.
#include "train/recipe.h"

#include "base/file.h"
#include "net/zoo.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "expect.h"

#define RECIPES FM_TEST_SOURCE_DIR "/data/recipes"

static char file[] = FM_TEST_BINARY_DIR "/test_recipe.json";

static int set_up(void **state)
{
    (void)state;
    fm_recipe_set_directory(RECIPES);
    fm_error_clear();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(file);
    return 0;
}

static const struct fm_recipe_field *field_of(const char *key)
{
    const struct fm_recipe_field *field = fm_recipe_fields;
    while (field->key && strcmp(field->key, key) != 0)
        field++;
    assert_non_null(field->key);
    return field;
}

static void load(const char *name, const char *model, struct fm_recipe *recipe)
{
    if (fm_recipe_load(name, model, recipe) != FM_OK)
        fail_msg("%s for %s: %s", name, model ? model : "none", fm_error_message());
}

static void test_table(void **state)
{
    (void)state;
    for (const struct fm_recipe_field *field = fm_recipe_fields; field->key; field++) {
        // The flag is the key with '-' for '_'.
        assert_int_equal(strlen(field->flag), strlen(field->key));
        for (size_t i = 0; field->key[i]; i++)
            assert_int_equal(field->flag[i], field->key[i] == '_' ? '-' : field->key[i]);
        assert_true(strlen(field->help) > 0);
        assert_int_equal(field->type == FM_FIELD_CHOICE, field->choices != NULL);
    }
}

static void test_reference(void **state)
{
    (void)state;
    for (int i = 0; fm_zoo_names[i]; i++) {
        struct fm_recipe recipe;
        load("reference", fm_zoo_names[i], &recipe);
        assert_string_equal(recipe.name, "reference");
        assert_int_equal(recipe.epochs, 15);
        assert_int_equal(recipe.epoch_images, 0);
        assert_int_equal(recipe.batch, 256);
        assert_int_equal(recipe.optimiser, FM_OPTIMISER_ADAM);
        assert_true(recipe.learning_rate == 1e-3);
        assert_true(recipe.beta1 == 0.9 && recipe.beta2 == 0.999 && recipe.epsilon == 1e-7);
        assert_int_equal(recipe.schedule, FM_SCHEDULE_CONSTANT);
        assert_true(recipe.label_smoothing == 0 && recipe.shift == 0 && !recipe.flip);
        assert_true(recipe.dropout == -1);
        assert_int_equal(recipe.init, FM_INIT_GLOROT_UNIFORM);
        assert_int_equal(recipe.keep, FM_KEEP_BEST);
        assert_int_equal(recipe.train_eval, 0);
    }
}

static void test_quick_overrides(void **state)
{
    (void)state;
    struct fm_recipe base, simple, vgg16;
    load("quick", NULL, &base);
    load("quick", "simple", &simple);
    load("quick", "vgg16", &vgg16);
    assert_int_equal(simple.epochs, base.epochs);
    assert_int_equal(simple.schedule, FM_SCHEDULE_ONE_CYCLE);
    assert_true(vgg16.epoch_images > 0 && vgg16.epoch_images < 54000);
    assert_true(vgg16.learning_rate < base.learning_rate);
    assert_int_equal(vgg16.schedule, FM_SCHEDULE_ONE_CYCLE); // what is not overridden stays
    assert_int_equal(vgg16.train_eval, base.train_eval);
}

// Every shipped recipe gives every value, so that a file can be read without this program.
static void test_shipped_are_complete(void **state)
{
    (void)state;
    static const char *const paths[] = {RECIPES "/quick.json", RECIPES "/reference.json"};
    for (size_t i = 0; i < 2; i++) {
        json_t *json = json_load_file(paths[i], 0, NULL);
        assert_non_null(json);
        for (const struct fm_recipe_field *field = fm_recipe_fields; field->key; field++) {
            if (!json_object_get(json, field->key))
                fail_msg("%s: %s is missing", paths[i], field->key);
        }
        json_decref(json);
    }
}

static const struct {
    const char *text;
    const char *message; // after the file's path
} wrong_files[] = {
    {"{\n\"epochs\": 3,\n\"epocs\": 4}", ":3: epocs: unknown key; did you mean \"epochs\"?"},
    {"{\n\n\"name\": \"x\"}", ":3: name: unknown key"},
    {"{\n\"epochs\": \"3\"}", ":2: epochs: found \"3\" (a string), expected an integer from 1 to"},
    {"{\"batch\": 1.5}", ":1: batch: found 1.5 (a real number), expected an integer from 1 to"},
    {"{\n\"batch\": 0}", ":2: batch: found 0 (an integer), expected an integer from 1 to 65536"},
    {"{\"batch\": 99999999999999}", ":1: batch: found 99999999999999 (an integer), expected"},
    {"{\n\n\"beta1\": 1}", ":3: beta1: found 1 (an integer), expected a number from 0 to 0.999999"},
    {"{\"learning_rate\": null}", ":1: learning_rate: found null (null), expected a number"},
    {"{\"learning_rate\": -1}", ":1: learning_rate: found -1 (an integer), expected a number"},
    {"{\"flip\": 1}", ":1: flip: found 1 (an integer), expected true or false"},
    {"{\"schedule\": \"cosin\"}", ":1: schedule: found \"cosin\" (a string), expected one of "
                                  "\"constant\", \"one_cycle\""},
    {"{\"optimiser\": 0}", ":1: optimiser: found 0 (an integer), expected \"adam\""},
    {"{\"about\": 1}", ":1: about: found 1 (an integer), expected a string"},
    {"{\"models\": []}", ":1: models: found [] (an array), expected an object"},
    {"{\"models\": {\n\"vgg19\": {}}}", ":2: models.vgg19: unknown model; did you mean \"vgg16\"?"},
    {"{\"models\": {\n\"vgg16\": 1}}",
        ":2: models.vgg16: found 1 (an integer), expected an object"},
    // The line is that of the model's key, not of the namesake above it, below it or in a string.
    {"{\n\"about\": \"\\\"shift\\\": {\",\n\"shift\": 1,\n\"models\": {\n\"deeper\": {\"shift\": "
     "1},\n"
     "\"simple\": {\n\"shift\": 28}}}",
        ":7: models.simple.shift: found 28 (an integer), expected an integer from 0 to 27"},
    {"{\"models\": {\"deeper\": {\"shift\": 1}},\n\"shift\": true}",
        ":2: shift: found true (a truth value), expected an integer"},
    {"{\"models\": {\"simple\": {\"models\": {}}}}", ":1: models.simple.models: unknown key"},
    {"{\n\"ep\\u006fchs\": 0}", ":2: epochs: found 0"},
    {"{\n\"epochs\": 1,\n\"epochs\": 2}", ":3: not valid JSON: duplicate object key"},
    {"{\n\"learning_rate\": NaN}", ":2: not valid JSON"},
    {"{\n\"learning_rate\": 1e999}", ":2: not valid JSON"},
    {"[]", ": found an array, expected a JSON object"},
    {"", ":1: not valid JSON"},
    {"{\"batch\": 64, \"epoch_images\": 63}", ": an epoch of 63 images (epoch_images) holds no"},
    {"{\"dropout\": -0.5}", ": a dropout of -0.5 is no rate"},
};

static void test_wrong_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong_files / sizeof wrong_files[0]; i++) {
        const char *text = wrong_files[i].text;
        struct fm_recipe recipe;
        assert_int_equal(fm_file_write(file, text, strlen(text)), FM_OK);
        if (fm_recipe_load(file, "simple", &recipe) != FM_DATA)
            fail_msg("taken: %s", text);
        char expected[FM_PATH_MAX];
        snprintf(expected, sizeof expected, "%s%s", file, wrong_files[i].message);
        assert_message(expected);
    }
}

static void test_own_file(void **state)
{
    (void)state;
    const char *text = "{\"epochs\": 2, \"models\": {\"simple\": {\"epochs\": 7, \"flip\": true}}}";
    assert_int_equal(fm_file_write(file, text, strlen(text)), FM_OK);
    struct fm_recipe recipe;
    load(file, "simple", &recipe);
    assert_string_equal(recipe.name, "test_recipe");
    assert_int_equal(recipe.epochs, 7);
    assert_true(recipe.flip);
    load(file, "deeper", &recipe);
    assert_int_equal(recipe.epochs, 2);
    assert_false(recipe.flip);
    assert_int_equal(recipe.batch, 256); // a default
    assert_true(recipe.dropout == -1);
}

static void test_unknown_names(void **state)
{
    (void)state;
    struct fm_recipe recipe;
    assert_int_equal(fm_recipe_load("quik", "simple", &recipe), FM_USAGE);
    assert_message("unknown recipe 'quik': did you mean 'quick'? There are quick, reference");
    assert_int_equal(fm_recipe_load("", "simple", &recipe), FM_USAGE);
    assert_message("unknown recipe ''");
    assert_int_equal(fm_recipe_load("./none.json", "simple", &recipe), FM_IO);
    assert_message("none.json");
}

static const struct {
    const char *key, *text, *message;
} wrong_flags[] = {
    {"epochs", "1O", "--epochs"},
    {"epochs", "0", "--epochs"},
    {"epochs", "", "--epochs"},
    {"learning_rate", "nan", "--learning-rate"},
    {"learning_rate", "1e-3x", "--learning-rate"},
    {"label_smoothing", "1", "--label-smoothing"},
    {"flip", "maybe", "invalid value 'maybe' for --flip: expected true or false"},
    {"flip", "yes", "invalid value 'yes' for --flip: expected true or false"},
    {"schedule", "onecycle",
        "expected one of \"constant\", \"one_cycle\"; did you mean 'one_cycle'?"},
    {"keep", "first", "invalid value 'first' for --keep"},
};

static void test_flags(void **state)
{
    (void)state;
    struct fm_recipe recipe, before;
    load("quick", "simple", &recipe);
    assert_int_equal(fm_recipe_set(&recipe, field_of("epochs"), "9"), FM_OK);
    assert_int_equal(fm_recipe_set(&recipe, field_of("learning_rate"), "0.5"), FM_OK);
    assert_int_equal(fm_recipe_set(&recipe, field_of("flip"), "true"), FM_OK);
    assert_int_equal(fm_recipe_set(&recipe, field_of("schedule"), "constant"), FM_OK);
    assert_int_equal(fm_recipe_set(&recipe, field_of("dropout"), "-1"), FM_OK);
    assert_int_equal(recipe.epochs, 9);
    assert_true(recipe.learning_rate == 0.5);
    assert_true(recipe.flip);
    assert_int_equal(recipe.schedule, FM_SCHEDULE_CONSTANT);
    assert_true(recipe.dropout == -1);
    before = recipe;
    for (size_t i = 0; i < sizeof wrong_flags / sizeof wrong_flags[0]; i++) {
        if (fm_recipe_set(&recipe, field_of(wrong_flags[i].key), wrong_flags[i].text) != FM_USAGE)
            fail_msg("taken: --%s %s", wrong_flags[i].key, wrong_flags[i].text);
        assert_message(wrong_flags[i].message);
    }
    assert_memory_equal(&recipe, &before, sizeof recipe);

    recipe.epoch_images = recipe.batch - 1;
    assert_int_equal(fm_recipe_check(&recipe), FM_USAGE);
    assert_message("holds no batch");
}

static void test_json(void **state)
{
    (void)state;
    struct fm_recipe recipe;
    load("quick", "vgg16", &recipe);
    json_t *json = fm_recipe_to_json(&recipe);
    assert_non_null(json);

    // "name" and then the table's order.
    const struct fm_recipe_field *field = fm_recipe_fields;
    void *at = json_object_iter(json);
    assert_string_equal(json_object_iter_key(at), "name");
    for (; field->key; field++) {
        at = json_object_iter_next(json, at);
        assert_string_equal(json_object_iter_key(at), field->key);
    }
    assert_null(json_object_iter_next(json, at));

    json_decref(json);
}

static void test_changes(void **state)
{
    (void)state;
    struct fm_recipe named, used;
    load("quick", "vgg16", &named);
    used = named;
    json_t *changes = fm_recipe_changes(&named, &used);
    assert_int_equal(json_object_size(changes), 0);
    json_decref(changes);
    used.epochs = named.epochs + 1;
    used.keep = !named.keep;
    used.learning_rate = 0.1 + 0.2;
    changes = fm_recipe_changes(&named, &used);
    assert_int_equal(json_object_size(changes), 3);
    assert_int_equal(json_integer_value(json_object_get(changes, "epochs")), used.epochs);
    assert_true(json_number_value(json_object_get(changes, "learning_rate")) == 0.1 + 0.2);
    assert_true(json_is_string(json_object_get(changes, "keep")));
    json_decref(changes);
}

static void test_constant(void **state)
{
    (void)state;
    struct fm_recipe recipe = {.schedule = FM_SCHEDULE_CONSTANT, .learning_rate = 0.25};
    for (uint64_t step = 0; step < 10; step++)
        assert_true(fm_schedule_rate(&recipe, step, 10) == 0.25);
}

static void test_one_cycle(void **state)
{
    (void)state;
    // Worked by hand: 8 steps, 2 of them up. A step is taken at its middle.
    static const double expected[] = {
        0.25, 0.75, 5.5 / 6, 4.5 / 6, 3.5 / 6, 2.5 / 6, 1.5 / 6, 0.5 / 6};
    struct fm_recipe recipe = {
        .schedule = FM_SCHEDULE_ONE_CYCLE, .learning_rate = 2, .warmup_share = 0.25};
    for (uint64_t step = 0; step < 8; step++) {
        double rate = fm_schedule_rate(&recipe, step, 8);
        if (!isfinite(rate) || fabs(rate - 2 * expected[step]) > 1e-12)
            fail_msg("step %d: %.17g, expected %.17g", (int)step, rate, 2 * expected[step]);
    }
    // All the way up, all the way down, and one step alone: finite and above 0.
    for (int i = 0; i <= 10; i++) {
        recipe.warmup_share = i / 10.0;
        for (uint64_t steps = 1; steps < 40; steps++) {
            for (uint64_t step = 0; step < steps; step++) {
                double rate = fm_schedule_rate(&recipe, step, steps);
                if (!(rate > 0 && rate <= 2))
                    fail_msg("share %g, step %d of %d: %g", recipe.warmup_share, (int)step,
                        (int)steps, rate);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reference, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_quick_overrides, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shipped_are_complete, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_own_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unknown_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_flags, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_json, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_constant, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_cycle, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
