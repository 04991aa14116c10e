// Every graph that a model becomes on a GPU, held against NVIDIA's library, which judges it for a
// GPU that is only described: it has an engine that the backend admits, and that engine's notes are
// what the backend promises.
//
//     model_graphs quick|short|rest|all|transfer-short|transfer DEVICE.json
//     model_graphs table DEVICE.json...
//
// short: what fits into every run of the tests; rest: the others, batch norms that cuDNN compiles
// for each graph, which takes a second each; transfer: what VGG16 with weights of others needs at
// each size of its input, and transfer-short a few of it; quick: a few, to see whether the library
// can be asked; table: prints docs/results/engines.md.
//
// cuDNN may crash on a graph that it does not like, so a child process judges, and a crash is the
// verdict on the graph that it was at.
#include "survey.h"
#include "wanted.h"

#include "backend/cuda/engine.h"
#include "base/clock.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    GRAPH_SECONDS = 120 // after so long a graph counts as hanging
};

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

struct device {
    char name[128];
    char *json;
    struct fm_cuda_caps caps;
};

// On a graph; in memory that parent and children share.
struct verdict {
    enum {
        WAITS,
        STARTED,
        JUDGED
    } state;
    char failure[1024]; // "": none
    bool refused;       // as it had to be
    char engine[64];
    struct surveyed found;
    struct survey survey; // all 0 where the heuristics were not read again
};

// ---- what is asked for

// 900 of the 1,000 images of data/tiny are trained on: 900 = 3 * 256 + 132, and with the batches of
// the recipe "quick" 900 = 7 * 128 + 4 = 14 * 64 + 4. Of 54,000 images 240 are left over, of 3,000
// to select by 184, of 10,000 to test with 16.
static const struct wanted_program usual[] = {
    {.mode = FM_MODE_TRAIN, .batch = 256},
    {.mode = FM_MODE_INFER, .batch = 1},
    {.mode = FM_MODE_INFER, .batch = 256},
};
static const struct wanted_program others[] = {
    {.mode = FM_MODE_TRAIN, .batch = 240},
    {.mode = FM_MODE_TRAIN, .batch = 132},
    {.mode = FM_MODE_TRAIN, .batch = 4},
    {.mode = FM_MODE_INFER, .batch = 16},
    {.mode = FM_MODE_INFER, .batch = 184},
    {.mode = FM_MODE_TRAIN, .batch = 256, .unfused = true},
};
static const struct wanted_program quick[] = {{.mode = FM_MODE_TRAIN, .batch = 4}};

// VGG16 with weights of others, at every size of its input: trained from scratch and finetuned as a
// whole (which need the same of cuDNN, as what is trained slower is trained), its last block
// finetuned, its base asked for features, its head trained on them. The base's last batch is 240 of
// 54,000 images to train on, 112 of 6,000 to validate with, 96 of 60,000 and 16 of 10,000 to test
// with; of data/tiny's 900 132, of its 100 all.
static const struct wanted_program transfer[] = {
    {.mode = FM_MODE_TRAIN, .batch = 256},
    {.mode = FM_MODE_TRAIN, .batch = 256, .part = WANTED_LAST},
    {.mode = FM_MODE_TRAIN, .batch = 256, .part = WANTED_HEAD},
    {.mode = FM_MODE_INFER, .batch = 1, .part = WANTED_BASE},
    {.mode = FM_MODE_INFER, .batch = 256, .part = WANTED_BASE}, // the table ends here
    {.mode = FM_MODE_TRAIN, .batch = 240},
    {.mode = FM_MODE_TRAIN, .batch = 132},
    {.mode = FM_MODE_TRAIN, .batch = 4},
    {.mode = FM_MODE_INFER, .batch = 240, .part = WANTED_BASE},
    {.mode = FM_MODE_INFER, .batch = 184, .part = WANTED_BASE},
    {.mode = FM_MODE_INFER, .batch = 132, .part = WANTED_BASE},
    {.mode = FM_MODE_INFER, .batch = 112, .part = WANTED_BASE},
    {.mode = FM_MODE_INFER, .batch = 100, .part = WANTED_BASE},
    {.mode = FM_MODE_INFER, .batch = 96, .part = WANTED_BASE},
    {.mode = FM_MODE_INFER, .batch = 16, .part = WANTED_BASE},
};

