// What the fuzz targets share. A target is a program around LLVMFuzzerTestOneInput() (libFuzzer's
// interface, https://llvm.org/docs/LibFuzzer.html): it gives the bytes to a reader as the tool
// does, as a file. It is built twice: with libFuzzer by scripts/fuzz, and with replay.c by the
// tests, which runs committed files through it.
#ifndef FM_TESTS_FUZZ_H
#define FM_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The path of a file with these bytes, in memory, until the next call; the same path each time.
const char *fm_fuzz_file(const uint8_t *data, size_t size);

// A reader has returned: forgets its message. Aborts where it failed without one.
void fm_fuzz_returned(int status);

#endif
