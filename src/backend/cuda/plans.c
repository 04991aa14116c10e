// Where a plan comes from: this process has made it already, an earlier one has left it in the
// cache folder, or an engine is chosen now.
#include "backend/cuda/plans.h"

#include "backend/cuda/check.h"
#include "backend/cuda/measure.h"
#include "backend/cuda/plan_cache.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTED_SECONDS 1.0 // less is not worth a line
#define SAVE_SECONDS 5.0  // of choosing, that a process which is killed loses at most

enum {
    CANDIDATES_MAX = 12, // timed for a graph
    KEY_BYTES = 160,
    GROWTH = 32
};

struct entry {
    char key[KEY_BYTES];
    struct fm_cuda_plan plan;
};

struct fm_cuda_plans {
    struct fm_cuda_target target;
    struct fm_cuda_caps caps;
    bool measure, shortage_noted;
    struct fm_cuda_memory own, *memory; // `own`: where nobody wants to know
    struct fm_cuda_plan_cache *cache;   // NULL: nothing is kept
    struct entry **entries;             // each at its address until the end
    int count, capacity;
    struct fm_cuda_plans_counts counts;
    int noted;      // of counts.built, what people have been told
    double seconds; // that those not told of yet took
    double kept;    // of these, those whose plans are on disk
};

enum fm_status fm_cuda_plans_open(
    const struct fm_cuda_plans_options *options, struct fm_cuda_plans **plans)
{
    if (options->measure && !options->target.handle)
        return fm_fail(FM_USAGE, "engines cannot be measured for a device that is only described");
    struct fm_cuda_plans *made = calloc(1, sizeof *made);
    if (!made)
        return fm_fail_memory("the plans of a device", sizeof *made);
    made->target = options->target;
    made->caps = options->caps;
    made->measure = options->measure;
    made->memory = options->memory ? options->memory : &made->own;
    const struct fm_cuda_plan_owner owner = {options->device, options->caps.major,
        options->caps.minor, (long long)cudnnGetVersion(), options->driver};
    enum fm_status status = fm_cuda_plan_cache_open(options->folder, &owner, &made->cache);
    if (status == FM_OK)
        *plans = made;
    else
        fm_cuda_plans_close(made);
    return status;
}

void fm_cuda_plans_close(struct fm_cuda_plans *plans)
{
    if (!plans)
        return;
    for (int i = 0; i < plans->count; i++) {
        (void)cudnnBackendDestroyDescriptor(plans->entries[i]->plan.plan);
        free(plans->entries[i]);
    }
    free(plans->entries);
    fm_cuda_plan_cache_close(plans->cache);
    free(plans);
}

// A first start can take minutes here, so it is said what they went into.
void fm_cuda_plans_save(struct fm_cuda_plans *plans)
{
    int chosen = plans->counts.built - plans->noted;
    bool kept = fm_cuda_plan_cache_save(plans->cache);
    if (chosen > 0 && plans->seconds >= NOTED_SECONDS)
        fm_note("cuDNN: chose the engines of %d graphs in %.1f s%s", chosen, plans->seconds,
            kept ? "; the next start finds them" : "");
    plans->noted = plans->counts.built;
    plans->seconds = plans->kept = 0;
}

void fm_cuda_plans_save_if_due(struct fm_cuda_plans *plans)
{
    if (plans->seconds - plans->kept < SAVE_SECONDS)
        return;
    (void)fm_cuda_plan_cache_save(plans->cache);
    plans->kept = plans->seconds;
}

struct fm_cuda_plans_counts fm_cuda_plans_counted(const struct fm_cuda_plans *plans)
{
    return plans->counts;
}

// ---- plans on disk

// What else than the device, which a file is for, and the graph decides the choice.
static void cache_key(
    const struct fm_cuda_plans *plans, const char *graph, bool measured, char *key, size_t size)
{
    const struct fm_cuda_caps *caps = &plans->caps;
    snprintf(key, size, "%s; tf32 %d, nondeterministic %d, workspace %lld, measured %d", graph,
        caps->tf32, caps->nondeterministic, (long long)caps->workspace, measured);
}