// Of those what fits into every run of the tests.
static const struct wanted_program transfer_short[] = {
    {.mode = FM_MODE_TRAIN, .batch = 256, .part = WANTED_LAST},
    {.mode = FM_MODE_INFER, .batch = 256, .part = WANTED_BASE},
};

static bool any(const struct fm_cuda_graph_spec *spec)
{
    (void)spec;
    return true;
}

static bool is_norm(const struct fm_cuda_graph_spec *spec)
{
    return spec->kind >= FM_GRAPH_NORM;
}

static bool is_convolution(const struct fm_cuda_graph_spec *spec)
{
    return !is_norm(spec);
}

// Where a GPU has no bf16, cuDNN knows engines for some weight gradients all the same, which it
// compiles for them; but for nothing that a model could begin with.
static bool is_refused(const struct fm_cuda_graph_spec *spec)
{
    return spec->kind != FM_GRAPH_CONV_WEIGHTS;
}

// What a run asks for: of the usual programs and of the others.
struct set {
    const char *name;
    const struct wanted_program *first, *second;
    int first_count, second_count;
    wanted_filter *takes; // of the second
    bool table;
    int sizes[4]; // of VGG16's input, in the second, up to a 0; none: every model's own
};
static const struct set sets[] = {
    {"quick", NULL, quick, 0, COUNT(quick), is_convolution, false, {0}},
    {"short", usual, others, COUNT(usual), COUNT(others), is_convolution, false, {0}},
    {"rest", NULL, others, 0, COUNT(others), is_norm, false, {0}},
    {"all", usual, others, COUNT(usual), COUNT(others), any, false, {0}},
    {"transfer-short", NULL, transfer_short, 0, COUNT(transfer_short), any, false, {64}},
    {"transfer", NULL, transfer, 0, COUNT(transfer), any, false, {32, 48, 64}},
    {"table", usual, transfer, 2, 5, any, true, {48, 64}}, // 32 is VGG16's own
};

static bool has_precision(const struct device *device, enum wanted_precision precision)
{
    return device->caps.major >= 8 || (precision != WANTED_TF32 && precision != WANTED_BF16);
}

static enum fm_status collect(
    const struct device *device, const struct set *set, struct wanted_list *list)
{
    const struct fm_cuda_caps *caps = &device->caps;
    for (int i = 0; i < WANTED_PRECISIONS; i++) {
        enum wanted_precision precision = (enum wanted_precision)i;
        wanted_filter *first = any, *second = set->takes;
        if (!has_precision(device, precision)) {
            if (precision != WANTED_BF16 || set->table)
                continue;
            first = second = is_refused; // that it is refused is the test
        }
        FM_TRY(wanted_collect(list, caps, precision, set->first, set->first_count, 0, first));
        for (int k = 0; k == 0 || set->sizes[k] > 0; k++)
            FM_TRY(wanted_collect(
                list, caps, precision, set->second, set->second_count, set->sizes[k], second));
    }
    return FM_OK;
}

// ---- a verdict, in a child

// The first failure stays.
static void fail(struct verdict *verdict, const char *what)
{
    if (!*verdict->failure)
        snprintf(verdict->failure, sizeof verdict->failure, "%s", what);
}

static void check_candidate(struct verdict *verdict, const struct fm_cuda_candidate *candidate,
    const struct fm_cuda_caps *caps, uint32_t forbidden)
{
    const struct surveyed *found = &verdict->found;
    uint32_t said = 0;
    char notes[256], text[512];
    for (int i = 0; i < candidate->note_count; i++)
        said |= 1u << candidate->notes[i];
    if (found->notes & forbidden) {
        survey_notes_text(found->notes & forbidden, notes, sizeof notes);
        snprintf(text, sizeof text, "%s is chosen, whose notes say %s", candidate->name, notes);
        fail(verdict, text);
    }
    if (found->workspace > caps->workspace || found->workspace != candidate->workspace) {
        snprintf(text, sizeof text,
            "%s is chosen, which wants a workspace of %lld bytes; it is said to want %lld, and the "
            "limit is %lld",
            candidate->name, (long long)found->workspace, (long long)candidate->workspace,
            (long long)caps->workspace);
        fail(verdict, text);
    }
    if (said != found->notes || candidate->runtime_compiled != found->runtime_compiled)
        fail(verdict, "what is said of the engine is not what its plan says");
}

