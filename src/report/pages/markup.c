// Everything that goes into a page passes through here, so that what is text stays text.
#include "report/pages/markup.h"

#include "report/pages/page.h"

#include <stdlib.h>

static const char *entity(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

void fm_page_escape(struct fm_text *out, const char *text)
{
    while (*text) {
        int length = fm_utf8_length(text);
        bool space = *text == '\n' || *text == '\t';
        if (length == 0 || (fm_utf8_is_control(text) && !space))
            fm_text_append(out, "\xef\xbf\xbd");
        else if (entity(*text))
            fm_text_append(out, "%s", entity(*text));
        else
            fm_text_append_bytes(out, text, (size_t)length);
        text += length ? length : 1;
    }
}

// RFC 4648, section 4.
void fm_base64_append(struct fm_text *out, const void *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = bytes;
    char block[4 * 256];
    size_t used = 0;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        unsigned group = (unsigned)in[i] << 16 | (left > 1 ? (unsigned)in[i + 1] << 8 : 0) |
                         (left > 2 ? in[i + 2] : 0);
        block[used++] = digits[group >> 18];
        block[used++] = digits[group >> 12 & 63];
        block[used++] = left > 1 ? digits[group >> 6 & 63] : '=';
        block[used++] = left > 2 ? digits[group & 63] : '=';
        if (used == sizeof block) {
            fm_text_append_bytes(out, block, used);
            used = 0;
        }
    }
    fm_text_append_bytes(out, block, used);
}

void fm_data_uri_append(struct fm_text *out, const char *type, const void *bytes, size_t size)
{
    fm_text_append(out, "data:%s;base64,", type);
    fm_base64_append(out, bytes, size);
}

void fm_script_json_append(struct fm_text *out, const json_t *json)
{
    char *dump = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    if (!dump) {
        out->failed = true;
        return;
    }
    const char *start = dump, *at;
    for (at = dump; *at; at++) {
        if (*at != '<') // it occurs within strings alone
            continue;
        fm_text_append_bytes(out, start, (size_t)(at - start));
        fm_text_append(out, "\\u003c");
        start = at + 1;
    }
    fm_text_append_bytes(out, start, (size_t)(at - start));
    free(dump);
}
