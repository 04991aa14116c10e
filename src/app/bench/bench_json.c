// The result for machines: JSON with everything, and the same figures in one table, a value a row,
// which is what a spreadsheet or a data frame takes without being told anything.
#include "app/bench/bench_job.h"

#include "backend/precision.h"
#include "run/json.h"

#include <math.h>
#include <string.h>

enum {
    BENCH_FORMAT = 1
};

// A percentile of too few values is none.
static double p90_of(const struct fm_spread *spread)
{
    return spread->count < FM_SPREAD_P90_LEAST ? (double)NAN : spread->p90;
}

static double p99_of(const struct fm_spread *spread)
{
    return spread->count < FM_SPREAD_P99_LEAST ? (double)NAN : spread->p99;
}

// null for what is not finite.
static json_t *real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *bytes(uint64_t count)
{
    return count > 0 ? json_integer((json_int_t)count) : json_null();
}

// null for what was not measured.
static json_t *spread_json(const struct fm_spread *spread, double images_per_second)
{
    if (spread->count == 0)
        return json_null();
    return json_pack("{s:i, s:f, s:o, s:o, s:f, s:f, s:f, s:f, s:o}", "runs", spread->count, "p50",
        spread->p50, "p90", real(p90_of(spread)), "p99", real(p99_of(spread)), "mean", spread->mean,
        "deviation", spread->deviation, "least", spread->least, "most", spread->most,
        "images_per_second", real(images_per_second));
}

static json_t *rounds_json(const struct fm_spread *rounds)
{
    return json_pack("{s:i, s:f, s:f, s:f}", "rounds", rounds->count, "median", rounds->p50,
        "least", rounds->least, "most", rounds->most);
}

static json_t *figure_json(const struct fm_bench_figure *figure, int batch, bool base)
{
    if (figure->host.count == 0) // left out
        return json_pack("{s:i, s:n}", "batch", batch, "host");
    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "batch", batch, "host",
        spread_json(&figure->host, figure->images_per_second), "device",
        spread_json(&figure->device, figure->device_images_per_second), "images_per_second",
        rounds_json(&figure->rate), "gain", base ? json_null() : rounds_json(&figure->gain),
        "joules_per_1000_images", real(figure->joules), "executor_memory", bytes(figure->memory));
}

static json_t *figures_json(
    const struct fm_bench_figure *figures, const int *batches, int count, bool base)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, figure_json(&figures[i], batches[i], base));
    return list;
}

static json_t *side_json(const struct fm_bench_result *r, int which)
{
    const struct fm_bench_side_result *side = &r->sides[which];
    json_t *json = json_pack("{s:s, s:b, s:s, s:b, s:b, s:o}", "name", side->name, "base",
        which == 0, "precision", fm_precision_name(side->precision), "emulate", side->emulated,
        "unfused", side->unfused, "skipped",
        side->skipped[0] ? json_string(side->skipped) : json_null());
    if (side->skipped[0])
        return json;
    json_object_set_new(json, "predictions",
        figures_json(side->predictions, r->predicted.sizes, r->predicted.count, which == 0));
    json_object_set_new(json, "training",
        figures_json(side->training, r->trained.sizes, r->trained.count, which == 0));
    return json;
}

static json_t *sides_json(const struct fm_bench_result *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->side_count; i++)
        json_array_append_new(list, side_json(r, i));
    return list;
}

static json_t *start_json(const struct fm_bench_start *start)
{
    if (start->whole.count == 0)
        return json_pack("{s:n, s:s}", "seconds", "reason", start->reason);
    return json_pack("{s:f, s:f, s:f, s:i, s:f, s:f, s:f, s:n}", "seconds", start->whole.p50,
        "least", start->whole.least, "most", start->whole.most, "starts", start->whole.count,
        "device", start->device, "network", start->network, "first_prediction", start->first,
        "reason");
}