static void judge_candidate(struct verdict *verdict, const struct fm_cuda_candidate *candidate,
    const struct fm_cuda_caps *caps, uint32_t forbidden)
{
    snprintf(verdict->engine, sizeof verdict->engine, "%s", candidate->name);
    cudnnStatus_t error = survey_plan(candidate->plan, &verdict->found);
    if (error == CUDNN_STATUS_SUCCESS)
        check_candidate(verdict, candidate, caps, forbidden);
    else
        fail(verdict, cudnnGetErrorString(error));
}

// Reads the heuristics again. `seen`: how many engines the backend was told of.
static void judge_heuristics(struct verdict *verdict, const struct fm_cuda_graph *graph,
    const struct fm_cuda_target *target, const struct fm_cuda_caps *caps, uint32_t forbidden,
    int seen)
{
    char text[128];
    cudnnStatus_t error = survey_graph(fm_cuda_graph_descriptor(graph), target->properties,
        forbidden, caps->workspace, &verdict->survey);
    if (error != CUDNN_STATUS_SUCCESS)
        fail(verdict, cudnnGetErrorString(error));
    snprintf(text, sizeof text, "the heuristics name %d engines, of which %d were seen",
        verdict->survey.named, seen);
    if (verdict->survey.named != seen)
        fail(verdict, text);
}

static void judge(const struct wanted *wanted, const struct device *device,
    const struct fm_cuda_target *target, bool survey, struct verdict *verdict)
{
    struct fm_cuda_caps caps = device->caps;
    caps.tf32 = wanted->precision == WANTED_TF32;
    uint32_t forbidden = survey_forbidden(wanted->precision != WANTED_FP32);
    bool must_fail = !has_precision(device, wanted->precision);
    struct fm_cuda_graph *graph = NULL;
    struct fm_cuda_candidate candidate = {.plan = NULL};
    int count = 0, seen = 0;
    enum fm_status status = fm_cuda_graph_create(&wanted->spec, NULL, &graph);
    if (status == FM_OK)
        status = fm_cuda_engine_candidates(
            graph, &wanted->spec, target, &caps, true, &candidate, 1, &count, &seen);
    verdict->refused = must_fail && status == FM_UNSUPPORTED;
    if (status != FM_OK && !verdict->refused)
        fail(verdict, fm_error_message());
    if (status == FM_OK)
        judge_candidate(verdict, &candidate, &caps, forbidden);
    if (status == FM_OK && must_fail)
        fail(verdict, "there is an engine, on a GPU that has no such type");
    if (graph && survey)
        judge_heuristics(verdict, graph, target, &caps, forbidden, seen);
    if (candidate.plan)
        fm_cuda_candidate_destroy(&candidate);
    fm_cuda_graph_destroy(graph);
    fm_error_clear();
}

// Reading the heuristics again doubles the time, so it is done at one batch size alone.
static bool is_read_again(const struct wanted_list *list, int at)
{
    return list->items[at].spec.n == list->items[0].spec.n;
}

// Judges from `first` on, and ends the process.
static void judge_from(const struct wanted_list *list, const struct device *device,
    const struct set *set, int first, struct verdict *verdicts)
{
    struct fm_cuda_target target;
    if (fm_cuda_target_describe(device->json, &target) != FM_OK) {
        fprintf(stderr, "%s\n", fm_error_message());
        _exit(2);
    }
    for (int i = first; i < list->count; i++) {
        verdicts[i].state = STARTED;
        alarm(GRAPH_SECONDS);
        judge(&list->items[i], device, &target, set->table || is_read_again(list, i), &verdicts[i]);
        verdicts[i].state = JUDGED;
    }
    _exit(0);
}

// ---- all verdicts, in the parent

static int next_waiting(const struct verdict *verdicts, int count)
{
    int i = 0;
    while (i < count && verdicts[i].state != WAITS)
        i++;
    return i;
}

