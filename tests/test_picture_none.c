// A build without libjpeg-turbo and libexif: the files that stand in for theirs are linked before
// the library's.
#include "data/pictures/picture.h"
#include "data/pictures/picture_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"

static void a_jpeg_is_refused_with_what_is_missing(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0xff, 0xd8, 0xff, 0xe0, 0, 16, 'J', 'F', 'I', 'F'};
    struct fm_picture picture;
    assert_fails(fm_picture_decode("shirt.jpg", bytes, sizeof bytes, &picture), FM_UNSUPPORTED,
        "shirt.jpg: a JPEG picture, which this fmnist cannot read: it was built without "
        "libjpeg-turbo");
    assert_null(picture.rgb);
}

static void exif_data_are_refused_with_what_is_missing(void **state)
{
    (void)state;
    int orientation;
    assert_fails(fm_exif_orientation("shirt.png", NULL, 0, &orientation), FM_UNSUPPORTED,
        "built without libexif");
}

static void the_libraries_are_told(void **state)
{
    (void)state;
    struct fm_library libraries[FM_PICTURE_LIBRARIES];
    fm_picture_libraries(libraries);
    assert_non_null(libraries[0].compiled);
    for (int i = 1; i < FM_PICTURE_LIBRARIES; i++) {
        assert_null(libraries[i].compiled);
        assert_non_null(libraries[i].without);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_jpeg_is_refused_with_what_is_missing),
        cmocka_unit_test(exif_data_are_refused_with_what_is_missing),
        cmocka_unit_test(the_libraries_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
