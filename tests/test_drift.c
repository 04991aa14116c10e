// What app/drift/drifting.c makes of two sets of images whose difference is known, without a
// network: the outputs are made up, so that each kind of drift can be had by itself.
#include "app/drift/drift_job.h"
#include "app/drift/drifting.h"
#include "eval/drift/image_statistics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"
#include "philox.h"
#define SCRATCH_NAME "drift"
#include "scratch_root.h"

enum {
    CLASSES = 4,
    REFERENCE = 200,
    SEEN = 120
};
static char *names[CLASSES] = {"round", "<b>square</b>", "flat", "tall"};

struct made {
    uint8_t records[REFERENCE][FM_IMAGE_BYTES];
    float probabilities[REFERENCE][CLASSES];
    struct fm_drift_set set;
};

// A set's nature; zero: as the reference.
struct nature {
    uint32_t seed;
    int classes;   // 0: all
    int brighter;  // of 255
    float unsurer; // taken off the predicted class's probability
    bool drawn;    // the classes, too, rather than in turn
};

// Each class is a bar of its own width, of a brightness and at a place that vary; its probability
// is 0.9 or so.
static void make(struct made *made, uint32_t count, struct nature nature)
{
    memset(made->records, 0, sizeof made->records);
    for (uint32_t i = 0; i < count; i++) {
        struct fm_draws d = fm_philox(1, nature.seed, i, 43, 0);
        uint32_t classes = (uint32_t)(nature.classes ? nature.classes : CLASSES);
        int class = (int)(nature.drawn ? fm_draw_below(d.v[3], classes) : i % classes);
        int left = 4 + (int)fm_draw_below(d.v[0], 8), width = 4 + 3 * class;
        int value = 150 + (int)fm_draw_below(d.v[1], 50) + nature.brighter;
        for (int y = 6; y < 22; y++)
            memset(made->records[i] + y * FM_IMAGE_SIDE + left, value, (size_t)width);
        float sure = 0.8f + 0.2f * fm_draw_unit(d.v[2]) - nature.unsurer;
        for (int k = 0; k < CLASSES; k++)
            made->probabilities[i][k] = k == class ? sure : (1 - sure) / (CLASSES - 1);
    }
    made->set = (struct fm_drift_set){count, made->records[0], made->probabilities[0]};
}

static struct made reference, seen;

static int make_reference(void **state)
{
    make(&reference, REFERENCE, (struct nature){.seed = 1});
    return set_up(state);
}

static void compare(struct nature nature, struct fm_drift *drift)
{
    const struct fm_drift_options options = {
        .classes = CLASSES, .class_names = names, .level = 0.05};
    make(&seen, SEEN, nature);
    assert_ok(fm_drift_compare(&reference.set, &seen.set, &options, drift));
}

static void assert_kinds(struct nature nature, bool outputs, bool images, bool shares, bool within)
{
    struct fm_drift d;
    compare(nature, &d);
    bool differs = d.within[FM_DRIFT_OUTPUTS] || d.within[FM_DRIFT_IMAGES];
    if (d.kinds[FM_DRIFT_OUTPUTS] != outputs || d.kinds[FM_DRIFT_IMAGES] != images ||
        d.kinds[FM_DRIFT_SHARES] != shares || differs != within ||
        d.drifted != (outputs || images || shares))
        fail_msg("drifted %d, outputs %d, images %d, shares %d, within classes %d", d.drifted,
            d.kinds[0], d.kinds[1], d.kinds[2], differs);
    assert_int_equal(d.within_permutations > 0, shares);
    fm_drift_free(&d);
}

static void test_kinds(void **state)
{
    (void)state;
    assert_kinds((struct nature){.seed = 2}, false, false, false, false);
    assert_kinds((struct nature){.seed = 2, .brighter = 30}, false, true, false, false);
    assert_kinds((struct nature){.seed = 2, .unsurer = 0.1f}, true, false, false, false);
    // Another mix of classes moves everything, and is told from what the mix does not explain.
    assert_kinds((struct nature){.seed = 2, .classes = 2}, true, true, true, false);
    assert_kinds((struct nature){.seed = 2, .classes = 2, .brighter = 40}, true, true, true, true);
}

// The level is the family's: by the tests' own p a quarter of the sets without drift would fire.
static void test_level(void **state)
{
    (void)state;
    int fired = 0, least = 0;
    for (uint32_t seed = 100; seed < 200; seed++) {
        struct fm_drift d;
        double p = 1;
        make(&reference, REFERENCE, (struct nature){.seed = 1000 + seed, .drawn = true});
        compare((struct nature){.seed = seed, .drawn = true}, &d);
        for (int k = 0; k < d.test_count; k++)
            p = fmin(p, d.tests[k].p);
        fired += d.drifted;
        least += p <= 0.05;
        fm_drift_free(&d);
    }
    // 5 and three standard errors; and that there was something to correct.
    if (fired < 1 || fired > 11 || least < 15)
        fail_msg("%d of 100 fire, of %d the smallest p is below 0.05", fired, least);
}

