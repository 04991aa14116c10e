// Recipe files, for each model, and their way to JSON and back.
#include "fuzz.h"

#include "net/zoo.h"
#include "train/recipe.h"

static void load(const char *path, const char *model)
{
    struct fm_recipe recipe, again;
    enum fm_status status = fm_recipe_load(path, model, &recipe);
    fm_fuzz_returned(status);
    if (status != FM_OK)
        return;
    json_t *json = fm_recipe_to_json(&recipe);
    fm_fuzz_require(json != NULL, "a recipe that is read can be written");
    status = fm_recipe_from_json(json, "recipe", &again);
    fm_fuzz_returned(status);
    fm_fuzz_require(status == FM_OK, "a recipe that is written can be read");
    json_t *changes = fm_recipe_changes(&recipe, &again);
    fm_fuzz_require(json_object_size(changes) == 0, "a recipe comes back as it was written");
    json_decref(changes);
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fm_fuzz_file(data, size);
    load(path, NULL);
    for (int i = 0; fm_zoo_names[i] != NULL; i++)
        load(path, fm_zoo_names[i]);
    json_t *json = NULL;
    enum fm_status status = fm_recipe_to_file(path, NULL, &json);
    fm_fuzz_returned(status);
    if (status == FM_OK)
        json_decref(json);
    return 0;
}
