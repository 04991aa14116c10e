// Both sets become one table of values, a row a test, and everything is computed from that.
#include "app/drift/drifting.h"

#include "app/drift/drift_distance.h"
#include "eval/drift/permutation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t permutation_seed = 1;

const char *const fm_drift_kind_keys[] = {"outputs", "images", "class_shares", NULL};
const char *const fm_drift_kind_names[] = {"outputs", "images", "class shares", NULL};

// Rows: a class's probability each, the confidence, the images' statistics.
struct table {
    const struct fm_drift_options *options;
    uint32_t reference, count; // the reference's images come first
    size_t images;             // both
    int rows;
    float *values;            // [rows][images]
    uint8_t *predicted;       // [images]
    struct fm_pooled *pooled; // [rows]
};

static float *row_of(const struct table *t, int row)
{
    return t->values + (size_t)row * t->images;
}

// ---- The table

static void table_free(struct table *t)
{
    for (int k = 0; t->pooled && k < t->rows; k++)
        fm_pooled_free(&t->pooled[k]);
    free(t->pooled);
    free(t->values);
    free(t->predicted);
}

static enum fm_status table_allocate(struct table *t)
{
    size_t bytes = (size_t)t->rows * t->images * sizeof *t->values;
    t->values = malloc(bytes);
    t->predicted = malloc(t->images);
    t->pooled = calloc((size_t)t->rows, sizeof *t->pooled);
    return t->values && t->predicted && t->pooled ? FM_OK : fm_fail_memory("drift tests", bytes);
}

static void add_image(
    struct table *t, size_t column, const uint8_t *record, const float *probabilities)
{
    float statistics[FM_IMAGE_STATISTICS];
    int classes = t->options->classes, best = 0;
    for (int k = 0; k < classes; k++) {
        row_of(t, k)[column] = probabilities[k];
        best = probabilities[k] > probabilities[best] ? k : best;
    }
    t->predicted[column] = (uint8_t)best;
    row_of(t, classes)[column] = probabilities[best];
    fm_image_statistics(record, statistics);
    for (int k = 0; k < FM_IMAGE_STATISTICS; k++)
        row_of(t, classes + 1 + k)[column] = statistics[k];
}

static void add_set(struct table *t, size_t column, const struct fm_drift_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        add_image(t, column + i, set->records + i * FM_IMAGE_BYTES,
            set->probabilities + i * (size_t)t->options->classes);
}

static enum fm_status pool_rows(struct table *t)
{
    for (int k = 0; k < t->rows; k++) {
        fm_pooled_free(&t->pooled[k]);
        FM_TRY(fm_pooled_make(row_of(t, k), t->reference, t->count, &t->pooled[k]));
    }
    return FM_OK;
}

// ---- Each test by itself

static enum fm_status name_test(const struct table *t, int row, struct fm_drift_test *test)
{
    int classes = t->options->classes;
    struct fm_text name = {0};
    test->kind = row <= classes  ? FM_DRIFT_OUTPUTS
                 : row < t->rows ? FM_DRIFT_IMAGES
                                 : FM_DRIFT_SHARES;
    if (row < classes)
        fm_text_append(&name, "p(%s)", t->options->class_names[row]);
    else if (row == classes)
        fm_text_append(&name, "confidence");
    else if (row < t->rows)
        fm_text_append(&name, "%s", fm_image_statistic_names[row - classes - 1]);
    else
        fm_text_append(&name, "class shares");
    test->name = name.data; // goes over to the test
    return name.failed ? fm_fail(FM_MEMORY, "drift tests: out of memory") : FM_OK;
}

static double mean(const float *values, uint32_t count)
{
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += values[i];
    return sum / count;
}

static enum fm_status test_row(
    const struct table *t, const uint8_t *of_reference, int row, struct fm_drift_test *test)
{
    const float *values = row_of(t, row);
    int64_t scaled = fm_ks_scaled(&t->pooled[row], of_reference);
    test->statistic = (double)scaled / t->reference / t->count;
    test->effect = fm_mean_shift(values, t->reference, values + t->reference, t->count);
    test->reference = mean(values, t->reference);
    test->seen = mean(values + t->reference, t->count);
    return fm_ks_p(&t->pooled[row], scaled, &test->p);
}

static void test_shares(const struct table *t, struct fm_drift *drift, struct fm_drift_test *test)
{
    int degrees_of_freedom;
    for (size_t i = 0; i < t->images; i++)
        (i < t->reference ? drift->reference_classes : drift->seen_classes)[t->predicted[i]]++;
    test->statistic = fm_chi_square(
        drift->reference_classes, drift->seen_classes, drift->classes, &degrees_of_freedom);
    test->p = fm_chi_square_tail(test->statistic, degrees_of_freedom);
    test->effect = fm_total_variation(
        drift->reference_classes, drift->seen_classes, drift->classes);
    test->reference = test->seen = NAN;
}

