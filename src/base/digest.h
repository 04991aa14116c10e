// Digests of files (libmd): what a file is known by, whatever it is called.
#ifndef FM_BASE_DIGEST_H
#define FM_BASE_DIGEST_H

#include "base/library.h"
#include "base/status.h"

#include <stddef.h>

enum {
    FM_SHA256_SIZE = 65, // hexadecimal, with its NUL
    FM_MD5_SIZE = 33
};

// Both of a file's contents, in one pass. Either may be NULL.
enum fm_status fm_digest_file(const char *path, char sha256[FM_SHA256_SIZE], char md5[FM_MD5_SIZE]);

// SHA-256 of bytes in memory.
void fm_digest_bytes(const void *bytes, size_t size, char sha256[FM_SHA256_SIZE]);

void fm_digest_library(struct fm_library *library);

#endif
