// Near duplicates: planted ones are found and none invented; and the search that looks at few pairs
// finds what looking at all of them finds, on images drawn at random and on real ones.
#include "eval/audit/near.h"

#include "data/dataset.h"
#include "philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    SIDE = FM_IMAGE_SIDE,
    BYTES = FM_IMAGE_BYTES
};

static const struct fm_near_options usual = {
    .distance = FM_NEAR_DISTANCE, .mirrored = true, .shift = 1};

static uint32_t draw(uint64_t seed, uint32_t sample, uint32_t element, uint32_t below)
{
    return fm_draw_below(fm_draw(seed, 0, sample, 0, element), below);
}

// A thing with structure: rectangles of different greys, away from the edges.
static void draw_thing(uint64_t seed, uint32_t sample, uint8_t *out)
{
    memset(out, 0, BYTES);
    for (uint32_t k = 0; k < 6; k++) {
        uint32_t top = 3 + draw(seed, sample, 8 * k, 14),
                 left = 3 + draw(seed, sample, 8 * k + 1, 14);
        uint32_t high = 2 + draw(seed, sample, 8 * k + 2, 9),
                 wide = 2 + draw(seed, sample, 8 * k + 3, 9);
        uint32_t grey = 40 + draw(seed, sample, 8 * k + 4, 200);
        for (uint32_t y = top; y < top + high && y < SIDE - 3; y++)
            for (uint32_t x = left; x < left + wide && x < SIDE - 3; x++)
                out[y * SIDE + x] = (uint8_t)grey;
    }
}

static void mirror_and_move(const uint8_t *from, bool mirrored, int down, int right, uint8_t *out)
{
    memset(out, 0, BYTES);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            int to_y = y + down, to_x = (mirrored ? SIDE - 1 - x : x) + right;
            if (to_y >= 0 && to_y < SIDE && to_x >= 0 && to_x < SIDE)
                out[to_y * SIDE + to_x] = from[y * SIDE + x];
        }
}

static void brighten(const uint8_t *from, double factor, uint8_t *out)
{
    for (int i = 0; i < BYTES; i++)
        out[i] = (uint8_t)fmin(255, floor(from[i] * factor + 0.5));
}

