// The cache of plans on NVIDIA's own cuDNN, for a GPU that is only described: what the library puts
// out as a plan's text comes back as the same plan, with the code that was compiled for it. (The
// simulated library's texts are its own.)
#include "backend/cuda/plans.h"
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SCRATCH_NAME "cuda_plans_real"
#include "expect.h"
#include "scratch_root.h"

static const struct fm_cuda_graph_spec specs[] = {
    {FM_GRAPH_CONV_BIAS_RELU, FM_CUDA_F16, 256, 28, 28, 1, 32, 3, 0},
    {FM_GRAPH_CONV_DATA, FM_CUDA_F16, 256, 26, 26, 32, 64, 3, 0},
    {FM_GRAPH_CONV_WEIGHTS, FM_CUDA_F16, 256, 26, 26, 32, 64, 3, 0},
    {FM_GRAPH_CONV_BIAS_RELU, FM_CUDA_F32, 256, 28, 28, 32, 64, 3, 0},
    {FM_GRAPH_NORM_RELU, FM_CUDA_F16, 256, 26, 26, 32, 0, 0, 0},
    {FM_GRAPH_NORM_RELU_BACKWARD, FM_CUDA_F16, 256, 26, 26, 32, 0, 0, 0},
};
enum {
    SPECS = sizeof specs / sizeof specs[0],
    NORM = 4 // and on: of these cuDNN has runtime-compiled engines alone
};

static struct fm_cuda_target h100(void)
{
    struct fm_cuda_target target = {.handle = NULL};
    unsigned char *json = NULL;
    size_t size;
    assert_ok(fm_file_read(FM_TEST_SOURCE_DIR "/tests/simcuda/devices/h100.json", &json, &size));
    assert_ok(fm_cuda_target_describe((const char *)json, &target));
    free(json);
    return target;
}

// Gets all plans; the seconds that the runtime-compiled ones took.
static double get_all(struct fm_cuda_plans *plans, struct fm_cuda_plan got[SPECS])
{
    double begin = 0;
    for (int i = 0; i < SPECS; i++) {
        const struct fm_cuda_plan *plan = NULL;
        begin = i == NORM ? fm_clock_seconds() : begin;
        assert_ok(fm_cuda_plans_get(plans, &specs[i], &plan));
        got[i] = *plan;
        print_message("%s, %lld bytes\n", plan->name, (long long)plan->workspace);
        bool compiled = strstr(plan->name, "(runtime-compiled)") != NULL;
        if (compiled != (i >= NORM))
            fail_msg("'%s' for graph %d: is the stand-in for libcuda.so.1 missing?", plan->name, i);
    }
    return fm_clock_seconds() - begin;
}

static void test_second_start_builds_nothing(void **state)
{
    (void)state;
    struct fm_cuda_plan got[2][SPECS];
    double seconds[2];
    struct fm_cuda_plans_options options = {
        .target = h100(),
        .caps = {.major = 9, .workspace = FM_CUDA_WORKSPACE_LIMIT},
        .device = "NVIDIA H100",
        .driver = 13000,
        .folder = root,
    };
    for (int turn = 0; turn < 2; turn++) {
        struct fm_cuda_plans *plans = NULL;
        assert_ok(fm_cuda_plans_open(&options, &plans));
        seconds[turn] = get_all(plans, got[turn]);
        struct fm_cuda_plans_counts counts = fm_cuda_plans_counted(plans);
        assert_int_equal(counts.built, turn == 0 ? SPECS : 0);
        assert_int_equal(counts.loaded, turn == 0 ? 0 : SPECS);
        fm_cuda_plans_save(plans);
        fm_cuda_plans_close(plans);
    }
    for (int i = 0; i < SPECS; i++) {
        assert_string_equal(got[0][i].name, got[1][i].name);
        assert_int_equal(got[0][i].workspace, got[1][i].workspace);
    }
    print_message("compiled in %.3f s, loaded in %.3f s\n", seconds[0], seconds[1]);
    assert_true(seconds[1] < seconds[0] / 2); // nothing was compiled
    (void)cudnnBackendDestroyDescriptor(options.target.properties);
}

// Each takes seconds, and of some graphs the library names dozens.
static void test_few_are_compiled_to_be_measured(void **state)
{
    (void)state;
    enum {
        CAPACITY = 12
    };
    const struct fm_cuda_caps caps = {.major = 9, .workspace = FM_CUDA_WORKSPACE_LIMIT};
    struct fm_cuda_target target = h100();
    struct fm_cuda_graph *graph = NULL;
    struct fm_cuda_candidate candidates[CAPACITY];
    int count = 0, seen = 0, compiled = 0;
    assert_ok(fm_cuda_graph_create(&specs[NORM], NULL, &graph));
    assert_ok(fm_cuda_engine_candidates(
        graph, &specs[NORM], &target, &caps, false, candidates, CAPACITY, &count, &seen));
    for (int i = 0; i < count; i++) {
        compiled += candidates[i].runtime_compiled;
        fm_cuda_candidate_destroy(&candidates[i]);
    }
    print_message("%d engines named, %d compiled\n", seen, compiled);
    assert_true(seen > FM_ENGINE_RUNTIME_COMPILED);
    assert_int_equal(compiled, FM_ENGINE_RUNTIME_COMPILED);
    fm_cuda_graph_destroy(graph);
    (void)cudnnBackendDestroyDescriptor(target.properties);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few_are_compiled_to_be_measured),
        cmocka_unit_test_setup_teardown(test_second_start_builds_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
