// `fmnist label`: labels that are sure, and the rest for people.
#include "cli/common.h"

#include "app/label/labelling.h"
#include "base/log.h"

#include <inttypes.h>

enum {
    FAILED = 5 // pictures named that could not be classified
};

static enum fm_status tell(void *context, const char *what, uint32_t done, uint32_t total)
{
    (void)context;
    if (done == total)
        fm_progress_clear();
    else if (total)
        fm_progress("%s: %" PRIu32 " of %" PRIu32 " images", what, done, total);
    else
        fm_progress("%s: %" PRIu32 " images", what, done);
    return FM_OK;
}

// ---- Prose

static void append_promise(struct fm_text *out, const struct fm_labelling *l)
{
    char images[32];
    fm_text_append(out,
        "%s: labels that are right in at least %g %% of cases%s, with %g %% confidence,\n"
        "by %s calibration images that it was not trained on.\n",
        l->trained.directory, 100 * l->options.least, l->options.per_class ? " of each class" : "",
        100 * l->options.confidence, fm_group_digits(l->calibrated, images));
}

static void append_unmet(struct fm_text *out, const struct fm_labelling *l)
{
    int count = l->options.per_class ? l->trained.predictor.classes : 1;
    for (int i = 0; i < count; i++) {
        const struct fm_threshold *threshold = &l->selective.thresholds[i];
        if (threshold->met)
            continue;
        fm_text_append(out,
            "%s: to people: ", l->options.per_class ? l->trained.predictor.class_names[i] : "All");
        fm_threshold_reason(threshold, out);
        fm_text_append(out, ".\n");
    }
}

static void append_pictures(struct fm_text *out, const struct fm_labelling *l)
{
    uint32_t count = l->pictures.count;
    double share = count ? (double)l->taken / count : 0;
    fm_text_append(out,
        "\n%" PRIu32 " pictures: %" PRIu32 " labelled (%.1f %%), %" PRIu32 " to people", count,
        l->taken, 100 * share, l->review_count);
    if (l->pictures.failed)
        fm_text_append(out, "; %" PRIu32 " more could not be classified", l->pictures.failed);
    fm_text_append(out, ".\nLabels by hand cost %.2f in place of %.2f, at %g each.\n",
        l->options.cost * l->review_count, l->options.cost * count, l->options.cost);
    if (l->labels)
        fm_text_append(out,
            "People have labelled %" PRIu32 "; %" PRIu32 " answer%s missing. All labels: "
            "%s/labels.csv\n",
            l->answered, l->missing, l->missing == 1 ? " is" : "s are", l->options.out);
    else if (l->review_count)
        fm_text_append(out, "To review them, open %s/review.html\n", l->options.out);
    if (fm_labelling_shown(l) < l->review_count) {
        fm_labelling_limit(l, out);
        fm_text_append(out, "\n");
    }
}

// A share that was measured is off by chance, in either direction.
static const char *verdict(const struct fm_labelling *l, struct fm_interval interval)
{
    const struct fm_label_count *all = &l->measure.all;
    if ((double)all->right >= l->options.least * all->taken)
        return "reached";
    return interval.high >= l->options.least ? "missed by no more than chance"
                                             : "missed: these images are harder than those of the "
                                               "calibration, or its draw was unlucky";
}

static void append_measure(struct fm_text *out, const struct fm_labelling *l)
{
    const struct fm_label_count *all = &l->measure.all;
    double whole = l->options.cost * l->measure.count;
    double left = l->options.cost * (l->measure.count - all->taken);
    char images[32];
    fm_group_digits(l->measure.count, images);
    fm_text_append(out, "\n%s test images: %.1f %% labelled without a person", images,
        100.0 * all->taken / l->measure.count);
    if (all->taken) {
        struct fm_interval i = fm_binomial_interval(all->right, all->taken, l->options.confidence);
        fm_text_append(out,
            ", %.2f %% of that right\n(%.2f to %.2f %% with %g %% confidence; asked for: %g %%, "
            "%s)",
            100.0 * all->right / all->taken, 100 * i.low, 100 * i.high, 100 * l->options.confidence,
            100 * l->options.least, verdict(l, i));
    }
    fm_text_append(out,
        ".\nLabels by hand cost %.2f in place of %.2f, at %g each: %.1f %% saved.\n"
        "The original claims 60-70 %%, simulated.\n",
        left, whole, l->options.cost, 100.0 * all->taken / l->measure.count);
}

