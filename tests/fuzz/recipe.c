// Recipe files, for each model, and their way to JSON and back.
#include "fuzz.h"

#include "train/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fm_fuzz_file(data, size);
    struct fm_recipe recipe, again;
    enum fm_status status = fm_recipe_load(path, "simple", &recipe);
    fm_fuzz_returned(status);
    if (status == FM_OK) {
        json_t *json = fm_recipe_to_json(&recipe);
        if (json)
            fm_fuzz_returned(fm_recipe_from_json(json, "recipe", &again));
        json_decref(json);
    }
    fm_fuzz_returned(fm_recipe_load(path, NULL, &recipe));
    return 0;
}