// What a child was at when it died.
static void note_death(struct verdict *verdicts, int count, int status)
{
    char text[64];
    snprintf(text, sizeof text, "cuDNN ended the process: %s %d",
        WIFSIGNALED(status) ? "signal" : "exit status",
        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    for (int i = 0; i < count; i++) {
        if (verdicts[i].state != STARTED)
            continue;
        verdicts[i].state = JUDGED;
        fail(&verdicts[i], text);
    }
}

// To be unmapped when the process ends. NULL, with a message: there are no verdicts.
static struct verdict *judge_all(
    const struct wanted_list *list, const struct device *device, const struct set *set)
{
    size_t bytes = ((size_t)list->count + 1) * sizeof(struct verdict);
    struct verdict *verdicts = mmap(
        NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (verdicts == MAP_FAILED) {
        perror("mmap");
        return NULL;
    }
    for (int at; (at = next_waiting(verdicts, list->count)) < list->count;) {
        fflush(NULL);
        pid_t child = fork();
        if (child == 0)
            judge_from(list, device, set, at, verdicts);
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) != child) {
            perror("fork");
            return NULL;
        }
        note_death(verdicts, list->count, status);
        if (next_waiting(verdicts, list->count) == at) {
            fprintf(stderr, "%s: cuDNN could not be asked for this GPU\n", device->name);
            return NULL;
        }
    }
    return verdicts;
}

// ---- what is said of them

struct totals {
    int graphs, failures, refused, precompiled, runtime_compiled, runtime_named;
    int64_t workspace; // the largest
};

static struct totals sum(const struct wanted_list *list, const struct verdict *verdicts,
    int precision) // -1: all
{
    struct totals totals = {0};
    for (int i = 0; i < list->count; i++) {
        const struct verdict *v = &verdicts[i];
        if (precision >= 0 && (int)list->items[i].precision != precision)
            continue;
        totals.graphs++;
        totals.failures += *v->failure != '\0';
        totals.refused += v->refused;
        totals.runtime_named += v->survey.runtime_compiled;
        if (!*v->engine)
            continue;
        totals.runtime_compiled += v->found.runtime_compiled;
        totals.precompiled += !v->found.runtime_compiled;
        if (v->found.workspace > totals.workspace)
            totals.workspace = v->found.workspace;
    }
    return totals;
}

static void print_failures(
    const struct device *device, const struct wanted_list *list, const struct verdict *verdicts)
{
    for (int i = 0; i < list->count; i++) {
        char key[128];
        if (!*verdicts[i].failure)
            continue;
        fm_cuda_graph_key(&list->items[i].spec, key, sizeof key);
        fprintf(stderr, "FAILED: %s: %s: graph %s: %s\n", device->name, list->items[i].first, key,
            verdicts[i].failure);
    }
}

// Whether all is well.
static bool report(
    const struct device *device, const struct wanted_list *list, const struct verdict *verdicts)
{
    struct totals totals = sum(list, verdicts, -1);
    print_failures(device, list, verdicts);
    printf("%s, cuDNN %zu: %d graphs, %d precompiled, %d runtime-compiled, %d refused as they must "
           "be, %d failures\n",
        device->name, cudnnGetVersion(), totals.graphs, totals.precompiled, totals.runtime_compiled,
        totals.refused, totals.failures);
    if (totals.runtime_named == 0)
        fprintf(stderr, "FAILED: cuDNN names no runtime-compiled engine at all: it has found no "
                        "libcuda.so.1 (tests/cudnn/nodev.c)\n");
    return totals.graphs > 0 && totals.failures == 0 && totals.runtime_named > 0;
}

// ---- the table

static void print_bytes(int64_t bytes)
{
    if (bytes < 1 << 10)
        printf("%d B", (int)bytes);
    else if (bytes < 1 << 20)
        printf("%.1f KiB", (double)bytes / 1024);
    else
        printf("%.1f MiB", (double)bytes / (1 << 20));
}

static void print_summary(
    const struct device *device, const struct wanted_list *list, const struct verdict *verdicts)
{
    printf("\n## %s\n\n", device->name);
    printf("| precision | graphs | precompiled | runtime-compiled | largest workspace |\n");
    printf("|---|---|---|---|---|\n");
    for (int i = 0; i < WANTED_PRECISIONS; i++) {
        struct totals totals = sum(list, verdicts, i);
        if (totals.graphs == 0)
            continue;
        printf("| %s | %d | %d | %d | ", wanted_precision_name((enum wanted_precision)i),
            totals.graphs, totals.precompiled, totals.runtime_compiled);
        print_bytes(totals.workspace);
        printf(" |\n");
    }
}

