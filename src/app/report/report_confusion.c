// The confusion matrices of a page: tables whose cells are buttons, and for the page's script
// (report/pages/page_confusion.js) the images behind each cell.
#include "app/report/reporting.h"

#include <stdio.h>

static void append_count(struct fm_text *out, const struct fm_reporting *r, int run, int actual,
    int predicted, uint64_t count, double share)
{
    fm_text_append(out,
        "<td style=\"--share:%.4f\"%s><button type=\"button\" "
        "data-cell=\"%d,%d,%d\" data-count=\"%llu\" aria-label=\"",
        share, actual == predicted ? " class=\"right\"" : "", run, actual, predicted,
        (unsigned long long)count);
    fm_page_escape(out, r->class_names[actual]);
    fm_text_append(out, actual == predicted ? " recognised" : " taken for ");
    if (actual != predicted)
        fm_page_escape(out, r->class_names[predicted]);
    fm_text_append(out, ": %llu, %.1f %%\">%llu<small>%.1f %%</small></button></td>",
        (unsigned long long)count, 100 * share, (unsigned long long)count, 100 * share);
}

static void append_row(struct fm_text *out, const struct fm_reporting *r, int run, int actual)
{
    const struct fm_metrics *m = &r->runs[run].metrics;
    const uint64_t *row = m->confusion + (size_t)actual * (size_t)m->classes;
    fm_text_append(out, "<tr><th scope=\"row\">");
    fm_page_escape(out, r->class_names[actual]);
    fm_text_append(out, "</th>");
    for (int k = 0; k < m->classes; k++) {
        if (row[k] == 0)
            fm_text_append(out, "<td class=\"none\">0</td>");
        else
            append_count(out, r, run, actual, k, row[k],
                (double)row[k] / (double)m->per_class[actual].support);
    }
    fm_text_append(out, "</tr>\n");
}

static enum fm_status append_matrix(const struct fm_reporting *r, int run, struct fm_page *page)
{
    struct fm_text out = {0};
    fm_text_append(
        &out, "<div class=\"table-box\" role=\"region\" aria-label=\"confusion matrix, ");
    fm_page_escape(&out, r->runs[run].name);
    fm_text_append(&out, "\"><table class=\"confusion\"><caption><span>");
    fm_page_escape(&out, r->runs[run].name);
    fm_text_append(&out, ": rows are the labels, columns what they were taken for; counts, and "
                         "percentages of the row</span></caption>\n<thead><tr><td></td>");
    for (int k = 0; k < r->classes; k++) {
        fm_text_append(&out, "<th scope=\"col\">");
        fm_page_escape(&out, r->class_names[k]);
        fm_text_append(&out, "</th>");
    }
    fm_text_append(&out, "</tr></thead>\n<tbody>\n");
    for (int k = 0; k < r->classes; k++)
        append_row(&out, r, run, k);
    fm_text_append(&out, "</tbody></table></div>\n");
    bool failed = out.failed;
    if (!failed)
        fm_page_markup(page, fm_text_cstr(&out));
    fm_text_free(&out);
    return failed ? fm_fail(FM_MEMORY, "confusion matrix: out of memory") : FM_OK;
}

// Every mistake, and of what was right the most confident up to a cap.
static json_t *cells_json(
    const struct fm_reporting *r, const struct fm_report_run *run, struct fm_page *page)
{
    const struct fm_samples *test = &r->dataset->test;
    json_t *cells = json_object();
    for (uint32_t i = 0; i < test->count; i++) {
        const struct fm_report_prediction *p = &run->predictions[i];
        int label = test->labels[p->image];
        char key[32];
        snprintf(key, sizeof key, "%d,%d", label, p->predicted);
        json_t *cell = json_object_get(cells, key);
        if (!cell) {
            cell = json_array();
            json_object_set_new(cells, key, cell);
        }
        if (label == p->predicted && json_array_size(cell) >= FM_REPORT_CELL_MAX)
            continue;
        int image = fm_page_image(
            page, p->image, test->records + (size_t)p->image * test->record_size);
        json_array_append_new(
            cell, json_pack("[i, f, I]", image, (double)p->confidence, (json_int_t)p->image));
    }
    return cells;
}

enum fm_status fm_report_confusion(const struct fm_reporting *r, struct fm_page *page)
{
    json_t *runs = json_array(), *names = json_array();
    for (int k = 0; k < r->classes; k++)
        json_array_append_new(names, json_string(r->class_names[k]));
    fm_page_heading(page, 2, "Confusion");
    fm_page_markup(page, "<p class=\"only-screen\">A click on a cell, or Enter on it, shows its "
                         "images: every mistake, and of the right ones the most confident.</p>\n");
    enum fm_status status = FM_OK;
    for (int i = 0; i < r->options->run_count && status == FM_OK; i++) {
        if (r->options->run_count > 1)
            fm_page_heading(page, 3, r->runs[i].name);
        status = append_matrix(r, i, page);
        json_array_append_new(runs,
            json_pack("{s:O, s:o}", "classes", names, "cells", cells_json(r, &r->runs[i], page)));
    }
    json_decref(names);
    fm_page_data(
        page, "confusion", json_pack("{s:i, s:o}", "cap", FM_REPORT_CELL_MAX, "runs", runs));
    fm_page_script(page, "confusion");
    return status;
}
