// Writes the man pages and the completion scripts into the build folder, from where they are
// installed. A program of its own, so that fmnist need not be able to write them.
//
//   fmnist-documents MAN_FOLDER COMPLETION_FOLDER RECIPE_FOLDER
#include "cli/completion.h"
#include "cli/manual.h"

#include "base/file.h"

#include <stdio.h>

// Frees the text.
static enum fm_status write_text(const char *directory, const char *name, struct fm_text *text)
{
    char path[FM_PATH_MAX];
    enum fm_status status = fm_path_join(path, directory, name);
    if (status == FM_OK && text->failed)
        status = fm_fail(FM_MEMORY, "no memory for %s", path);
    if (status == FM_OK)
        status = fm_file_write(path, text->data, text->length);
    fm_text_free(text);
    return status;
}

static enum fm_status write_pages(const char *directory)
{
    struct fm_text text = {0};
    FM_TRY(fm_make_dirs(directory));
    fm_manual_overview(&text);
    FM_TRY(write_text(directory, "fmnist.1", &text));
    for (const struct fm_command *command = fm_commands; command->name; command++) {
        char name[64];
        snprintf(name, sizeof name, "fmnist-%s.1", command->name);
        fm_manual_command(command, &text);
        FM_TRY(write_text(directory, name, &text));
    }
    return FM_OK;
}

static enum fm_status write_scripts(const char *directory)
{
    // As each shell looks for them.
    static const char *const files[] = {[FM_SHELL_BASH] = "fmnist.bash",
        [FM_SHELL_ZSH] = "_fmnist",
        [FM_SHELL_FISH] = "fmnist.fish"};
    char **recipes;
    FM_TRY(fm_make_dirs(directory));
    FM_TRY(fm_recipe_names(&recipes));
    enum fm_status status = FM_OK;
    for (int shell = 0; status == FM_OK && fm_shell_names[shell]; shell++) {
        struct fm_text text = {0};
        fm_completion((enum fm_shell)shell, (const char *const *)recipes, &text);
        status = write_text(directory, files[shell], &text);
    }
    fm_recipe_names_free(recipes);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: fmnist-documents MAN_FOLDER COMPLETION_FOLDER RECIPE_FOLDER\n");
        return 2;
    }
    fm_recipe_set_directory(argv[3]);
    enum fm_status status = write_pages(argv[1]);
    if (status == FM_OK)
        status = write_scripts(argv[2]);
    if (status == FM_OK)
        return 0;
    fprintf(stderr, "fmnist-documents: %s\n", fm_error_message());
    return 1;
}
