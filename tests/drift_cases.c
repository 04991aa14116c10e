// What `fmnist drift` says of images whose drift is known, by a run's network: turned, inverted,
// noisy, blurred, darker, shifted, of other classes, and untouched. tests/drift.sh trains the run.
//
//     drift_cases RUN [DATA [IMAGES...]]
//
// Prints a line a case with how often each kind of test has fired, and fails where it fires too
// seldom or too often. Untouched images are drawn in two ways, 200 samples each. With a reference
// that is drawn anew for every sample, from calibration and test images alike, a share of the level
// must fire, give or take three standard errors: a test that never fires is none. With the
// calibration images as reference, which is what users have, at most that may: they are stratified
// by class and the same for all samples, which leaves them less chance than the level allows for.
//
// Numbers of images after DATA: samples of these sizes, too, to be looked at.
#include "app/drift/drift_job.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "philox.h"

enum {
    SIDE = FM_IMAGE_SIDE,
    SAMPLE = 300,   // images
    REDRAWN = 1000, // images of a reference that is drawn anew
    CLEAN_SAMPLES = 200,
    DRIFTED_SAMPLES = 3
};
static const double level = 0.05;

static struct fm_engine engine;
static struct fm_dataset dataset;
static struct fm_split split;
static struct fm_trained trained;
static uint8_t *calibration;      // [calibrate_count][28][28]
static float *calibration_output; // [calibrate_count][classes]
static float *test_output;        // [test.count][classes]

static int fail(void)
{
    printf("FAILED: %s\n", fm_error_message());
    return 1;
}

// ---- What happens to images

static uint8_t clamp(double value)
{
    return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)lrint(value);
}

static double pixel(const uint8_t *in, int x, int y)
{
    return x < 0 || x >= SIDE || y < 0 || y >= SIDE ? 0 : in[y * SIDE + x];
}

static double between(const uint8_t *in, double x, double y)
{
    int left = (int)floor(x), top = (int)floor(y);
    double u = x - left, v = y - top;
    return (1 - v) * ((1 - u) * pixel(in, left, top) + u * pixel(in, left + 1, top)) +
           v * ((1 - u) * pixel(in, left, top + 1) + u * pixel(in, left + 1, top + 1));
}

static void rotate(const uint8_t *in, double degrees, uint8_t *out)
{
    double c = cos(degrees * 3.14159265358979 / 180), s = sin(degrees * 3.14159265358979 / 180);
    double centre = (SIDE - 1) / 2.0;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            double dx = x - centre, dy = y - centre;
            out[y * SIDE + x] = clamp(
                between(in, centre + c * dx + s * dy, centre - s * dx + c * dy));
        }
}

static void rotate_90(const uint8_t *in, uint32_t id, uint8_t *out)
{
    (void)id;
    rotate(in, 90, out);
}

static void rotate_15(const uint8_t *in, uint32_t id, uint8_t *out)
{
    (void)id;
    rotate(in, 15, out);
}

static void invert(const uint8_t *in, uint32_t id, uint8_t *out)
{
    (void)id;
    for (int i = 0; i < FM_IMAGE_BYTES; i++)
        out[i] = (uint8_t)(255 - in[i]);
}

// Normal noise of a deviation of 20 of 255: the sum of twelve uniform draws, less six.
static void add_noise(const uint8_t *in, uint32_t id, uint8_t *out)
{
    for (uint32_t i = 0; i < FM_IMAGE_BYTES; i++) {
        double sum = -6;
        for (uint32_t k = 0; k < 3; k++) {
            struct fm_draws draws = fm_philox(5, id, i, 41, k);
            for (int j = 0; j < 4; j++)
                sum += (double)fm_draw_unit(draws.v[j]);
        }
        out[i] = clamp(in[i] + 20 * sum);
    }
}

static void blur(const uint8_t *in, uint32_t id, uint8_t *out)
{
    (void)id;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            double sum = 0;
            for (int k = 0; k < 9; k++)
                sum += pixel(in, x + k % 3 - 1, y + k / 3 - 1);
            out[y * SIDE + x] = clamp(sum / 9);
        }
}

