// Digests of files: the published examples, and files longer than what is read at a time.
#include "base/digest.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"
#include "scratch.h"

static char folder[SCRATCH_PATH_MAX], path[FM_PATH_MAX];

// FIPS 180-2, appendix B, and RFC 1321, appendix A.5; the last by sha256sum and md5sum.
static void published(void **state)
{
    (void)state;
    static const struct {
        const char *text, *sha256, *md5;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "d41d8cd98f00b204e9800998ecf8427e"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "900150983cd24fb0d6963f7d28e17f72"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1", NULL},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        char sha256[FM_SHA256_SIZE], md5[FM_MD5_SIZE];
        assert_int_equal(scratch_write(path, cases[c].text, strlen(cases[c].text)), 0);
        assert_ok(fm_digest_file(path, sha256, md5));
        assert_string_equal(sha256, cases[c].sha256);
        if (cases[c].md5)
            assert_string_equal(md5, cases[c].md5);
        fm_digest_bytes(cases[c].text, strlen(cases[c].text), sha256);
        assert_string_equal(sha256, cases[c].sha256);
    }
}

// A million times 'a': FIPS 180-2, appendix B.3, in many reads and the last of them a part.
static void long_file(void **state)
{
    (void)state;
    char sha256[FM_SHA256_SIZE], md5[FM_MD5_SIZE];
    char *bytes = malloc(1000000);
    memset(bytes, 'a', 1000000);
    assert_int_equal(scratch_write(path, bytes, 1000000), 0);
    free(bytes);
    assert_ok(fm_digest_file(path, sha256, NULL));
    assert_string_equal(sha256, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    assert_ok(fm_digest_file(path, NULL, md5));
    assert_string_equal(md5, "7707d6ae4e027c70eea2a935c2296f21");
}

static void no_file(void **state)
{
    (void)state;
    char sha256[FM_SHA256_SIZE];
    remove(path);
    assert_fails(fm_digest_file(path, sha256, NULL), FM_NOT_FOUND, path);
    assert_fails(fm_digest_file(folder, sha256, NULL), FM_IO, folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published),
        cmocka_unit_test(long_file),
        cmocka_unit_test(no_file),
    };
    scratch_make(folder, "digest");
    if (fm_path_join(path, folder, "file") != FM_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(folder);
    return failed;
}
