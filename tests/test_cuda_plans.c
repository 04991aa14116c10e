// The plans of a device on the simulated one: what is chosen, what is kept on disk, and that
// nothing that can be wrong with the file costs more than a note and the time to choose again.
#include "backend/cuda/check.h"
#include "backend/cuda/measure.h"
#include "backend/cuda/plan_cache.h"
#include "backend/cuda/plans.h"
#include "base/log.h"
#include "simcuda.h"

#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SCRATCH_NAME "cuda_plans"
#include "expect.h"
#include "scratch_root.h"

#define DEVICE "Simulated GPU (80 GB)"

static const struct fm_cuda_graph_spec specs[] = {
    {FM_GRAPH_CONV_BIAS_RELU, FM_CUDA_F16, 2, 8, 8, 8, 8, 3, 0},
    {FM_GRAPH_CONV_DATA, FM_CUDA_F16, 2, 8, 8, 8, 8, 3, 1},
    {FM_GRAPH_CONV_WEIGHTS, FM_CUDA_F16, 2, 8, 8, 8, 8, 3, 0},
    {FM_GRAPH_CONV_BIAS_RELU, FM_CUDA_F32, 2, 8, 8, 4, 8, 3, 0},
    {FM_GRAPH_NORM_RELU, FM_CUDA_F16, 2, 8, 8, 8, 0, 0, 0},
    {FM_GRAPH_NORM_RELU_BACKWARD, FM_CUDA_BF16, 2, 8, 8, 8, 0, 0, 0},
};
enum {
    SPECS = sizeof specs / sizeof specs[0],
    HALF_CONV = 0,
    FLOAT_CONV = 3
};

// ---- a device, its plans, and what they say

static cudnnHandle_t handle;
static char cache[FM_PATH_MAX]; // a folder that is not there yet

static int begin(void **state)
{
    sim_reset();
    sim_pose_as("h100"); // whose engines the cases know
    handle = NULL;
    return set_up(state) || fm_path_join(cache, root, "new/cache") != FM_OK;
}

static int end(void **state)
{
    if (handle)
        (void)cudnnDestroy(handle);
    handle = NULL;
    int bad = sim_take_failures() + sim_report_leaks();
    return tear_down(state) || bad;
}

static cudnnHandle_t device(void)
{
    if (!handle)
        assert_int_equal(cudnnCreate(&handle), CUDNN_STATUS_SUCCESS);
    return handle;
}

static struct fm_cuda_plans_options options(const char *folder)
{
    return (struct fm_cuda_plans_options){
        .target = {.handle = device()},
        .caps = {.major = 9, .minor = 0, .workspace = FM_CUDA_WORKSPACE_LIMIT},
        .device = DEVICE,
        .driver = 13000,
        .folder = folder,
    };
}

static struct fm_cuda_plans *open_plans(const struct fm_cuda_plans_options *options)
{
    struct fm_cuda_plans *plans = NULL;
    assert_ok(fm_cuda_plans_open(options, &plans));
    assert_non_null(plans);
    return plans;
}

static const struct fm_cuda_plan *get(
    struct fm_cuda_plans *plans, const struct fm_cuda_graph_spec *spec)
{
    const struct fm_cuda_plan *plan = NULL;
    assert_ok(fm_cuda_plans_get(plans, spec, &plan));
    assert_non_null(plan);
    assert_non_null(plan->plan);
    return plan;
}

static void expect_counts(const struct fm_cuda_plans *plans, int built, int loaded)
{
    struct fm_cuda_plans_counts counts = fm_cuda_plans_counted(plans);
    if (counts.built != built || counts.loaded != loaded)
        fail_msg(
            "built %d, loaded %d; expected %d, %d", counts.built, counts.loaded, built, loaded);
}

static void expect_name(const struct fm_cuda_plan *plan, const char *part)
{
    if (!strstr(plan->name, part))
        fail_msg("'%s' was chosen, expected '%s'", plan->name, part);
}

// A start: opens, gets one graph, saves, closes. Gives the engine's name where `name` is not NULL.
static void start(const struct fm_cuda_plans_options *options,
    const struct fm_cuda_graph_spec *spec, int built, int loaded, char name[96])
{
    struct fm_cuda_plans *plans = open_plans(options);
    const struct fm_cuda_plan *plan = get(plans, spec);
    if (name)
        snprintf(name, 96, "%s", plan->name);
    expect_counts(plans, built, loaded);
    fm_cuda_plans_save(plans);
    fm_cuda_plans_close(plans);
}

