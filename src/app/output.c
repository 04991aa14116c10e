// What the folders of all commands have in common.
#include "app/output.h"

#include "base/file.h"

enum fm_status fm_output_check(const char *directory, const char *const *names, bool force)
{
    char path[FM_PATH_MAX];
    if (fm_path_exists(directory) && !fm_path_is_dir(directory))
        return fm_fail(FM_EXISTS, "%s is a file, expected a folder", directory);
    for (int i = 0; names[i] && !force; i++) {
        FM_TRY(fm_path_join(path, directory, names[i]));
        if (fm_path_exists(path))
            return fm_fail(FM_EXISTS,
                "%s is there already: --force replaces it, or name another folder", path);
    }
    return FM_OK;
}

enum fm_status fm_output_text(const char *directory, const char *name, const struct fm_text *text)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, directory, name));
    if (text->failed)
        return fm_fail(FM_MEMORY, "%s: out of memory", path);
    return fm_file_write(path, fm_text_cstr(text), text->length);
}

enum fm_status fm_output_csv(const char *directory, const char *name, const struct fm_table *table)
{
    struct fm_text text = {0};
    enum fm_status status = fm_table_print(table, FM_FORMAT_CSV, &text);
    if (status == FM_OK)
        status = fm_output_text(directory, name, &text);
    fm_text_free(&text);
    return status;
}
