// The style and the scripts of pages, embedded by cmake/embed.cmake: nothing has to lie beside the
// tool, and a page is whole in itself.
#ifndef FM_REPORT_ASSET_H
#define FM_REPORT_ASSET_H

#include <stddef.h>

struct fm_asset {
    const char *name; // "page.css"
    const unsigned char *bytes;
    size_t size;
    const char *sha256; // 64 hexadecimal digits: what a page's policy admits a script by
};
extern const struct fm_asset fm_assets[]; // ends with name == NULL

#endif
