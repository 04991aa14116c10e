// What the fuzz targets share. A target is a program around LLVMFuzzerTestOneInput() (libFuzzer's
// interface, https://llvm.org/docs/LibFuzzer.html): it gives the bytes to a reader as the tool
// does, as a file. It is built twice: with libFuzzer by scripts/fuzz, and with replay.c by the
// tests, which runs committed files through it.
//
// Beyond what sanitizers see, a target holds what was read to the reader's promises by
// fm_fuzz_require(): a file that is taken must be what it says it is.
#ifndef FM_TESTS_FUZZ_H
#define FM_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FM_FUZZ_ALLOCATION_MAX = 64 << 20 // bytes at once in a replay: no committed file has 16 MiB
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The path of a file with these bytes until the next call; the same path each time. It lies in
// /dev/shm, or else /tmp, until the program ends.
const char *fm_fuzz_file(const uint8_t *data, size_t size);

// A reader has returned (enum fm_status): forgets its message. Aborts where it failed without one,
// and where memory ran out: how much a file may ask for is bounded by its own size. The second says
// how many have read what they were given.
void fm_fuzz_returned(int status);
int fm_fuzz_read(void);

// Aborts, saying that it does not hold, `what`.
void fm_fuzz_require(bool holds, const char *what);

// Every byte is looked at, so that a sanitizer sees one that is not there or was never set.
void fm_fuzz_look_at(const void *bytes, size_t size);

// Reads all tensors of an open file, and holds the list to what is in it: tensors_read.c.
struct fm_tensors;
void fm_fuzz_tensors(const struct fm_tensors *tensors);

// For targets whose files carry lengths and checksums, without which hardly any change would get
// beyond the first check: mutate_*.c, of libFuzzer's builds alone. Changes [0, size) in place;
// returns the new size, at most max_size.
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size); // libFuzzer's own changes

#endif