static enum fm_status append_table(
    struct fm_text *out, enum fm_format format, enum fm_status status, struct fm_table *table)
{
    FM_TRY(status);
    fm_text_append(out, "\n");
    status = fm_table_print(table, format, out);
    fm_table_free(table);
    return status;
}

static enum fm_status append_all(
    struct fm_text *out, const struct fm_labelling *l, enum fm_format format)
{
    struct fm_table *table = NULL;
    append_promise(out, l);
    enum fm_status status = fm_labelling_thresholds(l, &table);
    FM_TRY(append_table(out, format, status, table));
    append_unmet(out, l);
    if (l->options.source)
        append_pictures(out, l);
    if (l->measure.count == 0)
        return FM_OK;
    append_measure(out, l);
    table = NULL;
    status = fm_labelling_measured(l, &table);
    return append_table(out, format, status, table);
}

static enum fm_status print_prose(const struct fm_labelling *l, enum fm_format format)
{
    struct fm_text text = {0};
    enum fm_status status = append_all(&text, l, format);
    if (status == FM_OK)
        return fm_print_text(&text);
    fm_text_free(&text);
    return status;
}

// ---- CSV: what is in the JSON, a number a row

static void append_value(struct fm_table *table, const char *part, const char *class,
    const char *key, const json_t *value)
{
    const char *const cells[] = {part, class, key};
    for (int i = 0; i < 3; i++)
        fm_table_cell(table, json_string(cells[i]), "%s", cells[i]);
    fm_table_cell(table, json_copy((json_t *)value), "%s", "");
}

static void append_object(
    struct fm_table *table, const char *part, const char *class, const json_t *object)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        if (json_is_number(value) || json_is_boolean(value))
            append_value(table, part, class, key, value);
    }
}

static void append_part(struct fm_table *table, const char *part, const json_t *object)
{
    const char *class;
    json_t *value;
    append_object(table, part, "", object);
    append_object(table, part, "", json_object_get(object, "all"));
    append_object(table, "cost", "", json_object_get(object, "cost"));
    json_object_foreach(json_object_get(object, "classes"), class, value)
    {
        append_object(table, part, class, value);
    }
}

static enum fm_status print_csv(const struct fm_labelling *l)
{
    static const struct fm_column columns[] = {{"part", "part", false}, {"class", "class", false},
        {"measure", "measure", false}, {"value", "value", true}};
    struct fm_table *table;
    size_t index;
    json_t *threshold, *json = fm_labelling_json(l);
    if (!json)
        return fm_fail(FM_MEMORY, "out of memory while printing CSV");
    enum fm_status status = fm_table_create(columns, sizeof columns / sizeof columns[0], &table);
    if (status == FM_OK) {
        json_array_foreach(json_object_get(json, "thresholds"), index, threshold)
        {
            const char *class = json_string_value(json_object_get(threshold, "class"));
            append_object(table, "threshold", class ? class : "", threshold);
        }
        append_part(table, "pictures", json_object_get(json, "pictures"));
        append_part(table, "reviewed", json_object_get(json, "reviewed"));
        append_part(table, "evaluation", json_object_get(json, "evaluation"));
        status = fm_print_table(table, FM_FORMAT_CSV);
        fm_table_free(table);
    }
    json_decref(json);
    return status;
}

static enum fm_status print_answer(const struct fm_labelling *l, enum fm_format format)
{
    if (format == FM_FORMAT_JSON)
        return fm_print_json(fm_labelling_json(l));
    return format == FM_FORMAT_CSV ? print_csv(l) : print_prose(l, format);
}

// ---- The command

