// The counting of confident learning and its pruning rules stand here alone, without a network, so
// that they can be held against a reference and against data of known noise.
#include "eval/audit/confident.h"

#include "data/dataset.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const char *const fm_prune_names[] = {"confusion", "joint", "class", "noise-rate", "both", NULL};
const char *const fm_rank_names[] = {"self-confidence", "margin", NULL};

// ---- Counting

static enum fm_status check(
    const float *probabilities, const uint8_t *labels, uint32_t count, int classes)
{
    if (classes < 2 || classes > FM_CLASSES_MAX || count == 0)
        return fm_fail(FM_DATA,
            "found %" PRIu32 " samples of %d classes, expected at least 1 of 2 to %d", count,
            classes, FM_CLASSES_MAX);
    for (uint32_t x = 0; x < count; x++) {
        if (labels[x] >= classes)
            return fm_fail(FM_DATA, "sample %" PRIu32 " has the label %d, expected 0 to %d", x,
                labels[x], classes - 1);
        for (int j = 0; j < classes; j++) {
            float p = probabilities[(size_t)x * (size_t)classes + (size_t)j];
            if (!(p >= 0 && p <= 1))
                return fm_fail(FM_NUMERIC,
                    "sample %" PRIu32 ": found the probability %g of class %d, expected 0 to 1", x,
                    (double)p, j);
        }
    }
    return FM_OK;
}

static enum fm_status allocate(struct fm_confident *c)
{
    size_t m = (size_t)c->classes, cells = m * m;
    c->given = calloc(m, sizeof *c->given);
    c->thresholds = calloc(m, sizeof *c->thresholds);
    c->counts = calloc(cells, sizeof *c->counts);
    c->joint = calloc(cells, sizeof *c->joint);
    c->confidently = malloc(c->count * sizeof *c->confidently);
    if (c->given && c->thresholds && c->counts && c->joint && c->confidently)
        return FM_OK;
    fm_confident_free(c);
    return fm_fail_memory("the confident joint", cells * sizeof *c->joint);
}

static void take_thresholds(
    struct fm_confident *c, const float *probabilities, const uint8_t *labels)
{
    for (uint32_t x = 0; x < c->count; x++) {
        c->given[labels[x]]++;
        c->thresholds[labels[x]] +=
            (double)probabilities[(size_t)x * (size_t)c->classes + labels[x]];
    }
    for (int j = 0; j < c->classes; j++)
        c->thresholds[j] = c->given[j] ? c->thresholds[j] / c->given[j] : NAN;
}

// The largest probability among the classes that reach their threshold. A class that nobody was
// given has none (NaN) and is never reached.
static int count_for(const struct fm_confident *c, const float *row)
{
    int best = -1;
    for (int j = 0; j < c->classes; j++)
        if ((double)row[j] >= c->thresholds[j] && (best < 0 || row[j] > row[best]))
            best = j;
    return best;
}

static void count_all(struct fm_confident *c, const float *probabilities, const uint8_t *labels)
{
    for (uint32_t x = 0; x < c->count; x++) {
        int j = count_for(c, probabilities + (size_t)x * (size_t)c->classes);
        c->confidently[x] = (int16_t)j;
        if (j < 0)
            c->uncounted++;
        else
            c->counts[(size_t)labels[x] * (size_t)c->classes + (size_t)j]++;
    }
}

static void calibrate(struct fm_confident *c)
{
    size_t m = (size_t)c->classes;
    double off = 0;
    for (size_t i = 0; i < m; i++) {
        uint64_t row = 0;
        double share = (double)c->given[i] / c->count;
        for (size_t j = 0; j < m; j++)
            row += c->counts[i * m + j];
        if (row == 0)
            c->joint[i * m + i] = share;
        for (size_t j = 0; j < m && row > 0; j++)
            c->joint[i * m + j] = (double)c->counts[i * m + j] / (double)row * share;
        for (size_t j = 0; j < m; j++)
            off += i == j ? 0 : c->joint[i * m + j];
    }
    c->noise = off;
}

enum fm_status fm_confident_count(const float *probabilities, const uint8_t *labels, uint32_t count,
    int classes, struct fm_confident *c)
{
    *c = (struct fm_confident){.classes = classes, .count = count};
    FM_TRY(check(probabilities, labels, count, classes));
    FM_TRY(allocate(c));
    take_thresholds(c, probabilities, labels);
    count_all(c, probabilities, labels);
    calibrate(c);
    return FM_OK;
}

void fm_confident_free(struct fm_confident *c)
{
    free(c->given);
    free(c->thresholds);
    free(c->counts);
    free(c->joint);
    free(c->confidently);
    *c = (struct fm_confident){0};
}

// ---- Ranking

uint8_t fm_confident_suggest(const float *row, int classes, uint8_t label)
{
    int best = label == 0 ? 1 : 0;
    for (int j = best + 1; j < classes; j++)
        if (j != label && row[j] > row[best])
            best = j;
    return (uint8_t)best;
}

double fm_confident_score(const float *row, int classes, uint8_t label, enum fm_rank rank)
{
    if (rank == FM_RANK_SELF_CONFIDENCE)
        return (double)row[label];
    return (double)row[label] - (double)row[fm_confident_suggest(row, classes, label)];
}

