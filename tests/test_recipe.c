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

static const char *const shipped[] = {"best", "quick", "reference", "speedrun"};
enum {
    SHIPPED_COUNT = sizeof shipped / sizeof shipped[0]
};

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
    for (size_t i = 0; i < SHIPPED_COUNT; i++) {
        char path[FM_PATH_MAX];
        assert_ok(fm_recipe_find(shipped[i], path));
        json_t *json = json_load_file(path, 0, NULL);
        assert_non_null(json);
        for (const struct fm_recipe_field *field = fm_recipe_fields; field->key; field++) {
            if (!json_object_get(json, field->key))
                fail_msg("%s: %s is missing", path, field->key);
        }
        assert_true(json_string_length(json_object_get(json, "about")) > 0);
        json_decref(json);
    }
}

static void test_shipped_names(void **state)
{
    (void)state;
    char **names;
    assert_ok(fm_recipe_names(&names));
    for (size_t i = 0; i < SHIPPED_COUNT; i++) {
        assert_non_null(names[i]);
        assert_string_equal(names[i], shipped[i]);
    }
    assert_null(names[SHIPPED_COUNT]);
    fm_recipe_names_free(names);

    fm_recipe_set_directory(FM_TEST_BINARY_DIR "/no-such-folder");
    assert_fails(fm_recipe_names(&names), FM_IO, "no-such-folder");
}

static void test_shipped_are_right_for_all_models(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHIPPED_COUNT; i++) {
        for (int k = 0; fm_zoo_names[k]; k++) {
            struct fm_recipe recipe;
            load(shipped[i], fm_zoo_names[k], &recipe);
            assert_string_equal(recipe.name, shipped[i]);
            if (fm_recipe_check(&recipe) != FM_OK)
                fail_msg("%s for %s: %s", shipped[i], fm_zoo_names[k], fm_error_message());
        }
    }
}

// What the two that go to extremes are for stands in their values.
static void test_best_and_speedrun(void **state)
{
    (void)state;
    for (int k = 0; fm_zoo_names[k]; k++) {
        struct fm_recipe best, fast;
        load("best", fm_zoo_names[k], &best);
        assert_int_equal(best.optimiser, FM_OPTIMISER_ADAMW);
        assert_int_equal(best.schedule, FM_SCHEDULE_COSINE);
        assert_true(best.weight_decay > 0 && best.warmup_share > 0 && best.ema_decay > 0);
        assert_true(best.flip && best.shift > 0 && best.test_flip);
        assert_true(best.erase > 0);
        assert_int_equal(best.epoch_images, 0);
        assert_int_equal(best.keep, FM_KEEP_LAST);
        load("speedrun", fm_zoo_names[k], &fast);
        assert_int_equal(fast.optimiser, FM_OPTIMISER_SGD);
        assert_true(fast.nesterov && fast.momentum > 0 && fast.ema_decay > 0 && fast.flip);
        assert_true(fast.epochs < best.epochs && fast.batch > best.batch);
    }
}