static void print_graphs(const struct device *device, const struct wanted_list *list,
    const struct verdict *verdicts, enum wanted_precision precision)
{
    printf("\n### %s, %s\n\n", device->name, wanted_precision_name(precision));
    printf("| graph | layers | engine | kind | workspace | notes | named | admitted |\n");
    printf("|---|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < list->count; i++) {
        const struct verdict *v = &verdicts[i];
        char key[128], notes[256];
        if (list->items[i].precision != precision)
            continue;
        fm_cuda_graph_key(&list->items[i].spec, key, sizeof key);
        survey_notes_text(v->found.notes, notes, sizeof notes);
        printf("| %s | %s | %s | %s | ", key, list->items[i].layers, v->engine,
            v->found.runtime_compiled ? "runtime-compiled" : "precompiled");
        print_bytes(v->found.workspace);
        printf(" | %s | %d | %d |\n", notes, v->survey.named, v->survey.admitted);
    }
}

static void print_table(
    const struct device *device, const struct wanted_list *list, const struct verdict *verdicts)
{
    print_summary(device, list, verdicts);
    for (int i = 0; i < WANTED_PRECISIONS; i++)
        if (sum(list, verdicts, i).graphs > 0)
            print_graphs(device, list, verdicts, (enum wanted_precision)i);
}

static void print_head(void)
{
    char now[32];
    size_t version = cudnnGetVersion();
    printf("`LD_LIBRARY_PATH=build/tests/nodev build/tests/model_graphs table "
           "tests/simcuda/devices/{h100,a100,t4}.json`, cuDNN %zu.%zu.%zu, %.10s\n\n",
        version / 10000, version / 100 % 100, version % 100, fm_clock_iso8601(now));
    printf("# The engines of cuDNN that the models' graphs get\n\n");
    printf(
        "What the backend chooses where nothing is measured, for a GPU that is only described: "
        "no GPU has run any of it,\nand nothing is said about speed. Training at batch 256 and "
        "inference at batch 1, all models, and VGG16 at 48x48\nand 64x64, too, its base at batch "
        "256; n, h, w, c are the\ninput's images, height, width and "
        "channels, k a convolution's outputs, r its kernel, p its padding. \"named\": engines\n"
        "with their knobs that the heuristics (mode A and the fallbacks) name; \"admitted\": those "
        "whose notes and workspace (256 MiB\nat most) the backend admits. An engine's knobs are "
        "TYPE=VALUE by cuDNN's numbers (cudnnBackendKnobType_t).\n");
}

// ---- the program

static bool read_device(const char *path, struct device *device)
{
    json_error_t error;
    json_t *description = json_load_file(path, 0, &error);
    const char *name = json_string_value(json_object_get(description, "deviceName"));
    int version = (int)json_integer_value(json_object_get(description, "deviceVer"));
    device->json = json_dumps(description, JSON_COMPACT);
    bool is_one = name && version > 0 && device->json;
    if (is_one) {
        snprintf(device->name, sizeof device->name, "%s", name);
        device->caps = (struct fm_cuda_caps){.major = version / 100,
            .minor = version / 10 % 10,
            .workspace = FM_CUDA_WORKSPACE_LIMIT};
    } else {
        fprintf(stderr, "%s: not the description of a GPU: %s\n", path,
            description ? "it has no deviceName or deviceVer" : error.text);
    }
    json_decref(description);
    return is_one;
}

static bool run(const char *path, const struct set *set)
{
    struct device device = {.json = NULL};
    struct wanted_list list = {0};
    bool well = false;
    if (!read_device(path, &device))
        goto out;
    if (collect(&device, set, &list) != FM_OK) {
        fprintf(stderr, "%s\n", fm_error_message());
        goto out;
    }
    const struct verdict *verdicts = judge_all(&list, &device, set);
    if (!verdicts)
        goto out;
    if (set->table) {
        print_table(&device, &list, verdicts);
        print_failures(&device, &list, verdicts);
        well = sum(&list, verdicts, -1).failures == 0;
    } else {
        well = report(&device, &list, verdicts);
    }
out:
    wanted_free(&list);
    free(device.json);
    return well;
}

int main(int argc, char **argv)
{
    const struct set *set = NULL;
    for (int i = 0; argc > 1 && i < COUNT(sets); i++)
        if (strcmp(argv[1], sets[i].name) == 0)
            set = &sets[i];
    if (!set || argc < 3) {
        fprintf(stderr,
            "usage: %s quick|short|rest|all|transfer-short|transfer|table DEVICE.json...\n",
            argv[0]);
        return 2;
    }
    if (set->table)
        print_head();
    bool well = true;
    for (int i = 2; i < argc; i++)
        well = run(argv[i], set) && well;
    return well ? 0 : 1;
}