// What is written to standard error between the two, which must be `lines` lines with `part`.
static int stderr_kept;

static void listen(void)
{
    fflush(stderr);
    stderr_kept = dup(2);
    assert_non_null(freopen(in_root("stderr"), "w", stderr));
}

static void heard(int lines, const char *part)
{
    unsigned char *text = NULL;
    size_t size;
    int found = 0;
    fflush(stderr);
    dup2(stderr_kept, 2);
    close(stderr_kept);
    assert_ok(fm_file_read(in_root("stderr"), &text, &size));
    for (const char *at = (const char *)text; (at = strchr(at, '\n')); at++)
        found++;
    if (found != lines || (lines > 0 && !strstr((const char *)text, part)))
        fail_msg("expected %d lines with '%s' on standard error, got: %s", lines, part, text);
    free(text);
}

// ---- the file

// The only file of the cache folder.
static const char *cache_file(void)
{
    static char path[FM_PATH_MAX];
    DIR *folder = opendir(cache);
    struct dirent *entry;
    int files = 0;
    assert_non_null(folder);
    while ((entry = readdir(folder))) {
        if (entry->d_name[0] == '.')
            continue;
        assert_ok(fm_path_join(path, cache, entry->d_name));
        files++;
    }
    closedir(folder);
    assert_int_equal(files, 1);
    return path;
}

static json_t *read_cache(void)
{
    json_t *file = json_load_file(cache_file(), 0, NULL);
    assert_non_null(file);
    return file;
}

static void write_cache(json_t *file)
{
    assert_int_equal(json_dump_file(file, cache_file(), 0), 0);
    json_decref(file);
}

static void test_second_start_builds_nothing(void **state)
{
    (void)state;
    char names[SPECS][96];
    int64_t workspaces[SPECS];
    double seconds[SPECS];
    for (int measured = 0; measured < 2; measured++) {
        struct fm_cuda_plans_options o = options(cache);
        o.measure = measured;
        struct fm_cuda_plans *plans = open_plans(&o);
        for (int i = 0; i < SPECS; i++) {
            const struct fm_cuda_plan *plan = get(plans, &specs[i]);
            snprintf(names[i], sizeof names[i], "%s", plan->name);
            workspaces[i] = plan->workspace;
            seconds[i] = plan->seconds;
            assert_true(measured ? seconds[i] > 0 : seconds[i] == 0);
        }
        expect_counts(plans, SPECS, 0);
        fm_cuda_plans_save(plans);
        fm_cuda_plans_close(plans);

        long created = sim_calls("cudnnBackendFinalize");
        plans = open_plans(&o);
        for (int i = 0; i < SPECS; i++) {
            const struct fm_cuda_plan *plan = get(plans, &specs[i]);
            assert_string_equal(plan->name, names[i]);
            assert_int_equal(plan->workspace, workspaces[i]);
            assert_true(plan->seconds == seconds[i]);
        }
        expect_counts(plans, 0, SPECS);
        assert_int_equal(sim_calls("cudnnBackendFinalize") - created, SPECS); // no graph, no search
        fm_cuda_plans_close(plans);
    }
}

static void test_one_plan_a_graph(void **state)
{
    (void)state;
    struct fm_cuda_plans_options o = options(NULL);
    struct fm_cuda_plans *plans = open_plans(&o);
    const struct fm_cuda_plan *first = get(plans, &specs[0]);
    struct fm_cuda_graph_spec many = specs[0];
    for (many.n = 10; many.n < 80; many.n++)
        assert_ptr_not_equal(get(plans, &many), first);
    assert_ptr_equal(get(plans, &specs[0]), first);
    assert_memory_equal(&first->spec, &specs[0], sizeof specs[0]);
    expect_counts(plans, 71, 0);
    fm_cuda_plans_save(plans); // to nowhere
    fm_cuda_plans_close(plans);
    fm_cuda_plans_close(NULL);
}