// What fm_recipe_to_file() makes says the same as the recipe that it is made from.
static void test_to_file(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHIPPED_COUNT; i++) {
        json_t *json, *one;
        assert_ok(fm_recipe_to_file(shipped[i], NULL, &json));
        assert_null(json_object_get(json, "name"));
        assert_non_null(json_object_get(json, "about"));
        for (int k = 0; fm_zoo_names[k]; k++) {
            struct fm_recipe named, all, single;
            load(shipped[i], fm_zoo_names[k], &named);
            assert_int_equal(json_dump_file(json, file, 0), 0);
            load(file, fm_zoo_names[k], &all);
            assert_ok(fm_recipe_to_file(shipped[i], fm_zoo_names[k], &one));
            assert_null(json_object_get(one, "models"));
            assert_int_equal(json_dump_file(one, file, 0), 0);
            json_decref(one);
            load(file, NULL, &single);
            one = fm_recipe_changes(&named, &all);
            assert_int_equal(json_object_size(one), 0);
            json_decref(one);
            one = fm_recipe_changes(&named, &single);
            assert_int_equal(json_object_size(one), 0);
            json_decref(one);
        }
        json_decref(json);
    }
    json_t *json;
    assert_fails(fm_recipe_to_file("quik", NULL, &json), FM_USAGE, "did you mean 'quick'");
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
    {"{\"optimiser\": 0}", ":1: optimiser: found 0 (an integer), expected one of \"adam\", "
                           "\"adamw\", \"sgd\""},
    {"{\n\"weight_decay\": 11}", ":2: weight_decay: found 11 (an integer), expected a number from "
                                 "0 to 10"},
    {"{\n\"momentum\": 1}", ":2: momentum: found 1 (an integer), expected a number from 0 to 0.99"},
    {"{\n\"nesterov\": \"yes\"}", ":2: nesterov: found \"yes\" (a string), expected true or false"},
    {"{\n\"ema_decay\": 1.0}",
        ":2: ema_decay: found 1.0 (a real number), expected a number from 0"},
    {"{\n\"erase\": 1.5}", ":2: erase: found 1.5 (a real number), expected a number from 0 to 1"},
    {"{\n\"erase_size\": 0}",
        ":2: erase_size: found 0 (an integer), expected an integer from 1 to 28"},
    {"{\n\"erase_size\": 12.0}", ":2: erase_size: found 12.0 (a real number), expected an integer"},
    {"{\n\"test_flip\": null}", ":2: test_flip: found null (null), expected true or false"},
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
    // Between -1, the model's own rates, and 0 there is no rate.
    {"{\"epochs\": 1,\n\"dropout\": -0.5}",
        ":2: dropout: found -0.5 (a real number), expected a number from 0 to 0.999, or -1"},
    {"{\"dropout\": -1.5}", ":1: dropout: found -1.5"},
    // Of values that contradict one another, one that stands in the file.
    {"{\n\"epoch_images\": 63,\n\"batch\": 64}", ":3: batch: an epoch of 63 images (epoch_images)"},
    {"{\n\n\"epoch_images\": 63}", ":3: epoch_images: an epoch of 63 images (epoch_images) holds"},
    {"{\n\"weight_decay\": 0.5}",
        ":2: weight_decay: a weight_decay of 0.5 with the optimiser adam, which has none: use "
        "--optimiser adamw, or --weight-decay 0"},
    {"{\"optimiser\": \"sgd\",\n\"momentum\": 0}", ":2: momentum: nesterov with a momentum of 0"},
    // In any model's section, and in what a section makes of the values around it.
    {"{\"models\": {\"vgg16\": {\n\"optimiser\": \"adam\",\n\"weight_decay\": 0.1}}}",
        ":3: models.vgg16.weight_decay: a weight_decay of 0.1 with the optimiser adam"},
    {"{\"models\": {\"simple\": {\n\"weight_decay\": 0.1}}}",
        ":2: models.simple.weight_decay: a weight_decay of 0.1"},
    {"{\"optimiser\": \"adamw\", \"weight_decay\": 0.1,\n\"models\": {\"deeper\": "
     "{\n\"optimiser\": \"adam\"}}}",
        ":3: models.deeper.optimiser: a weight_decay of 0.1 with the optimiser adam"},
    {"{\"momentum\": 0,\n\"models\": {\"simple\": {}, \"vgg16\": {\n\"optimiser\": \"sgd\"}}}",
        ":3: models.vgg16.optimiser: nesterov with a momentum of 0"},
    // A section gets its values from what stands around it, not from a section above it.
    {"{\"models\": {\"simple\": {\"batch\": 32}, \"vgg16\": {\n\"epoch_images\": 33}}}",
        ":2: models.vgg16.epoch_images: an epoch of 33 images (epoch_images) holds no batch of "
        "256"},
    // A section cannot put right what is wrong for the other models.
    {"{\n\"weight_decay\": 0.5, \"models\": {\"simple\": {\"optimiser\": \"adamw\"}}}",
        ":2: weight_decay: a weight_decay of 0.5 with the optimiser adam"},
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
    assert_message("unknown recipe 'quik': did you mean 'quick'? There are best, quick, "
                   "reference, speedrun;");
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
        "expected one of \"constant\", \"one_cycle\", \"cosine\"; did you mean 'one_cycle'?"},
    {"optimiser", "adamx", "expected one of \"adam\", \"adamw\", \"sgd\"; did you mean 'adam"},
    {"weight_decay", "-1e-9", "--weight-decay"},
    {"momentum", "1", "--momentum"},
    {"nesterov", "1", "invalid value '1' for --nesterov: expected true or false"},
    {"ema_decay", "inf", "--ema-decay"},
    {"erase", "1.1", "--erase"},
    {"dropout", "-0.5",
        "invalid value '-0.5' for --dropout: expected a number from 0 to 0.999, or -1"},
    {"erase_size", "29", "--erase-size"},
    {"mix", "1.01", "--mix"},
    {"mix", "-1", "--mix"},
    {"mix_cut", "1.5", "--mix-cut"},
    {"test_flip", "on", "invalid value 'on' for --test-flip: expected true or false"},
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

