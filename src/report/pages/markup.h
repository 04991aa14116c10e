// Text and bytes as HTML holds them; fm_page_escape() of report/pages/page.h is here, too.
#ifndef FM_REPORT_MARKUP_H
#define FM_REPORT_MARKUP_H

#include "base/text.h"

#include <jansson.h>

void fm_base64_append(struct fm_text *out, const void *bytes, size_t size);
// A data URI of these bytes ("image/png").
void fm_data_uri_append(struct fm_text *out, const char *type, const void *bytes, size_t size);

// JSON within a <script> element: every '<' is written as an escape, so that no text in it can end
// the element.
void fm_script_json_append(struct fm_text *out, const json_t *json);

#endif