// A plan of cuDNN's text. The caller destroys what is in *plan even if this fails.
static cudnnStatus_t revive(const struct fm_cuda_target *target,
    const struct fm_cuda_kept_plan *kept, cudnnBackendDescriptor_t *plan, int64_t *workspace)
{
    const void *device = target->handle ? (const void *)&target->handle
                                        : (const void *)&target->properties;
    int64_t count = 0;
    cudnnStatus_t status = cudnnBackendCreateDescriptor(
        CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, plan);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(*plan,
            target->handle ? CUDNN_ATTR_EXECUTION_PLAN_HANDLE
                           : CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
            target->handle ? CUDNN_TYPE_HANDLE : CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, device);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(*plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
            CUDNN_TYPE_CHAR, (int64_t)kept->size, kept->plan);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendFinalize(*plan);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendGetAttribute(*plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
            CUDNN_TYPE_INT64, 1, &count, workspace);
    return status;
}

// False: there is none that is sound.
static bool take_kept(struct fm_cuda_plans *plans, const char *key, struct fm_cuda_plan *plan)
{
    struct fm_cuda_kept_plan kept;
    int64_t workspace = 0;
    char reason[256] = "";
    if (!fm_cuda_plan_cache_find(plans->cache, key, &kept))
        return false;
    cudnnStatus_t status = revive(&plans->target, &kept, &plan->plan, &workspace);
    if (status != CUDNN_STATUS_SUCCESS)
        snprintf(reason, sizeof reason, "cuDNN: %s", cudnnGetErrorString(status));
    else if (workspace > plans->caps.workspace)
        snprintf(reason, sizeof reason,
            "it wants a workspace of %lld bytes, at most %lld are given", (long long)workspace,
            (long long)plans->caps.workspace);
    if (reason[0]) {
        fm_cuda_plan_cache_refuse(plans->cache, key, reason);
        if (plan->plan)
            (void)cudnnBackendDestroyDescriptor(plan->plan);
        plan->plan = NULL;
        return false;
    }
    snprintf(plan->name, sizeof plan->name, "%s", kept.name);
    plan->workspace = workspace;
    plan->seconds = kept.seconds;
    return true;
}

// An engine whose plan has no text is chosen again by the next start.
static void keep(struct fm_cuda_plans *plans, const char *key, const struct fm_cuda_plan *plan)
{
    int64_t size = 0;
    const cudnnBackendAttributeName_t name = CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION;
    if (!plans->cache ||
        cudnnBackendGetAttribute(plan->plan, name, CUDNN_TYPE_CHAR, 0, &size, NULL) !=
            CUDNN_STATUS_SUCCESS ||
        size <= 0)
        return;
    char *text = malloc((size_t)size);
    if (text && cudnnBackendGetAttribute(plan->plan, name, CUDNN_TYPE_CHAR, size, &size, text) ==
                    CUDNN_STATUS_SUCCESS) {
        const struct fm_cuda_kept_plan kept = {
            plan->name, plan->workspace, plan->seconds, text, (size_t)size};
        fm_cuda_plan_cache_put(plans->cache, key, &kept);
    }
    free(text);
}

// ---- choosing

// What the candidates' times say; without `measured` the first wins, as the heuristics order them.
static enum fm_status choose(struct fm_cuda_plans *plans, const struct fm_cuda_graph_spec *spec,
    const struct fm_cuda_candidate *candidates, int count, bool measured, int *best,
    double *seconds)
{
    double times[CANDIDATES_MAX] = {0};
    *best = 0;
    if (measured) {
        FM_TRY(
            fm_cuda_measure(spec, plans->target.handle, plans->memory, candidates, count, times));
        *best = fm_cuda_measure_best(candidates, times, count);
    }
    if (*best < 0) {
        char key[KEY_BYTES];
        fm_cuda_graph_key(spec, key, sizeof key);
        return fm_fail(
            FM_UNSUPPORTED, "cuDNN: graph %s: none of its %d engines can be run", key, count);
    }
    *seconds = times[*best];
    return FM_OK;
}