static void assert_verdict(struct nature nature, const char *expected)
{
    struct fm_drift d;
    struct fm_text text = {0};
    compare(nature, &d);
    fm_drift_verdict(&d, &text);
    assert_string_equal(fm_text_cstr(&text), expected);
    fm_text_free(&text);
    fm_drift_free(&d);
}

static void test_verdict(void **state)
{
    (void)state;
    assert_verdict(
        (struct nature){.seed = 2}, "no drift: the images look like the calibration images");
    assert_verdict((struct nature){.seed = 2, .brighter = 30}, "drift in images");
    assert_verdict((struct nature){.seed = 2, .classes = 2},
        "drift in outputs, images and class shares; within the classes there is none: the mix of "
        "classes has changed");
    assert_verdict((struct nature){.seed = 2, .classes = 2, .brighter = 40},
        "drift in outputs, images and class shares; within the classes, too, in images");
}

static const struct fm_drift_test *find(const struct fm_drift *d, const char *name)
{
    for (int k = 0; k < d->test_count; k++)
        if (strcmp(d->tests[k].name, name) == 0)
            return &d->tests[k];
    fail_msg("no test '%s'", name);
    return NULL;
}

// What each test says, on figures that can be told beforehand.
static void test_figures(void **state)
{
    (void)state;
    struct fm_drift d;
    compare((struct nature){.seed = 1, .classes = 2}, &d);
    assert_int_equal(d.test_count, CLASSES + 1 + FM_IMAGE_STATISTICS + 1);
    const struct fm_drift_test *shares = find(&d, "class shares");
    assert_true(fabs(shares->effect - 0.5) < 1e-12); // a quarter each to a half each of two
    assert_true(isnan(shares->reference) && isnan(shares->within));
    for (int k = 0; k < CLASSES; k++) {
        assert_int_equal(d.reference_classes[k], REFERENCE / CLASSES);
        assert_int_equal(d.seen_classes[k], k < 2 ? SEEN / 2 : 0);
    }
    const struct fm_drift_test *width = find(&d, "width");
    assert_true(fabs(width->reference - 8.5 / 28) < 1e-6 && fabs(width->seen - 5.5 / 28) < 1e-6);
    assert_true(width->effect < -0.5 && fabs(width->statistic - 0.5) < 1e-9);
    assert_true(width->p < 1e-9 && width->bonferroni < 1e-7 && width->corrected < 0.002);
    assert_non_null(find(&d, "p(<b>square</b>)"));
    assert_non_null(find(&d, "confidence"));
    fm_drift_free(&d);
}

static void test_same_answer_again(void **state)
{
    (void)state;
    struct fm_drift a, b;
    compare((struct nature){.seed = 5}, &a);
    compare((struct nature){.seed = 5}, &b);
    assert_int_equal(a.permutations, b.permutations);
    for (int k = 0; k < a.test_count; k++)
        assert_true(a.tests[k].corrected == b.tests[k].corrected);
    for (uint32_t i = 0; i < a.count; i++)
        assert_true(a.images[i].index == b.images[i].index);
    fm_drift_free(&a);
    fm_drift_free(&b);
}

// Odd images among ordinary ones come first, and it is said why.
static void test_furthest(void **state)
{
    (void)state;
    struct fm_drift d;
    const struct fm_drift_options options = {
        .classes = CLASSES, .class_names = names, .level = 0.05};
    make(&seen, SEEN, (struct nature){.seed = 3});
    memset(seen.records[17], 255, FM_IMAGE_BYTES);
    for (int y = 0; y < FM_IMAGE_SIDE; y += 2) // stripes
        memset(seen.records[58] + y * FM_IMAGE_SIDE, 255, FM_IMAGE_SIDE);
    assert_ok(fm_drift_compare(&reference.set, &seen.set, &options, &d));
    assert_true(d.images[0].index + d.images[1].index == 17 + 58);
    assert_true(d.images[1].distance > 3 * d.images[2].distance);
    assert_true(fabs(d.images[0].deviations) > 5);
    for (uint32_t i = 0; i < d.count; i++) {
        assert_int_equal(d.images[i].predicted, d.images[i].index % CLASSES);
        assert_true(isfinite(d.images[i].distance) && d.images[i].distance >= 0);
        assert_true(i == 0 || d.images[i - 1].distance >= d.images[i].distance);
    }
    fm_drift_free(&d);
}

