// The reviewer's page: the pictures that people are to label, in the order of what that is worth.
// Built up by the script alone (report/pages/page_review.js), one picture at a time, so that
// thousands of them cost no more than their place in the atlas.
#include "app/label/labelling_parts.h"

#include "base/file.h"
#include "report/pages/atlas.h"
#include "report/pages/page.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

// By this a browser tells the answers to these pictures from those to others, even of the same
// names: FNV-1a (Fowler, Noll, Vo) of the classes and of each picture's name and record.
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
    for (const uint8_t *at = bytes, *end = at + size; at < end; at++)
        hash = (hash ^ *at) * 0x100000001b3u;
    return hash;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
    return hash_bytes(hash, text, strlen(text) + 1); // its end tells it from the next
}

// Beside what all pages have (report/pages/page.css).
static const char style[] =
    "<style>\n"
    ".review-card { display: flex; flex-wrap: wrap; gap: 1rem; align-items: center; "
    "margin: 0.75rem 0; padding: 1rem; border: 1px solid var(--line); border-radius: 8px; "
    "background: var(--card); }\n"
    ".review-card:focus { outline: none; }\n"
    ".review-card > div:last-child { flex: 1 1 14rem; min-width: 0; }\n"
    ".review-name { font-weight: 600; overflow-wrap: anywhere; }\n"
    ".review-strip { display: flex; gap: 4px; margin: 0.75rem 0; overflow-x: auto; }\n"
    ".review-strip .image { opacity: 0.6; cursor: pointer; border-bottom: 4px solid transparent; "
    "height: calc(var(--side) + 4px); background-clip: padding-box; }\n"
    ".review-strip .answered { border-color: var(--right); }\n"
    ".review-strip .now { opacity: 1; outline: 3px solid var(--accent); outline-offset: -3px; }\n"
    "#review-box .suggested { border-width: 2px; border-color: var(--accent); "
    "font-weight: 600; }\n"
    "#review-box progress { width: min(20rem, 50vw); accent-color: var(--accent); }\n"
    ".review-note { min-height: 1.5em; color: var(--faint); }\n"
    "</style>\n";

static double thousandths(float probability)
{
    return round((double)probability * 1000) / 1000;
}

static json_t *review_json(const struct fm_labelling *l, struct fm_page *page)
{
    uint64_t hash = 0xcbf29ce484222325u;
    char key[32];
    json_t *classes = json_array(), *rows = json_array();
    for (int k = 0; k < l->trained.predictor.classes; k++) {
        hash = hash_text(hash, l->trained.predictor.class_names[k]);
        json_array_append_new(classes, json_string(l->trained.predictor.class_names[k]));
    }
    for (uint32_t i = 0; i < fm_labelling_shown(l); i++) {
        uint32_t index = l->review[i];
        const struct fm_guess *guess = &l->guesses[index];
        const uint8_t *record = l->pictures.records + (size_t)index * FM_IMAGE_BYTES;
        int image = fm_page_image(page, index, record);
        hash = hash_text(hash, l->names[index]);
        hash = hash_bytes(hash, record, FM_IMAGE_BYTES);
        json_array_append_new(rows, json_pack("[s, i, i, f, i, f]", l->names[index], image,
                                        guess->best, thousandths(guess->probability), guess->second,
                                        thousandths(guess->second_probability)));
    }
    snprintf(key, sizeof key, "%016" PRIx64, hash);
    return json_pack("{s:s, s:o, s:o}", "key", key, "classes", classes, "rows", rows);
}

static void add_limit(const struct fm_labelling *l, struct fm_page *page)
{
    struct fm_text limit = {0};
    fm_labelling_limit(l, &limit);
    fm_page_paragraph(page, "%s", fm_text_cstr(&limit));
    fm_text_free(&limit);
}

static enum fm_status fill(const struct fm_labelling *l, struct fm_page *page)
{
    if (l->review_count == 0) {
        fm_page_paragraph(page,
            "There is nothing to review: all %" PRIu32 " pictures are labelled in auto.csv.",
            l->taken);
        return FM_OK;
    }
    fm_page_paragraph(page,
        "%" PRIu32 " of %" PRIu32
        " pictures are for people; those come first whose answer is worth "
        "most. Enter takes the suggestion, a key names a class, the arrows go back and forth. "
        "Save writes reviewed.csv; then 'fmnist label ... --reviewed reviewed.csv' makes "
        "labels.csv of it.",
        l->review_count, l->pictures.count);
    if (fm_labelling_shown(l) < l->review_count)
        add_limit(l, page);
    fm_page_markup(page, style);
    fm_page_markup(page, "<div id=\"review-box\"></div>\n<noscript><p>This page needs JavaScript; "
                         "review.csv has the same rows.</p></noscript>\n");
    json_t *json = review_json(l, page);
    if (!json)
        return fm_fail(FM_MEMORY, "review.html: out of memory");
    fm_page_data(page, "review", json);
    fm_page_script(page, "review");
    return FM_OK;
}

uint32_t fm_labelling_shown(const struct fm_labelling *l)
{
    return l->review_count < FM_ATLAS_MAX ? l->review_count : FM_ATLAS_MAX;
}

void fm_labelling_limit(const struct fm_labelling *l, struct fm_text *out)
{
    char shown[32], all[32];
    fm_text_append(out,
        "review.html shows the first %s of the %s pictures for people, as many as a page holds; "
        "review.csv has all.",
        fm_group_digits(fm_labelling_shown(l), shown), fm_group_digits(l->review_count, all));
}

enum fm_status fm_labelling_page(const struct fm_labelling *l, const char *directory)
{
    struct fm_page *page;
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, directory, "review.html"));
    FM_TRY(fm_page_create("Pictures to label", &page));
    enum fm_status status = fill(l, page);
    if (status == FM_OK)
        status = fm_page_write(page, path);
    fm_page_free(page);
    return status;
}
