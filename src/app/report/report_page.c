// The page of a report, from the figures over what was learned to single images.
#include "app/report/reporting.h"

#include "app/compare/claims.h"
#include "app/remarks.h"
#include "backend/precision.h"
#include "base/clock.h"
#include "report/charts/chart.h"
#include "run/json.h"

#include <stdio.h>
#include <string.h>

static const double gibibyte = 1024.0 * 1024 * 1024;

static enum fm_status add_chart(const struct fm_reporting *r, struct fm_page *page,
    const char *kind, const struct fm_report_run *run, const char *what)
{
    char stem[FM_PATH_MAX], svg[FM_PATH_MAX];
    struct fm_text alt = {0};
    FM_TRY(fm_report_stem(r, kind, run, stem));
    FM_TRY(fm_chart_path(svg, stem, ".svg"));
    fm_text_append(&alt, "%s%s%s", what, run ? ", " : "", run ? run->name : "");
    enum fm_status status = fm_page_chart(page, svg, fm_text_cstr(&alt));
    fm_text_free(&alt);
    return status;
}

// ---- Summary

static void add_data(const struct fm_reporting *r, struct fm_page *page)
{
    char train[32], test[32], time[32];
    fm_group_digits(r->dataset->train.count, train);
    fm_group_digits(r->dataset->test.count, test);
    fm_clock_iso8601(time);
    if (r->dataset->fashion_mnist)
        fm_page_paragraph(page, "Data: Fashion-MNIST, %s training and %s test images. Written %s.",
            train, test, time);
    else
        fm_page_paragraph(page,
            "Data: %s (%s; %s training and %s test images), not Fashion-MNIST: no figure here can "
            "be held against those of Fashion-MNIST. Written %s.",
            r->label, r->dataset->directory, train, test, time);
}

// Where the figures of a run come from; one sentence for all runs of the same machine.
static void describe_environment(const struct fm_report_run *run, struct fm_text *out)
{
    const json_t *environment = json_object_get(run->result, "environment");
    const json_t *machine = json_object_get(environment, "machine");
    const json_t *device = json_object_get(environment, "device");
    const json_t *build = json_object_get(environment, "build");
    const json_t *libraries = json_object_get(environment, "libraries");
    fm_text_append(out, "%s, %.0f cores, %.1f GiB of memory; device %s (%s); fmnist %s, %s",
        fm_json_string(machine, "processor"), fm_json_number(machine, "cores"),
        fm_json_number(machine, "memory") / gibibyte, fm_json_string(device, "name"),
        fm_json_string(device, "details"), fm_json_string(build, "version"),
        fm_json_string(libraries, "backend"));
}

static void add_environments(const struct fm_reporting *r, struct fm_page *page)
{
    struct fm_text texts[FM_REPORT_RUNS_MAX] = {{0}};
    int count = r->options->run_count;
    for (int i = 0; i < count; i++)
        describe_environment(&r->runs[i], &texts[i]);
    for (int i = 0; i < count; i++) {
        struct fm_text names = {0};
        bool told = false;
        for (int k = 0; k < count; k++) {
            if (strcmp(fm_text_cstr(&texts[i]), fm_text_cstr(&texts[k])) != 0)
                continue;
            told = told || k < i;
            fm_text_append(&names, "%s%s", names.length ? ", " : "", r->runs[k].name);
        }
        if (!told)
            fm_page_paragraph(
                page, "Measured (%s) on %s.", fm_text_cstr(&names), fm_text_cstr(&texts[i]));
        fm_text_free(&names);
    }
    for (int i = 0; i < count; i++)
        fm_text_free(&texts[i]);
}

// A comparison's sentences say what the columns are and have the remarks on runs among them.
static void add_notes(const struct fm_reporting *r, struct fm_page *page)
{
    for (int i = 0; i < r->options->note_count; i++)
        fm_page_paragraph(page, "%s", r->options->notes[i]);
    if (r->options->note_count > 0)
        return;
    fm_page_paragraph(page,
        "Train accuracy: of the kept weights, on images of the training split without "
        "augmentation. Training time and images a second count training steps alone. Latency: "
        "median of single images as the caller sees it. Peak memory: of the whole process while "
        "it trained.");
    for (int i = 0; i < r->options->run_count; i++) {
        struct fm_text remarks = {0};
        fm_remarks_append(r->runs[i].result, &remarks);
        if (remarks.length > 0)
            fm_page_paragraph(page, "%s: %s.", r->runs[i].name, fm_text_cstr(&remarks));
        fm_text_free(&remarks);
    }
}

