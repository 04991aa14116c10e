// What an audit has found, in tables: for people, and as CSV.
#include "app/audit/auditing_parts.h"

#include "app/cells.h"
#include "app/data_label.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS(columns) (columns), (int)(sizeof(columns) / sizeof(columns)[0])

static void count_cell(struct fm_table *table, uint64_t count)
{
    char digits[32];
    fm_table_cell(
        table, json_integer((json_int_t)count), "%s", fm_group_digits((int64_t)count, digits));
}

static void share_cell(struct fm_table *table, double share)
{
    fm_table_cell(table, json_real(share), "%.1f %%", 100 * share);
}

static void yes_cell(struct fm_table *table, bool yes)
{
    fm_table_cell(table, json_string(yes ? "yes" : "no"), "%s", yes ? "yes" : "no");
}

// ---- Figures

enum fm_status fm_audit_summary(const struct fm_audit *audit, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"data", "data", false},
        {"train_images", "training images", true},
        {"folds", "folds", true},
        {"accuracy", "agreement out of sample", true},
        {"noise", "labels estimated wrong", true},
        {"issues", "labels reported", true},
        {"planted", "labels planted", true},
        {"pairs", "near duplicates", true},
        {"identical", "identical", true},
        {"conflicts", "with different labels", true},
        {"test_images", "test images also in training", true},
    };
    struct fm_table *row;
    char label[FM_PATH_MAX];
    fm_data_label(audit->dataset, label);
    FM_TRY(fm_table_create(COLUMNS(columns), &row));
    fm_text_cell(row, label);
    count_cell(row, audit->count);
    count_cell(row, (uint64_t)audit->folds);
    fm_table_cell(row, json_real(audit->accuracy), "%.2f %%", 100 * audit->accuracy);
    fm_table_cell(row, json_real(audit->confident.noise), "%.2f %%", 100 * audit->confident.noise);
    count_cell(row, audit->issues);
    count_cell(row, audit->planted_count);
    count_cell(row, audit->overlap.pairs);
    count_cell(row, audit->overlap.identical);
    count_cell(row, audit->overlap.conflicts);
    count_cell(row, audit->leaked);
    *table = row;
    return FM_OK;
}

enum fm_status fm_audit_pairs(const struct fm_audit *audit, int most, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"given", "labelled", false},
        {"suggested", "in truth", false},
        {"rate", "of the label", true},
        {"images", "images, estimated", true},
        {"issues", "reported", true},
    };
    FM_TRY(fm_table_create(COLUMNS(columns), table));
    for (int k = 0; k < audit->pair_count && k < most; k++) {
        const struct fm_audit_pair *pair = &audit->pairs[k];
        fm_text_cell(*table, audit->dataset->class_names[pair->given]);
        fm_text_cell(*table, audit->dataset->class_names[pair->truth]);
        share_cell(*table, pair->images / audit->confident.given[pair->given]);
        fm_table_cell(*table, json_real(pair->images), "%.0f", pair->images);
        count_cell(*table, pair->issues);
    }
    return FM_OK;
}

// ---- Planted labels

static void retrieval_cells(struct fm_table *table, struct fm_retrieval got)
{
    count_cell(table, got.found);
    count_cell(table, got.hits);
    fm_table_cell(table, json_real(got.precision), "%.3f", got.precision);
    fm_table_cell(table, json_real(got.recall), "%.3f", got.recall);
}

static enum fm_status append_rules(
    const struct fm_audit *audit, uint8_t *found, struct fm_table *table)
{
    for (int rule = 0; rule < FM_PRUNES; rule++) {
        FM_TRY(fm_confident_find(
            &audit->confident, audit->probabilities, audit->labels, (enum fm_prune)rule, found));
        fm_text_cell(table, fm_prune_names[rule]);
        retrieval_cells(table, fm_planted_found(found, audit->planted, audit->count));
        yes_cell(table, rule == FM_AUDIT_PRUNE);
    }
    return FM_OK;
}

enum fm_status fm_audit_rules(const struct fm_audit *audit, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"rule", "rule", false},
        {"found", "found", true},
        {"hits", "planted ones", true},
        {"precision", "precision", true},
        {"recall", "recall", true},
        {"used", "used", false},
    };
    FM_TRY(fm_table_create(COLUMNS(columns), table));
    uint8_t *found = malloc(audit->count);
    enum fm_status status = found ? append_rules(audit, found, *table)
                                  : fm_fail_memory("found labels", audit->count);
    free(found);
    if (status != FM_OK)
        fm_table_free(*table);
    return status;
}

