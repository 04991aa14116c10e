// Which engines may compute a graph. cuDNN's heuristics put speed first: their first choice for an
// fp32 convolution rounds its inputs to TF32, others sum in fp16 or in any order. What an engine
// does to the numbers is in its notes, so these decide before anything is measured or compiled.
#include "backend/cuda/engine.h"

#include "backend/cuda/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The ones that nothing admits come first.
enum verdict {
    ADMITTED,
    REDUCED_SUMS,
    NARROW_INPUTS,
    WINOGRAD,
    FFT,
    TENSOR_CORES,
    ANY_ORDER,
    LARGE_WORKSPACE,
    UNREADABLE,
    UNBUILDABLE,
    VERDICTS,
};

static const char *const verdict_texts[VERDICTS] = {
    [REDUCED_SUMS] = "sum in less than fp32",
    [NARROW_INPUTS] = "round their inputs",
    [WINOGRAD] = "use Winograd",
    [FFT] = "use an FFT",
    [TENSOR_CORES] = "round fp32 to TF32 (--tf32 admits them)",
    [ANY_ORDER] = "sum in any order (--allow-nondeterministic admits them)",
    [LARGE_WORKSPACE] = "need a larger workspace than the limit",
    [UNREADABLE] = "cannot be read",
    [UNBUILDABLE] = "cannot be built",
};

// An engine with its knobs, as the heuristics name it.
struct choice {
    cudnnBackendDescriptor_t configuration;
    char identity[512]; // engine and all knobs
    struct fm_cuda_candidate is;
    enum verdict verdict;
};

struct search {
    const struct fm_cuda_graph *graph;
    const struct fm_cuda_graph_spec *spec;
    const struct fm_cuda_target *target;
    const struct fm_cuda_caps *caps;
    struct choice *choices;
    int count, capacity;
    int readable;
    char *unread;      // why the first could not be read
    char failure[256]; // why the last engine could not be built
};

typedef cudnnBackendDescriptor_t descriptor;

static void drop(descriptor *one)
{
    if (*one)
        (void)cudnnBackendDestroyDescriptor(*one);
    *one = NULL;
}

static void drop_all(descriptor *all, int64_t count)
{
    for (int64_t i = 0; all && i < count; i++)
        drop(&all[i]);
}

static enum fm_status create_all(cudnnBackendDescriptorType_t type, descriptor *all, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        FM_CUDNN(cudnnBackendCreateDescriptor(type, &all[i]));
    return FM_OK;
}

enum fm_status fm_cuda_target_describe(const char *json, struct fm_cuda_target *target)
{
    descriptor made = NULL;
    enum fm_status status;
    FM_TRY(FM_CUDNN_CALL(cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &made)));
    FM_TRY_GOTO(status,
        FM_CUDNN_CALL(cudnnBackendSetAttribute(made, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
            CUDNN_TYPE_CHAR, (int64_t)strlen(json), json)),
        fail);
    FM_TRY_GOTO(status, FM_CUDNN_CALL(cudnnBackendFinalize(made)), fail);
    *target = (struct fm_cuda_target){.properties = made};
    return FM_OK;
fail:
    drop(&made);
    return fm_context(status, "the description of a GPU");
}

// ---- what an engine is

// Appends ", 2=5" for the first knob and " 12=29" for others: type (cudnnBackendKnobType_t) and
// value. Their meaning depends on the engine, so numbers say as much as names would.
static enum fm_status append_knob(struct choice *choice, descriptor knob, bool first)
{
    cudnnBackendKnobType_t type;
    int64_t value = 0, count = 0;
    FM_CUDNN(cudnnBackendGetAttribute(
        knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &count, &type));
    FM_CUDNN(cudnnBackendGetAttribute(
        knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &count, &value));
    size_t length = strlen(choice->identity);
    snprintf(choice->identity + length, sizeof choice->identity - length, "%s %d=%" PRId64,
        first ? "," : "", (int)type, value);
    return FM_OK;
}

static enum fm_status read_knobs(struct choice *choice)
{
    descriptor knobs[CUDNN_KNOB_TYPE_COUNTS] = {NULL};
    int64_t count = 0;
    enum fm_status status;
    FM_TRY_GOTO(status,
        create_all(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, knobs, CUDNN_KNOB_TYPE_COUNTS), out);
    FM_TRY_GOTO(status,
        FM_CUDNN_CALL(
            cudnnBackendGetAttribute(choice->configuration, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                CUDNN_TYPE_BACKEND_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS, &count, knobs)),
        out);
    for (int64_t i = 0; i < count; i++)
        FM_TRY_GOTO(status, append_knob(choice, knobs[i], i == 0), out);
out:
    drop_all(knobs, CUDNN_KNOB_TYPE_COUNTS);
    return status;
}