static void darken(const uint8_t *in, uint32_t id, uint8_t *out)
{
    (void)id;
    for (int i = 0; i < FM_IMAGE_BYTES; i++)
        out[i] = clamp(0.7 * in[i]);
}

static void shift(const uint8_t *in, uint32_t id, uint8_t *out)
{
    (void)id;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            out[y * SIDE + x] = (uint8_t)pixel(in, x - 2, y - 1);
}

// ---- Samples

// `count` different test images of classes below `classes`, by a sort of draws.
struct drawn {
    uint64_t key;
    uint32_t id;
};

static int by_key(const void *a, const void *b)
{
    const struct drawn *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

static void draw_ids(uint32_t trial, int classes, uint32_t *ids, uint32_t count)
{
    struct drawn *all = malloc(dataset.test.count * sizeof *all);
    uint32_t taken = 0;
    if (!all)
        abort();
    for (uint32_t i = 0; i < dataset.test.count; i++)
        all[i] = (struct drawn){fm_draw64(9, trial, i, 42), i};
    qsort(all, dataset.test.count, sizeof *all, by_key);
    for (uint32_t i = 0; i < dataset.test.count && taken < count; i++)
        if (dataset.test.labels[all[i].id] < classes)
            ids[taken++] = all[i].id;
    free(all);
}

struct drift_case {
    const char *name;
    void (*change)(const uint8_t *in, uint32_t id, uint8_t *out); // NULL: untouched
    int classes;                                                  // 0: all
    bool kinds[FM_DRIFT_KINDS];                                   // that must fire each time
    bool mix;                                                     // explained by the mix of classes
};

static const struct drift_case cases[] = {
    {"turned by 90 degrees", rotate_90, 0, {true, true, true}, false},
    {"turned by 15 degrees", rotate_15, 0, {true, true, false}, false},
    {"inverted", invert, 0, {true, true, true}, false},
    {"noisy (deviation 20 of 255)", add_noise, 0, {false, true, false}, false},
    {"blurred (3x3)", blur, 0, {false, true, false}, false},
    {"darker by 30 %", darken, 0, {false, true, false}, false},
    {"shifted by 2 and 1 pixels", shift, 0, {false, true, false}, false},
    {"the first half of the classes", NULL, 5, {true, true, true}, true},
};

static enum fm_status compare_sets(
    const struct fm_drift_set *reference, const struct fm_drift_set *seen, struct fm_drift *drift)
{
    const struct fm_drift_options options = {.classes = trained.predictor.classes,
        .class_names = trained.predictor.class_names,
        .level = level};
    return fm_drift_compare(reference, seen, &options, drift);
}

static enum fm_status compare(
    uint32_t count, const uint8_t *records, const float *output, struct fm_drift *drift)
{
    const struct fm_drift_set reference = {split.calibrate_count, calibration, calibration_output};
    const struct fm_drift_set seen = {count, records, output};
    return compare_sets(&reference, &seen, drift);
}

static enum fm_status compare_sample(
    const struct drift_case *c, uint32_t trial, uint32_t count, struct fm_drift *drift)
{
    size_t classes = (size_t)trained.predictor.classes;
    uint32_t *ids = calloc(count, sizeof *ids);
    uint8_t *records = malloc((size_t)count * FM_IMAGE_BYTES);
    float *output = malloc(count * classes * sizeof *output);
    enum fm_status status = FM_OK;
    if (!ids || !records || !output)
        abort();
    draw_ids(trial, c->classes ? c->classes : dataset.classes, ids, count);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *record = dataset.test.records + (size_t)ids[i] * FM_IMAGE_BYTES;
        uint8_t *to = records + (size_t)i * FM_IMAGE_BYTES;
        memcpy(to, record, FM_IMAGE_BYTES);
        memcpy(output + i * classes, test_output + ids[i] * classes, classes * sizeof *output);
        if (c->change)
            c->change(record, ids[i], to);
    }
    if (c->change)
        status = fm_predictor_run(&trained.predictor, records, count, output);
    if (status == FM_OK)
        status = compare(count, records, output, drift);
    free(ids);
    free(records);
    free(output);
    return status;
}