static enum fm_status append_ranks(
    const struct fm_audit *audit, uint32_t *order, struct fm_table *table)
{
    for (int rank = 0; rank < FM_RANKS; rank++) {
        FM_TRY(fm_confident_order(audit->probabilities, audit->labels, audit->count, audit->classes,
            (enum fm_rank)rank, order));
        double average = fm_planted_average_precision(order, audit->planted, audit->count);
        fm_text_cell(table, fm_rank_names[rank]);
        retrieval_cells(
            table, fm_planted_first(order, audit->planted, audit->count, audit->planted_count));
        fm_table_cell(table, json_real(average), "%.3f", average);
        yes_cell(table, rank == FM_AUDIT_RANK);
    }
    return FM_OK;
}

enum fm_status fm_audit_ranks(const struct fm_audit *audit, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"rank", "first by", false},
        {"found", "taken", true},
        {"hits", "planted ones", true},
        {"precision", "precision", true},
        {"recall", "recall", true},
        {"average_precision", "average precision", true},
        {"used", "used", false},
    };
    FM_TRY(fm_table_create(COLUMNS(columns), table));
    uint32_t *order = malloc(audit->count * sizeof *order);
    enum fm_status status = order ? append_ranks(audit, order, *table)
                                  : fm_fail_memory("an order of samples", audit->count);
    free(order);
    if (status != FM_OK)
        fm_table_free(*table);
    return status;
}

// ---- Labels

// Returns how many there are then.
static int append_columns(
    struct fm_column *all, int count, const struct fm_column *more, int more_count)
{
    memcpy(all + count, more, (size_t)more_count * sizeof *more);
    return count + more_count;
}

static void issue_cells(
    const struct fm_audit *audit, uint32_t image, uint32_t rank, struct fm_table *table)
{
    const float *row = audit->probabilities + (size_t)image * (size_t)audit->classes;
    uint8_t given = audit->labels[image];
    uint8_t suggested = fm_confident_suggest(row, audit->classes, given);
    double own = fm_confident_score(row, audit->classes, given, FM_RANK_SELF_CONFIDENCE);
    double margin = fm_confident_score(row, audit->classes, given, FM_RANK_MARGIN);
    count_cell(table, rank);
    fm_table_cell(table, json_integer(image), "%u", (unsigned)image);
    fm_text_cell(table, audit->dataset->class_names[given]);
    fm_text_cell(table, audit->dataset->class_names[suggested]);
    fm_table_cell(table, json_real(own), "%.4f", own);
    fm_table_cell(table, json_real(margin), "%.4f", margin);
    if (audit->planted_count > 0) {
        yes_cell(table, audit->planted[image]);
        fm_text_cell(table, audit->dataset->class_names[audit->dataset->train.labels[image]]);
    }
    if (audit->dataset->train_names)
        fm_text_cell(table, fm_audit_image(audit, image).file);
}

enum fm_status fm_audit_issues(const struct fm_audit *audit, uint32_t most, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"rank", "rank", true},
        {"index", "image", true},
        {"given", "labelled", false},
        {"suggested", "suggested", false},
        {"self_confidence", "self-confidence", true},
        {"margin", "margin", true},
    };
    static const struct fm_column of_planted[] = {
        {"planted", "planted", false},
        {"label_in_file", "label in the file", false},
    };
    static const struct fm_column of_pictures[] = {{"file", "file", false}};
    struct fm_column all[9];
    int count = append_columns(all, 0, COLUMNS(columns));
    if (audit->planted_count > 0)
        count = append_columns(all, count, COLUMNS(of_planted));
    if (audit->dataset->train_names)
        count = append_columns(all, count, COLUMNS(of_pictures));
    FM_TRY(fm_table_create(all, count, table));
    for (uint32_t k = 0, rank = 0; k < audit->count && rank < most; k++)
        if (audit->found[audit->order[k]])
            issue_cells(audit, audit->order[k], ++rank, *table);
    return FM_OK;
}

// ---- Duplicates