// A plan from disk computes what the one that was built does.
static void test_kept_plan_runs(void **state)
{
    (void)state;
    const struct fm_cuda_graph_spec *spec = &specs[HALF_CONV];
    struct fm_cuda_plans_options o = options(cache);
    void *tensors[FM_TENSOR_ROLES] = {NULL}, *workspace = NULL;
    const int roles[] = {FM_TENSOR_X, FM_TENSOR_WEIGHT, FM_TENSOR_BIAS, FM_TENSOR_Y};
    uint16_t y[2][2 * 6 * 6 * 8];
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        assert_int_equal(cudaMalloc(&tensors[roles[i]], 4096), cudaSuccess);
        assert_int_equal(cudaMemset(tensors[roles[i]], 0x30 + (int)i, 4096), cudaSuccess);
    }
    for (int turn = 0; turn < 2; turn++) {
        struct fm_cuda_plans *plans = open_plans(&o);
        const struct fm_cuda_plan *plan = get(plans, spec);
        expect_counts(plans, turn == 0, turn == 1);
        assert_int_equal(cudaMalloc(&workspace, (size_t)plan->workspace + 1), cudaSuccess);
        assert_ok(fm_cuda_graph_run(spec, plan->plan, handle, tensors, workspace));
        assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
        assert_int_equal(
            cudaMemcpy(y[turn], tensors[FM_TENSOR_Y], sizeof y[0], cudaMemcpyDeviceToHost),
            cudaSuccess);
        assert_int_equal(cudaFree(workspace), cudaSuccess);
        fm_cuda_plans_save(plans);
        fm_cuda_plans_close(plans);
    }
    assert_int_not_equal(y[0][0], 0);
    assert_memory_equal(y[0], y[1], sizeof y[0]);
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        assert_int_equal(cudaFree(tensors[roles[i]]), cudaSuccess);
}

// What decides a choice is part of its key: none of these finds another's plan, each its own.
static void test_settings_do_not_mix(void **state)
{
    (void)state;
    char names[5][96];
    for (int start_of = 0; start_of < 2; start_of++) {
        int built = start_of == 0, loaded = start_of;
        struct fm_cuda_plans_options o = options(cache);
        start(&o, &specs[FLOAT_CONV], built, loaded, names[0]);
        o.caps.tf32 = true;
        start(&o, &specs[FLOAT_CONV], built, loaded, names[1]);
        o.caps.nondeterministic = true;
        start(&o, &specs[FLOAT_CONV], built, loaded, names[2]);
        o = options(cache);
        o.caps.workspace = 512;
        start(&o, &specs[FLOAT_CONV], built, loaded, names[3]);
        o.measure = true;
        start(&o, &specs[FLOAT_CONV], built, loaded, names[4]);
    }
    assert_string_not_equal(names[0], names[1]); // tensor cores
    assert_string_not_equal(names[0], names[3]); // the first engine wants more than 512 bytes
    json_t *file = read_cache();
    assert_int_equal(json_object_size(json_object_get(file, "plans")), 5);
    json_decref(file);
}

// Another device, capability or driver has a file of its own.
static void test_devices_do_not_mix(void **state)
{
    (void)state;
    for (int built = 1; built >= 0; built--) {
        struct fm_cuda_plans_options o = options(cache);
        start(&o, &specs[0], built, !built, NULL);
        o.device = "Simulated GPU (40 GB)";
        start(&o, &specs[0], built, !built, NULL);
        o.driver = 13010;
        start(&o, &specs[0], built, !built, NULL);
        o.caps.minor = 1;
        start(&o, &specs[0], built, !built, NULL);
    }
}

// ---- damage

static void cut_off(void)
{
    unsigned char *data = NULL;
    size_t size;
    assert_ok(fm_file_read(cache_file(), &data, &size));
    assert_int_equal(scratch_write(cache_file(), data, size / 2), 0);
    free(data);
}

static void empty(void)
{
    assert_int_equal(scratch_write(cache_file(), "", 0), 0);
}

static void garbage(void)
{
    const unsigned char bytes[] = {0x7f, 'E', 'L', 'F', 0, 1, 2, 0xff, 0xfe};
    assert_int_equal(scratch_write(cache_file(), bytes, sizeof bytes), 0);
}

static void set_member(const char *key, json_t *value)
{
    json_t *file = read_cache();
    json_object_set_new(file, key, value);
    write_cache(file);
}