static enum fm_status read_notes(struct fm_cuda_candidate *is, descriptor engine)
{
    cudnnBackendBehaviorNote_t behavior[FM_ENGINE_NOTES];
    int64_t count = 0, behavior_count = 0;
    FM_CUDNN(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
        CUDNN_TYPE_NUMERICAL_NOTE, FM_ENGINE_NOTES, &count, is->notes));
    FM_CUDNN(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE,
        CUDNN_TYPE_BEHAVIOR_NOTE, FM_ENGINE_NOTES, &behavior_count, behavior));
    is->note_count = (int)count;
    for (int64_t i = 0; i < behavior_count; i++)
        is->runtime_compiled |= behavior[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
    return FM_OK;
}

static enum fm_status read_engine(struct choice *choice)
{
    descriptor engine = NULL;
    int64_t index = 0, count = 0;
    enum fm_status status;
    FM_TRY(create_all(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine, 1));
    FM_TRY_GOTO(status,
        FM_CUDNN_CALL(cudnnBackendGetAttribute(choice->configuration, CUDNN_ATTR_ENGINECFG_ENGINE,
            CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine)),
        out);
    FM_TRY_GOTO(status,
        FM_CUDNN_CALL(cudnnBackendGetAttribute(
            engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &count, &index)),
        out);
    snprintf(choice->identity, sizeof choice->identity, "engine %" PRId64, index);
    FM_TRY_GOTO(status, read_notes(&choice->is, engine), out);
    FM_TRY_GOTO(status, read_knobs(choice), out);
    FM_TRY_GOTO(status,
        FM_CUDNN_CALL(
            cudnnBackendGetAttribute(choice->configuration, CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE,
                CUDNN_TYPE_INT64, 1, &count, &choice->is.workspace)),
        out);
    snprintf(choice->is.name, sizeof choice->is.name, "%.63s", choice->identity);
out:
    drop(&engine);
    return status;
}

// ---- what the heuristics name

// Takes the failure that was told of last, if it is the first.
static void keep_first(char **failure)
{
    char *told = fm_error_take();
    if (*failure)
        free(told);
    else
        *failure = told;
}

static enum fm_status make_room(struct search *search, int64_t more)
{
    int64_t wanted = search->count + more;
    if (wanted <= search->capacity)
        return FM_OK;
    struct choice *larger = realloc(search->choices, (size_t)wanted * sizeof *larger);
    if (!larger)
        return fm_fail_memory("the list of cuDNN's engines", (size_t)wanted * sizeof *larger);
    search->choices = larger;
    search->capacity = (int)wanted;
    return FM_OK;
}

// Takes over the configuration, unless the same engine with the same knobs is there already. One
// that cannot be read is no more than counted: nobody knows what it does to the numbers.
static enum fm_status add_choice(struct search *search, descriptor *configuration)
{
    struct choice *added = &search->choices[search->count];
    *added = (struct choice){.configuration = *configuration};
    enum fm_status status = read_engine(added);
    if (status == FM_MEMORY)
        return status;
    if (status != FM_OK) {
        added->verdict = UNREADABLE;
        keep_first(&search->unread);
    }
    for (int i = 0; i < search->count && status == FM_OK; i++)
        if (strcmp(search->choices[i].identity, added->identity) == 0)
            return FM_OK;
    search->readable += status == FM_OK;
    search->count++;
    *configuration = NULL;
    return FM_OK;
}

static enum fm_status take_results(struct search *search, descriptor heuristics)
{
    int64_t bound = 0, found = 0; // the bound is larger than what is found
    FM_CUDNN(cudnnBackendGetAttribute(
        heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &bound, NULL));
    if (bound <= 0)
        return FM_OK;
    FM_TRY(make_room(search, bound));
    descriptor *results = calloc((size_t)bound, sizeof *results);
    if (!results)
        return fm_fail_memory("the list of cuDNN's engines", (size_t)bound * sizeof *results);
    enum fm_status status;
    FM_TRY_GOTO(status, create_all(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, results, bound), out);
    FM_TRY_GOTO(status,
        FM_CUDNN_CALL(cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
            CUDNN_TYPE_BACKEND_DESCRIPTOR, bound, &found, results)),
        out);
    for (int64_t i = 0; i < found; i++)
        FM_TRY_GOTO(status, add_choice(search, &results[i]), out);
