// The folder of an answer: for a person to look at, and for what happens next.
#include "app/drift/drift_job.h"

#include "app/output.h"
#include "report/pages/page.h"
#include "run/json.h"

#include <stdio.h>

enum {
    SHOWN = 60,          // images furthest off, on the page
    SHOWN_REFERENCE = 20 // calibration images beside them
};
static const uint64_t reference_key = (uint64_t)1 << 32; // of the page's images: + index

enum fm_status fm_drift_check_folder(const char *directory, bool force)
{
    static const char *const names[] = {"drift.json", "drift.csv", "drift.html", NULL};
    return fm_output_check(directory, names, force);
}

static enum fm_status write_csv(const struct fm_drift_job *job, const char *directory)
{
    struct fm_table *table;
    FM_TRY(fm_drift_images_table(job, UINT32_MAX, &table));
    enum fm_status status = fm_output_csv(directory, "drift.csv", table);
    fm_table_free(table);
    return status;
}

// ---- The page

static enum fm_status add_tables(const struct fm_drift_job *job, struct fm_page *page)
{
    struct fm_table *table;
    FM_TRY(fm_drift_tests_table(&job->drift, false, &table));
    fm_page_heading(page, 2, "Tests");
    fm_page_table(page, table,
        "The effect is the shift of the mean in standard deviations of the calibration images; of "
        "class shares it is the total variation distance.");
    fm_table_free(table);
    FM_TRY(fm_drift_classes_table(job, &table));
    fm_page_heading(page, 2, "Class shares");
    fm_page_table(page, table, "Images that the network gives each class.");
    fm_table_free(table);
    return FM_OK;
}

static void add_furthest(const struct fm_drift_job *job, struct fm_page *page)
{
    char below[SHOWN][64];
    struct fm_page_tile tiles[SHOWN];
    int count = job->drift.count < SHOWN ? (int)job->drift.count : SHOWN;
    for (int i = 0; i < count; i++) {
        const struct fm_drift_image *image = &job->drift.images[i];
        const uint8_t *record = job->pictures->records + (size_t)image->index * FM_IMAGE_BYTES;
        snprintf(below[i], sizeof below[i], "%.1f: %s %+.1f sd", image->distance, image->furthest,
            image->deviations);
        tiles[i] = (struct fm_page_tile){.image = fm_page_image(page, image->index, record),
            .above = job->trained.predictor.class_names[image->predicted],
            .below = below[i],
            .tooltip = job->pictures->names[image->index]};
    }
    fm_page_heading(page, 2, "The images furthest off");
    fm_page_paragraph(page,
        "Each with the class that it looks like to the network, its distance from the calibration "
        "images of that class, and the statistic that is furthest from theirs.");
    fm_page_gallery(page, tiles, count);
}

static void add_reference(const struct fm_drift_job *job, struct fm_page *page)
{
    struct fm_page_tile tiles[SHOWN_REFERENCE] = {{0}};
    uint32_t all = job->drift.reference;
    int count = all < SHOWN_REFERENCE ? (int)all : SHOWN_REFERENCE;
    for (int i = 0; i < count; i++) {
        uint32_t index = (uint32_t)((uint64_t)all * (uint64_t)i / (uint64_t)count);
        tiles[i].image = fm_page_image(
            page, reference_key + index, job->reference + (size_t)index * FM_IMAGE_BYTES);
    }
    fm_page_heading(page, 2, "Calibration images, to compare with");
    fm_page_gallery(page, tiles, count);
}

static enum fm_status fill_page(const struct fm_drift_job *job, struct fm_page *page)
{
    struct fm_text verdict = {0};
    char count[32], reference[32];
    fm_drift_verdict(&job->drift, &verdict);
    fm_page_paragraph(page, "%s images against %s calibration images of %s, level %g: %s.",
        fm_group_digits(job->drift.count, count), fm_group_digits(job->drift.reference, reference),
        job->trained.directory, job->drift.level, fm_text_cstr(&verdict));
    fm_text_free(&verdict);
    if (job->pictures->failed)
        fm_page_paragraph(page, "Images that could not be compared: %u.", job->pictures->failed);
    FM_TRY(add_tables(job, page));
    add_furthest(job, page);
    add_reference(job, page);
    return FM_OK;
}

static enum fm_status write_page(const struct fm_drift_job *job, const char *directory)
{
    char path[FM_PATH_MAX];
    struct fm_page *page;
    FM_TRY(fm_path_join(path, directory, "drift.html"));
    FM_TRY(fm_page_create("Have the images drifted?", &page));
    enum fm_status status = fill_page(job, page);
    if (status == FM_OK)
        status = fm_page_write(page, path);
    fm_page_free(page);
    return status;
}

// drift.json last: its presence says that the folder is complete.
enum fm_status fm_drift_write(const struct fm_drift_job *job, const char *directory)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_make_dirs(directory));
    FM_TRY(fm_path_join(path, directory, "drift.json"));
    FM_TRY(fm_file_remove(path)); // of an answer that this one replaces
    FM_TRY(write_csv(job, directory));
    FM_TRY(write_page(job, directory));
    json_t *json = fm_drift_json(job);
    if (!json)
        return fm_fail(FM_MEMORY, "%s: out of memory", path);
    enum fm_status status = fm_json_write_file(path, json);
    json_decref(json);
    return status;
}
