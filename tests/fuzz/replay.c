// Runs files through a target that libFuzzer is not linked to:
//
//   fuzz_NAME FILE|FOLDER...
//
// Prints how many; a crash is the test's failure, with the file's name before it.
#include "fuzz.h"

#include "base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int count;

static void run_file(const char *path)
{
    unsigned char *data;
    size_t size;
    if (fm_file_read(path, &data, &size) != FM_OK) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(1);
    }
    printf("%s\n", path);
    fflush(stdout); // before a crash
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    count++;
}

static void run_folder(const char *path)
{
    struct dirent **entries;
    int found = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < found; i++) {
        char file[FM_PATH_MAX];
        if (entries[i]->d_name[0] != '.' && fm_path_join(file, path, entries[i]->d_name) == FM_OK)
            run_file(file);
        free(entries[i]);
    }
    if (found >= 0)
        free(entries);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (fm_path_is_dir(argv[i]))
            run_folder(argv[i]);
        else
            run_file(argv[i]);
    }
    printf("%d files\n", count);
    return count > 0 ? 0 : 1;
}
