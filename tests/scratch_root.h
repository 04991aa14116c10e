// A scratch folder for each case of a test program: `root`, made by set_up() under SCRATCH_NAME,
// which is defined before this is included, and removed by tear_down(). After cmocka.h.
#ifndef FM_TESTS_SCRATCH_ROOT_H
#define FM_TESTS_SCRATCH_ROOT_H

#include "base/file.h"
#include "scratch.h"

static char root[FM_PATH_MAX];

// "root/name"; the last four stay valid.
static inline const char *in_root(const char *name)
{
    static char path[4][FM_PATH_MAX];
    static int turn;
    char *out = path[turn++ % 4];
    assert_int_equal(fm_path_join(out, root, name), FM_OK);
    return out;
}

static inline int set_up(void **state)
{
    (void)state;
    scratch_make(root, SCRATCH_NAME);
    fm_error_clear();
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    scratch_remove(root);
    return 0;
}

#endif