static void other_version(void)
{
    set_member("version", json_integer(2));
}

static void other_device(void)
{
    set_member("device", json_string("another"));
}

static void other_cudnn(void)
{
    set_member("cudnn", json_integer(80900));
}

static void no_plans(void)
{
    set_member("plans", json_array());
}

static void not_an_object(void)
{
    assert_int_equal(scratch_write(cache_file(), "[1, 2]\n", 7), 0);
}

// Of each entry.
static void set_in_entries(const char *key, json_t *value)
{
    json_t *file = read_cache(), *entry;
    const char *name;
    json_object_foreach(json_object_get(file, "plans"), name, entry)
    {
        assert_int_equal(json_object_set(entry, key, value), 0);
    }
    json_decref(value);
    write_cache(file);
}

static void entry_plan_garbled(void)
{
    set_in_entries("plan", json_string("{\"garbled\": tru"));
}

static void entry_plan_missing(void)
{
    set_in_entries("plan", json_null());
}

static void entry_workspace_changed(void)
{
    set_in_entries("workspace", json_integer(1));
}

// Of two entries, so that there is more than one to complain of.
static void check_damage(void (*inflict)(void), const char *note, const char *name)
{
    struct fm_cuda_plans_options o = options(cache);
    char again[96];
    print_message("%s\n", note);
    struct fm_cuda_plans *plans = open_plans(&o);
    get(plans, &specs[1]);
    fm_cuda_plans_save(plans);
    fm_cuda_plans_close(plans);
    inflict();

    listen();
    plans = open_plans(&o);
    get(plans, &specs[1]);
    assert_string_equal(get(plans, &specs[0])->name, name);
    expect_counts(plans, 2, 0);
    fm_cuda_plans_save(plans);
    fm_cuda_plans_close(plans);
    heard(1, note);
    assert_string_equal(fm_error_message(), "");

    listen();
    start(&o, &specs[0], 0, 1, again);
    heard(0, "");
    assert_string_equal(again, name);
}

static void test_damage_is_noted_once_and_repaired(void **state)
{
    (void)state;
    static const struct {
        void (*inflict)(void);
        const char *note;
    } cases[] = {
        {cut_off, "not valid JSON"},
        {empty, "not valid JSON"},
        {garbage, "not valid JSON"},
        {not_an_object, "\"format\" is nothing, expected 'fmnist cuDNN plans'"},
        {other_version, "\"version\" is 2, expected 1"},
        {other_device, "\"device\" is 'another', expected '" DEVICE "'"},
        {other_cudnn, "\"cudnn\" is 80900"},
        {no_plans, "no object \"plans\""},
        {entry_plan_garbled, "its checksum is wrong"},
        {entry_plan_missing, "a member is missing"},
        {entry_workspace_changed, "its checksum is wrong"},
    };
    struct fm_cuda_plans_options o = options(cache);
    char name[96];
    start(&o, &specs[0], 1, 0, name);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_damage(cases[i].inflict, cases[i].note, name);
}

// Puts `plan` into the cache under the only key that is there, with the right checksum.
static void replace_plan(
    const struct fm_cuda_plans_options *o, const char *plan, size_t size, int64_t workspace)
{
    struct fm_cuda_plan_owner owner = {
        o->device, o->caps.major, o->caps.minor, (long long)cudnnGetVersion(), o->driver};
    struct fm_cuda_kept_plan kept = {"engine 1", workspace, 0, plan, size};
    struct fm_cuda_plan_cache *kept_in = NULL;
    json_t *file = read_cache();
    void *only = json_object_iter(json_object_get(file, "plans"));
    assert_ok(fm_cuda_plan_cache_open(o->folder, &owner, &kept_in));
    fm_cuda_plan_cache_put(kept_in, json_object_iter_key(only), &kept);
    fm_cuda_plan_cache_save(kept_in);
    fm_cuda_plan_cache_close(kept_in);
    json_decref(file);
}

