// What cairo's SVG files lack.
#ifndef FM_REPORT_SVG_H
#define FM_REPORT_SVG_H

#include "base/text.h"

// `svg` as cairo 1.16 writes it, into `out`:
// - ids are numbered as they appear. Cairo counts through the life of the process, so that the same
//   drawing would give other bytes the second time;
// - images are shown pixel for pixel. Cairo does not write down the filter that was asked for;
// - coordinates have two decimals, a hundredth of a pixel, which is a third of the size.
// FM_MEMORY is the only failure.
enum fm_status fm_svg_tidy(struct fm_text *out, const struct fm_text *svg);

#endif
