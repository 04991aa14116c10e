// Runs files through a target that libFuzzer is not linked to, as the tests do:
//
//   fuzz_NAME [--seconds N] [--cuts N] FILE|FOLDER...
//
// Prints each file before it is run, and how many there were. What a sanitizer sees, what the
// target requires, an allocation of more than FM_FUZZ_ALLOCATION_MAX and a file that takes so many
// seconds (10) of the processor end it with the file's name as the last line. So does a file that
// no reader of the target reads though it is called "sound..." or "harmless...", and one of another
// name that is read. Each file is also run cut off at so many places (0), as evenly as they go, and
// the last of these is told.
#include "fuzz.h"

#include "base/file.h"
#include "base/text.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

// AddressSanitizer asks for its options by this function; its own memory is no matter of limits.
#define ASAN_ALLOCATION_MAX_MB 64
_Static_assert(ASAN_ALLOCATION_MAX_MB << 20 == FM_FUZZ_ALLOCATION_MAX, "one limit");
#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)
extern void __asan_init(void) __attribute__((weak));
__attribute__((visibility("default"))) const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    return "max_allocation_size_mb=" TEXT(ASAN_ALLOCATION_MAX_MB);
}

static int count;
static int seconds = 10, cuts;

// Without a sanitizer: what is beyond the limit fails, and that is FM_MEMORY.
static void limit_memory(void)
{
    long pages = 0;
    if (__asan_init != NULL)
        return;
    FILE *file = fopen("/proc/self/statm", "r");
    fm_fuzz_require(file != NULL && fscanf(file, "%ld", &pages) == 1, "memory can be told");
    fclose(file);
    rlim_t bytes = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + FM_FUZZ_ALLOCATION_MAX;
    struct rlimit limit = {bytes, bytes};
    fm_fuzz_require(setrlimit(RLIMIT_AS, &limit) == 0, "memory can be limited");
}

// Of the processor: other programs must not count. The signal kills. 0: no limit.
static void limit_time(int limit)
{
    struct itimerval timer = {.it_value = {.tv_sec = limit}};
    fm_fuzz_require(setitimer(ITIMER_PROF, &timer, NULL) == 0, "time can be limited");
}

static void run(const unsigned char *data, size_t size)
{
    // Exactly so many bytes: what is read behind them shows.
    unsigned char *copy = malloc(size);
    fm_fuzz_require(copy != NULL || size == 0, "there is memory");
    if (size > 0)
        memcpy(copy, data, size);
    limit_time(seconds);
    LLVMFuzzerTestOneInput(copy, size);
    limit_time(0);
    free(copy);
}

static bool to_be_read(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    return strncmp(name, "sound", 5) == 0 || strncmp(name, "harmless", 8) == 0;
}

static void run_file(const char *path)
{
    unsigned char *data;
    size_t size;
    printf("%s\n", path);
    fflush(stdout); // before a crash
    fm_fuzz_require(fm_file_read(path, &data, &size) == FM_OK, "the file can be read");
    int before = fm_fuzz_read();
    run(data, size);
    bool was_read = fm_fuzz_read() > before;
    fm_fuzz_require(was_read || !to_be_read(path), "a sound file is read");
    fm_fuzz_require(!was_read || to_be_read(path), "a file that is not sound is refused");
    size_t step = cuts > 0 ? size / (size_t)cuts + 1 : size;
    for (size_t cut = 0; cuts > 0 && cut < size; cut += step) {
        printf("  its first %zu bytes\r", cut);
        fflush(stdout);
        run(data, cut);
    }
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
    for (; first + 1 < argc && argv[first][0] == '-'; first += 2) {
        int *option = strcmp(argv[first], "--seconds") == 0 ? &seconds
                      : strcmp(argv[first], "--cuts") == 0  ? &cuts
                                                            : NULL;
        fm_fuzz_require(option != NULL, "options are --seconds N and --cuts N");
        *option = atoi(argv[first + 1]);
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
