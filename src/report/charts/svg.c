// Cairo's SVG is text of a known shape, one attribute written like another, so it is mended as
// text.
#include "report/charts/svg.h"

#include <stdlib.h>
#include <string.h>

struct id {
    const char *name; // in the input
    size_t length;
};

struct tidying {
    struct fm_text *out;
    struct id *ids; // in the order of their first appearance
    size_t id_count, id_capacity;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool starts(const char *at, const char *with)
{
    return strncmp(at, with, strlen(with)) == 0;
}

static enum fm_status number_of(struct tidying *t, struct id id, size_t *number)
{
    for (*number = 0; *number < t->id_count; ++*number)
        if (t->ids[*number].length == id.length &&
            memcmp(t->ids[*number].name, id.name, id.length) == 0)
            return FM_OK;
    if (t->id_count == t->id_capacity) {
        size_t capacity = t->id_capacity ? 2 * t->id_capacity : 256;
        struct id *ids = realloc(t->ids, capacity * sizeof *ids);
        if (!ids)
            return fm_fail_memory("the names in a picture", capacity * sizeof *ids);
        t->ids = ids;
        t->id_capacity = capacity;
    }
    t->ids[t->id_count++] = id;
    return FM_OK;
}

// At the first letter of an id; returns where it ends.
static enum fm_status put_id(struct tidying *t, const char **at)
{
    struct id id = {*at, strcspn(*at, "\")")};
    size_t number;
    FM_TRY(number_of(t, id, &number));
    fm_text_append(t->out, "i%zu", number);
    *at += id.length;
    return FM_OK;
}

// Up to the quote that ends an attribute, numbers cut after two decimals.
static void put_numbers(struct tidying *t, const char **at)
{
    const char *c = *at;
    while (*c && *c != '"') {
        const char *whole = c;
        while (*c && *c != '"' && *c != '.')
            c++;
        fm_text_append_bytes(t->out, whole, (size_t)(c - whole));
        if (*c != '.')
            continue;
        size_t digits = 1;
        while (is_digit(c[digits]))
            digits++;
        size_t kept = digits < 3 ? digits : 3;
        while (kept > 1 && c[kept - 1] == '0')
            kept--;
        if (kept > 1)
            fm_text_append_bytes(t->out, c, kept);
        c += digits;
    }
    *at = c;
}

enum fm_status fm_svg_tidy(struct fm_text *out, const struct fm_text *svg)
{
    static const char *const ids[] = {" id=\"", "=\"#", "url(#"};
    static const char *const numbers[] = {" d=\"", " x=\"", " y=\""};
    struct tidying t = {.out = out};
    enum fm_status status = FM_OK;
    const char *at = fm_text_cstr(svg), *from = at; // `from`: not copied yet
    while (*at && status == FM_OK) {
        bool taken = false;
        for (int i = 0; i < 3 && !taken && (*at == ' ' || *at == '=' || *at == 'u'); i++) {
            const char *what = starts(at, ids[i])       ? ids[i]
                               : starts(at, numbers[i]) ? numbers[i]
                                                        : NULL;
            if (!what)
                continue;
            taken = true;
            at += strlen(what);
            fm_text_append_bytes(out, from, (size_t)(at - from));
            if (what == ids[i])
                status = put_id(&t, &at);
            else
                put_numbers(&t, &at);
            from = at;
        }
        if (!taken && *at == '<' && starts(at, "<image ")) {
            fm_text_append_bytes(out, from, (size_t)(at - from));
            fm_text_append(out, "<image style=\"image-rendering:pixelated\"");
            from = at += strlen("<image");
        } else if (!taken) {
            at++;
        }
    }
    fm_text_append_bytes(out, from, (size_t)(at - from));
    free(t.ids);
    return status;
}