static void test_refused_plan_is_built_again(void **state)
{
    (void)state;
    static const char *const texts[] = {"{}", "no JSON at all", "{\"cudnnVersion\": 1}"};
    struct fm_cuda_plans_options o = options(cache);
    start(&o, &specs[0], 1, 0, NULL);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        replace_plan(&o, texts[i], strlen(texts[i]), 0);
        listen();
        start(&o, &specs[0], 1, 0, NULL);
        heard(1, "cannot be used (cuDNN: CUDNN_STATUS_");
        start(&o, &specs[0], 0, 1, NULL);
    }
}

// The library says what workspace a plan wants; an entry that says less does not get around it.
static void test_kept_plan_keeps_to_the_limit(void **state)
{
    (void)state;
    struct fm_cuda_plans_options o = options(cache);
    start(&o, &specs[FLOAT_CONV], 1, 0, NULL);
    json_t *file = read_cache(); // of a plan that wants more than 512 bytes
    void *only = json_object_iter(json_object_get(file, "plans"));
    json_t *entry = json_object_iter_value(only);
    assert_true(json_integer_value(json_object_get(entry, "workspace")) > 512);
    const char *plan = json_string_value(json_object_get(entry, "plan"));

    assert_int_equal(remove(cache_file()), 0);
    o.caps.workspace = 512;
    start(&o, &specs[FLOAT_CONV], 1, 0, NULL);
    replace_plan(&o, plan, strlen(plan), 0);
    json_decref(file);
    listen();
    struct fm_cuda_plans *plans = open_plans(&o);
    assert_true(get(plans, &specs[FLOAT_CONV])->workspace <= 512);
    expect_counts(plans, 1, 0);
    fm_cuda_plans_close(plans);
    heard(1, "at most 512 are given");
}

static void test_two_processes_share_the_file(void **state)
{
    (void)state;
    struct fm_cuda_plans_options o = options(cache);
    struct fm_cuda_plans *one = open_plans(&o), *other = open_plans(&o);
    get(one, &specs[0]);
    get(other, &specs[1]);
    fm_cuda_plans_save(one);
    fm_cuda_plans_save(other);
    get(one, &specs[2]);
    fm_cuda_plans_save(one);
    fm_cuda_plans_close(one);
    fm_cuda_plans_close(other);
    struct fm_cuda_plans *next = open_plans(&o);
    for (int i = 0; i < 3; i++)
        get(next, &specs[i]);
    expect_counts(next, 0, 3);
    fm_cuda_plans_close(next);
}

static void test_unwritable_folder_costs_a_note(void **state)
{
    (void)state;
    assert_int_equal(scratch_write(in_root("file"), "x", 1), 0);
    char folder[FM_PATH_MAX];
    assert_ok(fm_path_copy(folder, in_root("file/cache")));
    struct fm_cuda_plans_options o = options(folder);
    listen();
    struct fm_cuda_plans *plans = open_plans(&o);
    (void)fm_fail(FM_DATA, "what went wrong before"); // and must be read after all
    fm_cuda_plans_save(plans);                        // nothing yet
    assert_message("what went wrong before");
    for (int i = 0; i < 3; i++) {
        get(plans, &specs[i]);
        (void)fm_fail(FM_DATA, "what went wrong before");
        fm_cuda_plans_save(plans);
        assert_message("what went wrong before");
    }
    expect_counts(plans, 3, 0);
    fm_cuda_plans_close(plans);
    heard(1, "the next start chooses its plans again");
}

// ---- choosing

static void test_described_device(void **state)
{
    (void)state;
    unsigned char *json = NULL;
    size_t size;
    char path[FM_PATH_MAX];
    assert_ok(fm_path_join(path, FM_TEST_SOURCE_DIR, "tests/simcuda/devices/a100.json"));
    assert_ok(fm_file_read(path, &json, &size));
    sim_pose_as("none");
    struct fm_cuda_plans_options o = {
        .caps = {.major = 8, .workspace = FM_CUDA_WORKSPACE_LIMIT},
        .device = "A100",
        .folder = cache,
    };
    assert_ok(fm_cuda_target_describe((const char *)json, &o.target));
    free(json);
    for (int start_of = 0; start_of < 2; start_of++) {
        struct fm_cuda_plans *plans = open_plans(&o);
        for (int i = 0; i < SPECS; i++)
            get(plans, &specs[i]);
        expect_counts(plans, start_of ? 0 : SPECS, start_of ? SPECS : 0);
        fm_cuda_plans_save(plans);
        fm_cuda_plans_close(plans);
    }
    o.measure = true;
    struct fm_cuda_plans *plans = NULL;
    assert_fails(fm_cuda_plans_open(&o, &plans), FM_USAGE, "only described");
    (void)cudnnBackendDestroyDescriptor(o.target.properties);
}

