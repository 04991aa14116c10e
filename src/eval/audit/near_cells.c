// Descriptions kept so that a query meets few of them: near_parts.h says why none is missed.
#include "eval/audit/near_parts.h"

#include <math.h>
#include <stdlib.h>

static enum fm_status allocate(struct fm_near_cells *c, uint32_t count)
{
    size_t n = count ? count : 1;
    c->pivots = malloc(n * sizeof *c->pivots);
    c->starts = calloc(n + 1, sizeof *c->starts);
    c->members = malloc(n * sizeof *c->members);
    c->packed = malloc(n * sizeof *c->packed);
    if (c->pivots && c->starts && c->members && c->packed)
        return FM_OK;
    return fm_fail_memory("cells of images", n * sizeof *c->packed);
}

void fm_near_cells_free(struct fm_near_cells *c)
{
    free(c->packed);
    free(c->members);
    free(c->starts);
    free(c->pivots);
    *c = (struct fm_near_cells){0};
}

static uint32_t nearest_pivot(const struct fm_near_cells *c, uint32_t image, float *distance)
{
    uint32_t best = 0;
    double least = INFINITY;
    for (uint32_t p = 0; p < c->pivot_count; p++) {
        double squared = fm_near_apart(&c->descriptions[image], &c->descriptions[c->pivots[p]]);
        if (squared < least) {
            least = squared;
            best = p;
        }
    }
    *distance = (float)sqrt(least);
    return best;
}

static int by_distance(const void *a, const void *b)
{
    const struct fm_near_member *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return x->image < y->image ? -1 : x->image > y->image;
}

// `cell`, `distance` [count]: of each image, its cell and how far it is from the pivot.
static void fill(struct fm_near_cells *c, const uint32_t *images, uint32_t count, uint32_t *cell,
    float *distance)
{
    for (uint32_t i = 0; i < count; i++) {
        cell[i] = nearest_pivot(c, images[i], &distance[i]);
        c->starts[cell[i] + 1]++;
    }
    for (uint32_t p = 0; p < c->pivot_count; p++)
        c->starts[p + 1] += c->starts[p];
    for (uint32_t i = 0; i < count; i++) // each start moves up to the next one's place
        c->members[c->starts[cell[i]]++] = (struct fm_near_member){distance[i], images[i]};
    for (uint32_t p = c->pivot_count; p > 0; p--)
        c->starts[p] = c->starts[p - 1];
    c->starts[0] = 0;
    for (uint32_t p = 0; p < c->pivot_count; p++)
        qsort(c->members + c->starts[p], c->starts[p + 1] - c->starts[p], sizeof *c->members,
            by_distance);
    for (uint32_t k = 0; k < count; k++)
        c->packed[k] = c->descriptions[c->members[k].image];
}

// Every so-manieth image is a pivot: about as many as there are images in a cell then.
enum fm_status fm_near_cells_make(const struct fm_near_description *descriptions,
    const uint32_t *images, uint32_t count, struct fm_near_cells *c)
{
    *c = (struct fm_near_cells){.descriptions = descriptions};
    FM_TRY(allocate(c, count));
    uint32_t step = (uint32_t)ceil(sqrt(count));
    for (uint32_t i = 0; i < count; i += step)
        c->pivots[c->pivot_count++] = images[i];
    uint32_t *cell = malloc((count ? count : 1) * sizeof *cell);
    float *distance = malloc((count ? count : 1) * sizeof *distance);
    if (cell && distance)
        fill(c, images, count, cell, distance);
    enum fm_status status = cell && distance ? FM_OK
                                             : fm_fail_memory("cells", count * sizeof *cell);
    free(distance);
    free(cell);
    return status;
}

// The first member from `low` to `high` that is not nearer to its pivot than `distance`.
static uint32_t first_from(
    const struct fm_near_cells *c, uint32_t low, uint32_t high, double distance)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if ((double)c->members[middle].distance < distance)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

enum fm_status fm_near_cells_visit(const struct fm_near_cells *c,
    const struct fm_near_description *query, double distance, uint32_t before,
    enum fm_status (*visit)(void *context, uint32_t image), void *context)
{
    double within = distance + FM_NEAR_SLACK, squared = within * within;
    for (uint32_t p = 0; p < c->pivot_count; p++) {
        uint32_t end = c->starts[p + 1];
        double to_pivot = sqrt(fm_near_apart(query, &c->descriptions[c->pivots[p]]));
        if (c->starts[p] == end || (double)c->members[end - 1].distance < to_pivot - within)
            continue;
        for (uint32_t k = first_from(c, c->starts[p], end, to_pivot - within);
             k < end && (double)c->members[k].distance <= to_pivot + within; k++)
            if (c->members[k].image < before && fm_near_apart(query, &c->packed[k]) <= squared)
                FM_TRY(visit(context, c->members[k].image));
    }
    return FM_OK;
}
