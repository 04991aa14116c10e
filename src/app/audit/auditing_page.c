// The page of an audit: what a person looks through to decide. Nothing on it changes a label.
#include "app/audit/auditing_parts.h"

#include "app/data_label.h"
#include "report/pages/page.h"

#include <stdlib.h>

enum {
    ISSUES_SHOWN = 1000,
    PAIRS_SHOWN = 200,  // of near duplicates
    CLASSES_SHOWN = 20, // pairs of
    TILES = ISSUES_SHOWN > 2 * PAIRS_SHOWN ? ISSUES_SHOWN : 2 * PAIRS_SHOWN
};

// Tiles whose texts are kept until the page has taken them.
struct gallery {
    struct fm_page_tile *tiles; // [TILES]
    struct fm_text *texts;      // [3 * TILES]
    int count;
};

static enum fm_status open_gallery(struct gallery *g)
{
    *g = (struct gallery){
        .tiles = calloc(TILES, sizeof *g->tiles), .texts = calloc(3 * TILES, sizeof *g->texts)};
    if (g->tiles && g->texts)
        return FM_OK;
    free(g->tiles);
    free(g->texts);
    return fm_fail_memory("the tiles of a page", TILES * sizeof *g->tiles);
}

// The texts of the next tile, to be filled in: above, below, tooltip.
static struct fm_text *next_texts(struct gallery *g)
{
    return g->texts + 3 * (size_t)g->count;
}

static void add_tile(struct gallery *g, int image, bool wrong)
{
    const struct fm_text *texts = next_texts(g);
    g->tiles[g->count++] = (struct fm_page_tile){.image = image,
        .above = fm_text_cstr(&texts[0]),
        .below = fm_text_cstr(&texts[1]),
        .tooltip = fm_text_cstr(&texts[2]),
        .wrong = wrong};
}

// Adds the gallery to the page and frees it.
static enum fm_status close_gallery(struct gallery *g, struct fm_page *page)
{
    bool failed = false;
    for (int i = 0; i < 3 * g->count; i++)
        failed |= g->texts[i].failed;
    if (g->count > 0)
        fm_page_gallery(page, g->tiles, g->count);
    for (int i = 0; i < 3 * g->count; i++)
        fm_text_free(&g->texts[i]);
    free(g->tiles);
    free(g->texts);
    return failed ? fm_fail_memory("the texts of a page", TILES) : FM_OK;
}

static enum fm_status add_table(
    struct fm_page *page, enum fm_status made, struct fm_table *table, const char *caption)
{
    FM_TRY(made);
    fm_page_table(page, table, caption);
    fm_table_free(table);
    return FM_OK;
}

// ---- Sections

static enum fm_status add_summary(const struct fm_audit *audit, struct fm_page *page)
{
    struct fm_table *row, *column = NULL;
    char label[FM_PATH_MAX];
    fm_data_label(audit->dataset, label);
    fm_page_paragraph(page,
        "The training labels of %s, judged by networks (%s, as in the run %s) that were each "
        "trained on %d of %d folds of them and have not seen the images that they judge, nor near "
        "duplicates of them (confident learning: Northcutt, Jiang, Chuang 2021, arXiv:1911.00068). "
        "No label has been changed: what stands here is for a person to decide.",
        label, audit->config.model, audit->run, audit->folds - 1, audit->folds);
    if (audit->config.teaching.count > 0)
        fm_page_paragraph(page,
            "The run was taught by others. These networks were not: its teachers may have seen any "
            "label.");
    FM_TRY(fm_audit_summary(audit, &row));
    enum fm_status status = fm_table_transpose(row, NULL, &column); // too wide for a phone
    fm_table_free(row);
    return add_table(page, status, column, "The audit in figures");
}

static enum fm_status add_planted(const struct fm_audit *audit, struct fm_page *page)
{
    struct fm_table *table = NULL;
    if (audit->planted_count == 0)
        return FM_OK;
    fm_page_heading(page, 2, "Planted errors found again");
    fm_page_paragraph(page,
        "%u labels were changed to another class before the training, in memory only. What is "
        "found beside them may be errors of the data set itself: a precision here is a lower "
        "bound.",
        (unsigned)audit->planted_count);
    enum fm_status status = fm_audit_rules(audit, &table);
    FM_TRY(add_table(page, status, table, "By the rule that labels are reported by"));
    table = NULL;
    status = fm_audit_ranks(audit, &table);
    return add_table(page, status, table, "The most suspicious, as many as were planted");
}

static void add_issue(
    const struct fm_audit *audit, uint32_t image, struct gallery *g, struct fm_page *page)
{
    const float *row = audit->probabilities + (size_t)image * (size_t)audit->classes;
    uint8_t given = audit->labels[image];
    uint8_t suggested = fm_confident_suggest(row, audit->classes, given);
    char *const *names = audit->dataset->class_names;
    struct fm_text *texts = next_texts(g);
    fm_text_append(&texts[0], "%s → %s", names[given], names[suggested]);
    fm_text_append(
        &texts[1], "%.1f %% → %.1f %%", 100 * (double)row[given], 100 * (double)row[suggested]);
    fm_text_append(&texts[2], "training image %u, labelled %s; suggested %s%s%s", (unsigned)image,
        names[given], names[suggested], audit->planted[image] ? "; planted, in the file " : "",
        audit->planted[image] ? names[audit->dataset->train.labels[image]] : "");
    struct fm_audit_image one = fm_audit_image(audit, image);
    if (one.file)
        fm_text_append(&texts[2], "; %s", one.file);
    int atlas = fm_page_image(page, image, one.record);
    add_tile(g, atlas, audit->planted[image]);
}