// Another device or precision may move an image across a boundary: then the images below are not
// quite those that the table counts.
static void add_differences(const struct fm_reporting *r, struct fm_page *page)
{
    for (int i = 0; i < r->options->run_count; i++) {
        const struct fm_report_run *run = &r->runs[i];
        const json_t *test = json_object_get(run->result, "test");
        double correct = fm_json_number(test, "correct");
        const char *precision = fm_precision_name(run->precision);
        bool as_trained = strcmp(precision, run->config.precision) == 0;
        if (as_trained && correct == (double)run->metrics.correct)
            continue;
        fm_page_paragraph(page,
            "%s: predicted anew for this page, in %s%s on %s (%s), %llu of %llu test images are "
            "right; when the run was measured, %.0f were. Images, matrices and curves of "
            "confidence show the former.",
            run->name, precision, run->emulated ? ", by rounding," : "", r->engine->info.name,
            r->engine->api->name, (unsigned long long)run->metrics.correct,
            (unsigned long long)run->metrics.count, correct);
    }
}

static enum fm_status add_summary(const struct fm_reporting *r, struct fm_page *page)
{
    struct fm_table *table;
    fm_page_heading(page, 2, "Summary");
    add_data(r, page);
    FM_TRY(fm_report_table(r, true, &table));
    fm_page_table(page, table, "What each run reached and what it cost");
    fm_table_free(table);
    FM_TRY(add_chart(
        r, page, "accuracy", NULL, "Bars: accuracy on training, selection and test images a run"));
    add_notes(r, page);
    fm_page_paragraph(page,
        "ECE: expected calibration error on the test images (Guo et al. 2017), %d bins.",
        FM_ECE_BINS);
    add_environments(r, page);
    add_differences(r, page);
    if (r->options->claims) {
        fm_page_heading(page, 2, "Claims");
        fm_page_table(page, r->options->claims, "What the original claims, and what was measured");
        for (int i = 0; fm_claims_notes[i]; i++)
            fm_page_paragraph(page, "%s", fm_claims_notes[i]);
    }
    return FM_OK;
}

// ---- Charts

static enum fm_status add_training(const struct fm_reporting *r, struct fm_page *page)
{
    fm_page_heading(page, 2, "Training");
    for (int i = 0; i < r->options->run_count; i++) {
        const struct fm_report_run *run = &r->runs[i];
        if (r->options->run_count > 1)
            fm_page_heading(page, 3, run->name);
        FM_TRY(add_chart(r, page, "curve-accuracy", run, "Accuracy by epoch"));
        FM_TRY(add_chart(r, page, "curve-loss", run, "Loss by epoch"));
        struct fm_text losses = {0};
        fm_report_losses(run, &losses);
        if (losses.length > 0)
            fm_page_paragraph(page, "%s", fm_text_cstr(&losses));
        fm_text_free(&losses);
    }
    return FM_OK;
}

static enum fm_status add_cost(const struct fm_reporting *r, struct fm_page *page)
{
    fm_page_heading(page, 2, "Cost");
    FM_TRY(add_chart(r, page, "accuracy-parameters", NULL, "Test accuracy against parameters"));
    return add_chart(r, page, "accuracy-latency", NULL, "Test accuracy against latency");
}

static enum fm_status add_confidence(const struct fm_reporting *r, struct fm_page *page)
{
    fm_page_heading(page, 2, "Confidence");
    fm_page_paragraph(page,
        "Coverage: were a run to answer only where it is most confident, this is how often it "
        "would be right. Reliability: how often it is right where it says that it is so sure; on "
        "the diagonal it says what it knows.");
    FM_TRY(add_chart(r, page, "coverage", NULL,
        "Accuracy of the most confident images against their share, a curve a run"));
    for (int i = 0; i < r->options->run_count; i++)
        FM_TRY(add_chart(r, page, "reliability", &r->runs[i],
            "Reliability diagram: accuracy against confidence"));
    return FM_OK;
}