// The flags of optimisers, of the moving average, of erasing, of mixing and of the mirrored test.
static void test_further_flags(void **state)
{
    (void)state;
    static const char *const values[][2] = {{"optimiser", "adamw"}, {"weight_decay", "0.05"},
        {"momentum", "0.875"}, {"nesterov", "false"}, {"schedule", "cosine"},
        {"warmup_share", "0.125"}, {"ema_decay", "0.999"}, {"erase", "0.25"}, {"erase_size", "9"},
        {"mix", "0.5"}, {"mix_cut", "0.25"}, {"test_flip", "true"}};
    struct fm_recipe recipe;
    load("quick", "simple", &recipe);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        assert_ok(fm_recipe_set(&recipe, field_of(values[i][0]), values[i][1]));
    assert_int_equal(recipe.optimiser, FM_OPTIMISER_ADAMW);
    assert_true(recipe.weight_decay == 0.05 && recipe.momentum == 0.875 && !recipe.nesterov);
    assert_int_equal(recipe.schedule, FM_SCHEDULE_COSINE);
    assert_true(recipe.warmup_share == 0.125 && recipe.ema_decay == 0.999);
    assert_true(recipe.erase == 0.25 && recipe.erase_size == 9 && recipe.mix == 0.5 &&
                recipe.mix_cut == 0.25);
    assert_true(recipe.test_flip);
    assert_ok(fm_recipe_check(&recipe));
    assert_ok(fm_recipe_set(&recipe, field_of("optimiser"), "sgd"));
    assert_int_equal(recipe.optimiser, FM_OPTIMISER_SGD);
    assert_ok(fm_recipe_check(&recipe));
}

static void test_check_of_optimisers(void **state)
{
    (void)state;
    struct fm_recipe recipe;
    load("quick", "simple", &recipe);
    recipe.weight_decay = 0.01;
    assert_fails(fm_recipe_check(&recipe), FM_USAGE, "--optimiser adamw");
    recipe.optimiser = FM_OPTIMISER_ADAMW;
    assert_ok(fm_recipe_check(&recipe));

    // Momentum matters to sgd alone.
    recipe.momentum = 0;
    recipe.nesterov = true;
    assert_ok(fm_recipe_check(&recipe));
    recipe.optimiser = FM_OPTIMISER_SGD;
    assert_fails(fm_recipe_check(&recipe), FM_USAGE, "--nesterov false");
    recipe.nesterov = false;
    assert_ok(fm_recipe_check(&recipe));
    recipe.nesterov = true;
    recipe.momentum = 0.5;
    assert_ok(fm_recipe_check(&recipe));
}

