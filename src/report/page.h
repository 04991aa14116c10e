// One self-contained HTML page: no network, opens from disk, light and dark, prints, works by
// keyboard and on a phone. Everything from outside is escaped by the functions that take it; only
// fm_page_markup() passes text on as it is.
//
// Images of 28x28 are kept once each, in one picture (the atlas), and shown out of it.
#ifndef FM_REPORT_PAGE_H
#define FM_REPORT_PAGE_H

#include "base/status.h"
#include "base/text.h"
#include "report/table.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct fm_page; // owns all that is added

enum fm_status fm_page_create(const char *title, struct fm_page **page);
void fm_page_free(struct fm_page *page);

// What is added stands on the page in the order of the calls. Out of memory is kept and reported by
// fm_page_write(), as of struct fm_text.
void fm_page_heading(struct fm_page *page, int level, const char *text); // 2 or 3; 2 is in the menu
void fm_page_paragraph(struct fm_page *page, const char *fmt, ...) FM_PRINTF(2, 3);
void fm_page_table(struct fm_page *page, const struct fm_table *table, const char *caption);
void fm_page_markup(struct fm_page *page, const char *html);
void fm_page_escape(struct fm_text *out, const char *text); // for fm_page_markup()

// The SVG file of a chart, put into the page; `alt` says in words what it shows.
enum fm_status fm_page_chart(struct fm_page *page, const char *svg_path, const char *alt);

// An image of the atlas: its index. The same `key` (any number that tells images apart) is kept
// once.
int fm_page_image(struct fm_page *page, uint64_t key, const uint8_t *record);

// A gallery of images with a line or two each: what a person looks through.
struct fm_page_tile {
    int image;           // fm_page_image()
    const char *above;   // "Shirt"; NULL: none
    const char *below;   // "not T-shirt/top, 97 %"; NULL: none
    const char *tooltip; // NULL: none
    bool wrong;          // marked
};
void fm_page_gallery(struct fm_page *page, const struct fm_page_tile *tiles, int count);

// JSON for the page's script, which finds it by `id`; stolen.
void fm_page_data(struct fm_page *page, const char *id, json_t *json);
// One of the scripts that ship with fmnist (src/report/page_*.js), by its name: "confusion",
// "review", "look". It finds the atlas as fmnist.image(index), an element.
void fm_page_script(struct fm_page *page, const char *name);

enum fm_status fm_page_write(struct fm_page *page, const char *path);

#endif
