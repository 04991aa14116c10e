// The plain backend API once more, next to src/backend/cuda/engine.c and independent of it: a
// filter that is wrong there is not wrong here in the same way.
#include "survey.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NOTES_MAX = 32,
    IDENTITY = 512
};

typedef cudnnBackendDescriptor_t descriptor;

// Returns what `call` returned, or jumps, unless it is a success.
#define TRY(status, call, label)                                                                   \
    do {                                                                                           \
        (status) = (call);                                                                         \
        if ((status) != CUDNN_STATUS_SUCCESS)                                                      \
            goto label;                                                                            \
    } while (0)

static void drop_all(descriptor *all, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (all[i])
            (void)cudnnBackendDestroyDescriptor(all[i]);
}

static cudnnStatus_t create_all(cudnnBackendDescriptorType_t type, descriptor *all, int64_t count)
{
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
    for (int64_t i = 0; i < count && status == CUDNN_STATUS_SUCCESS; i++)
        status = cudnnBackendCreateDescriptor(type, &all[i]);
    return status;
}

// ---- notes

static const char *const note_names[] = {
#define NAME(name) [CUDNN_NUMERICAL_NOTE_##name] = #name
    NAME(TENSOR_CORE),
    NAME(DOWN_CONVERT_INPUTS),
    NAME(REDUCED_PRECISION_REDUCTION),
    NAME(FFT),
    NAME(NONDETERMINISTIC),
    NAME(WINOGRAD),
    NAME(WINOGRAD_TILE_4x4),
    NAME(WINOGRAD_TILE_6x6),
    NAME(WINOGRAD_TILE_13x13),
    NAME(STRICT_NAN_PROP),
#undef NAME
};

uint32_t survey_forbidden(bool rounds)
{
    uint32_t always = 1u << CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS |
                      1u << CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION |
                      1u << CUDNN_NUMERICAL_NOTE_FFT | 1u << CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC |
                      1u << CUDNN_NUMERICAL_NOTE_WINOGRAD |
                      1u << CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4 |
                      1u << CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6 |
                      1u << CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13;
    return rounds ? always : always | 1u << CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
}

void survey_notes_text(uint32_t notes, char *text, size_t size)
{
    size_t length = 0;
    snprintf(text, size, "-");
    for (uint32_t note = 0; note < NOTES_MAX; note++) {
        if (!(notes >> note & 1) || length >= size)
            continue;
        bool known = note < sizeof note_names / sizeof note_names[0] && note_names[note];
        length += (size_t)snprintf(text + length, size - length, "%s%s", length ? ", " : "",
            known ? note_names[note] : "UNKNOWN");
    }
}

// ---- engines

static cudnnStatus_t read_notes(descriptor engine, struct surveyed *found)
{
    cudnnBackendNumericalNote_t notes[NOTES_MAX];
    cudnnBackendBehaviorNote_t behaviors[NOTES_MAX];
    int64_t count = 0, behavior_count = 0;
    cudnnStatus_t status;
    TRY(status,
        cudnnBackendGetAttribute(
            engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &count, &found->index),
        out);
    TRY(status,
        cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
            CUDNN_TYPE_NUMERICAL_NOTE, NOTES_MAX, &count, notes),
        out);
    TRY(status,
        cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE,
            NOTES_MAX, &behavior_count, behaviors),
        out);
    for (int64_t i = 0; i < count; i++)
        found->notes |= 1u << notes[i];
    for (int64_t i = 0; i < behavior_count; i++)
        found->runtime_compiled |= behaviors[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
out:
    return status;
}

static cudnnStatus_t read_configuration(descriptor configuration, struct surveyed *found)
{
    descriptor engine = NULL;
    int64_t count = 0;
    cudnnStatus_t status;
    *found = (struct surveyed){0};
    TRY(status, create_all(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine, 1), out);
    TRY(status,
        cudnnBackendGetAttribute(configuration, CUDNN_ATTR_ENGINECFG_ENGINE,
            CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine),
        out);
    TRY(status,
        cudnnBackendGetAttribute(configuration, CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE,
            CUDNN_TYPE_INT64, 1, &count, &found->workspace),
        out);
    status = read_notes(engine, found);
out:
    drop_all(&engine, 1);
    return status;
}

cudnnStatus_t survey_plan(cudnnBackendDescriptor_t plan, struct surveyed *found)
{
    descriptor configuration = NULL;
    int64_t count = 0;
    cudnnStatus_t status;
    TRY(status, create_all(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configuration, 1), out);
    TRY(status,
        cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
            CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &configuration),
        out);
    TRY(status, read_configuration(configuration, found), out);
    status = cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
        CUDNN_TYPE_INT64, 1, &count, &found->workspace);
