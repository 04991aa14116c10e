// The folder of labels: what a page holds of very many pictures, what it tells them from others by,
// and what stays of an earlier call.
#include "app/label/labelling.h"
#include "base/file.h"
#include "report/pages/atlas.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "expect.h"
#include "scratch.h"

static char scratch[SCRATCH_PATH_MAX];
static char class_names[][8] = {"Bag", "Coat"}, picture_name[] = "odd.png";
static const struct fm_source_options source;

// Pictures of one name, all of which go to people, who have called each a coat.
static struct fm_labelling pictures;

static void make_pictures(uint32_t count)
{
    struct fm_labelling *l = &pictures;
    memset(l, 0, sizeof *l);
    l->options = (struct fm_labelling_options){
        .source = &source, .out = scratch, .force = true, .least = 0.9, .confidence = 0.95};
    l->trained.predictor.classes = 2;
    for (int k = 0; k < 2; k++)
        l->trained.predictor.class_names[k] = class_names[k];
    strcpy(l->trained.directory, "run");
    strcpy(l->trained.config.model, "simple");
    l->pictures.count = l->review_count = l->answered = count;
    l->pictures.records = calloc(count, FM_IMAGE_BYTES);
    l->names = calloc(count, sizeof *l->names);
    l->guesses = calloc(count, sizeof *l->guesses);
    l->review = calloc(count, sizeof *l->review);
    l->labels = calloc(count, sizeof *l->labels);
    l->by_person = calloc(count, sizeof *l->by_person);
    assert_true(l->pictures.records && l->names && l->guesses && l->review && l->labels);
    assert_non_null(l->by_person);
    for (uint32_t i = 0; i < count; i++) {
        l->names[i] = picture_name;
        l->guesses[i] = (struct fm_guess){0, 1, 0.6f, 0.4f, 0.4};
        l->review[i] = i;
        l->labels[i] = 1;
        l->by_person[i] = true;
    }
}

static int set_up(void **state)
{
    (void)state;
    fm_error_clear();
    scratch_make(scratch, "labelling");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    struct fm_labelling *l = &pictures;
    free(l->pictures.records);
    free(l->names);
    free(l->guesses);
    free(l->review);
    free(l->labels);
    free(l->by_person);
    scratch_remove(scratch);
    return 0;
}

// Freed by the caller.
static char *read_file(const char *name)
{
    char path[FM_PATH_MAX];
    unsigned char *text;
    size_t size;
    assert_ok(fm_path_join(path, scratch, name));
    assert_ok(fm_file_read(path, &text, &size));
    return (char *)text;
}

static uint32_t occurrences(const char *name, const char *part)
{
    char *text = read_file(name);
    uint32_t count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
        count++;
    free(text);
    return count;
}

static void a_page_shows_what_it_holds_and_the_files_all(void **state)
{
    (void)state;
    uint32_t count = FM_ATLAS_MAX + 2;
    make_pictures(count);
    assert_ok(fm_labelling_write(&pictures));
    assert_int_equal(occurrences("review.csv", picture_name), count);
    assert_int_equal(occurrences("labels.csv", "odd.png,Coat,person"), count);
    assert_int_equal(occurrences("label.json", "\"review\": 69890,"), 1);
    assert_int_equal(occurrences("label.json", "\"shown\": 69888,"), 1);
    assert_int_equal(occurrences("review.html", picture_name), FM_ATLAS_MAX);
    const char *sentence = "review.html shows the first 69,888 of the 69,890 pictures for people, "
                           "as many as a page holds; review.csv has all.";
    assert_int_equal(occurrences("review.html", sentence), 1);
}

static void a_page_of_all_tells_of_no_limit(void **state)
{
    (void)state;
    make_pictures(2);
    assert_ok(fm_labelling_write(&pictures));
    assert_int_equal(occurrences("review.html", picture_name), 2);
    assert_int_equal(occurrences("review.html", "as many as a page holds"), 0);
}

static void page_key(char key[17])
{
    assert_ok(fm_labelling_page(&pictures, scratch));
    char *text = read_file("review.html");
    const char *found = strstr(text, "\"key\":");
    assert_non_null(found);
    found = strchr(found + strlen("\"key\":"), '"');
    assert_non_null(found);
    snprintf(key, 17, "%s", found + 1);
    free(text);
}

static void answers_are_for_the_pictures_not_for_their_names(void **state)
{
    (void)state;
    char first[17], again[17], other[17], back[17];
    make_pictures(3);
    page_key(first);
    page_key(again);
    pictures.pictures.records[2 * FM_IMAGE_BYTES + 400] = 1;
    page_key(other);
    pictures.pictures.records[2 * FM_IMAGE_BYTES + 400] = 0;
    page_key(back);
    assert_string_equal(again, first);
    assert_string_not_equal(other, first);
    assert_string_equal(back, first);
}

static void an_earlier_answer_stays_until_all_is_written(void **state)
{
    (void)state;
    make_pictures(3);
    assert_ok(fm_labelling_write(&pictures));
    char *labels = read_file("labels.csv"), *json = read_file("label.json");
    pictures.labels[0] = 0;
    strcpy(pictures.trained.config.model, "\xff"); // label.json, the last file, cannot be written
    assert_fails(fm_labelling_write(&pictures), FM_MEMORY, "label.json");
    char *labels_after = read_file("labels.csv"), *json_after = read_file("label.json");
    assert_string_equal(labels_after, labels);
    assert_string_equal(json_after, json);
    free(labels_after);
    free(json_after);
    free(labels);
    free(json);

    // What is not among the new files goes, and nothing but files of these names is left.
    strcpy(pictures.trained.config.model, "simple");
    int *answers = pictures.labels;
    pictures.labels = NULL;
    assert_ok(fm_labelling_write(&pictures));
    pictures.labels = answers;
    char path[FM_PATH_MAX];
    const char *const files[] = {"auto.csv", "review.csv", "review.html", "label.json"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        assert_ok(fm_path_join(path, scratch, files[i]));
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(scratch), 0);
}

static void a_run_may_have_a_name_that_json_cannot_say(void **state)
{
    (void)state;
    make_pictures(1);
    strcpy(pictures.trained.directory, "caf\xe9");
    assert_ok(fm_labelling_write(&pictures));
    assert_int_equal(occurrences("label.json", "\"run\": \"caf\xef\xbf\xbd\""), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_page_shows_what_it_holds_and_the_files_all),
        TEST(a_page_of_all_tells_of_no_limit),
        TEST(answers_are_for_the_pictures_not_for_their_names),
        TEST(an_earlier_answer_stays_until_all_is_written),
        TEST(a_run_may_have_a_name_that_json_cannot_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