// ---- Cases

struct seen {
    int fired, kinds[FM_DRIFT_KINDS], within, bonferroni;
};

static void add_seen(struct seen *seen, const struct fm_drift *drift)
{
    bool bonferroni = false;
    seen->fired += drift->drifted;
    seen->within += drift->within[FM_DRIFT_OUTPUTS] || drift->within[FM_DRIFT_IMAGES];
    for (int k = 0; k < FM_DRIFT_KINDS; k++)
        seen->kinds[k] += drift->kinds[k];
    for (int k = 0; k < drift->test_count; k++)
        bonferroni |= drift->tests[k].bonferroni <= level;
    seen->bonferroni += bonferroni;
}

static enum fm_status repeat(
    const struct drift_case *c, int trials, uint32_t count, struct seen *seen)
{
    *seen = (struct seen){0};
    for (int trial = 0; trial < trials; trial++) {
        struct fm_drift drift;
        FM_TRY(compare_sample(c, (uint32_t)trial, count, &drift));
        add_seen(seen, &drift);
        fm_drift_free(&drift);
    }
    return FM_OK;
}

static void print_seen(const char *name, uint32_t count, int trials, const struct seen *seen)
{
    printf("%-30s %5" PRIu32 " images: %3d of %3d fire; outputs %3d, images %3d, class shares %3d, "
           "within classes %3d; by Bonferroni %3d\n",
        name, count, seen->fired, trials, seen->kinds[0], seen->kinds[1], seen->kinds[2],
        seen->within, seen->bonferroni);
}

static int check_case(const struct drift_case *c, uint32_t count)
{
    struct seen seen;
    int failed = 0;
    if (repeat(c, DRIFTED_SAMPLES, count, &seen) != FM_OK)
        return fail();
    print_seen(c->name, count, DRIFTED_SAMPLES, &seen);
    for (int k = 0; k < FM_DRIFT_KINDS; k++)
        failed |= c->kinds[k] && seen.kinds[k] < DRIFTED_SAMPLES;
    failed |= seen.fired < DRIFTED_SAMPLES;
    failed |= c->mix && seen.within > 1;
    if (failed)
        printf("FAILED: %s: expected to fire each time%s\n", c->name,
            c->mix ? ", and to be explained by the mix of classes"
                   : ", in the kinds that it is of");
    return failed;
}

// What chance may make of the level over the samples: three standard errors.
static double margin(void)
{
    return 3 * sqrt(level * (1 - level) / CLEAN_SAMPLES);
}

static int check_clean(uint32_t count)
{
    static const struct drift_case untouched = {.name = "untouched"};
    struct seen seen;
    if (repeat(&untouched, CLEAN_SAMPLES, count, &seen) != FM_OK)
        return fail();
    print_seen(untouched.name, count, CLEAN_SAMPLES, &seen);
    double rate = (double)seen.fired / CLEAN_SAMPLES;
    if (rate <= level + margin())
        return 0;
    printf("FAILED: untouched: %.3f of the samples fire, expected at most %g + %.3f\n", rate, level,
        margin());
    return 1;
}

// Reference and sample as one draw from calibration and test images together.
static enum fm_status compare_redrawn(
    uint32_t trial, uint32_t reference_count, uint32_t count, struct fm_drift *drift)
{
    size_t classes = (size_t)dataset.classes, row = classes * sizeof(float);
    uint32_t calibrate = split.calibrate_count, all = calibrate + dataset.test.count;
    uint32_t wanted = reference_count + count;
    struct drawn *drawn = malloc(all * sizeof *drawn);
    uint8_t *records = malloc((size_t)wanted * FM_IMAGE_BYTES);
    float *output = malloc(wanted * row);
    if (!drawn || !records || !output)
        abort();
    for (uint32_t i = 0; i < all; i++)
        drawn[i] = (struct drawn){fm_draw64(10, trial, i, 42), i};
    qsort(drawn, all, sizeof *drawn, by_key);
    for (size_t i = 0; i < wanted; i++) {
        bool held_out = drawn[i].id < calibrate;
        size_t id = held_out ? drawn[i].id : drawn[i].id - calibrate;
        memcpy(records + i * FM_IMAGE_BYTES,
            (held_out ? calibration : dataset.test.records) + id * FM_IMAGE_BYTES, FM_IMAGE_BYTES);
        memcpy(output + i * classes, (held_out ? calibration_output : test_output) + id * classes,
            row);
    }
    const struct fm_drift_set reference = {reference_count, records, output};
    const struct fm_drift_set seen = {count, records + (size_t)reference_count * FM_IMAGE_BYTES,
        output + reference_count * classes};
    enum fm_status status = compare_sets(&reference, &seen, drift);
    free(drawn);
    free(records);
    free(output);
    return status;
}