// Whether the table has a row of the images of `part` that stand in `other`.
static bool has_row(const struct fm_audit *audit, int part, int other, bool all)
{
    bool held_out = part == FM_AUDIT_SELECT || part == FM_AUDIT_CALIBRATE ||
                    other == FM_AUDIT_SELECT || other == FM_AUDIT_CALIBRATE;
    if (audit->config.full && held_out) // there are no such parts
        return false;
    bool leak = part == FM_AUDIT_TEST && other == FM_AUDIT_TRAIN;
    return all || leak || audit->overlaps[other][part].pairs > 0;
}

enum fm_status fm_audit_overlaps(const struct fm_audit *audit, bool all, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"part", "images of", false},
        {"other", "that stand in", false},
        {"images", "images", true},
        {"pairs", "pairs", true},
        {"identical", "identical", true},
        {"mirrored", "mirrored", true},
        {"conflicts", "with different labels", true},
    };
    FM_TRY(fm_table_create(COLUMNS(columns), table));
    for (int part = FM_AUDIT_PARTS - 1; part >= 0; part--)
        for (int other = 0; other <= part; other++) {
            const struct fm_audit_overlap *overlap = &audit->overlaps[other][part];
            if (!has_row(audit, part, other, all))
                continue;
            fm_text_cell(*table, fm_audit_part_names[part]);
            fm_text_cell(*table, fm_audit_part_names[other]);
            count_cell(*table, overlap->images);
            count_cell(*table, overlap->pairs);
            count_cell(*table, overlap->identical);
            count_cell(*table, overlap->mirrored);
            count_cell(*table, overlap->conflicts);
        }
    return FM_OK;
}

uint64_t fm_audit_unlisted(const struct fm_audit *audit)
{
    return audit->overlap.pairs - audit->near.count;
}

void fm_audit_append_unlisted(const struct fm_audit *audit, struct fm_text *out)
{
    char listed[32], pairs[32], dropped[32];
    bool stand_for_others = fm_audit_unlisted(audit) > audit->near.dropped;
    fm_text_append(out, "duplicates.csv lists %s of these %s pairs",
        fm_group_digits(audit->near.count, listed),
        fm_group_digits((int64_t)audit->overlap.pairs, pairs));
    if (stand_for_others)
        fm_text_append(out, ": of identical images the first stands for the others there");
    if (audit->near.dropped > 0)
        fm_text_append(out, "%s it has no room for %s", stand_for_others ? ", and" : ":",
            fm_group_digits((int64_t)audit->near.dropped, dropped));
    fm_text_append(out, ".");
}

static void image_cells(
    const struct fm_audit *audit, struct fm_audit_image image, struct fm_table *table)
{
    fm_text_cell(table, fm_audit_part_names[image.part]);
    fm_table_cell(table, json_integer(image.index), "%u", (unsigned)image.index);
    fm_text_cell(table, audit->dataset->class_names[image.label]);
}

enum fm_status fm_audit_duplicates(const struct fm_audit *audit, struct fm_table **table)
{
    static const struct fm_column columns[] = {
        {"part", "part", false},
        {"index", "image", true},
        {"label", "labelled", false},
        {"other_part", "other part", false},
        {"other_index", "image", true},
        {"other_label", "labelled", false},
        {"distance", "distance", true},
        {"identical", "identical", false},
        {"mirrored", "mirrored", false},
        {"down", "down", true},
        {"right", "right", true},
        {"conflict", "labels differ", false},
        {"file", "file", false}, // these two of pictures alone
        {"other_file", "other file", false},
    };
    bool pictures = audit->dataset->train_names != NULL;
    FM_TRY(fm_table_create(columns, pictures ? 14 : 12, table));
    for (uint32_t k = 0; k < audit->near.count; k++) {
        const struct fm_near_pair *pair = &audit->near.pairs[k];
        struct fm_audit_image a = fm_audit_image(audit, pair->a);
        struct fm_audit_image b = fm_audit_image(audit, pair->b);
        image_cells(audit, a, *table);
        image_cells(audit, b, *table);
        fm_table_cell(*table, json_real((double)pair->distance), "%.4f", (double)pair->distance);
        yes_cell(*table, pair->identical);
        yes_cell(*table, pair->mirrored);
        fm_table_cell(*table, json_integer(pair->down), "%d", pair->down);
        fm_table_cell(*table, json_integer(pair->right), "%d", pair->right);
        yes_cell(*table, a.label != b.label);
        if (pictures) {
            fm_text_cell(*table, a.file);
            fm_text_cell(*table, b.file);
        }
    }
    return FM_OK;
}