static void test_no_engine_is_an_error(void **state)
{
    (void)state;
    const struct fm_cuda_graph_spec seven = {FM_GRAPH_NORM, FM_CUDA_F16, 2, 8, 8, 7, 0, 0, 0};
    const struct fm_cuda_plan *plan = NULL;
    struct fm_cuda_plans_options o = options(NULL);
    struct fm_cuda_plans *plans = open_plans(&o);
    assert_fails(fm_cuda_plans_get(plans, &seven, &plan), FM_UNSUPPORTED, "norm fp16 n2 h8 w8 c7");
    get(plans, &specs[0]); // and the plans are as good as before
    fm_cuda_plans_close(plans);
}

// The rule alone: precompiled ones p, runtime-compiled ones r.
static void test_rule(void **state)
{
    (void)state;
    static const struct {
        const char *kinds;
        double seconds[4];
        int best;
    } cases[] = {
        {"pppp", {4, 3, 2, 5}, 2},
        {"pppp", {4, 2, 2, 5}, 1}, // of equals the first
        {"rrrr", {4, 3, 2, 2}, 2},
        {"rppp", {0.98, 1.5, 1, 1}, 2}, // 2 % are not enough
        {"rppp", {0.96, 1.5, 1, 1}, 0},
        {"pprr", {1, 1, 0.96, 0.95}, 2}, // 1 % is chance
        {"pprr", {1, 1, 0.98, 0.95}, 3},
        {"pppp", {1.04, 1.02, 1, 1.01}, 1},
        {"pprr", {1.02, 1, 0.98, 5}, 0},            // of the fastest precompiled one 2 %
        {"pprr", {INFINITY, 1, INFINITY, 0.99}, 1}, // what cannot be run
        {"prrr", {INFINITY, 5, 4, INFINITY}, 2},
        {"pprr", {INFINITY, INFINITY, INFINITY, INFINITY}, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fm_cuda_candidate candidates[4] = {{.plan = NULL}};
        for (int j = 0; j < 4; j++)
            candidates[j].runtime_compiled = cases[i].kinds[j] == 'r';
        int best = fm_cuda_measure_best(candidates, cases[i].seconds, 4);
        if (best != cases[i].best)
            fail_msg("case %zu: %d won, expected %d", i, best, cases[i].best);
    }
}

// The simulated engines: 62 is the first precompiled one, 65 the fastest, 71 is runtime-compiled
// and 7 % faster than 65, of which the fixed cost of a call leaves less; 1 % with odd channels.
static void test_measured_choice(void **state)
{
    (void)state;
    static const struct {
        struct fm_cuda_graph_spec spec;
        const char *measured;
    } cases[] = {
        {{FM_GRAPH_CONV, FM_CUDA_F16, 32, 32, 32, 32, 32, 1, 0}, "engine 71"},
        {{FM_GRAPH_CONV, FM_CUDA_F16, 128, 32, 32, 31, 32, 1, 0}, "engine 65"}, // 1 % faster
        {{FM_GRAPH_CONV, FM_CUDA_F16, 4, 32, 32, 32, 32, 1, 0}, "engine 62"},   // all about as much
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fm_cuda_plans_options o = options(NULL);
        struct fm_cuda_plans *plans = open_plans(&o);
        expect_name(get(plans, &cases[i].spec), "engine 62");
        expect_name(get(plans, &cases[i].spec), "(precompiled)");
        fm_cuda_plans_close(plans);
        o.measure = true;
        plans = open_plans(&o);
        const struct fm_cuda_plan *plan = get(plans, &cases[i].spec);
        expect_name(plan, cases[i].measured);
        expect_name(plan, strstr(cases[i].measured, "71") ? "(runtime-compiled)" : "(precompiled)");
        assert_true(plan->seconds > 3e-6 && plan->seconds < 1e-3);
        fm_cuda_plans_close(plans);
    }
}

// Every kind of graph finds its tensors in the scratch arena, whose memory is given back, and the
// handle is on its own stream again.
static void test_every_kind_is_measured(void **state)
{
    (void)state;
    cudaStream_t stream, found;
    assert_int_equal(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    assert_int_equal(cudnnSetStream(device(), stream), CUDNN_STATUS_SUCCESS);
    struct fm_cuda_plans_options o = options(NULL);
    o.measure = true;
    struct fm_cuda_plans *plans = open_plans(&o);
    for (int kind = 0; kind < FM_GRAPH_KINDS; kind++) {
        struct fm_cuda_graph_spec spec = specs[0];
        spec.kind = (enum fm_cuda_graph_kind)kind;
        print_message("%s\n", fm_cuda_graph_kind_name(spec.kind));
        assert_true(get(plans, &spec)->seconds > 0);
        assert_int_equal(sim_memory_in_use(), 0);
    }
    assert_int_equal(cudnnGetStream(handle, &found), CUDNN_STATUS_SUCCESS);
    assert_ptr_equal(found, stream);
    fm_cuda_plans_close(plans);
    assert_int_equal(cudaStreamDestroy(stream), cudaSuccess);
}

// Without the memory to measure in, the choice is the unmeasured one, said once, and kept as such.
static void test_no_memory_to_measure_in(void **state)
{
    (void)state;
    struct fm_cuda_plans_options o = options(cache);
    o.measure = true;
    for (int start_of = 0; start_of < 2; start_of++) {
        size_t available = 0, total = 0;
        void *taken = NULL;
        assert_int_equal(cudaMemGetInfo(&available, &total), cudaSuccess);
        listen();
        sim_inject("allocation", start_of ? 2 : 1, cudaErrorMemoryAllocation);
        struct fm_cuda_plans *plans = open_plans(&o);
        if (start_of)
            assert_int_equal(cudaMalloc(&taken, 16), cudaSuccess);
        expect_name(get(plans, &specs[HALF_CONV]), "engine 62");
        assert_true(get(plans, &specs[HALF_CONV])->seconds == 0);
        expect_counts(plans, start_of == 0, start_of);
        fm_cuda_plans_save(plans);
        fm_cuda_plans_close(plans);
        heard(1, "of device memory");
        if (taken)
            assert_int_equal(cudaFree(taken), cudaSuccess);
    }
    assert_string_equal(fm_error_message(), "");
    start(&o, &specs[HALF_CONV], 1, 0, NULL); // there is memory: measured now
}

static void test_too_little_is_free(void **state)
{
    (void)state;
    sim_set_memory((size_t)8 << 20);
    struct fm_cuda_plans_options o = options(NULL);
    o.measure = true;
    struct fm_cuda_graph_spec large = specs[HALF_CONV];
    large.n = 4096;
    listen();
    struct fm_cuda_plans *plans = open_plans(&o);
    assert_true(get(plans, &large)->seconds == 0);
    large.n = 4097;
    assert_true(get(plans, &large)->seconds == 0);
    assert_true(get(plans, &specs[HALF_CONV])->seconds > 0);
    fm_cuda_plans_close(plans);
    heard(1, "measuring engines for 'conv bias relu fp16 n4096");
    assert_int_equal(sim_calls("cudaMalloc"), 1); // the two that do not fit are not tried
}

// An engine that fails is out of the running; where the device is lost, all is.
static void test_failing_engine_is_dropped(void **state)
{
    (void)state;
    struct fm_cuda_plans_options o = options(NULL);
    const struct fm_cuda_plan *plan = NULL;
    o.measure = true;
    for (int nth = 1; nth < 12; nth++) {
        sim_inject("cudnnBackendExecute", nth, CUDNN_STATUS_EXECUTION_FAILED);
        struct fm_cuda_plans *plans = open_plans(&o);
        assert_true(isfinite(get(plans, &specs[HALF_CONV])->seconds));
        if (nth == 1)
            expect_name(get(plans, &specs[HALF_CONV]), "engine 65"); // 62 was the first to run
        fm_cuda_plans_close(plans);
        sim_clear_injections();
        assert_string_equal(fm_error_message(), "");
    }
    sim_inject("cudaStreamSynchronize", 1, cudaErrorIllegalAddress);
    sim_inject("cudaStreamSynchronize", 2, cudaErrorIllegalAddress);
    struct fm_cuda_plans *plans = open_plans(&o);
    assert_fails(fm_cuda_plans_get(plans, &specs[HALF_CONV], &plan), FM_BACKEND, "the GPU's work");
    sim_clear_injections();
    fm_cuda_plans_close(plans);
}

// Fails call `nth` of `call`; returns how many there were.
static long fail_call(const char *call, long nth, int code)
{
    struct fm_cuda_plans_options o = options(NULL);
    o.measure = true;
    const struct fm_cuda_plan *plan = NULL;
    struct fm_cuda_plans *plans = open_plans(&o);
    long before = sim_calls(call);
    sim_inject(call, nth, code);
    enum fm_status status = fm_cuda_plans_get(plans, &specs[HALF_CONV], &plan);
    long calls = sim_calls(call) - before;
    sim_clear_injections();
    bool told = fm_error_message()[0] != '\0';
    if ((status == FM_OK) == told || (status == FM_OK) != (plan != NULL))
        fail_msg("call %ld of %s failed: status '%s', message '%s'", nth, call,
            fm_status_text(status), fm_error_message());
    fm_error_clear();
    // (Where it was this that failed, the handle is on no stream that is left.)
    assert_int_equal(cudnnSetStream(handle, NULL), CUDNN_STATUS_SUCCESS);
    get(plans, &specs[HALF_CONV]); // and the next try is as good as ever
    fm_cuda_plans_close(plans);
    return calls;
}

// Whichever call fails, what was made until then is given back; what is not the device's failure is
// the engine's, and another one is taken.
static void test_any_call_may_fail(void **state)
{
    (void)state;
    static const struct {
        const char *call;
        int code;
    } cases[] = {
        {"cudnnBackendCreateDescriptor", CUDNN_STATUS_INTERNAL_ERROR},
        {"cudnnBackendSetAttribute", CUDNN_STATUS_BAD_PARAM},
        {"cudnnBackendGetAttribute", CUDNN_STATUS_INTERNAL_ERROR},
        {"cudnnBackendFinalize", CUDNN_STATUS_INTERNAL_ERROR},
        {"cudnnGetStream", CUDNN_STATUS_INTERNAL_ERROR},
        {"cudnnSetStream", CUDNN_STATUS_INTERNAL_ERROR},
        {"cudaStreamCreateWithFlags", cudaErrorInvalidValue},
        {"cudaMemGetInfo", cudaErrorInvalidValue},
        {"cudaMalloc", cudaErrorInvalidValue},
        {"cudaMemsetAsync", cudaErrorInvalidValue},
        {"cudaEventCreate", cudaErrorInvalidValue},
        {"cudaEventRecord", cudaErrorInvalidValue},
        {"cudaEventSynchronize", cudaErrorInvalidValue},
        {"cudaEventElapsedTime", cudaErrorInvalidValue},
        {"cudaStreamSynchronize", cudaErrorInvalidValue},
        {"cudaStreamBeginCapture", cudaErrorInvalidValue},
        {"cudaGraphInstantiateWithFlags", cudaErrorInvalidValue},
        {"cudaGraphLaunch", cudaErrorInvalidValue},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        long most = 1;
        for (long nth = 1; nth <= most; nth += 1 + most / 10) {
            long calls = fail_call(cases[i].call, nth, cases[i].code);
            most = calls > most ? calls : most;
        }
    }
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(test_second_start_builds_nothing),
        CASE(test_one_plan_a_graph),
        CASE(test_kept_plan_runs),
        CASE(test_settings_do_not_mix),
        CASE(test_devices_do_not_mix),
        CASE(test_damage_is_noted_once_and_repaired),
        CASE(test_refused_plan_is_built_again),
        CASE(test_kept_plan_keeps_to_the_limit),
        CASE(test_two_processes_share_the_file),
        CASE(test_unwritable_folder_costs_a_note),
        CASE(test_described_device),
        CASE(test_no_engine_is_an_error),
        CASE(test_rule),
        CASE(test_measured_choice),
        CASE(test_every_kind_is_measured),
        CASE(test_no_memory_to_measure_in),
        CASE(test_too_little_is_free),
        CASE(test_failing_engine_is_dropped),
        CASE(test_any_call_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
