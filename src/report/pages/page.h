// One self-contained HTML page: no network, opens from disk, light and dark, prints, works by
// keyboard and on a phone. Everything from outside is escaped by the functions that take it; only
// fm_page_markup() passes text on as it is.
//
// Images of 28x28 are kept once each, in one picture (report/pages/atlas.h), and shown out of it.
//
// The page's policy (CSP) forbids every request and every script but those named here; style
// attributes are allowed. Colours are variables of page.css (--ink, --faint, --line, --card,
// --accent, --right, --wrong) that follow light and dark; what a script or fm_page_markup() adds
// should use them, and the classes "tools" (a row of controls), "table-box" (what scrolls by
// itself), "gallery" and "tile", "hidden" (for screen readers alone), "only-screen" (not printed).
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

// What is added stands on the page in the order of the calls. A failure of a function that returns
// no status (out of memory, too many images, no such script) is kept and reported by
// fm_page_write().
void fm_page_heading(struct fm_page *page, int level, const char *text); // 2 or 3; 2 is in the menu
void fm_page_paragraph(struct fm_page *page, const char *fmt, ...) FM_PRINTF(2, 3);
// Sorts by a click on a heading: by the cells' JSON values where they are numbers, else by their
// texts. The first column heads its row.
void fm_page_table(struct fm_page *page, const struct fm_table *table, const char *caption);
void fm_page_markup(struct fm_page *page, const char *html);
// For fm_page_markup(): text as it stands between tags or in a quoted attribute. What is not UTF-8,
// and control characters, become U+FFFD.
void fm_page_escape(struct fm_text *out, const char *text);

// The SVG file of a chart, put into the page; `alt` says in words what it shows. FM_NOT_FOUND and
// FM_IO as of fm_file_read().
enum fm_status fm_page_chart(struct fm_page *page, const char *svg_path, const char *alt);

// An image [28][28] of the atlas: its index, from 0 in the order of the calls. The same `key` (any
// number that tells images apart) is kept once.
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

// JSON for the page's script, which gets it by fmnist.data(id); stolen. `id` is unlike "content"
// and "s1", "s2", ..., which the page uses.
void fm_page_data(struct fm_page *page, const char *id, json_t *json);
// One of the scripts that ship with fmnist (page_*.js here, listed in assets.cmake), by its
// name, in the order in which they run, at the end of the body. "look": tiles of galleries enlarge,
// and can be filtered; "confusion": page_confusion.js says what it needs. They build with `fmnist`
// of page.js: fmnist.image(index), an element that shows the image, fmnist.tile(), fmnist.data().
void fm_page_script(struct fm_page *page, const char *name);

// The page as a file, whole or not at all.
enum fm_status fm_page_write(struct fm_page *page, const char *path);

#endif
