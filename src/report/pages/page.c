// A page is collected in memory, part by part in order, and written whole: head, style, body, data,
// scripts. Its policy forbids the network and every script but fmnist's own, which it knows by
// their hashes, so that text that came to be markup after all would still do nothing.
#include "report/pages/page.h"

#include "base/file.h"
#include "report/pages/asset.h"
#include "report/pages/atlas.h"
#include "report/pages/markup.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SCRIPTS_MAX = 8,
    LONG_CELL = 48,  // characters, above which a cell is given room to wrap
    MANY_TILES = 200 // of a gallery, above which they are laid out only when they come into sight
};

struct fm_page {
    char *title;
    struct fm_text menu, body, data;
    struct fm_atlas atlas;
    int sections;
    const struct fm_asset *scripts[SCRIPTS_MAX]; // in order of the page
    int script_count;
    enum fm_status status; // the first failure of a function that returns none
    char *message;
};

static const struct fm_asset *find_asset(const char *name)
{
    const struct fm_asset *asset = fm_assets;
    while (asset->name && strcmp(asset->name, name) != 0)
        asset++;
    return asset->name ? asset : NULL;
}

static void keep_failure(struct fm_page *page, enum fm_status status)
{
    if (status == FM_OK)
        return;
    char *message = fm_error_take();
    if (page->status != FM_OK) {
        free(message);
        return;
    }
    page->status = status;
    page->message = message;
}

void fm_page_script(struct fm_page *page, const char *name)
{
    char file[64];
    snprintf(file, sizeof file, strcmp(name, "page") == 0 ? "%s.js" : "page_%s.js", name);
    const struct fm_asset *asset = find_asset(file);
    if (!asset || page->script_count == SCRIPTS_MAX) {
        keep_failure(page, fm_fail(FM_UNSUPPORTED, "%s: no script of pages", file));
        return;
    }
    for (int i = 0; i < page->script_count; i++)
        if (page->scripts[i] == asset)
            return;
    page->scripts[page->script_count++] = asset;
}

enum fm_status fm_page_create(const char *title, struct fm_page **out)
{
    struct fm_page *page = calloc(1, sizeof *page);
    *out = NULL;
    if (!page || !(page->title = strdup(title))) {
        fm_page_free(page);
        return fm_fail_memory("a page", sizeof *page);
    }
    fm_page_script(page, "page");
    *out = page;
    return FM_OK;
}

void fm_page_free(struct fm_page *page)
{
    if (!page)
        return;
    free(page->title);
    free(page->message);
    fm_text_free(&page->menu);
    fm_text_free(&page->body);
    fm_text_free(&page->data);
    fm_atlas_free(&page->atlas);
    free(page);
}

// ---- Parts of the body

void fm_page_heading(struct fm_page *page, int level, const char *text)
{
    int id = ++page->sections;
    fm_text_append(&page->body, "<h%d id=\"s%d\">", level, id);
    fm_page_escape(&page->body, text);
    fm_text_append(&page->body, "</h%d>\n", level);
    if (level != 2)
        return;
    fm_text_append(&page->menu, "<li><a href=\"#s%d\">", id);
    fm_page_escape(&page->menu, text);
    fm_text_append(&page->menu, "</a></li>\n");
}

void fm_page_paragraph(struct fm_page *page, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0) {
        text = NULL;
        page->body.failed = true;
    }
    va_end(args);
    fm_text_append(&page->body, "<p>");
    fm_page_escape(&page->body, text ? text : "");
    fm_text_append(&page->body, "</p>\n");
    free(text);
}

void fm_page_markup(struct fm_page *page, const char *html)
{
    fm_text_append_bytes(&page->body, html, strlen(html));
}

// `data-value` is what the page sorts by where the shown text would not do.
static void append_cell(struct fm_text *out, const struct fm_table *table, int row, int column)
{
    const char *text = fm_table_text(table, row, column), *name = column == 0 ? "th" : "td";
    const json_t *value = fm_table_value(table, row, column);
    fm_text_append(out, column == 0 ? "<th scope=\"row\"" : "<td");
    if (fm_table_column(table, column).right)
        fm_text_append(out, " class=\"number\"");
    else if (strlen(text) > LONG_CELL)
        fm_text_append(out, " class=\"long\"");
    if (json_is_number(value))
        fm_text_append(out, " data-value=\"%.17g\"", json_number_value(value));
    fm_text_append(out, ">");
    fm_page_escape(out, text);
    fm_text_append(out, "</%s>", name);
}

