// What an audit has found, for programs: the part of an image, and the JSON.
#include "app/audit/auditing_parts.h"

#include "backend/precision.h"
#include "run/json.h"

#include <math.h>

enum {
    AUDIT_FORMAT = 2
};

const char *const fm_audit_part_names[] = {"train", "select", "calibrate", "test", NULL};

// ---- Parts

static bool is_among(const uint32_t *ids, uint32_t count, uint32_t id)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && ids[low] == id;
}

struct fm_audit_image fm_audit_image(const struct fm_audit *audit, uint32_t image)
{
    bool test = image >= audit->count;
    const struct fm_samples *samples = test ? &audit->dataset->test : &audit->dataset->train;
    uint32_t index = test ? image - audit->count : image;
    char *const *names = test ? audit->dataset->test_names : audit->dataset->train_names;
    const struct fm_split *split = audit->split;
    enum fm_audit_part part = test ? FM_AUDIT_TEST : FM_AUDIT_TRAIN;
    if (!test && !audit->config.full && is_among(split->select, split->select_count, index))
        part = FM_AUDIT_SELECT;
    if (!test && !audit->config.full && is_among(split->calibrate, split->calibrate_count, index))
        part = FM_AUDIT_CALIBRATE;
    return (struct fm_audit_image){.part = part,
        .index = index,
        .label = samples->labels[index],
        .record = samples->records + (size_t)index * FM_IMAGE_BYTES,
        .file = names ? names[index] : NULL};
}

// ---- JSON

// Steals `made`'s table.
static json_t *rows_of(enum fm_status status, struct fm_table *table)
{
    json_t *rows = status == FM_OK ? fm_table_json(table) : NULL;
    if (status == FM_OK)
        fm_table_free(table);
    return rows;
}

static json_t *matrix_json(const struct fm_audit *audit, bool joint)
{
    json_t *rows = json_array();
    size_t m = (size_t)audit->classes;
    for (size_t i = 0; i < m; i++) {
        json_t *row = json_array();
        for (size_t j = 0; j < m; j++)
            json_array_append_new(
                row, joint ? json_real(audit->confident.joint[i * m + j])
                           : json_integer((json_int_t)audit->confident.counts[i * m + j]));
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *classes_json(const struct fm_audit *audit)
{
    json_t *list = json_array();
    for (int k = 0; k < audit->classes; k++) {
        double threshold = audit->confident.thresholds[k];
        json_array_append_new(
            list, json_pack("{s:s, s:I, s:o}", "name", audit->dataset->class_names[k], "given",
                      (json_int_t)audit->confident.given[k], "threshold",
                      isnan(threshold) ? json_null() : json_real(threshold)));
    }
    return list;
}

static json_t *labels_json(const struct fm_audit *audit)
{
    struct fm_table *table = NULL;
    enum fm_status status = fm_audit_pairs(audit, audit->pair_count, &table);
    return json_pack("{s:f, s:f, s:f, s:I, s:s, s:s, s:I, s:o, s:o, s:o, s:o}", "accuracy",
        audit->accuracy, "noise", audit->confident.noise, "noise_images",
        audit->confident.noise * audit->count, "issues", (json_int_t)audit->issues, "rule",
        fm_prune_names[FM_AUDIT_PRUNE], "rank", fm_rank_names[FM_AUDIT_RANK], "uncounted",
        (json_int_t)audit->confident.uncounted, "classes", classes_json(audit), "pairs",
        rows_of(status, table), "counts", matrix_json(audit, false), "joint",
        matrix_json(audit, true));
}

static json_t *planted_json(const struct fm_audit *audit)
{
    struct fm_table *rules = NULL, *ranks = NULL;
    if (audit->planted_count == 0)
        return json_null();
    enum fm_status by_rule = fm_audit_rules(audit, &rules);
    enum fm_status by_rank = fm_audit_ranks(audit, &ranks);
    struct fm_retrieval got = fm_planted_found(audit->found, audit->planted, audit->count);
    return json_pack("{s:f, s:I, s:I, s:I, s:f, s:f, s:o, s:o}", "share", audit->plant, "count",
        (json_int_t)audit->planted_count, "found", (json_int_t)got.found, "hits",
        (json_int_t)got.hits, "precision", got.precision, "recall", got.recall, "rules",
        rows_of(by_rule, rules), "ranks", rows_of(by_rank, ranks));
}

static json_t *duplicates_json(const struct fm_audit *audit)
{
    struct fm_table *table = NULL;
    enum fm_status status = fm_audit_overlaps(audit, true, &table);
    const struct fm_audit_overlap *all = &audit->overlap;
    return json_pack("{s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:o}", "distance",
        FM_NEAR_DISTANCE, "pairs", (json_int_t)all->pairs, "listed", (json_int_t)audit->near.count,
        "dropped", (json_int_t)audit->near.dropped, "identical", (json_int_t)all->identical,
        "mirrored", (json_int_t)all->mirrored, "conflicts", (json_int_t)all->conflicts,
        "test_images", (json_int_t)audit->leaked, "seconds", audit->near_seconds, "parts",
        rows_of(status, table));
}

json_t *fm_audit_json(const struct fm_audit *audit)
{
    return json_pack(
        "{s:i, s:o, s:s, s:s, s:b, s:I, s:i, s:i, s:f, s:{s:o, s:b, s:I, s:I}, s:o, s:o, s:o}",
        "format", AUDIT_FORMAT, "run", fm_json_text(audit->run), "model", audit->config.model,
        "precision", fm_precision_name(audit->precision), "emulate", audit->emulated, "seed",
        (json_int_t)audit->seed, "folds", audit->folds, "folds_reused", audit->folds_reused,
        "train_seconds", audit->train_seconds, "data", "directory",
        fm_json_text(audit->dataset->directory), "fashion_mnist", audit->dataset->fashion_mnist,
        "train_images", (json_int_t)audit->count, "test_images",
        (json_int_t)audit->dataset->test.count, "labels", labels_json(audit), "planted",
        planted_json(audit), "duplicates", duplicates_json(audit));
}