out:
    drop_all(&configuration, 1);
    return status;
}

// ---- what the heuristics name

struct results {
    descriptor *all;
    int64_t bound, found;
};

static void end_results(struct results *results)
{
    if (results->all)
        drop_all(results->all, results->bound);
    free(results->all);
}

// None where a mode knows nothing of such a graph.
static cudnnStatus_t ask(
    descriptor graph, descriptor device, cudnnBackendHeurMode_t mode, struct results *results)
{
    descriptor heuristics = NULL;
    cudnnStatus_t status;
    TRY(status, create_all(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics, 1), out);
    TRY(status,
        cudnnBackendSetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH,
            CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph),
        out);
    TRY(status,
        cudnnBackendSetAttribute(
            heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode),
        out);
    TRY(status,
        cudnnBackendSetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP,
            CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &device),
        out);
    if (cudnnBackendFinalize(heuristics) != CUDNN_STATUS_SUCCESS)
        goto out;
    TRY(status,
        cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
            CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &results->bound, NULL),
        out);
    results->all = calloc((size_t)results->bound + 1, sizeof *results->all);
    TRY(status, results->all ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_ALLOC_FAILED, out);
    TRY(status, create_all(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, results->all, results->bound), out);
    status = cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
        CUDNN_TYPE_BACKEND_DESCRIPTOR, results->bound, &results->found, results->all);
out:
    drop_all(&heuristics, 1);
    return status;
}

// Engine and knobs as text, to see which are the same.
static cudnnStatus_t identify(descriptor configuration, int64_t index, char identity[IDENTITY])
{
    descriptor knobs[CUDNN_KNOB_TYPE_COUNTS] = {NULL};
    int64_t found = 0, count = 0, value = 0;
    cudnnBackendKnobType_t type;
    cudnnStatus_t status;
    int length = snprintf(identity, IDENTITY, "%" PRId64, index);
    TRY(status, create_all(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, knobs, CUDNN_KNOB_TYPE_COUNTS),
        out);
    TRY(status,
        cudnnBackendGetAttribute(configuration, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
            CUDNN_TYPE_BACKEND_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS, &found, knobs),
        out);
    for (int64_t i = 0; i < found && length < IDENTITY; i++) {
        TRY(status,
            cudnnBackendGetAttribute(
                knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &count, &type),
            out);
        TRY(status,
            cudnnBackendGetAttribute(
                knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &count, &value),
            out);
        length += snprintf(
            identity + length, (size_t)(IDENTITY - length), " %d=%" PRId64, (int)type, value);
    }
out:
    drop_all(knobs, CUDNN_KNOB_TYPE_COUNTS);
    return status;
}

struct counting {
    uint32_t forbidden;
    int64_t workspace;
    char (*identities)[IDENTITY];
    struct survey *survey;
};

static cudnnStatus_t count_one(struct counting *counting, descriptor configuration)
{
    struct surveyed engine;
    struct survey *survey = counting->survey;
    char *identity = counting->identities[survey->named];
    cudnnStatus_t status;
    TRY(status, read_configuration(configuration, &engine), out);
    TRY(status, identify(configuration, engine.index, identity), out);
    for (int i = 0; i < survey->named; i++)
        if (strcmp(counting->identities[i], identity) == 0)
            goto out;
    survey->named++;
    survey->runtime_compiled += engine.runtime_compiled;
    survey->admitted += !(engine.notes & counting->forbidden) &&
                        engine.workspace <= counting->workspace;
out:
    return status;
}

cudnnStatus_t survey_graph(cudnnBackendDescriptor_t graph, cudnnBackendDescriptor_t device,
    uint32_t forbidden, int64_t workspace, struct survey *survey)
{
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    struct results results[2] = {{0}, {0}};
    struct counting counting = {.forbidden = forbidden, .workspace = workspace, .survey = survey};
    cudnnStatus_t status;
    *survey = (struct survey){0};
    for (int i = 0; i < 2; i++)
        TRY(status, ask(graph, device, modes[i], &results[i]), out);
    size_t most = (size_t)(results[0].found + results[1].found);
    counting.identities = calloc(most + 1, sizeof *counting.identities);
    TRY(status, counting.identities ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_ALLOC_FAILED, out);
    for (int i = 0; i < 2; i++)
        for (int64_t k = 0; k < results[i].found; k++)
            TRY(status, count_one(&counting, results[i].all[k]), out);
out:
    free(counting.identities);
    end_results(&results[0]);
    end_results(&results[1]);
    return status;
}