static enum fm_status test_each(const struct table *t, struct fm_drift *drift)
{
    uint8_t *of_reference = calloc(t->images, 1);
    enum fm_status status = FM_OK;
    if (!of_reference)
        return fm_fail_memory("drift tests", t->images);
    memset(of_reference, 1, t->reference);
    for (int k = 0; k < drift->test_count && status == FM_OK; k++) {
        struct fm_drift_test *test = &drift->tests[k];
        status = name_test(t, k, test);
        if (k == t->rows)
            test_shares(t, drift, test);
        else if (status == FM_OK)
            status = test_row(t, of_reference, k, test);
        test->within = NAN;
        test->bonferroni = fmin(1, test->p * drift->test_count);
    }
    free(of_reference);
    return status;
}

// ---- All of them

static enum fm_status correct(const struct table *t, const struct fm_family *family,
    double *corrected, uint32_t *permutations)
{
    const struct fm_permutation_options options = {.level = t->options->level,
        .seed = permutation_seed,
        .progress = t->options->progress,
        .context = t->options->context};
    return fm_permutation_test(family, &options, corrected, permutations);
}

static enum fm_status test_family(const struct table *t, double *corrected, struct fm_drift *drift)
{
    const struct fm_family family = {
        t->reference, t->count, t->pooled, t->rows, t->predicted, drift->classes, NULL};
    FM_TRY(correct(t, &family, corrected, &drift->permutations));
    for (int k = 0; k < drift->test_count; k++) {
        struct fm_drift_test *test = &drift->tests[k];
        test->corrected = corrected[k];
        test->drifted = corrected[k] <= drift->level;
        drift->kinds[test->kind] |= test->drifted;
        drift->drifted |= test->drifted;
    }
    return FM_OK;
}

// Of the values of one class: where each stands among them, 0 to 1, tied ones in the middle.
// `order` is the row's pooled order.
static void rank_class(const struct table *t, const struct fm_pooled *pooled, int class, float *row)
{
    uint32_t size = 0, seen = 0, tied = 0;
    for (size_t i = 0; i < t->images; i++)
        size += t->predicted[i] == class;
    for (size_t i = 0, begin = 0; i < t->images; i++) {
        tied += t->predicted[pooled->order[i]] == class;
        if (!pooled->ends[i])
            continue;
        for (size_t k = begin; k <= i; k++)
            if (t->predicted[pooled->order[k]] == class)
                row[pooled->order[k]] = (float)(seen + (tied + 1) / 2.0) / (float)(size + 1);
        seen += tied;
        tied = 0;
        begin = i + 1;
    }
}

// The values are overwritten: nothing else needs them any more.
static enum fm_status test_within(struct table *t, double *corrected, struct fm_drift *drift)
{
    for (int k = 0; k < t->rows; k++)
        for (int c = 0; c < drift->classes; c++)
            rank_class(t, &t->pooled[k], c, row_of(t, k));
    FM_TRY(pool_rows(t));
    const struct fm_family family = {
        t->reference, t->count, t->pooled, t->rows, NULL, 0, t->predicted};
    FM_TRY(correct(t, &family, corrected, &drift->within_permutations));
    for (int k = 0; k < t->rows; k++) {
        drift->tests[k].within = corrected[k];
        drift->within[drift->tests[k].kind] |= corrected[k] <= drift->level;
    }
    return FM_OK;
}

static enum fm_status list_images(const struct table *t, struct fm_drift *drift)
{
    const float *features[FM_DRIFT_FEATURES];
    drift->images = calloc(t->count, sizeof *drift->images);
    if (!drift->images)
        return fm_fail_memory("the images' distances", t->count * sizeof *drift->images);
    for (uint32_t i = 0; i < t->count; i++)
        drift->images[i] = (struct fm_drift_image){.index = i,
            .predicted = t->predicted[t->reference + i],
            .confidence = row_of(t, drift->classes)[t->reference + i]};
    for (int k = 0; k < FM_IMAGE_STATISTICS; k++)
        features[k] = row_of(t, drift->classes + 1 + k);
    features[FM_IMAGE_STATISTICS] = row_of(t, drift->classes);
    return fm_drift_distances(features, t->predicted, t->reference, t->count, drift->images);
}

static enum fm_status compare(struct table *t, struct fm_drift *drift)
{
    enum fm_status status;
    drift->tests = calloc((size_t)drift->test_count, sizeof *drift->tests);
    double *corrected = calloc((size_t)drift->test_count, sizeof *corrected);
    if (!drift->tests || !corrected) {
        free(corrected);
        return fm_fail_memory("drift tests", (size_t)drift->test_count * sizeof *drift->tests);
    }
    FM_TRY_GOTO(status, pool_rows(t), out);
    FM_TRY_GOTO(status, test_each(t, drift), out);
    FM_TRY_GOTO(status, list_images(t, drift), out);
    FM_TRY_GOTO(status, test_family(t, corrected, drift), out);
    if (drift->kinds[FM_DRIFT_SHARES])
        FM_TRY_GOTO(status, test_within(t, corrected, drift), out);
out:
    free(corrected);
    return status;
}

