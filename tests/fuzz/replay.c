// Runs files through a target that libFuzzer is not linked to, as the tests do:
//
//   fuzz_NAME [--seconds N] FILE|FOLDER...
//
// Prints each file before it is run, and how many there were. What a sanitizer sees, what the
// target requires, an allocation of more than ALLOCATION_MAX and a file that takes longer than N
// seconds (10) end it with the file's name as the last line.
#include "fuzz.h"

#include "base/file.h"
#include "base/text.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

// With AddressSanitizer, which asks for its options by this function, and whose own memory is no
// matter of limits. The largest picture that is allowed takes 256 MiB.
#define ALLOCATION_MAX_MB "512"
enum {
    ALLOCATION_MAX = 512 << 20
};
extern void __asan_init(void) __attribute__((weak));
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1:max_allocation_size_mb=" ALLOCATION_MAX_MB;
}

static int count;
static unsigned seconds = 10;

// Without a sanitizer: what is beyond the limit fails, and that is FM_MEMORY.
static void limit_memory(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (__asan_init != NULL)
        return;
    fm_fuzz_require(file != NULL && fscanf(file, "%ld", &pages) == 1, "memory can be told");
    fclose(file);
    rlim_t bytes = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + ALLOCATION_MAX;
    struct rlimit limit = {bytes, bytes};
    fm_fuzz_require(setrlimit(RLIMIT_AS, &limit) == 0, "memory can be limited");
}

static void run_file(const char *path)
{
    unsigned char *data;
    size_t size;
    printf("%s\n", path);
    fflush(stdout); // before a crash
    fm_fuzz_require(fm_file_read(path, &data, &size) == FM_OK, "the file can be read");
    alarm(seconds); // its signal kills
    LLVMFuzzerTestOneInput(data, size);
    alarm(0);
    free(data);
    count++;
}

static void run_folder(const char *path)
{
    struct dirent **entries;
    int found = scandir(path, &entries, NULL, alphasort);
    fm_fuzz_require(found >= 0, "the folder can be read");
    for (int i = 0; i < found; i++) {
        char file[FM_PATH_MAX];
        if (entries[i]->d_name[0] != '.' && fm_path_join(file, path, entries[i]->d_name) == FM_OK)
            run_file(file);
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    int first = 1;
    if (argc > 2 && strcmp(argv[1], "--seconds") == 0) {
        seconds = (unsigned)atoi(argv[2]);
        first = 3;
    }
    limit_memory();
    for (int i = first; i < argc; i++) {
        if (fm_path_is_dir(argv[i]))
            run_folder(argv[i]);
        else
            run_file(argv[i]);
    }
    printf("%d files\n", count);
    return count > 0 ? 0 : 1;
}