static json_t *profile_json(const struct fm_bench_profile *profile)
{
    if (profile->batch == 0)
        return json_null();
    json_t *entries = json_array();
    for (size_t i = 0; i < profile->count; i++) {
        const struct fm_profile_entry *e = &profile->entries[i];
        double seconds = e->calls ? e->seconds / (double)e->calls : (double)NAN;
        json_array_append_new(
            entries, json_pack("{s:s, s:s, s:s, s:I, s:o, s:f, s:f, s:o, s:o}", "layer", e->layer,
                         "pass", e->pass, "plan", e->plan, "calls", (json_int_t)e->calls, "seconds",
                         real(seconds), "flops", e->flops, "bytes", e->bytes, "flops_per_second",
                         real(e->flops / seconds), "bytes_per_second", real(e->bytes / seconds)));
    }
    return json_pack("{s:i, s:o}", "batch", profile->batch, "entries", entries);
}

static json_t *notes_json(const struct fm_bench_result *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->note_count; i++)
        json_array_append_new(list, json_string(r->notes[i]));
    return list;
}

json_t *fm_bench_json(const struct fm_bench_result *r)
{
    return json_pack(
        "{s:i, s:s, s:o, s:o, s:I, s:o, s:s, s:b, s:b, s:f, s:b, s:o, s:o, s:o, s:o, s:{s:o, "
        "s:o, s:o}, s:{s:o, s:o}, s:O}",
        "format", BENCH_FORMAT, "model", r->model, "run",
        r->run[0] ? fm_json_text(r->run) : json_null(), "remarks",
        r->remarks[0] ? fm_json_text(r->remarks) : json_null(), "parameters",
        (json_int_t)r->parameters, "images", fm_json_text(r->images), "training_step", r->step,
        "tf32", r->tf32, "resident", r->resident, "seconds", r->seconds, "device_clock", r->clock,
        "no_energy", r->no_energy[0] ? json_string(r->no_energy) : json_null(), "notes",
        notes_json(r), "sides", sides_json(r), "start", start_json(&r->start), "memory",
        "predictions", bytes(r->predict_peak), "training", bytes(r->train_peak), "device",
        bytes(r->device_peak), "profile", "predictions", profile_json(&r->predict_profile),
        "training", profile_json(&r->train_profile), "environment", r->environment);
}

// ---- one table

// Where a row's value belongs.
struct place {
    struct fm_table *table;
    const char *side, *phase;
    int batch; // 0: none
    const char *seen_by;
};

static void append(const struct place *place, const char *figure, const char *unit, json_t *value)
{
    fm_table_cell(place->table, json_string(place->side), "%s", place->side);
    fm_table_cell(place->table, json_string(place->phase), "%s", place->phase);
    fm_table_cell(
        place->table, place->batch ? json_integer(place->batch) : NULL, "%d", place->batch);
    fm_table_cell(place->table, json_string(place->seen_by), "%s", place->seen_by);
    fm_table_cell(place->table, json_string(figure), "%s", figure);
    fm_table_cell(place->table, json_string(unit), "%s", unit);
    fm_table_cell(place->table, value, "%s", "");
}

static void append_spread(struct place place, const char *seen_by, const struct fm_spread *spread,
    double images_per_second)
{
    if (spread->count == 0)
        return;
    place.seen_by = seen_by;
    append(&place, "runs", "", json_integer(spread->count));
    append(&place, "p50", "s", json_real(spread->p50));
    append(&place, "p90", "s", real(p90_of(spread)));
    append(&place, "p99", "s", real(p99_of(spread)));
    append(&place, "mean", "s", json_real(spread->mean));
    append(&place, "deviation", "s", json_real(spread->deviation));
    append(&place, "least", "s", json_real(spread->least));
    append(&place, "most", "s", json_real(spread->most));
    append(&place, "images_per_second", "1/s", real(images_per_second));
}