// ---- Images

struct tile_texts {
    struct fm_text below, tooltip;
};

static struct fm_page_tile make_tile(const struct fm_reporting *r, struct fm_page *page,
    const struct fm_report_prediction *p, struct tile_texts *texts)
{
    const struct fm_samples *test = &r->dataset->test;
    uint8_t label = test->labels[p->image];
    fm_text_append(&texts->below, "predicted %s, %.1f\u00a0%%", r->class_names[p->predicted],
        100 * (double)p->confidence);
    fm_text_append(&texts->tooltip, "test image %u", p->image);
    return (struct fm_page_tile){
        .image = fm_page_image(
            page, p->image, test->records + (size_t)p->image * test->record_size),
        .above = r->class_names[label],
        .below = fm_text_cstr(&texts->below),
        .tooltip = fm_text_cstr(&texts->tooltip),
        .wrong = p->predicted != label,
    };
}

static void add_images(const struct fm_reporting *r, struct fm_page *page,
    const struct fm_report_prediction *const *shown, int count)
{
    struct tile_texts texts[FM_REPORT_SHOWN_MAX] = {{{0}, {0}}};
    struct fm_page_tile tiles[FM_REPORT_SHOWN_MAX];
    for (int i = 0; i < count; i++)
        tiles[i] = make_tile(r, page, shown[i], &texts[i]);
    if (count > 0)
        fm_page_gallery(page, tiles, count);
    else
        fm_page_paragraph(page, "None.");
    for (int i = 0; i < count; i++) {
        fm_text_free(&texts[i].below);
        fm_text_free(&texts[i].tooltip);
    }
}

static void add_galleries(const struct fm_reporting *r, struct fm_page *page, const char *heading,
    const char *what,
    int (*choose)(const struct fm_reporting *r, const struct fm_report_run *run,
        const struct fm_report_prediction *shown[]))
{
    fm_page_heading(page, 2, heading);
    fm_page_paragraph(page, "%s", what);
    for (int i = 0; i < r->options->run_count; i++) {
        const struct fm_report_prediction *shown[FM_REPORT_SHOWN_MAX];
        int count = choose(r, &r->runs[i], shown);
        if (r->options->run_count > 1)
            fm_page_heading(page, 3, r->runs[i].name);
        add_images(r, page, shown, count);
    }
}

// ---- The whole

static void title_of(const struct fm_reporting *r, struct fm_text *out)
{
    int count = r->options->run_count;
    for (int i = 0; i < count; i++)
        fm_text_append(out, "%s%s", i == 0 ? "" : i == count - 1 ? " and " : ", ", r->runs[i].name);
    fm_text_append(out, " on %s", r->label);
}

static enum fm_status fill(const struct fm_reporting *r, struct fm_page *page)
{
    FM_TRY(add_summary(r, page));
    FM_TRY(add_training(r, page));
    FM_TRY(add_cost(r, page));
    FM_TRY(add_confidence(r, page));
    FM_TRY(fm_report_confusion(r, page));
    add_galleries(r, page, "Mistakes",
        "The mistakes that each run is most confident of: the label, and below it what it was "
        "taken for.",
        fm_report_mistakes);
    add_galleries(r, page, "Samples",
        "The first test images of each class, the same for every run: the label, and below it the "
        "prediction.",
        fm_report_samples);
    fm_page_script(page, "look");
    return FM_OK;
}

enum fm_status fm_report_page(const struct fm_reporting *r, const char *path)
{
    struct fm_page *page = NULL;
    struct fm_text title = {0};
    title_of(r, &title);
    enum fm_status status = fm_page_create(fm_text_cstr(&title), &page);
    fm_text_free(&title);
    FM_TRY(status);
    status = fill(r, page);
    if (status == FM_OK)
        status = fm_page_write(page, path);
    fm_page_free(page);
    return status;
}