static void add_noise(const uint8_t *from, uint64_t seed, int most, uint8_t *out)
{
    for (int i = 0; i < BYTES; i++) {
        int value = from[i] + (int)draw(seed, 0, (uint32_t)i, 2 * (uint32_t)most + 1) - most;
        out[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
}

// ---- Comparing two

static void expect(const char *what, const struct fm_near_pair *pair, double low, double high,
    bool mirrored, int down, int right)
{
    if (!((double)pair->distance >= low && (double)pair->distance <= high) ||
        pair->mirrored != mirrored || pair->down != down || pair->right != right)
        fail_msg("%s: distance %g, %smirrored, moved %d %d; expected %g to %g, %smirrored, %d %d",
            what, (double)pair->distance, pair->mirrored ? "" : "not ", pair->down, pair->right,
            low, high, mirrored ? "" : "not ", down, right);
}

static void test_compares_by_definition(void **state)
{
    (void)state;
    uint8_t a[BYTES], b[BYTES];
    struct fm_near_pair pair;
    draw_thing(1, 0, a);
    pair = fm_near_compare(a, a, &usual);
    expect("itself", &pair, 0, 0, false, 0, 0);
    assert_true(pair.identical);
    mirror_and_move(a, true, 0, 0, b);
    pair = fm_near_compare(a, b, &usual);
    expect("mirrored", &pair, 0, 0, true, 0, 0);
    assert_false(pair.identical);
    // b is a moved down by 1 and to the left: it comes back up and to the right.
    mirror_and_move(a, false, 1, -1, b);
    pair = fm_near_compare(a, b, &usual);
    expect("moved", &pair, 0, 0, false, -1, 1);
    mirror_and_move(a, true, 1, 1, b);
    pair = fm_near_compare(a, b, &usual);
    expect("mirrored and moved", &pair, 0, 0, true, -1, 1);
    mirror_and_move(a, false, 2, 0, b);
    pair = fm_near_compare(a, b, &usual);
    assert_true((double)pair.distance > FM_NEAR_DISTANCE);

    // Two pixels against one of them: cos = 1 / sqrt(2).
    memset(a, 0, BYTES);
    memset(b, 0, BYTES);
    a[400] = a[410] = 100;
    b[400] = 200;
    pair = fm_near_compare(a, b, &(struct fm_near_options){.distance = 0.1});
    expect("half", &pair, sqrt(2 - M_SQRT2) - 1e-6, sqrt(2 - M_SQRT2) + 1e-6, false, 0, 0);
    // What is moved over the edge is lost, and counts: only one of two pixels of b comes to lie on
    // a.
    memset(a, 0, BYTES);
    memset(b, 0, BYTES);
    a[9] = 50;
    b[SIDE + 9] = b[10] = 50;
    pair = fm_near_compare(a, b, &(struct fm_near_options){.distance = 0.1, .shift = 1});
    expect("lost", &pair, sqrt(2 - M_SQRT2) - 1e-6, sqrt(2 - M_SQRT2) + 1e-6, false, -1, 0);
    memset(a, 0, BYTES);
    pair = fm_near_compare(a, b, &usual);
    expect("black", &pair, M_SQRT2 - 1e-6, M_SQRT2 + 1e-6, false, 0, 0);
}

// ---- Planted pairs

struct images {
    uint8_t (*records)[BYTES];
    const uint8_t **pointers;
    uint32_t count;
};

static void make_images(struct images *images, uint32_t count)
{
    images->records = calloc(count, sizeof *images->records);
    images->pointers = calloc(count, sizeof *images->pointers);
    images->count = count;
    assert_non_null(images->records);
    assert_non_null(images->pointers);
    for (uint32_t i = 0; i < count; i++)
        images->pointers[i] = images->records[i];
}

static void free_images(struct images *images)
{
    free(images->pointers);
    free(images->records);
}

static const struct fm_near_pair *find_pair(const struct fm_near *near, uint32_t a, uint32_t b)
{
    for (uint32_t k = 0; k < near->count; k++)
        if (near->pairs[k].a == a && near->pairs[k].b == b)
            return &near->pairs[k];
    fail_msg("the pair %u, %u was not found", (unsigned)a, (unsigned)b);
    return NULL;
}

static void test_finds_what_is_planted(void **state)
{
    (void)state;
    enum {
        THINGS = 300
    };
    struct images images;
    struct fm_near near;
    make_images(&images, THINGS + 8);
    uint8_t(*records)[BYTES] = images.records, moved[BYTES];
    for (uint32_t i = 0; i < THINGS; i++)
        draw_thing(2, i, records[i]);
    memcpy(records[THINGS], records[10], BYTES); // copied, twice
    memcpy(records[THINGS + 1], records[10], BYTES);
    mirror_and_move(records[20], true, 0, 0, records[THINGS + 2]);  // mirrored
    mirror_and_move(records[30], false, 1, 0, records[THINGS + 3]); // moved
    brighten(records[40], 0.8, records[THINGS + 4]);                // darker
    add_noise(records[50], 5, 4, records[THINGS + 5]);              // recompressed
    mirror_and_move(records[60], true, -1, 1, moved);               // all of it
    add_noise(moved, 6, 3, records[THINGS + 6]);
    memset(records[THINGS + 7], 0, BYTES); // black
    assert_int_equal(fm_near_find(images.pointers, images.count, &usual, &near), FM_OK);
    assert_int_equal(near.dropped, 0);
    expect("copy", find_pair(&near, 10, THINGS), 0, 0, false, 0, 0);
    assert_true(find_pair(&near, 10, THINGS)->identical);
    assert_true(find_pair(&near, 10, THINGS + 1)->identical);
    expect("mirrored", find_pair(&near, 20, THINGS + 2), 0, 0, true, 0, 0);
    expect("moved", find_pair(&near, 30, THINGS + 3), 0, 0, false, -1, 0);
    expect("darker", find_pair(&near, 40, THINGS + 4), 0, 0.01, false, 0, 0);
    expect("noise", find_pair(&near, 50, THINGS + 5), 0.001, 0.07, false, 0, 0);
    expect("all", find_pair(&near, 60, THINGS + 6), 0.001, 0.07, true, 1, 1);
    if (near.count != 7)
        fail_msg("%u pairs, expected the 7 that were planted", (unsigned)near.count);
    fm_near_free(&near);

    const struct fm_near_options plain = {.distance = FM_NEAR_DISTANCE};
    assert_int_equal(fm_near_find(images.pointers, images.count, &plain, &near), FM_OK);
    assert_int_equal(near.count, 4); // two copies, the darker and the noisy one
    fm_near_free(&near);
    free_images(&images);
}

// The first of a group of copies stands for the others, on both sides, whichever comes first.
static void test_pairs_of_groups(void **state)
{
    (void)state;
    struct images images;
    struct fm_near near;
    make_images(&images, 5);
    draw_thing(3, 0, images.records[0]);
    mirror_and_move(images.records[0], true, 1, 1, images.records[1]);
    memcpy(images.records[2], images.records[1], BYTES);
    memcpy(images.records[3], images.records[0], BYTES);
    assert_int_equal(fm_near_find(images.pointers, 5, &usual, &near), FM_OK); // 4 is black
    assert_int_equal(near.count, 5);
    assert_true(find_pair(&near, 0, 3)->identical);
    assert_true(find_pair(&near, 1, 2)->identical);
    for (uint32_t k = 0; k < near.count; k++) {
        struct fm_near_pair pair = near.pairs[k], direct = fm_near_compare(images.records[pair.a],
                                                      images.records[pair.b], &usual);
        assert_true(pair.a < pair.b);
        expect("of a group", &pair, (double)direct.distance, (double)direct.distance,
            direct.mirrored, direct.down, direct.right);
    }
    find_pair(&near, 0, 1);
    find_pair(&near, 0, 2);
    find_pair(&near, 1, 3);
    fm_near_free(&near);

    memset(images.records[0], 0, BYTES); // black ones are identical, and that is all
    assert_int_equal(fm_near_find(images.pointers, 5, &usual, &near), FM_OK);
    assert_true(find_pair(&near, 0, 4)->identical);
    fm_near_free(&near);
    assert_int_equal(fm_near_find(images.pointers, 0, &usual, &near), FM_OK);
    assert_int_equal(near.count, 0);
    fm_near_free(&near);
    free_images(&images);
}

// ---- All that are found

struct found {
    uint32_t count;
    uint8_t pairs[6][6];
    struct fm_near_pair last;
};

static void note_pair(void *context, const struct fm_near_pair *pair)
{
    struct found *found = context;
    assert_true(pair->a < pair->b && pair->b < 6);
    found->pairs[pair->a][pair->b]++;
    found->count++;
    found->last = *pair;
}

// Two groups of three, mirrored and moved: each of the fifteen pairs is told once, as it is.
static void test_tells_pairs_of_copies(void **state)
{
    (void)state;
    struct images images;
    struct fm_near near;
    struct found found = {0};
    struct fm_near_options options = usual;
    options.found = note_pair;
    options.context = &found;
    make_images(&images, 6);
    draw_thing(3, 0, images.records[0]);
    mirror_and_move(images.records[0], true, 1, 1, images.records[1]);
    for (uint32_t i = 2; i < 6; i++)
        memcpy(images.records[i], images.records[i == 4 ? 0 : i == 2 ? 0 : 1], BYTES);
    assert_int_equal(fm_near_find(images.pointers, 6, &options, &near), FM_OK);
    assert_int_equal(found.count, 15);
    for (uint32_t b = 0; b < 6; b++)
        for (uint32_t a = 0; a < b; a++)
            assert_int_equal(found.pairs[a][b], 1);
    struct fm_near_pair last = fm_near_compare(
        images.records[found.last.a], images.records[found.last.b], &usual);
    expect("told last", &found.last, (double)last.distance, (double)last.distance, last.mirrored,
        last.down, last.right);
    assert_int_equal(near.count, 9); // 2 and 2 with their firsts, 1 of these, 2 and 2 across
    fm_near_free(&near);
    free_images(&images);
}

static void count_pair(void *context, const struct fm_near_pair *pair)
{
    (void)pair;
    ++*(uint64_t *)context;
}

// The list ends, what is told does not: so many that are near each other, no two the same.
static void test_tells_what_the_list_drops(void **state)
{
    (void)state;
    enum {
        COUNT = 1416,
        PAIRS = COUNT * (COUNT - 1) / 2
    };
    struct images images;
    struct fm_near near;
    uint64_t told = 0;
    make_images(&images, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        memset(images.records[i], 100, BYTES);
        images.records[i][i % BYTES] += (uint8_t)(1 + i / BYTES);
    }
    const struct fm_near_options options = {
        .distance = FM_NEAR_DISTANCE, .found = count_pair, .context = &told};
    assert_int_equal(fm_near_find(images.pointers, COUNT, &options, &near), FM_OK);
    assert_int_equal(near.count, FM_NEAR_PAIRS_MAX);
    assert_int_equal(near.dropped, PAIRS - FM_NEAR_PAIRS_MAX);
    assert_int_equal(told, PAIRS);
    fm_near_free(&near);
    free_images(&images);
}

// ---- Against all pairs

// Things, some of them near others by noise of all strengths, and pure noise; or real images.
static void draw_mixture(struct images *images, uint32_t from)
{
    for (uint32_t i = from; i < images->count; i++) {
        uint8_t *out = images->records[i];
        uint32_t kind = i % 4;
        if (kind == 0 || i < from + 8)
            draw_thing(4, i, out);
        else if (kind == 1)
            add_noise(images->records[i - 1], i, 2 + (int)(i / 4 % 24), out);
        else if (kind == 2)
            mirror_and_move(images->records[i - 2], i % 8 == 2, (int)(i / 4 % 3) - 1, 1, out);
        else
            add_noise(images->records[i - 1], i, 120, out);
    }
}

static uint32_t count_all(
    const struct images *images, const struct fm_near_options *options, const struct fm_near *near)
{
    uint32_t expected = 0;
    for (uint32_t b = 0; b < images->count; b++)
        for (uint32_t a = 0; a < b; a++) {
            struct fm_near_pair pair = fm_near_compare(
                images->records[a], images->records[b], options);
            if ((double)pair.distance > options->distance)
                continue;
            expect("of all pairs", find_pair(near, a, b), (double)pair.distance,
                (double)pair.distance, pair.mirrored, pair.down, pair.right);
            expected++;
        }
    return expected;
}

static void check_against_all(
    const struct images *images, const struct fm_near_options *options, uint32_t least)
{
    struct fm_near near;
    assert_int_equal(fm_near_find(images->pointers, images->count, options, &near), FM_OK);
    uint32_t expected = count_all(images, options, &near);
    if (near.count != expected || expected < least)
        fail_msg("distance %g: %u pairs, expected the %u of looking at all, at least %u",
            options->distance, (unsigned)near.count, (unsigned)expected, (unsigned)least);
    for (uint32_t k = 1; k < near.count; k++)
        assert_true(near.pairs[k - 1].distance <= near.pairs[k].distance);
    fm_near_free(&near);
}

// All pairs of 2,000 images take a sanitizer half a minute, in which it sees nothing new.
#if defined(__SANITIZE_ADDRESS__)
enum {
    REAL_MAX = 350
};
#else
enum {
    REAL_MAX = UINT16_MAX
};
#endif

static void test_finds_what_all_pairs_find(void **state)
{
    (void)state;
    struct fm_dataset tiny;
    struct images images;
    assert_int_equal(fm_dataset_open(FM_TEST_SOURCE_DIR "/data/tiny", &tiny), FM_OK);
    uint32_t real = tiny.train.count < REAL_MAX ? tiny.train.count : REAL_MAX;
    make_images(&images, 2 * real);
    memcpy(images.records, tiny.train.records, (size_t)real * BYTES);
    draw_mixture(&images, real);
    static const double distances[2] = {0.07, 0.2};
    const uint32_t least[2] = {real / 20, real / 5};
    for (int k = 0; k < 2; k++)
        check_against_all(&images, &(struct fm_near_options){.distance = distances[k]}, least[k]);
    images.count = real + 100; // with 18 transforms, all pairs of fewer
    struct images few = {images.records + real - 150, images.pointers + real - 150, 250};
    check_against_all(
        &few, &(struct fm_near_options){.distance = 0.1, .mirrored = true, .shift = 1}, 40);
    free_images(&images);
    fm_dataset_close(&tiny);
}

// ---- Refusals, progress

static enum fm_status stop(void *context, uint32_t done, uint32_t total)
{
    *(uint32_t *)context = total;
    return done > 0 ? fm_fail(FM_INTERRUPTED, "stopped") : FM_OK;
}

static void test_refuses_and_stops(void **state)
{
    (void)state;
    struct images images;
    struct fm_near near;
    uint32_t total = 0;
    make_images(&images, 3);
    draw_thing(5, 0, images.records[0]);
    const struct fm_near_options wrong[4] = {
        {.distance = -0.1}, {.distance = 0.5}, {.distance = (double)NAN}, {.shift = 4}};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(fm_near_find(images.pointers, 3, &wrong[i], &near), FM_USAGE);
        fm_error_clear();
    }
    struct fm_near_options options = usual;
    options.progress = stop;
    options.context = &total;
    assert_int_equal(fm_near_find(images.pointers, 3, &options, &near), FM_INTERRUPTED);
    assert_int_equal(total, 1); // the two black ones are not looked for
    fm_error_clear();
    free_images(&images);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compares_by_definition),
        cmocka_unit_test(test_finds_what_is_planted),
        cmocka_unit_test(test_pairs_of_groups),
        cmocka_unit_test(test_tells_pairs_of_copies),
        cmocka_unit_test(test_tells_what_the_list_drops),
        cmocka_unit_test(test_finds_what_all_pairs_find),
        cmocka_unit_test(test_refuses_and_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