static enum fm_status add_issues(const struct fm_audit *audit, struct fm_page *page)
{
    struct fm_table *table = NULL;
    struct gallery g;
    fm_page_heading(page, 2, "Labels that are probably wrong");
    enum fm_status status = fm_audit_pairs(audit, CLASSES_SHOWN, &table);
    FM_TRY(add_table(page, status, table, "Estimated noise by class pair (the confident joint)"));
    fm_page_paragraph(page,
        "Label → suggestion, with the probabilities of both; the most suspicious first%s. \"Show "
        "only\" takes a class, or a pair as it is written above the images.",
        audit->planted_count ? ", the planted ones marked" : "");
    if (audit->issues > ISSUES_SHOWN)
        fm_page_paragraph(
            page, "The first %d of %u; issues.csv has all.", ISSUES_SHOWN, (unsigned)audit->issues);
    FM_TRY(open_gallery(&g));
    for (uint32_t k = 0; k < audit->count && g.count < ISSUES_SHOWN; k++)
        if (audit->found[audit->order[k]])
            add_issue(audit, audit->order[k], &g, page);
    return close_gallery(&g, page);
}

static void add_half(const struct fm_audit *audit, const struct fm_near_pair *pair, bool second,
    struct gallery *g, struct fm_page *page)
{
    uint32_t key = second ? pair->b : pair->a;
    struct fm_audit_image image = fm_audit_image(audit, key);
    struct fm_audit_image other = fm_audit_image(audit, second ? pair->a : pair->b);
    struct fm_text *texts = next_texts(g);
    unsigned number = (unsigned)(pair - audit->near.pairs) + 1;
    fm_text_append(&texts[0], "pair %u: %s %u", number, fm_audit_part_names[image.part],
        (unsigned)image.index);
    fm_text_append(&texts[1], "%s", audit->dataset->class_names[image.label]);
    fm_text_append(&texts[2], "at distance %.4f%s%s with %s %u", (double)pair->distance,
        pair->identical ? ", identical" : "", pair->mirrored ? ", mirrored" : "",
        fm_audit_part_names[other.part], (unsigned)other.index);
    if (image.file)
        fm_text_append(&texts[2], "; %s", image.file);
    add_tile(g, fm_page_image(page, key, image.record), image.label != other.label);
}

static enum fm_status add_unlisted(const struct fm_audit *audit, struct fm_page *page)
{
    struct fm_text text = {0};
    if (fm_audit_unlisted(audit) == 0)
        return FM_OK;
    fm_audit_append_unlisted(audit, &text);
    fm_page_paragraph(page, "%s", fm_text_cstr(&text));
    enum fm_status status = text.failed ? fm_fail_memory("a paragraph of a page", text.capacity)
                                        : FM_OK;
    fm_text_free(&text);
    return status;
}

static enum fm_status add_duplicates(const struct fm_audit *audit, struct fm_page *page)
{
    struct fm_table *table = NULL;
    struct gallery g;
    fm_page_heading(page, 2, "Near duplicates");
    fm_page_paragraph(page,
        "Pairs of images, side by side, the nearest first: identical, or the same at another "
        "brightness, mirrored, moved by a pixel, up to a distance of %g between their directions. "
        "Those with different labels are marked. %u of the %u test images have one among the "
        "training images: what a network gets right of them it may remember.",
        FM_NEAR_DISTANCE, (unsigned)audit->leaked, (unsigned)audit->dataset->test.count);
    enum fm_status status = fm_audit_overlaps(audit, false, &table);
    FM_TRY(add_table(page, status, table, "Near duplicates by part"));
    FM_TRY(add_unlisted(audit, page));
    if (audit->near.count > PAIRS_SHOWN)
        fm_page_paragraph(page, "The first %d of the %u pairs in duplicates.csv.", PAIRS_SHOWN,
            (unsigned)audit->near.count);
    FM_TRY(open_gallery(&g));
    for (uint32_t k = 0; k < audit->near.count && k < PAIRS_SHOWN; k++)
        for (int half = 0; half < 2; half++)
            add_half(audit, &audit->near.pairs[k], half == 1, &g, page);
    return close_gallery(&g, page);
}

static enum fm_status fill(const struct fm_audit *audit, struct fm_page *page)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, audit->directory, "audit.html"));
    FM_TRY(add_summary(audit, page));
    FM_TRY(add_issues(audit, page));
    FM_TRY(add_duplicates(audit, page));
    FM_TRY(add_planted(audit, page));
    fm_page_script(page, "look");
    return fm_page_write(page, path);
}

enum fm_status fm_audit_write_page(const struct fm_audit *audit)
{
    struct fm_page *page;
    struct fm_text title = {0};
    char label[FM_PATH_MAX];
    fm_data_label(audit->dataset, label);
    fm_text_append(&title, "Audit of %s", label);
    enum fm_status status = fm_page_create(fm_text_cstr(&title), &page);
    fm_text_free(&title);
    FM_TRY(status);
    status = fill(audit, page);
    fm_page_free(page);
    return status;
}