// A test permutes which set an image is of: few of either leave too few ways to do that.
static enum fm_status check_counts(uint32_t reference, uint32_t seen)
{
    if (seen < FM_DRIFT_LEAST)
        return fm_fail(FM_DATA,
            "%u images, expected at least %d: fewer show no drift but the "
            "grossest; bring more",
            seen, FM_DRIFT_LEAST);
    if (reference < FM_DRIFT_LEAST)
        return fm_fail(FM_DATA,
            "%u calibration images, expected at least %d: against fewer no drift shows but the "
            "grossest; take a run of more training images, of which a twentieth is held out for "
            "this",
            reference, FM_DRIFT_LEAST);
    return FM_OK;
}

enum fm_status fm_drift_compare(const struct fm_drift_set *reference,
    const struct fm_drift_set *seen, const struct fm_drift_options *options, struct fm_drift *drift)
{
    struct table t = {.options = options,
        .reference = reference->count,
        .count = seen->count,
        .images = (size_t)reference->count + seen->count,
        .rows = options->classes + 1 + FM_IMAGE_STATISTICS};
    *drift = (struct fm_drift){.classes = options->classes,
        .reference = reference->count,
        .count = seen->count,
        .level = options->level,
        .test_count = t.rows + 1};
    FM_TRY(check_counts(reference->count, seen->count));
    enum fm_status status = table_allocate(&t);
    if (status == FM_OK) {
        add_set(&t, 0, reference);
        add_set(&t, reference->count, seen);
        status = compare(&t, drift);
    }
    table_free(&t);
    if (status != FM_OK)
        fm_drift_free(drift);
    return status;
}

void fm_drift_free(struct fm_drift *drift)
{
    for (int k = 0; drift->tests && k < drift->test_count; k++)
        free(drift->tests[k].name);
    free(drift->tests);
    free(drift->images);
    *drift = (struct fm_drift){0};
}

// ---- The answer

uint32_t fm_drift_incomparable(const struct fm_drift *drift)
{
    uint64_t count = 0;
    for (int k = 0; k < drift->classes; k++)
        if (drift->reference_classes[k] < FM_DRIFT_LEAST)
            count += drift->seen_classes[k];
    return (uint32_t)count;
}

bool fm_drift_within_known(const struct fm_drift *drift)
{
    uint32_t comparable = drift->count - fm_drift_incomparable(drift);
    return comparable >= FM_DRIFT_LEAST && comparable >= drift->count - comparable;
}

static void append_kinds(const bool kinds[FM_DRIFT_KINDS], struct fm_text *out)
{
    int left = 0;
    for (int k = 0; k < FM_DRIFT_KINDS; k++)
        left += kinds[k];
    for (int k = 0, said = 0; k < FM_DRIFT_KINDS; k++)
        if (kinds[k]) {
            fm_text_append(out, "%s%s",
                said == 0   ? ""
                : left == 1 ? " and "
                            : ", ",
                fm_drift_kind_names[k]);
            said++;
            left--;
        }
}

static void append_within(const struct fm_drift *drift, struct fm_text *out)
{
    uint32_t incomparable = fm_drift_incomparable(drift);
    bool known = fm_drift_within_known(drift);
    if (drift->within[FM_DRIFT_OUTPUTS] || drift->within[FM_DRIFT_IMAGES]) {
        fm_text_append(out, "; within the classes, too, in ");
        append_kinds(drift->within, out);
        return;
    }
    fm_text_append(out, known ? "; within the classes there is none: the mix of classes has changed"
                              : "; whether within the classes, too, cannot be told");
    if (incomparable > 0)
        fm_text_append(out,
            "%s %u of %u images are given classes of fewer than %d calibration "
            "images",
            known ? ", but" : ":", incomparable, drift->count, FM_DRIFT_LEAST);
}

void fm_drift_verdict(const struct fm_drift *drift, struct fm_text *out)
{
    if (!drift->drifted) {
        fm_text_append(out, "no drift: the images look like the calibration images");
    } else {
        fm_text_append(out, "drift in ");
        append_kinds(drift->kinds, out);
    }
    if (drift->within_permutations)
        append_within(drift, out);
    if (drift->count < FM_DRIFT_FEW)
        fm_text_append(out, "; %u images show little", drift->count);
    if (drift->reference < FM_DRIFT_FEW)
        fm_text_append(out, "; %u calibration images show little", drift->reference);
}
