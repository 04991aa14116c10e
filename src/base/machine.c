// What a number was measured on: read from the kernel, because a result without its machine means
// nothing.
#include "base/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

// The features by which code is chosen, here or in the libraries; the others would be noise.
static const char *const known_features[] = {"sse4_2", "avx", "avx2", "fma", "f16c", "avx512f",
    "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16",
    "amx_int8"};

static bool has_word(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = strstr(words, word); at; at = strstr(at + 1, word)) {
        bool begins = at == words || at[-1] == ' ' || at[-1] == '\t';
        char after = at[length];
        if (begins && (after == ' ' || after == '\n' || after == '\0'))
            return true;
    }
    return false;
}

static void keep_features(const char *flags, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof known_features / sizeof known_features[0]; i++) {
        if (used < size && has_word(flags, known_features[i]))
            used += (size_t)snprintf(
                out + used, size - used, "%s%s", used ? " " : "", known_features[i]);
    }
}

// The value of "key : value" if the line is one of `key`, else NULL.
static const char *line_value(const char *line, const char *key)
{
    size_t length = strlen(key);
    if (strncmp(line, key, length) != 0)
        return NULL;
    const char *colon = line + length + strspn(line + length, " \t");
    return *colon == ':' ? colon + 1 + strspn(colon + 1, " \t") : NULL;
}

static void read_cpuinfo(struct fm_machine *machine)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (!file)
        return;
    char *line = NULL;
    size_t capacity = 0;
    bool named = false, featured = false;
    while (!(named && featured) && getline(&line, &capacity, file) > 0) {
        const char *name = line_value(line, "model name");
        const char *flags = line_value(line, "flags");
        if (name && !named) {
            snprintf(machine->processor, sizeof machine->processor, "%.*s",
                (int)strcspn(name, "\n"), name);
            named = true;
        }
        if (flags && !featured) {
            keep_features(flags, machine->features, sizeof machine->features);
            featured = true;
        }
    }
    free(line);
    fclose(file);
}

// The mask is as long as the kernel's, which may be longer than cpu_set_t on a very large machine.
static int allowed_cores(void)
{
    for (int processors = CPU_SETSIZE; processors <= 1 << 20; processors *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)processors);
        if (!set)
            break;
        size_t size = CPU_ALLOC_SIZE((size_t)processors);
        int failed = sched_getaffinity(0, size, set);
        int error = errno;
        int count = failed ? 0 : CPU_COUNT_S(size, set);
        CPU_FREE(set);
        if (count > 0)
            return count;
        if (error != EINVAL)
            break;
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

void fm_machine_describe(struct fm_machine *machine)
{
    *machine = (struct fm_machine){0};
    struct utsname system;
    if (uname(&system) == 0) {
        snprintf(machine->system, sizeof machine->system, "%s %s %s", system.sysname,
            system.release, system.machine);
        // What stays where the kernel names no model (outside x86).
        snprintf(machine->processor, sizeof machine->processor, "%s", system.machine);
    }
    read_cpuinfo(machine);
    machine->cores = allowed_cores();
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0)
        machine->memory = (uint64_t)pages * (uint64_t)page;
}

uint64_t fm_machine_peak_memory(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    if (!file)
        return 0;
    char line[256];
    uint64_t kilobytes = 0;
    while (fgets(line, sizeof line, file)) {
        const char *value = line_value(line, "VmHWM");
        if (value && sscanf(value, "%" SCNu64, &kilobytes) == 1)
            break;
    }
    fclose(file);
    return kilobytes * 1024;
}

int fm_machine_reset_peak_memory(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t put = write(fd, "5", 1); // 5: reset the peak resident set size, see proc(5)
    close(fd);
    return put == 1 ? 0 : -1;
}
