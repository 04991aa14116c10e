// What labelling is worth, on images that had no part in it: the test images, whose labels are
// looked at here and nowhere before.
#include "app/label/labelling_parts.h"

#include "app/data_label.h"
#include "base/file.h"
#include "report/charts/chart.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum {
    CURVE_POINTS = 200
};

static void add(struct fm_label_count *count, bool taken, bool right)
{
    count->predicted++;
    count->taken += taken;
    count->right += taken && right;
}

enum fm_status fm_labelling_measure(struct fm_labelling *l, const struct fm_dataset *dataset)
{
    if (l->options.out)
        FM_TRY(fm_charts_load());
    struct fm_label_measure *m = &l->measure;
    const struct fm_samples *test = &dataset->test;
    FM_TRY(fm_labelling_guess(l, "measuring", test->records, NULL, test->count, &m->guesses));
    m->count = test->count;
    m->labels = test->labels;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct fm_guess *guess = &m->guesses[i];
        bool taken = fm_selective_takes(&l->selective, guess);
        add(&m->all, taken, guess->best == m->labels[i]);
        add(&m->classes[guess->best], taken, guess->best == m->labels[i]);
    }
    return FM_OK;
}

// ---- Table

static void add_row(const struct fm_labelling *l, struct fm_table *table, const char *name,
    const struct fm_label_count *c)
{
    struct fm_interval interval = fm_binomial_interval(c->right, c->taken, l->options.confidence);
    double share = c->predicted ? (double)c->taken / c->predicted : 0;
    fm_table_cell(table, json_string(name), "%s", name);
    fm_table_cell(table, json_integer(c->predicted), "%" PRIu32, c->predicted);
    fm_table_cell(table, json_integer(c->taken), "%" PRIu32, c->taken);
    fm_table_cell(table, json_real(share), "%.1f %%", 100 * share);
    fm_table_cell(table, json_integer(c->taken - c->right), "%" PRIu32, c->taken - c->right);
    if (c->taken == 0) {
        for (int i = 0; i < 3; i++)
            fm_table_cell(table, NULL, "-");
        return;
    }
    double precision = (double)c->right / c->taken;
    fm_table_cell(table, json_real(precision), "%.2f %%", 100 * precision);
    fm_table_cell(table, json_real(interval.low), "%.2f %%", 100 * interval.low);
    fm_table_cell(table, json_real(interval.high), "%.2f %%", 100 * interval.high);
}

enum fm_status fm_labelling_measured(const struct fm_labelling *l, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"class", "given the class", false},
        {"predicted", "images", true},
        {"auto", "labelled", true},
        {"share", "share", true},
        {"wrong", "wrong", true},
        {"precision", "precision", true},
        {"low", "at least", true},
        {"high", "at most", true},
    };
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], table));
    for (int k = 0; k < l->trained.predictor.classes; k++)
        add_row(l, *table, l->trained.predictor.class_names[k], &l->measure.classes[k]);
    add_row(l, *table, "all", &l->measure.all);
    return FM_OK;
}

// ---- Chart

struct image {
    double doubt;
    bool wrong;
};

static int by_doubt(const void *a, const void *b)
{
    const struct image *x = a, *y = b;
    if (x->doubt != y->doubt)
        return x->doubt < y->doubt ? -1 : 1;
    return x->wrong - y->wrong;
}

struct curve {
    double coverage[CURVE_POINTS], risk[CURVE_POINTS];
};

// The share of wrong ones among the surest images, for each share of them.
static enum fm_status trace(
    const struct fm_guess *guesses, const uint8_t *labels, uint32_t count, struct curve *curve)
{
    struct image *images = malloc((count + 1) * sizeof *images);
    uint32_t done = 0, errors = 0;
    if (!images)
        return fm_fail_memory("a curve", count * sizeof *images);
    for (uint32_t i = 0; i < count; i++)
        images[i] = (struct image){guesses[i].doubt, guesses[i].best != labels[i]};
    qsort(images, count, sizeof *images, by_doubt);
    for (int p = 0; p < CURVE_POINTS; p++) {
        uint32_t upto = (uint32_t)((uint64_t)count * (uint64_t)(p + 1) / CURVE_POINTS);
        for (; done < upto; done++)
            errors += images[done].wrong;
        curve->coverage[p] = count ? (double)done / count : NAN;
        curve->risk[p] = done ? (double)errors / done : NAN;
    }
    free(images);
    return FM_OK;
}

static enum fm_status draw(const struct fm_labelling *l, const char *directory,
    const struct curve *test, const struct curve *calibration)
{
    const struct fm_label_count *all = &l->measure.all;
    const double asked = 1 - l->options.least, ends[2] = {0, 1}, level[2] = {asked, asked};
    const double share = (double)all->taken / l->measure.count;
    const double wrong = all->taken ? 1 - (double)all->right / all->taken : NAN;
    const struct fm_series series[] = {
        {.name = "test images",
            .x = test->coverage,
            .y = test->risk,
            .count = CURVE_POINTS,
            .markers = FM_MARKERS_FEW},
        {.name = "calibration images",
            .x = calibration->coverage,
            .y = calibration->risk,
            .count = CURVE_POINTS,
            .markers = FM_MARKERS_FEW,
            .colour = 1},
        {.name = "asked for", .x = ends, .y = level, .count = 2, .dashed = true, .colour = 2},
        {.name = "labelled, measured",
            .x = &share,
            .y = &wrong,
            .count = 1,
            .markers = FM_MARKERS_ALL,
            .colour = 3},
    };
    struct fm_text subtitle = {0};
    char stem[FM_PATH_MAX];
    FM_TRY(fm_path_join(stem, directory, "risk-coverage"));
    fm_text_append(&subtitle, "%s: %.1f %% of %" PRIu32 " test images labelled%s",
        l->trained.config.model, 100 * share, l->measure.count,
        l->options.per_class ? ", a threshold for each class" : "");
    const struct fm_line_chart chart = {.title = "Wrong labels among those given without a person",
        .subtitle = fm_text_cstr(&subtitle),
        .x = {.label = "labelled without a person", .percent = true},
        .y = {.label = "wrong among them", .percent = true},
        .y_low = 0,
        .y_high = NAN,
        .series = series,
        .series_count = sizeof series / sizeof series[0]};
    char png[FM_PATH_MAX], svg[FM_PATH_MAX];
    enum fm_status status = fm_chart_path(png, stem, ".png");
    if (status == FM_OK)
        status = fm_chart_path(svg, stem, ".svg");
    if (status == FM_OK)
        status = fm_chart_lines(png, &chart);
    if (status == FM_OK)
        status = fm_chart_lines(svg, &chart);
    fm_text_free(&subtitle);
    return status;
}

enum fm_status fm_labelling_chart(const struct fm_labelling *l, const char *directory)
{
    struct curve test, calibration;
    FM_TRY(trace(l->measure.guesses, l->measure.labels, l->measure.count, &test));
    FM_TRY(trace(l->calibration, l->calibration_labels, l->calibrated, &calibration));
    return draw(l, directory, &test, &calibration);
}