out:
    drop_all(results, bound);
    free(results);
    return status;
}

static enum fm_status ask(struct search *search, cudnnBackendHeurMode_t mode)
{
    descriptor made = NULL, graph = fm_cuda_graph_descriptor(search->graph);
    enum fm_status status;
    FM_TRY(create_all(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &made, 1));
    FM_TRY_GOTO(status,
        FM_CUDNN_CALL(cudnnBackendSetAttribute(
            made, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph)),
        out);
    FM_TRY_GOTO(status,
        FM_CUDNN_CALL(cudnnBackendSetAttribute(
            made, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode)),
        out);
    if (search->target->properties)
        FM_TRY_GOTO(status,
            FM_CUDNN_CALL(cudnnBackendSetAttribute(made, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
                CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &search->target->properties)),
            out);
    cudnnStatus_t error = cudnnBackendFinalize(made);
    if (CUDNN_STATUS_CATEGORY(error) == CUDNN_STATUS_NOT_SUPPORTED)
        goto out; // this mode knows no engine for such a graph
    FM_TRY_GOTO(status, fm_cudnn_status(error, "cudnnBackendFinalize of the heuristics"), out);
    status = take_results(search, made);
out:
    drop(&made);
    return status;
}

// Both modes. One that fails costs the engines that it would have named: as long as the other names
// any, it is no failure of the graph's.
static enum fm_status ask_all(struct search *search)
{
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    enum fm_status failed = FM_OK;
    char *failure = NULL;
    for (int i = 0; i < 2; i++) {
        enum fm_status status = ask(search, modes[i]);
        if (status == FM_MEMORY) {
            free(failure);
            return status;
        }
        if (status != FM_OK) {
            failed = status;
            keep_first(&failure);
        }
    }
    if (failed != FM_OK && search->count == 0) {
        fm_error_put(failure);
        return failed;
    }
    free(failure);
    return FM_OK;
}

// ---- which of them may be taken

static enum verdict judge_note(const struct search *search, cudnnBackendNumericalNote_t note)
{
    const struct fm_cuda_caps *caps = search->caps;
    switch (note) {
    case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
        return REDUCED_SUMS;
    case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
        return NARROW_INPUTS;
    case CUDNN_NUMERICAL_NOTE_WINOGRAD:
    case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4:
    case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
    case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
        return WINOGRAD;
    case CUDNN_NUMERICAL_NOTE_FFT:
        return FFT;
    case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        return search->spec->type == FM_CUDA_F32 && !caps->tf32 ? TENSOR_CORES : ADMITTED;
    case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
        return caps->nondeterministic ? ADMITTED : ANY_ORDER;
    default:
        return ADMITTED;
    }
}

// Of several reasons the first of enum verdict, so that no option is named which would not help.
static enum verdict judge(const struct search *search, const struct choice *choice)
{
    if (choice->verdict == UNREADABLE)
        return UNREADABLE;
    enum verdict reason = choice->is.workspace > search->caps->workspace ? LARGE_WORKSPACE
                                                                         : ADMITTED;
    for (int i = 0; i < choice->is.note_count; i++) {
        enum verdict verdict = judge_note(search, choice->is.notes[i]);
        if (verdict != ADMITTED && (reason == ADMITTED || verdict < reason))
            reason = verdict;
    }
    return reason;
}

// ---- plans

static cudnnStatus_t finalize_plan(
    const struct search *search, struct choice *choice, descriptor plan)
{
    int64_t count = 0;
    cudnnHandle_t handle = search->target->handle;
    cudnnStatus_t error = cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &choice->configuration);
    if (error == CUDNN_STATUS_SUCCESS && handle)
        error = cudnnBackendSetAttribute(
            plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
    if (error == CUDNN_STATUS_SUCCESS)
        error = cudnnBackendFinalize(plan);
    if (error == CUDNN_STATUS_SUCCESS)
        error = cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
            CUDNN_TYPE_INT64, 1, &count, &choice->is.workspace);
    return error;
}

// Some candidates cannot be built. That is not the graph's failure: another may do.
static enum fm_status build(struct search *search, struct choice *choice)
{
    FM_TRY(create_all(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &choice->is.plan, 1));
    cudnnStatus_t error = finalize_plan(search, choice, choice->is.plan);
    if (error != CUDNN_STATUS_SUCCESS) {
        choice->verdict = UNBUILDABLE;
        cudnnGetLastErrorString(search->failure, sizeof search->failure);
    } else if (choice->is.workspace > search->caps->workspace) {
        choice->verdict = LARGE_WORKSPACE;
    } else {
        return FM_OK;
    }
    drop(&choice->is.plan);
    return FM_OK;
}