void fm_page_table(struct fm_page *page, const struct fm_table *table, const char *caption)
{
    struct fm_text *out = &page->body;
    int columns = fm_table_columns(table);
    fm_text_append(out, "<div class=\"table-box\" role=\"region\" aria-label=\"");
    fm_page_escape(out, caption);
    fm_text_append(out, "\"><table class=\"sorts\"><caption><span>");
    fm_page_escape(out, caption);
    fm_text_append(out, "</span></caption>\n<thead><tr>");
    for (int i = 0; i < columns; i++) {
        const struct fm_column column = fm_table_column(table, i);
        fm_text_append(out, "<th scope=\"col\"%s>", column.right ? " class=\"number\"" : "");
        fm_page_escape(out, column.title);
        fm_text_append(out, "</th>");
    }
    fm_text_append(out, "</tr></thead>\n<tbody>\n");
    for (int row = 0; row < fm_table_rows(table); row++) {
        fm_text_append(out, "<tr>");
        for (int i = 0; i < columns; i++)
            append_cell(out, table, row, i);
        fm_text_append(out, "</tr>\n");
    }
    fm_text_append(out, "</tbody></table></div>\n");
    out->failed = out->failed || fm_table_failed(table);
}

enum fm_status fm_page_chart(struct fm_page *page, const char *svg_path, const char *alt)
{
    unsigned char *svg;
    size_t size;
    FM_TRY(fm_file_read(svg_path, &svg, &size));
    struct fm_text *out = &page->body;
    fm_text_append(out, "<figure class=\"chart\"><img alt=\"");
    fm_page_escape(out, alt);
    fm_text_append(out, "\" src=\"");
    fm_data_uri_append(out, "image/svg+xml", svg, size);
    fm_text_append(out, "\"></figure>\n");
    free(svg);
    return FM_OK;
}

int fm_page_image(struct fm_page *page, uint64_t key, const uint8_t *record)
{
    int index = 0;
    keep_failure(page, fm_atlas_add(&page->atlas, key, record, &index));
    return index;
}

static void append_line(struct fm_text *out, const char *name, const char *text, bool wrong)
{
    if (!text)
        return;
    fm_text_append(out, "<span class=\"%s\">", name);
    if (wrong) // the mark is a colour, which not everybody sees
        fm_text_append(out, "<span class=\"hidden\">wrong: </span>");
    fm_page_escape(out, text);
    fm_text_append(out, "</span>");
}

static void append_tile(struct fm_text *out, const struct fm_page_tile *tile)
{
    fm_text_append(out, "<li class=\"tile%s\"", tile->wrong ? " wrong" : "");
    if (tile->tooltip) {
        fm_text_append(out, " title=\"");
        fm_page_escape(out, tile->tooltip);
        fm_text_append(out, "\"");
    }
    fm_text_append(out, "><span class=\"image\" role=\"img\" style=\"--x:%d;--y:%d\" aria-label=\"",
        tile->image % FM_ATLAS_COLUMNS, tile->image / FM_ATLAS_COLUMNS);
    fm_page_escape(out, tile->tooltip ? tile->tooltip : "image");
    fm_text_append(out, "\"></span>");
    append_line(out, "above", tile->above, tile->wrong);
    append_line(out, "below", tile->below, false);
    fm_text_append(out, "</li>\n");
}

void fm_page_gallery(struct fm_page *page, const struct fm_page_tile *tiles, int count)
{
    fm_text_append(&page->body, "<ul class=\"gallery%s\">\n", count > MANY_TILES ? " many" : "");
    for (int i = 0; i < count; i++)
        append_tile(&page->body, &tiles[i]);
    fm_text_append(&page->body, "</ul>\n");
}

void fm_page_data(struct fm_page *page, const char *id, json_t *json)
{
    fm_text_append(&page->data, "<script type=\"application/json\" id=\"");
    fm_page_escape(&page->data, id);
    fm_text_append(&page->data, "\">");
    fm_script_json_append(&page->data, json);
    fm_text_append(&page->data, "</script>\n");
    json_decref(json);
}