static void append_figure(struct place place, const struct fm_bench_figure *figure, bool base)
{
    if (figure->host.count == 0)
        return;
    append_spread(place, "host", &figure->host, figure->images_per_second);
    append_spread(place, "device", &figure->device, figure->device_images_per_second);
    append(&place, "rounds", "", json_integer(figure->rate.count));
    append(&place, "images_per_second_least", "1/s", json_real(figure->rate.least));
    append(&place, "images_per_second_most", "1/s", json_real(figure->rate.most));
    if (!base) {
        append(&place, "gain", "", json_real(figure->gain.p50));
        append(&place, "gain_least", "", json_real(figure->gain.least));
        append(&place, "gain_most", "", json_real(figure->gain.most));
    }
    append(&place, "joules_per_1000_images", "J", real(figure->joules));
    append(&place, "executor_memory", "B", bytes(figure->memory));
}

static void append_sides(struct fm_table *table, const struct fm_bench_result *r)
{
    for (int i = 0; i < r->side_count; i++) {
        const struct fm_bench_side_result *side = &r->sides[i];
        struct place place = {table, side->name, "predictions", 0, ""};
        for (int b = 0; b < r->predicted.count && !side->skipped[0]; b++) {
            place.batch = r->predicted.sizes[b];
            append_figure(place, &side->predictions[b], i == 0);
        }
        place.phase = "training";
        for (int b = 0; b < r->trained.count && !side->skipped[0]; b++) {
            place.batch = r->trained.sizes[b];
            append_figure(place, &side->training[b], i == 0);
        }
    }
}

static void append_rest(struct fm_table *table, const struct fm_bench_result *r)
{
    struct place place = {table, r->sides[0].name, "start", 0, ""};
    const struct fm_bench_start *start = &r->start;
    bool started = start->whole.count > 0;
    append(&place, "seconds", "s", started ? json_real(start->whole.p50) : NULL);
    append(&place, "starts", "", json_integer(start->whole.count));
    append(&place, "seconds_least", "s", started ? json_real(start->whole.least) : NULL);
    append(&place, "seconds_most", "s", started ? json_real(start->whole.most) : NULL);
    append(&place, "device", "s", started ? json_real(start->device) : NULL);
    append(&place, "network", "s", started ? json_real(start->network) : NULL);
    append(&place, "first_prediction", "s", started ? json_real(start->first) : NULL);
    place.phase = "memory";
    append(&place, "predictions", "B", bytes(r->predict_peak));
    append(&place, "training", "B", bytes(r->train_peak));
    append(&place, "device", "B", bytes(r->device_peak));
}

static void append_profile(struct fm_table *table, const struct fm_bench_result *r,
    const char *phase, const struct fm_bench_profile *profile)
{
    struct place place = {table, r->sides[0].name, phase, profile->batch, ""};
    for (size_t i = 0; i < profile->count; i++) {
        const struct fm_profile_entry *e = &profile->entries[i];
        struct fm_text name = {0};
        double seconds = e->calls ? e->seconds / (double)e->calls : (double)NAN;
        fm_text_append(&name, "%s %s", e->layer, e->pass);
        place.seen_by = fm_text_cstr(&name); // the part that a profile's value is of
        append(&place, "seconds", "s", real(seconds));
        append(&place, "flops", "", json_real(e->flops));
        append(&place, "bytes", "B", json_real(e->bytes));
        fm_text_free(&name);
    }
}

enum fm_status fm_bench_values(const struct fm_bench_result *r, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"side", "side", false},
        {"phase", "phase", false},
        {"batch", "batch", true},
        {"seen_by", "seen by", false},
        {"figure", "figure", false},
        {"unit", "unit", false},
        {"value", "value", true},
    };
    FM_TRY(fm_table_create(columns, sizeof columns / sizeof columns[0], table));
    append_sides(*table, r);
    append_rest(*table, r);
    append_profile(*table, r, "profile of predictions", &r->predict_profile);
    append_profile(*table, r, "profile of training", &r->train_profile);
    return FM_OK;
}