// `which`: precompiled engines, runtime-compiled ones, or both.
enum {
    PRECOMPILED = 1,
    RUNTIME_COMPILED = 2
};

static enum fm_status build_some(struct search *search, int which,
    struct fm_cuda_candidate *candidates, int capacity, int *count)
{
    int compiled = 0;
    for (int i = 0; i < search->count && *count < capacity; i++) {
        struct choice *choice = &search->choices[i];
        int kind = choice->is.runtime_compiled ? RUNTIME_COMPILED : PRECOMPILED;
        if (choice->verdict != ADMITTED || !(which & kind))
            continue;
        if (kind == RUNTIME_COMPILED && compiled == FM_ENGINE_RUNTIME_COMPILED)
            continue;
        FM_TRY(build(search, choice));
        if (!choice->is.plan)
            continue;
        compiled += kind == RUNTIME_COMPILED;
        candidates[(*count)++] = choice->is; // with its plan
        choice->is.plan = NULL;
    }
    return FM_OK;
}

static enum fm_status build_admitted(struct search *search, bool precompiled_first,
    struct fm_cuda_candidate *candidates, int capacity, int *count)
{
    if (!precompiled_first)
        return build_some(search, PRECOMPILED | RUNTIME_COMPILED, candidates, capacity, count);
    FM_TRY(build_some(search, PRECOMPILED, candidates, 1, count));
    return *count > 0 ? FM_OK : build_some(search, RUNTIME_COMPILED, candidates, 1, count);
}

// ---- all of it

static enum fm_status fail_without_engine(struct search *search)
{
    char key[128], text[600] = "";
    size_t length = 0;
    if (search->readable == 0 && search->unread) {
        fm_error_put(search->unread);
        search->unread = NULL;
        return FM_BACKEND;
    }
    fm_cuda_graph_key(search->spec, key, sizeof key);
    if (search->count == 0)
        return fm_fail(FM_UNSUPPORTED,
            "cuDNN %zu has no engine for graph %s on this GPU: the heuristics name none",
            cudnnGetVersion(), key);
    for (int verdict = ADMITTED + 1; verdict < VERDICTS; verdict++) {
        int refused = 0;
        for (int i = 0; i < search->count; i++)
            refused += search->choices[i].verdict == (enum verdict)verdict;
        if (refused > 0)
            length += (size_t)snprintf(text + length, sizeof text - length, "%s %d %s",
                length > 0 ? "," : "", refused, verdict_texts[verdict]);
    }
    return fm_fail(FM_UNSUPPORTED,
        "cuDNN %zu has no admitted engine for graph %s: it names %d, of which%s (workspaces up to "
        "%" PRId64 " MiB are allowed)%s%s",
        cudnnGetVersion(), key, search->count, text, search->caps->workspace >> 20,
        *search->failure ? "; the last that could not be built: " : "", search->failure);
}

static void end_search(struct search *search)
{
    for (int i = 0; i < search->count; i++) {
        drop(&search->choices[i].is.plan);
        drop(&search->choices[i].configuration);
    }
    free(search->choices);
    free(search->unread);
}

enum fm_status fm_cuda_engine_candidates(const struct fm_cuda_graph *graph,
    const struct fm_cuda_graph_spec *spec, const struct fm_cuda_target *target,
    const struct fm_cuda_caps *caps, bool precompiled_first, struct fm_cuda_candidate *candidates,
    int capacity, int *count, int *seen)
{
    struct search search = {.graph = graph, .spec = spec, .target = target, .caps = caps};
    enum fm_status status;
    *count = *seen = 0;
    FM_TRY_GOTO(status, ask_all(&search), out);
    *seen = search.count;
    for (int i = 0; i < search.count; i++)
        search.choices[i].verdict = judge(&search, &search.choices[i]);
    FM_TRY_GOTO(
        status, build_admitted(&search, precompiled_first, candidates, capacity, count), out);
    if (*count == 0)
        status = fail_without_engine(&search);
out:
    end_search(&search);
    if (status == FM_OK)
        return FM_OK;
    while (*count > 0)
        fm_cuda_candidate_destroy(&candidates[--*count]);
    if (status == FM_UNSUPPORTED)
        return status; // says which graph
    char key[128];
    fm_cuda_graph_key(spec, key, sizeof key);
    return fm_context(status, "engines of graph %s", key);
}

void fm_cuda_candidate_destroy(struct fm_cuda_candidate *candidate)
{
    drop(&candidate->plan);
}