static enum fm_status check_usage(const struct fm_args *args, bool pictures)
{
    if (!pictures && !args->evaluate)
        return fm_fail(FM_USAGE, "name pictures to label (a folder, files, --from FILE), or "
                                 "--evaluate to measure on the test images");
    if (pictures && !args->out)
        return fm_fail(FM_USAGE, "--out DIR says where the labels go");
    if (args->reviewed && !pictures)
        return fm_fail(FM_USAGE, "--reviewed needs the pictures that were reviewed");
    return FM_OK;
}

static void warn_of_failed(const struct fm_labelling *l)
{
    const struct fm_pictures *pictures = &l->pictures;
    fm_warn_passed_over(NULL, pictures->passed_over);
    for (uint32_t i = 0; i < pictures->failed && i < FAILED; i++) {
        struct fm_text line = {0};
        fm_text_append_line(&line, pictures->errors[i]);
        fm_warn("%s: %s", l->names[pictures->count + i], fm_text_cstr(&line));
        fm_text_free(&line);
    }
    if (pictures->failed > FAILED)
        fm_warn("%" PRIu32 " more pictures could not be classified", pictures->failed - FAILED);
}

// A mistyped name alone must not make a folder that stands in the way of the right one.
static enum fm_status check_pictures(const struct fm_labelling *l)
{
    if (l->pictures.count > 0 || l->pictures.failed == 0)
        return FM_OK;
    fm_progress_clear();
    warn_of_failed(l);
    return fm_fail(
        FM_DATA, "none of the %" PRIu32 " pictures could be classified", l->pictures.failed);
}

static enum fm_status work(
    const struct fm_args *args, const struct fm_session *session, struct fm_labelling *l)
{
    FM_TRY(fm_labelling_run(l, &session->engine, &session->dataset, &session->split));
    if (args->evaluate)
        FM_TRY(fm_labelling_measure(l, &session->dataset));
    fm_progress_clear();
    warn_of_failed(l);
    if (args->out)
        FM_TRY(fm_labelling_write(l));
    FM_TRY(print_answer(l, (enum fm_format)args->format));
    if (l->missing > 0)
        fm_warn("%" PRIu32 " of %" PRIu32 " pictures for people have no answer in %s: they have no "
                "label",
            l->missing, l->review_count, args->reviewed);
    if (l->pictures.failed > 0)
        return fm_fail(FM_DATA,
            "%" PRIu32 " of %" PRIu32 " pictures could not be classified: "
            "%s/failed.csv names them; the others are done",
            l->pictures.failed, l->pictures.failed + l->pictures.count, args->out);
    return FM_OK;
}

enum fm_status fm_cmd_label(const struct fm_args *args)
{
    struct fm_session session;
    struct fm_labelling labelling;
    char data[FM_PATH_MAX];
    struct fm_args as_run = *args;
    const struct fm_source_options source = {.names = args->operands + 1,
        .count = args->operand_count - 1,
        .list = args->list,
        .convert = (enum fm_convert)args->convert};
    bool pictures = source.count > 0 || source.list;
    const struct fm_labelling_options options = {.directory = args->operand,
        .source = pictures ? &source : NULL,
        .reviewed = args->reviewed,
        .out = args->out,
        .force = args->force,
        .least = args->least,
        .confidence = args->confidence,
        .per_class = args->per_class,
        .cost = args->cost,
        .progress = tell};
    FM_TRY(check_usage(args, pictures));
    FM_TRY(fm_check_run(args->operand));
    FM_TRY(fm_labelling_begin(&options, &labelling));
    enum fm_status status;
    FM_TRY_GOTO(status, check_pictures(&labelling), out);
    FM_TRY_GOTO(status, fm_take_from_run(&as_run, data), out);
    FM_TRY_GOTO(status, fm_session_open(&as_run, &session), out);
    status = work(args, &session, &labelling);
    fm_labelling_free(&labelling); // its model, before the device
    fm_session_close(&session);
out:
    fm_labelling_free(&labelling);
    return status;
}
