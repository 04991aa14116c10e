// Near duplicates are looked for before the folds are made: a network that was trained on one of
// two copies has as good as seen the other, and would stand by a wrong label that both have.
#include "app/audit/auditing_parts.h"

#include "base/clock.h"
#include "base/log.h"
#include "data/folds.h"
#include "data/units.h"

#include <stdlib.h>
#include <string.h>

// What comes of the pairs, one by one: there may be more of them than are kept.
struct search {
    struct fm_auditing *all;
    uint32_t total;          // training and test images
    const uint8_t **records; // [total]
    uint8_t *parts;          // [total] enum fm_audit_part
    uint8_t *labels;         // [total] in the files
    uint8_t *seen;           // [total] a bit for each part that the image has a near duplicate in
};

// ---- Counting

static void count_pair(
    struct fm_audit_overlap *overlap, const struct fm_near_pair *pair, bool conflict)
{
    overlap->pairs++;
    overlap->identical += pair->identical;
    overlap->mirrored += pair->mirrored;
    overlap->conflicts += conflict;
}

static void on_pair(void *context, const struct fm_near_pair *pair)
{
    struct search *s = context;
    struct fm_audit *audit = s->all->audit;
    uint8_t a = s->parts[pair->a], b = s->parts[pair->b];
    bool conflict = s->labels[pair->a] != s->labels[pair->b];
    count_pair(&audit->overlaps[a < b ? a : b][a < b ? b : a], pair, conflict);
    count_pair(&audit->overlap, pair, conflict);
    s->seen[pair->a] |= (uint8_t)(1 << b);
    s->seen[pair->b] |= (uint8_t)(1 << a);
    if (pair->b < audit->count) // test images lead from no training image to another
        fm_units_join(s->all->unit, pair->a, pair->b);
}

static void count_images(struct fm_audit *audit, const struct search *s)
{
    const int not_test = 1 << FM_AUDIT_TRAIN | 1 << FM_AUDIT_SELECT | 1 << FM_AUDIT_CALIBRATE;
    for (uint32_t i = 0; i < s->total; i++) {
        for (int other = 0; other <= s->parts[i]; other++)
            audit->overlaps[other][s->parts[i]].images += s->seen[i] >> other & 1;
        audit->leaked += s->parts[i] == FM_AUDIT_TEST && s->seen[i] & not_test;
    }
}

// ---- The search

static enum fm_status on_progress(void *context, uint32_t done, uint32_t total)
{
    const struct search *s = context;
    const struct fm_audit_hooks *hooks = &s->all->options->hooks;
    if (hooks->near)
        hooks->near(hooks->context, done, total);
    return fm_audit_check_interrupt(s->all->options, "looking for near duplicates");
}

static enum fm_status prepare(struct search *s)
{
    struct fm_audit *audit = s->all->audit;
    s->records = malloc(s->total * sizeof *s->records);
    s->parts = malloc(s->total);
    s->labels = malloc(s->total);
    s->seen = calloc(s->total, 1);
    s->all->unit = malloc(audit->count * sizeof *s->all->unit);
    if (!s->records || !s->parts || !s->labels || !s->seen || !s->all->unit)
        return fm_fail_memory("the images", s->total * sizeof *s->records);
    for (uint32_t i = 0; i < s->total; i++) {
        struct fm_audit_image image = fm_audit_image(audit, i);
        s->records[i] = image.record;
        s->parts[i] = (uint8_t)image.part;
        s->labels[i] = image.label;
    }
    fm_units_begin(s->all->unit, audit->count);
    return FM_OK;
}

static enum fm_status find(struct search *s)
{
    struct fm_audit *audit = s->all->audit;
    const struct fm_near_options options = {.distance = FM_NEAR_DISTANCE,
        .mirrored = true,
        .shift = 1,
        .progress = on_progress,
        .found = on_pair,
        .context = s};
    FM_TRY(prepare(s));
    double start = fm_clock_seconds();
    FM_TRY(fm_near_find(s->records, s->total, &options, &audit->near));
    audit->near_seconds = fm_clock_seconds() - start;
    fm_units_settle(s->all->unit, audit->count);
    count_images(audit, s);
    return FM_OK;
}

enum fm_status fm_audit_find_duplicates(struct fm_auditing *a)
{
    struct search s = {.all = a, .total = a->audit->count + a->audit->dataset->test.count};
    enum fm_status status = find(&s);
    free(s.seen);
    free(s.labels);
    free(s.parts);
    free(s.records);
    return status;
}

// ---- Folds

// Of the class that is spread worst, where a fold has more than twice its share of it: as many near
// duplicates lead from one to another.
static void warn_of_uneven(const struct fm_audit *audit)
{
    uint32_t sizes[FM_FOLDS_MAX][FM_CLASSES_MAX] = {0}, given[FM_CLASSES_MAX] = {0};
    double worst = 2;
    int fold = -1, class = 0;
    for (uint32_t i = 0; i < audit->count; i++) {
        sizes[audit->fold[i]][audit->labels[i]]++;
        given[audit->labels[i]]++;
    }
    for (int k = 0; k < audit->folds; k++)
        for (int c = 0; c < audit->classes; c++) {
            uint32_t share = (given[c] + (uint32_t)audit->folds - 1) / (uint32_t)audit->folds;
            if (sizes[k][c] > worst * share) {
                worst = (double)sizes[k][c] / share;
                fold = k;
                class = c;
            }
        }
    if (fold >= 0)
        fm_warn("fold %d has %u of the %u images labelled \"%s\", since so many lead as near "
                "duplicates from one to another: the network that judges them has seen few others",
            fold + 1, (unsigned)sizes[fold][class], (unsigned)given[class],
            audit->dataset->class_names[class]);
}

enum fm_status fm_audit_keep_together(struct fm_auditing *a)
{
    struct fm_audit *audit = a->audit;
    uint8_t *together = malloc(audit->count);
    if (!together)
        return fm_fail_memory("the folds", audit->count);
    enum fm_status status = fm_folds_make(
        audit->labels, audit->count, audit->classes, a->unit, audit->folds, audit->seed, together);
    if (status == FM_OK && a->from_before && memcmp(together, audit->fold, audit->count) != 0)
        status = fm_fail(FM_EXISTS,
            "%s: holds folds of an earlier version, which had near duplicates in several folds "
            "(\"format\" 1 in " FM_AUDIT_FOLDS
            "); --force replaces them, --out DIR takes another folder",
            audit->directory);
    if (status == FM_OK) {
        memcpy(audit->fold, together, audit->count);
        warn_of_uneven(audit);
    }
    free(together);
    return status;
}
