// Times of a program's commands, from events between them.
#include "backend/cuda/profile.h"

#include "base/clock.h"
#include "cuda_kernels.h"

#include <math.h>
#include <stdlib.h>

enum {
    REHEARSALS = 2
};
static const double held = 1.5;      // times what enqueuing took before
static const double held_most = 0.1; // seconds

enum fm_status fm_cuda_profile_create(int count, struct fm_cuda_profile **profile)
{
    struct fm_cuda_profile *p = calloc(1, sizeof *p);
    if (!p)
        return fm_fail_memory("the profile", sizeof *p);
    *profile = p; // freed with its owner on failure, too
    p->count = count;
    p->marks = calloc((size_t)count + 1, sizeof *p->marks);
    p->seconds = calloc((size_t)count, sizeof *p->seconds);
    if (!p->marks || !p->seconds)
        return fm_fail_memory("the profile", ((size_t)count + 1) * sizeof *p->marks);
    for (int i = 0; i <= count; i++)
        FM_CUDA(cudaEventCreate(&p->marks[i]));
    return FM_OK;
}

void fm_cuda_profile_destroy(struct fm_cuda_profile *profile)
{
    if (!profile)
        return;
    for (int i = 0; profile->marks && i <= profile->count; i++)
        if (profile->marks[i])
            (void)cudaEventDestroy(profile->marks[i]);
    free(profile->marks);
    free(profile->seconds);
    free(profile);
}

enum fm_status fm_cuda_profile_begin(
    struct fm_cuda_profile *profile, int first, cudaStream_t stream)
{
    FM_TRY(fm_cuda_profile_collect(profile));
    profile->first = first;
    profile->pending = profile->rehearsed == REHEARSALS;
    profile->begun = fm_clock_seconds();
    if (!profile->pending) {
        profile->rehearsed++;
        return FM_OK;
    }
    double seconds = fmin(held * profile->enqueuing, held_most);
    return FM_CUDA_CALL(fm_launch_hold((unsigned)ceil(1e6 * seconds), stream));
}

enum fm_status fm_cuda_profile_mark(
    struct fm_cuda_profile *profile, int command, cudaStream_t stream)
{
    if (command == profile->count)
        profile->enqueuing = fm_clock_seconds() - profile->begun;
    return FM_CUDA_CALL(cudaEventRecord(profile->marks[command], stream));
}

enum fm_status fm_cuda_profile_collect(struct fm_cuda_profile *profile)
{
    if (!profile->pending)
        return FM_OK;
    profile->pending = false;
    FM_CUDA(cudaEventSynchronize(profile->marks[profile->count]));
    for (int i = profile->first; i < profile->count; i++) {
        float milliseconds = 0;
        FM_CUDA(cudaEventElapsedTime(&milliseconds, profile->marks[i], profile->marks[i + 1]));
        profile->seconds[i] += (double)milliseconds / 1000.0;
    }
    profile->runs++;
    return FM_OK;
}