// An image is held against those that are given its class: one that is ordinary in itself, and is
// taken for another class, is far off, and the others are as far as eleven figures go.
static void test_distance_is_of_the_class(void **state)
{
    (void)state;
    struct fm_drift d;
    const struct fm_drift_options options = {
        .classes = CLASSES, .class_names = names, .level = 0.05};
    make(&seen, SEEN, (struct nature){.seed = 3});
    float other = seen.probabilities[40][3]; // of class 0
    seen.probabilities[40][3] = seen.probabilities[40][0];
    seen.probabilities[40][0] = other;
    assert_ok(fm_drift_compare(&reference.set, &seen.set, &options, &d));
    assert_int_equal(d.images[0].index, 40);
    assert_int_equal(d.images[0].predicted, 3);
    assert_true(d.images[0].distance > 10 && d.images[1].distance < 8);
    assert_true(fabs(d.images[1].deviations) < 5);
    fm_drift_free(&d);
}

static void test_few(void **state)
{
    (void)state;
    struct fm_drift d;
    struct fm_text text = {0};
    const struct fm_drift_options options = {
        .classes = CLASSES, .class_names = names, .level = 0.05};
    make(&seen, 4, (struct nature){.seed = 2});
    assert_fails(fm_drift_compare(&reference.set, &seen.set, &options, &d), FM_DATA,
        "4 images, expected at least 5");
    make(&seen, 5, (struct nature){.seed = 2});
    assert_ok(fm_drift_compare(&reference.set, &seen.set, &options, &d));
    fm_drift_verdict(&d, &text);
    assert_non_null(strstr(fm_text_cstr(&text), "5 images show little"));
    fm_text_free(&text);
    fm_drift_free(&d);
    // Few to compare them with are as few of them.
    make(&reference, 4, (struct nature){.seed = 1});
    make(&seen, SEEN, (struct nature){.seed = 2});
    assert_fails(fm_drift_compare(&reference.set, &seen.set, &options, &d), FM_DATA,
        "4 calibration images, expected at least 5");
    make(&reference, 5, (struct nature){.seed = 1});
    assert_ok(fm_drift_compare(&reference.set, &seen.set, &options, &d));
    fm_drift_verdict(&d, &text);
    assert_non_null(strstr(fm_text_cstr(&text), "; 5 calibration images show little"));
    fm_text_free(&text);
    fm_drift_free(&d);
    make(&reference, REFERENCE, (struct nature){.seed = 1});
    // Even five show what is gross.
    make(&seen, 5, (struct nature){.seed = 2});
    memset(seen.records, 255, sizeof seen.records);
    assert_ok(fm_drift_compare(&reference.set, &seen.set, &options, &d));
    assert_true(d.kinds[FM_DRIFT_IMAGES]);
    fm_drift_free(&d);
}

// ---- Files

static char *picture_names[SEEN];
static char *failed_names[1] = {"broken.png"}, *errors[1] = {"truncated"};

// A job as it is after its run, with names that mean something in HTML, CSV and on a terminal.
static void make_job(struct nature nature, struct fm_drift_job *job, struct fm_pictures *pictures)
{
    static char name[] = "=<script>alert(1)</script>.png";
    for (int i = 0; i < SEEN; i++)
        picture_names[i] = name;
    *job = (struct fm_drift_job){.pictures = pictures, .reference = reference.records[0]};
    compare(nature, &job->drift);
    *pictures = (struct fm_pictures){.count = SEEN,
        .names = picture_names,
        .records = seen.records[0],
        .failed = 1,
        .failed_names = failed_names,
        .errors = errors};
    strcpy(job->trained.directory, "runs/made-up");
    strcpy(job->trained.predictor.model, "simple");
    memcpy(job->trained.predictor.class_names, names, sizeof names);
}

static char *read_file(const char *name)
{
    unsigned char *data;
    size_t size;
    assert_ok(fm_file_read(in_root(name), &data, &size));
    return (char *)data;
}