static void test_check_of_mixing(void **state)
{
    (void)state;
    struct fm_recipe recipe;
    load("quick", "simple", &recipe);
    recipe.mix_cut = 0.5;
    assert_fails(fm_recipe_check(&recipe), FM_USAGE, "use --mix above 0, or --mix-cut 0");
    recipe.mix = 0.25;
    assert_ok(fm_recipe_check(&recipe));
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

// Every value, none of them its default.
static const char *const unusual[][2] = {{"epochs", "3"}, {"epoch_images", "1000"}, {"batch", "77"},
    {"optimiser", "sgd"}, {"learning_rate", "0.30000000000000004"}, {"beta1", "0.8"},
    {"beta2", "0.98"}, {"epsilon", "1e-5"}, {"weight_decay", "0.0005"}, {"momentum", "0.85"},
    {"nesterov", "false"}, {"schedule", "cosine"}, {"warmup_share", "0.1"}, {"ema_decay", "0.99"},
    {"label_smoothing", "0.2"}, {"shift", "2"}, {"flip", "true"}, {"erase", "0.5"},
    {"erase_size", "8"}, {"mix", "0.75"}, {"mix_cut", "0.5"}, {"dropout", "0.1"},
    {"init", "glorot"}, {"keep", "best"}, {"train_eval", "123"}, {"test_flip", "true"}};

static json_t *unusual_json(struct fm_recipe *recipe)
{
    memset(recipe, 0, sizeof *recipe);
    snprintf(recipe->name, sizeof recipe->name, "mine");
    size_t count = sizeof unusual / sizeof unusual[0];
    for (size_t i = 0; i < count; i++)
        assert_ok(fm_recipe_set(recipe, field_of(unusual[i][0]), unusual[i][1]));
    json_t *json = fm_recipe_to_json(recipe);
    assert_int_equal(json_object_size(json), count + 1); // a new value needs a line above
    return json;
}

static void test_from_json(void **state)
{
    (void)state;
    struct fm_recipe recipe, read;
    json_t *json = unusual_json(&recipe);
    assert_ok(fm_recipe_from_json(json, "config.json", &read));
    json_t *again = fm_recipe_to_json(&read);
    assert_true(json_equal(json, again));
    assert_string_equal(read.name, "mine");
    json_decref(again);
    json_decref(json);

    for (int i = 0; fm_zoo_names[i]; i++) {
        load("quick", fm_zoo_names[i], &recipe);
        json = fm_recipe_to_json(&recipe);
        assert_ok(fm_recipe_from_json(json, "config.json", &read));
        json_decref(json);
        json_t *changes = fm_recipe_changes(&recipe, &read);
        assert_int_equal(json_object_size(changes), 0);
        json_decref(changes);
    }
}

// Any single key left out, and any single value of another type, is refused by its name.
static void test_from_json_is_strict(void **state)
{
    (void)state;
    struct fm_recipe recipe;
    json_t *json = unusual_json(&recipe);
    const char *key;
    json_t *value;
    json_object_foreach(json, key, value)
    {
        char where[128];
        snprintf(where, sizeof where, "dir/config.json: recipe.%s", key);
        json_t *other = json_copy(json);
        json_object_del(other, key);
        if (strncmp(key, "mix", 3) == 0) { // earlier versions had none, or only the first
            json_object_del(other, "mix_cut");
            assert_ok(fm_recipe_from_json(other, "dir/config.json", &recipe));
            assert_true(recipe.mix == (strcmp(key, "mix") == 0 ? 0 : 0.75) && recipe.mix_cut == 0);
        } else {
            assert_fails(fm_recipe_from_json(other, "dir/config.json", &recipe), FM_DATA, where);
        }
        json_object_set_new(other, key, json_array());
        assert_fails(fm_recipe_from_json(other, "dir/config.json", &recipe), FM_DATA, where);
        json_decref(other);
    }
    static const char *const wrong[][2] = {
        {"{\"epocs\": 1}", "recipe.epocs: unknown key; did you mean \"epochs\"?"},
        {"{\"batch\": 0}", "recipe.batch: found 0 (an integer), expected an integer from 1 to"},
        {"{\"momentum\": 2}", "recipe.momentum: found 2"},
        {"{\"schedule\": \"cosin\"}", "recipe.schedule: found \"cosin\""},
        {"{\"name\": \"\"}", "recipe.name: found \"\""},
        {"{\"optimiser\": \"adam\"}", "recipe.weight_decay: a weight_decay of 0.0005"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        json_t *other = json_copy(json), *change = json_loads(wrong[i][0], 0, NULL);
        json_object_update(other, change);
        assert_fails(fm_recipe_from_json(other, "c.json", &recipe), FM_DATA, wrong[i][1]);
        json_decref(change);
        json_decref(other);
    }
    assert_fails(fm_recipe_from_json(NULL, "c.json", &recipe), FM_DATA, "c.json: recipe: the key");
    json_t *array = json_array();
    assert_fails(fm_recipe_from_json(array, "c.json", &recipe), FM_DATA, "expected an object");
    json_decref(array);
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

static void test_cosine(void **state)
{
    (void)state;
    // 6 steps, 2 of them up: then (1 + cos(pi * x)) / 2 at x = 1/8, 3/8, 5/8, 7/8.
    static const double expected[] = {0.25, 0.75, 0.96193976625564337, 0.69134171618254492,
        0.30865828381745508, 0.038060233744356631};
    struct fm_recipe recipe = {
        .schedule = FM_SCHEDULE_COSINE, .learning_rate = 4, .warmup_share = 1.0 / 3};
    for (uint64_t step = 0; step < 6; step++) {
        double rate = fm_schedule_rate(&recipe, step, 6);
        if (!isfinite(rate) || fabs(rate - 4 * expected[step]) > 1e-14)
            fail_msg("step %d: %.17g, expected %.17g", (int)step, rate, 4 * expected[step]);
    }
    // No way up: two steps at x = 1/4 and 3/4.
    recipe.warmup_share = 0;
    assert_true(fabs(fm_schedule_rate(&recipe, 0, 2) - 4 * 0.85355339059327376) < 1e-14);
    assert_true(fabs(fm_schedule_rate(&recipe, 1, 2) - 4 * 0.14644660940672624) < 1e-14);
    // Nothing but a way up.
    recipe.warmup_share = 1;
    assert_true(fm_schedule_rate(&recipe, 0, 4) == 0.5);
    assert_true(fm_schedule_rate(&recipe, 3, 4) == 3.5);
    // Rises to the top and falls from it, above 0 to the end.
    for (int i = 0; i <= 10; i++) {
        recipe.warmup_share = i / 10.0;
        for (uint64_t steps = 1; steps < 40; steps++) {
            double before = 0, top = recipe.warmup_share * (double)steps;
            for (uint64_t step = 0; step < steps; step++) {
                double rate = fm_schedule_rate(&recipe, step, steps), at = (double)step + 0.5;
                bool follows = step == 0 || at - 1 < top ? true : rate < before;
                if (at < top)
                    follows = rate > before;
                if (!(rate > 0 && rate <= 4) || !follows)
                    fail_msg("share %g, step %d of %d: %g after %g", recipe.warmup_share, (int)step,
                        (int)steps, rate, before);
                before = rate;
            }
        }
    }
}

static void test_ema_decay(void **state)
{
    (void)state;
    struct fm_recipe recipe = {.ema_decay = 0.9};
    assert_true(fm_recipe_ema_decay(&recipe, 0) == 0.1f);
    assert_true(fm_recipe_ema_decay(&recipe, 1) == (float)(2.0 / 11));
    assert_true(fm_recipe_ema_decay(&recipe, 79) == (float)(80.0 / 89));
    assert_true(fm_recipe_ema_decay(&recipe, 81) == 0.9f);
    assert_true(fm_recipe_ema_decay(&recipe, UINT64_MAX) == 0.9f);
    recipe.ema_decay = 0.05; // below what the first step would have
    assert_true(fm_recipe_ema_decay(&recipe, 0) == 0.05f);
    recipe.ema_decay = 0;
    for (uint64_t step = 0; step < 100; step++)
        assert_true(fm_recipe_ema_decay(&recipe, step) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reference, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_quick_overrides, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shipped_are_complete, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shipped_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shipped_are_right_for_all_models, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_best_and_speedrun, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_to_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_own_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unknown_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_flags, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_further_flags, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_check_of_optimisers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_check_of_mixing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_json, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_from_json, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_from_json_is_strict, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_constant, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_cycle, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cosine, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ema_decay, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
