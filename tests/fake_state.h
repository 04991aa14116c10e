// The state of a fake model: parameters and running statistics in two ranges at the net's offsets.
// Include cmocka.h first.
#ifndef FM_TESTS_FAKE_STATE_H
#define FM_TESTS_FAKE_STATE_H

#include "backend/backend.h"

// The memory of a named tensor; the test fails for a kind, name or count that there is not.
static inline float *fake_state(const struct fm_net *net, float *params, float *running,
    enum fm_state_kind kind, const char *name, size_t count)
{
    if (kind == FM_STATE_PARAM) {
        int i = fm_net_find_param(net, name);
        assert_true(i >= 0 && net->params[i].count == count);
        return params + net->params[i].offset;
    }
    assert_int_equal(kind, FM_STATE_RUNNING);
    int i = fm_net_find_running(net, name);
    assert_true(i >= 0 && net->running[i].count == count);
    return running + net->running[i].offset;
}

#endif
