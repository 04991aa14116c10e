// Files are known by what is in them: a weights file may have any name.
#include "base/digest.h"

#include "base/features.h"

#include <errno.h>
#include <fcntl.h>
#include <md5.h>
#include <sha2.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum {
    CHUNK = 1 << 16
};

enum fm_status fm_digest_file(const char *path, char sha256[FM_SHA256_SIZE], char md5[FM_MD5_SIZE])
{
    unsigned char chunk[CHUNK];
    SHA2_CTX sha2;
    MD5_CTX md5_context;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return fm_fail(errno == ENOENT ? FM_NOT_FOUND : FM_IO, "%s: %s", path, strerror(errno));
    SHA256Init(&sha2);
    MD5Init(&md5_context);
    ssize_t got;
    while ((got = read(file, chunk, sizeof chunk)) > 0 || (got < 0 && errno == EINTR)) {
        if (got < 0)
            continue;
        SHA256Update(&sha2, chunk, (size_t)got);
        if (md5)
            MD5Update(&md5_context, chunk, (size_t)got);
    }
    int failed = got < 0 ? errno : 0;
    close(file);
    if (failed)
        return fm_fail(FM_IO, "%s: %s", path, strerror(failed));
    if (sha256)
        SHA256End(&sha2, sha256);
    if (md5)
        MD5End(&md5_context, md5);
    return FM_OK;
}

void fm_digest_bytes(const void *bytes, size_t size, char sha256[FM_SHA256_SIZE])
{
    SHA256Data(bytes, size, sha256);
}

void fm_digest_library(struct fm_library *library)
{
    *library = (struct fm_library){.name = "libmd", .compiled = FM_MD_VERSION};
    fm_library_file((const void *)(size_t)SHA256Init, library);
}
