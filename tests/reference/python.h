// Python with the packages of requirements.txt, for tests that hold this project against other
// programs. It is named by the environment variable FMNIST_REFERENCE_PYTHON, which
// `scripts/test --references` sets.
#ifndef FM_TESTS_REFERENCE_PYTHON_H
#define FM_TESTS_REFERENCE_PYTHON_H

#include <stdbool.h>

enum {
    FM_TEST_SKIPPED = 77
};

// Whether there is such a Python with all these packages (ends with NULL); says why not on standard
// error, as a reason to skip.
bool fm_python_has(const char *const *packages);

// Runs tests/reference/<script> with these arguments (at most 16; ends with NULL), which prints
// what it likes; returns its exit status, or -1.
int fm_python_run(const char *script, const char *const *arguments);

#endif
