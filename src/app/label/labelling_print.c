// What is told of labelling, for people in tables and for programs in JSON, from the same numbers.
#include "app/label/labelling_parts.h"

#include "run/json.h"

#include <inttypes.h>

enum {
    LABEL_FORMAT = 1
};

int fm_labelling_groups(const struct fm_labelling *l)
{
    return l->options.per_class ? l->trained.predictor.classes : 1;
}

const char *fm_labelling_group(const struct fm_labelling *l, int threshold)
{
    return l->options.per_class ? l->trained.predictor.class_names[threshold] : "all";
}

void fm_threshold_reason(const struct fm_threshold *t, struct fm_text *out)
{
    if (t->count <= t->needed)
        fm_text_append(out,
            "the bound needs more than %" PRIu32 " calibration images even without an error, there "
            "%s %" PRIu32,
            t->needed, t->count == 1 ? "is" : "are", t->count);
    else
        fm_text_append(out,
            "too many of the %" PRIu32 " surest of %" PRIu32 " calibration images are wrong",
            t->needed + 1, t->count);
}

enum fm_status fm_labelling_thresholds(const struct fm_labelling *l, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"class", "class", false},
        {"doubt", "doubt up to", true},
        {"images", "calibration images", true},
        {"taken", "up to it", true},
        {"errors", "wrong", true},
        {"bound", "right, at least", true},
    };
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], table));
    for (int i = 0; i < fm_labelling_groups(l); i++) {
        const struct fm_threshold *t = &l->selective.thresholds[i];
        const char *name = fm_labelling_group(l, i);
        fm_table_cell(*table, json_string(name), "%s", name);
        if (t->met)
            fm_table_cell(*table, json_real(t->doubt), "%.3g", t->doubt);
        else
            fm_table_cell(*table, NULL, "to people");
        fm_table_cell(*table, json_integer(t->count), "%" PRIu32, t->count);
        fm_table_cell(*table, json_integer(t->taken), "%" PRIu32, t->taken);
        fm_table_cell(*table, json_integer(t->errors), "%" PRIu32, t->errors);
        if (t->met)
            fm_table_cell(*table, json_real(1 - t->bound), "%.2f %%", 100 * (1 - t->bound));
        else
            fm_table_cell(*table, NULL, "-");
    }
    return FM_OK;
}

// ---- JSON

static json_t *threshold_json(const struct fm_labelling *l, int i)
{
    const struct fm_threshold *t = &l->selective.thresholds[i];
    struct fm_text reason = {0};
    if (!t->met)
        fm_threshold_reason(t, &reason);
    json_t *json = json_pack("{s:o, s:b, s:o, s:I, s:I, s:I, s:I, s:o, s:o}", "class",
        l->options.per_class ? json_string(fm_labelling_group(l, i)) : json_null(), "met", t->met,
        "doubt", t->met ? json_real(t->doubt) : json_null(), "images", (json_int_t)t->count,
        "needed", (json_int_t)t->needed, "taken", (json_int_t)t->taken, "errors",
        (json_int_t)t->errors, "bound", t->met ? json_real(1 - t->bound) : json_null(), "reason",
        t->met ? json_null() : json_string(fm_text_cstr(&reason)));
    fm_text_free(&reason);
    return json;
}

static json_t *pictures_json(const struct fm_labelling *l)
{
    uint32_t count = l->pictures.count;
    if (!l->options.source)
        return json_null();
    json_t *classes = json_object();
    for (int k = 0; k < l->trained.predictor.classes; k++) {
        json_int_t taken = 0, review = 0;
        for (uint32_t i = 0; i < count; i++) {
            if (l->guesses[i].best != k)
                continue;
            if (fm_selective_takes(&l->selective, &l->guesses[i]))
                taken++;
            else
                review++;
        }
        json_object_set_new(classes, l->trained.predictor.class_names[k],
            json_pack("{s:I, s:I}", "auto", taken, "review", review));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:o}", "count", (json_int_t)count, "auto",
        (json_int_t)l->taken, "review", (json_int_t)l->review_count, "shown",
        (json_int_t)fm_labelling_shown(l), "failed", (json_int_t)l->pictures.failed, "share",
        count ? (double)l->taken / count : 0.0, "classes", classes);
}

static json_t *count_json(const struct fm_labelling *l, const struct fm_label_count *c)
{
    struct fm_interval interval = fm_binomial_interval(c->right, c->taken, l->options.confidence);
    return json_pack("{s:I, s:I, s:I, s:f, s:o, s:f, s:f}", "predicted", (json_int_t)c->predicted,
        "auto", (json_int_t)c->taken, "right", (json_int_t)c->right, "share",
        c->predicted ? (double)c->taken / c->predicted : 0.0, "precision",
        c->taken ? json_real((double)c->right / c->taken) : json_null(), "low", interval.low,
        "high", interval.high);
}

static json_t *measure_json(const struct fm_labelling *l)
{
    const struct fm_label_measure *m = &l->measure;
    if (m->count == 0)
        return json_null();
    json_t *classes = json_object();
    for (int k = 0; k < l->trained.predictor.classes; k++)
        json_object_set_new(
            classes, l->trained.predictor.class_names[k], count_json(l, &m->classes[k]));
    double whole = l->options.cost * m->count, left = l->options.cost * (m->count - m->all.taken);
    return json_pack("{s:I, s:o, s:o, s:{s:f, s:f, s:f, s:f, s:f, s:s}}", "count",
        (json_int_t)m->count, "all", count_json(l, &m->all), "classes", classes, "cost", "label",
        l->options.cost, "by_hand", whole, "with_auto", left, "saved", whole - left, "saved_share",
        (double)m->all.taken / m->count, "claimed", "60-70 %, simulated");
}

json_t *fm_labelling_json(const struct fm_labelling *l)
{
    const struct fm_labelling_options *o = &l->options;
    json_t *thresholds = json_array();
    for (int i = 0; i < fm_labelling_groups(l); i++)
        json_array_append_new(thresholds, threshold_json(l, i));
    json_t *reviewed = l->labels ? json_pack("{s:I, s:I, s:I}", "rows",
                                       (json_int_t)l->answers.count, "answered",
                                       (json_int_t)l->answered, "missing", (json_int_t)l->missing)
                                 : json_null();
    return json_pack("{s:i, s:o, s:s, s:{s:f, s:f, s:b}, s:I, s:f, s:o, s:o, s:o, s:o}", "format",
        LABEL_FORMAT, "run", fm_json_text(l->trained.directory), "model", l->trained.config.model,
        "asked", "precision", o->least, "confidence", o->confidence, "per_class", o->per_class,
        "calibration_images", (json_int_t)l->calibrated, "delta", l->selective.delta, "thresholds",
        thresholds, "pictures", pictures_json(l), "reviewed", reviewed, "evaluation",
        measure_json(l));
}