static int check_redrawn(uint32_t reference_count, uint32_t count)
{
    struct seen seen = {0};
    for (uint32_t trial = 0; trial < CLEAN_SAMPLES; trial++) {
        struct fm_drift drift;
        if (compare_redrawn(trial, reference_count, count, &drift) != FM_OK)
            return fail();
        add_seen(&seen, &drift);
        fm_drift_free(&drift);
    }
    print_seen("untouched, reference redrawn", count, CLEAN_SAMPLES, &seen);
    double rate = (double)seen.fired / CLEAN_SAMPLES;
    if (fabs(rate - level) <= margin())
        return 0;
    printf("FAILED: untouched, reference redrawn: %.3f of the samples fire, expected %g +- %.3f\n",
        rate, level, margin());
    return 1;
}

static enum fm_status open_all(const char *run, const char *data)
{
    const struct fm_device_options options = {.threads = 2};
    FM_TRY(fm_engine_open("cpu", &options, &engine));
    FM_TRY(fm_dataset_open(data, &dataset));
    FM_TRY(fm_split_make(&dataset.train, dataset.classes, &split));
    FM_TRY(fm_trained_open(&engine, run, 0, &trained));
    size_t row = (size_t)dataset.classes * sizeof(float), images = split.calibrate_count;
    calibration = malloc(images * FM_IMAGE_BYTES);
    calibration_output = malloc(images * row);
    test_output = malloc(dataset.test.count * row);
    if (!calibration || !calibration_output || !test_output)
        return fm_fail_memory("the calibration images", images * FM_IMAGE_BYTES);
    for (size_t i = 0; i < images; i++)
        memcpy(calibration + i * FM_IMAGE_BYTES,
            dataset.train.records + (size_t)split.calibrate[i] * FM_IMAGE_BYTES, FM_IMAGE_BYTES);
    FM_TRY(fm_predictor_run(&trained.predictor, calibration, images, calibration_output));
    return fm_predictor_run(
        &trained.predictor, dataset.test.records, dataset.test.count, test_output);
}

static void close_all(void)
{
    free(test_output);
    free(calibration_output);
    free(calibration);
    fm_trained_close(&trained);
    fm_split_free(&split);
    fm_dataset_close(&dataset);
    fm_engine_close(&engine);
}

int main(int argc, char **argv)
{
    int failed = 0;
    fm_module_set_directory(FM_TEST_BINARY_DIR "/modules");
    if (argc < 2 || open_all(argv[1], argc > 2 ? argv[2] : NULL) != FM_OK)
        return argc < 2 ? 2 : fail();
    // A small set's few images allow for few samples of few images.
    bool small = dataset.test.count < 10 * SAMPLE;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        failed |= check_case(&cases[i], small ? dataset.test.count / 4 : SAMPLE);
    if (small)
        printf("SKIP: the rate over untouched samples: %" PRIu32 " test images are too few, all "
               "10,000 of Fashion-MNIST are needed\n",
            dataset.test.count);
    else
        failed |= check_clean(SAMPLE) | check_redrawn(REDRAWN, SAMPLE);
    for (int i = 3; i < argc && !failed; i++) {
        failed |= check_clean((uint32_t)atoi(argv[i]));
        failed |= check_redrawn(split.calibrate_count, (uint32_t)atoi(argv[i]));
    }
    close_all();
    return failed;
}