// ---- Writing

static unsigned hex_digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

// Nothing may be fetched, from anywhere; images are within the page, scripts are known.
static void append_policy(const struct fm_page *page, struct fm_text *out)
{
    fm_text_append(out,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
        "img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'; script-src");
    for (int i = 0; i < page->script_count; i++) {
        const char *hex = page->scripts[i]->sha256;
        unsigned char hash[32];
        for (int k = 0; k < 32; k++)
            hash[k] = (unsigned char)(hex_digit(hex[2 * k]) << 4 | hex_digit(hex[2 * k + 1]));
        fm_text_append(out, " 'sha256-");
        fm_base64_append(out, hash, sizeof hash);
        fm_text_append(out, "'");
    }
    fm_text_append(out, "\">\n");
}

static void append_asset(const struct fm_asset *asset, struct fm_text *out)
{
    fm_text_append_bytes(out, (const char *)asset->bytes, asset->size);
}

static enum fm_status append_style(const struct fm_page *page, struct fm_text *out)
{
    struct fm_text png = {0};
    fm_text_append(out, "<style>\n");
    append_asset(find_asset("page.css"), out);
    if (page->atlas.count > 0) {
        FM_TRY(fm_atlas_png(&page->atlas, &png));
        fm_text_append(out,
            ".image{background-size:calc(%d*var(--side)/28) "
            "calc(%d*var(--side)/28);background-image:url(",
            fm_atlas_columns(&page->atlas) * FM_ATLAS_PITCH,
            fm_atlas_rows(&page->atlas) * FM_ATLAS_PITCH);
        fm_data_uri_append(out, "image/png", fm_text_cstr(&png), png.length);
        fm_text_append(out, ")}\n");
        out->failed = out->failed || png.failed;
        fm_text_free(&png);
    }
    fm_text_append(out, "</style>\n");
    return FM_OK;
}

static enum fm_status append_head(const struct fm_page *page, struct fm_text *out)
{
    fm_text_append(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    append_policy(page, out);
    fm_text_append(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                        "<meta name=\"referrer\" content=\"no-referrer\">\n"
                        "<link rel=\"icon\" href=\"data:,\">\n<title>");
    fm_page_escape(out, page->title);
    fm_text_append(out, "</title>\n");
    FM_TRY(append_style(page, out));
    fm_text_append(out, "</head>\n<body>\n<a class=\"skip\" href=\"#content\">Skip to the "
                        "content</a>\n<header><h1>");
    fm_page_escape(out, page->title);
    fm_text_append(out, "</h1></header>\n");
    if (page->menu.length > 0)
        fm_text_append(out, "<nav aria-label=\"Sections\"><ul>\n%s</ul></nav>\n", page->menu.data);
    fm_text_append(out, "<main id=\"content\" tabindex=\"-1\">\n");
    return FM_OK;
}

static void append_scripts(const struct fm_page *page, struct fm_text *out)
{
    fm_text_append(out, "</main>\n");
    fm_text_append_bytes(out, fm_text_cstr(&page->data), page->data.length);
    for (int i = 0; i < page->script_count; i++) {
        fm_text_append(out, "<script>");
        append_asset(page->scripts[i], out);
        fm_text_append(out, "</script>\n");
    }
    fm_text_append(out, "</body>\n</html>\n");
}

enum fm_status fm_page_write(struct fm_page *page, const char *path)
{
    struct fm_text head = {0}, tail = {0};
    if (page->status != FM_OK) {
        fm_error_put(page->message);
        page->message = NULL;
        return fm_context(page->status, "%s", path);
    }
    enum fm_status status = append_head(page, &head);
    append_scripts(page, &tail);
    const struct fm_chunk chunks[] = {{fm_text_cstr(&head), head.length},
        {fm_text_cstr(&page->body), page->body.length}, {fm_text_cstr(&tail), tail.length}};
    bool failed = head.failed || tail.failed || page->body.failed || page->menu.failed ||
                  page->data.failed;
    if (status == FM_OK)
        status = failed ? fm_fail(FM_MEMORY, "%s: out of memory", path)
                        : fm_file_write_chunks(path, chunks, sizeof chunks / sizeof chunks[0]);
    fm_text_free(&head);
    fm_text_free(&tail);
    return status;
}