static enum fm_status build(struct fm_cuda_plans *plans, const struct fm_cuda_graph_spec *spec,
    bool measured, struct fm_cuda_plan *plan)
{
    enum fm_status status = FM_OK;
    struct fm_cuda_graph *graph = NULL;
    struct fm_cuda_candidate candidates[CANDIDATES_MAX];
    int count = 0, seen = 0, best = 0;
    FM_TRY(fm_cuda_graph_create(spec, plans->target.handle, &graph));
    FM_TRY_GOTO(status,
        fm_cuda_engine_candidates(graph, spec, &plans->target, &plans->caps, !measured, candidates,
            CANDIDATES_MAX, &count, &seen),
        out);
    FM_TRY_GOTO(
        status, choose(plans, spec, candidates, count, measured, &best, &plan->seconds), out);
    struct fm_cuda_candidate *winner = &candidates[best];
    snprintf(plan->name, sizeof plan->name, "%s (%s)", winner->name,
        winner->runtime_compiled ? "runtime-compiled" : "precompiled");
    plan->workspace = winner->workspace;
    plan->plan = winner->plan;
    winner->plan = NULL; // it is the plan's now
out:
    for (int i = 0; i < count; i++) {
        if (candidates[i].plan)
            fm_cuda_candidate_destroy(&candidates[i]);
    }
    fm_cuda_graph_destroy(graph);
    return status;
}

static enum fm_status take_or_build(struct fm_cuda_plans *plans,
    const struct fm_cuda_graph_spec *spec, const char *graph, bool measured,
    struct fm_cuda_plan *plan)
{
    char key[2 * KEY_BYTES];
    cache_key(plans, graph, measured, key, sizeof key);
    if (take_kept(plans, key, plan)) {
        plans->counts.loaded++;
        return FM_OK;
    }
    double start = fm_clock_seconds();
    fm_progress("cuDNN: choosing an engine for %s", graph);
    FM_TRY(build(plans, spec, measured, plan));
    keep(plans, key, plan);
    plans->seconds += fm_clock_seconds() - start;
    plans->counts.built++;
    return FM_OK;
}

// Where a graph's tensors do not fit into what is free beside all else, it is not measured: it may
// still be run, in an arena where its tensors share memory with others.
static enum fm_status make_plan(struct fm_cuda_plans *plans, const struct fm_cuda_graph_spec *spec,
    const char *graph, struct fm_cuda_plan *plan)
{
    plan->spec = *spec;
    if (!plans->measure)
        return take_or_build(plans, spec, graph, false, plan);
    enum fm_status status = take_or_build(plans, spec, graph, true, plan);
    if (status != FM_MEMORY)
        return status;
    if (!plans->shortage_noted)
        fm_note("%s; the first engine that cuDNN names is taken instead", fm_error_message());
    plans->shortage_noted = true;
    fm_error_clear();
    return take_or_build(plans, spec, graph, false, plan);
}

static enum fm_status make_room(struct fm_cuda_plans *plans)
{
    if (plans->count < plans->capacity)
        return FM_OK;
    size_t bytes = (size_t)(plans->capacity + GROWTH) * sizeof(struct entry *);
    struct entry **larger = realloc(plans->entries, bytes);
    if (!larger)
        return fm_fail_memory("the plans of a device", bytes);
    plans->entries = larger;
    plans->capacity += GROWTH;
    return FM_OK;
}

enum fm_status fm_cuda_plans_get(struct fm_cuda_plans *plans, const struct fm_cuda_graph_spec *spec,
    const struct fm_cuda_plan **plan)
{
    char key[KEY_BYTES];
    fm_cuda_graph_key(spec, key, sizeof key);
    for (int i = 0; i < plans->count; i++) {
        if (strcmp(plans->entries[i]->key, key) == 0) {
            *plan = &plans->entries[i]->plan;
            return FM_OK;
        }
    }
    FM_TRY(make_room(plans));
    struct entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return fm_fail_memory("a plan", sizeof *entry);
    snprintf(entry->key, sizeof entry->key, "%s", key);
    enum fm_status status = make_plan(plans, spec, key, &entry->plan);
    if (status != FM_OK) {
        free(entry);
        return status;
    }
    plans->entries[plans->count++] = entry;
    *plan = &entry->plan;
    return FM_OK;
}