struct scored {
    double score;
    uint32_t sample;
};

static int by_score(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return x->sample < y->sample ? -1 : x->sample > y->sample;
}

static struct scored *new_scores(uint32_t count)
{
    struct scored *scores = malloc((count ? count : 1) * sizeof *scores);
    if (!scores)
        fm_fail_memory("the scores of samples", count * sizeof *scores);
    return scores;
}

enum fm_status fm_confident_order(const float *probabilities, const uint8_t *labels, uint32_t count,
    int classes, enum fm_rank rank, uint32_t *order)
{
    struct scored *scores = new_scores(count);
    if (!scores)
        return FM_MEMORY;
    for (uint32_t x = 0; x < count; x++)
        scores[x] = (struct scored){fm_confident_score(probabilities + (size_t)x * (size_t)classes,
                                        classes, labels[x], rank),
            x};
    qsort(scores, count, sizeof *scores, by_score);
    for (uint32_t x = 0; x < count; x++)
        order[x] = scores[x].sample;
    free(scores);
    return FM_OK;
}

// ---- Pruning

// Of the `count` scores the `most` least ones get `mark` set in `found`.
static void mark_least(
    struct scored *scores, uint32_t count, double most, uint8_t mark, uint8_t *found)
{
    uint32_t marked = (uint32_t)fmin(floor(most + 0.5), count);
    qsort(scores, count, sizeof *scores, by_score);
    for (uint32_t k = 0; k < marked; k++)
        found[scores[k].sample] |= mark;
}

// What of row i of Q lies beside the diagonal, in samples.
static double wrong_of_class(const struct fm_confident *c, int i)
{
    const double *row = c->joint + (size_t)i * (size_t)c->classes;
    double sum = 0;
    for (int j = 0; j < c->classes; j++)
        sum += j == i ? 0 : row[j];
    return sum * c->count;
}

static void prune_class(const struct fm_confident *c, const float *probabilities,
    const uint8_t *labels, int i, uint8_t mark, struct scored *scores, uint8_t *found)
{
    uint32_t count = 0;
    for (uint32_t x = 0; x < c->count; x++)
        if (labels[x] == i)
            scores[count++] = (struct scored){
                (double)probabilities[(size_t)x * (size_t)c->classes + (size_t)i], x};
    mark_least(scores, count, wrong_of_class(c, i), mark, found);
}

static void prune_pair(const struct fm_confident *c, const float *probabilities,
    const uint8_t *labels, int i, int j, uint8_t mark, struct scored *scores, uint8_t *found)
{
    double most = c->joint[(size_t)i * (size_t)c->classes + (size_t)j] * c->count;
    uint32_t count = 0;
    for (uint32_t x = 0; x < c->count && most > 0; x++) {
        const float *row = probabilities + (size_t)x * (size_t)c->classes;
        if (labels[x] == i)
            scores[count++] = (struct scored){(double)row[i] - (double)row[j], x};
    }
    mark_least(scores, count, most, mark, found);
}

enum {
    BY_CLASS = 1,
    BY_NOISE_RATE = 2
};

// The rules that prune by numbers: bits of `found`.
static enum fm_status prune(const struct fm_confident *c, const float *probabilities,
    const uint8_t *labels, uint8_t rules, uint8_t *found)
{
    struct scored *scores = new_scores(c->count);
    if (!scores)
        return FM_MEMORY;
    for (int i = 0; i < c->classes; i++) {
        if (rules & BY_CLASS)
            prune_class(c, probabilities, labels, i, BY_CLASS, scores, found);
        for (int j = 0; j < c->classes && rules & BY_NOISE_RATE; j++)
            if (j != i)
                prune_pair(c, probabilities, labels, i, j, BY_NOISE_RATE, scores, found);
    }
    free(scores);
    return FM_OK;
}

// Whether another class has a larger probability than the given one.
static bool contradicted(const float *row, int classes, uint8_t label)
{
    return row[fm_confident_suggest(row, classes, label)] > row[label];
}

enum fm_status fm_confident_find(const struct fm_confident *c, const float *probabilities,
    const uint8_t *labels, enum fm_prune rule, uint8_t *found)
{
    static const uint8_t wanted[FM_PRUNES] = {[FM_PRUNE_CLASS] = BY_CLASS,
        [FM_PRUNE_NOISE_RATE] = BY_NOISE_RATE,
        [FM_PRUNE_BOTH] = BY_CLASS | BY_NOISE_RATE};
    memset(found, 0, c->count);
    if (wanted[rule])
        FM_TRY(prune(c, probabilities, labels, wanted[rule], found));
    for (uint32_t x = 0; x < c->count; x++) {
        bool taken = found[x] == wanted[rule];
        if (rule == FM_PRUNE_JOINT)
            taken = c->confidently[x] >= 0 && c->confidently[x] != labels[x];
        const float *row = probabilities + (size_t)x * (size_t)c->classes;
        found[x] = taken && contradicted(row, c->classes, labels[x]);
    }
    return FM_OK;
}