static void test_files(void **state)
{
    (void)state;
    struct fm_drift_job job;
    struct fm_pictures pictures;
    json_error_t error;
    make_job((struct nature){.seed = 2, .classes = 2}, &job, &pictures);
    assert_ok(fm_drift_check_folder(root, false));
    assert_ok(fm_drift_write(&job, root));
    assert_fails(fm_drift_check_folder(root, false), FM_EXISTS, "--force");
    assert_ok(fm_drift_check_folder(root, true));
    assert_ok(fm_drift_write(&job, root));

    char *csv = read_file("drift.csv"), *html = read_file("drift.html"),
         *text = read_file("drift.json");
    int lines = 0;
    for (const char *c = csv; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, SEEN + 1);
    assert_non_null(strstr(csv, "'=<script>"));
    assert_null(strstr(html, "<script>alert"));
    assert_null(strstr(html, "<b>square"));
    assert_non_null(strstr(html, "drift in outputs, images and class shares"));
    json_t *json = json_loads(text, 0, &error);
    assert_true(json_is_true(json_object_get(json, "drift")));
    assert_int_equal(json_array_size(json_object_get(json, "tests")), job.drift.test_count);
    assert_int_equal(json_array_size(json_object_get(json, "class_shares")), CLASSES);
    assert_int_equal(json_array_size(json_object_get(json, "furthest")), 10);
    assert_int_equal(json_integer_value(json_object_get(json, "unreadable")), 1);
    assert_true(json_is_false(json_object_get(json_object_get(json, "within_classes"), "images")));
    assert_true(json_is_true(json_object_get(json_object_get(json, "kinds"), "class_shares")));
    json_decref(json);
    free(csv);
    free(html);
    free(text);
    fm_drift_free(&job.drift);
}

// Without another mix of classes nothing is said of what lies within them.
static void test_json_without_drift(void **state)
{
    (void)state;
    struct fm_drift_job job;
    struct fm_pictures pictures;
    make_job((struct nature){.seed = 2}, &job, &pictures);
    json_t *json = fm_drift_json(&job);
    assert_true(json_is_false(json_object_get(json, "drift")));
    assert_true(json_is_null(json_object_get(json, "within_classes")));
    const json_t *test = json_array_get(json_object_get(json, "tests"), 0);
    assert_true(json_is_null(json_object_get(test, "within")));
    assert_true(json_is_real(json_object_get(test, "corrected")));
    json_decref(json);
    fm_drift_free(&job.drift);
}

// The reference as it is made, but of the first class no more than `kept`: the others are as the
// images behind them.
static void make_rare(uint32_t kept)
{
    make(&reference, REFERENCE, (struct nature){.seed = 1});
    for (uint32_t i = kept * CLASSES; i < REFERENCE; i += CLASSES) {
        memcpy(reference.records[i], reference.records[i + 1], sizeof reference.records[i]);
        memcpy(reference.probabilities[i], reference.probabilities[i + 1],
            sizeof reference.probabilities[i]);
    }
}

// Where there is next to nothing to compare with within the classes, not finding drift says
// nothing.
static void test_rare_classes(void **state)
{
    (void)state;
    struct fm_drift_job job;
    struct fm_pictures pictures;
    make_rare(4);
    assert_verdict((struct nature){.seed = 2, .classes = 1},
        "drift in outputs, images and class shares; whether within the classes, too, cannot be "
        "told: 120 of 120 images are given classes of fewer than 5 calibration images");
    assert_verdict((struct nature){.seed = 2, .classes = 3},
        "drift in outputs, images and class shares; within the classes there is none: the mix of "
        "classes has changed, but 40 of 120 images are given classes of fewer than 5 calibration "
        "images");
    make_job((struct nature){.seed = 2, .classes = 1}, &job, &pictures);
    json_t *json = fm_drift_json(&job);
    const json_t *within = json_object_get(json, "within_classes");
    assert_true(json_is_null(json_object_get(within, "outputs")));
    assert_true(json_is_null(json_object_get(within, "images")));
    json_decref(json);
    fm_drift_free(&job.drift);
    make_rare(5);
    assert_verdict((struct nature){.seed = 2, .classes = 1},
        "drift in outputs, images and class shares; within the classes there is none: the mix of "
        "classes has changed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kinds, make_reference, tear_down),
        cmocka_unit_test_setup_teardown(test_level, make_reference, tear_down),
        cmocka_unit_test_setup_teardown(test_verdict, make_reference, tear_down),
        cmocka_unit_test_setup_teardown(test_figures, make_reference, tear_down),
        cmocka_unit_test_setup_teardown(test_same_answer_again, make_reference, tear_down),
        cmocka_unit_test_setup_teardown(test_furthest, make_reference, tear_down),
        cmocka_unit_test_setup_teardown(test_distance_is_of_the_class, make_reference, tear_down),
        cmocka_unit_test_setup_teardown(test_few, make_reference, tear_down),
        cmocka_unit_test_setup_teardown(test_files, make_reference, tear_down),
        cmocka_unit_test_setup_teardown(test_json_without_drift, make_reference, tear_down),
        cmocka_unit_test_setup_teardown(test_rare_classes, make_reference, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
