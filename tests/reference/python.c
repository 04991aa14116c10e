// See python.h.
#include "reference/python.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    ARGUMENTS_MAX = 16
};

// Not imported: that takes seconds.
static const char is_there[] = "import importlib.util, sys\n"
                               "sys.exit(importlib.util.find_spec(sys.argv[1]) is None)\n";

static const char *find_python(void)
{
    const char *python = getenv("FMNIST_REFERENCE_PYTHON");
    return python && python[0] ? python : NULL;
}

static int run(const char *const *argv)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

bool fm_python_has(const char *const *packages)
{
    const char *python = find_python();
    if (!python) {
        fprintf(stderr, "skipped: needs the reference packages: scripts/test --references\n");
        return false;
    }
    for (int i = 0; packages[i]; i++) {
        if (run((const char *const[]){python, "-c", is_there, packages[i], NULL}) != 0) {
            fprintf(stderr,
                "skipped: needs the reference packages, and %s has no %s: scripts/test "
                "--references\n",
                python, packages[i]);
            return false;
        }
    }
    return true;
}

int fm_python_run(const char *script, const char *const *arguments)
{
    char path[4096];
    const char *argv[ARGUMENTS_MAX + 4] = {find_python(), "-B", path};
    snprintf(path, sizeof path, "%s/tests/reference/%s", FM_TEST_SOURCE_DIR, script);
    for (int i = 0; i < ARGUMENTS_MAX && arguments[i]; i++)
        argv[i + 3] = arguments[i];
    return run(argv);
}
