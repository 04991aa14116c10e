// Data sets made of folders of pictures: the same records as from IDX files, what the cache keeps
// and when it must not be believed, what is held out, and what is refused.
#include "base/log.h"
#include "base/text.h"
#include "data/folders/folders.h"
#include "data/split.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "expect.h"
#include "picture_folders.h"
#include "scratch.h"

enum {
    CLASSES = 10,
    TRAIN_EACH = 20,
    TEST_EACH = 5
};

// In the order of tiny's labels, which is not the sorted one.
static const char *const names[CLASSES] = {"T-shirt or top", "trouser", "\xd0\x9f\xd1\x83\xd0\xbb",
    "Dress", "coat", "sandal's", "\"Shirt\"", "a\\b", "=bag", "Ankle boot"};

static char root[SCRATCH_PATH_MAX];
static struct fm_dataset tiny;

// ---- What is told

static char told[65536];

static void hear(const char *line)
{
    size_t length = strlen(told);
    snprintf(told + length, sizeof told - length, "%s\n", line);
}

static void ignore(const char *line)
{
    (void)line;
}

static const struct fm_log_sink listening = {hear, hear, ignore};

static void assert_told(const char *part)
{
    if (!strstr(told, part))
        fail_msg("\"%s\" is not among what was told: %s", part, told);
}

static void assert_not_told(const char *part)
{
    if (strstr(told, part))
        fail_msg("\"%s\" is among what was told: %s", part, told);
}

// ---- Folders

static char *in_root(const char *name)
{
    static char paths[4][FM_PATH_MAX];
    static int next;
    char *path = paths[next++ % 4];
    assert_ok(fm_path_join(path, root, name));
    return path;
}

// A new folder "pictures" with a training and, if asked for, a test part, and an empty cache.
static const char *make_pictures(int train_each, int test_each)
{
    scratch_remove(in_root("pictures"));
    scratch_remove(in_root("cache"));
    assert_int_equal(setenv("XDG_CACHE_HOME", in_root("cache"), 1), 0);
    assert_ok(write_picture_folders(
        &tiny.train, CLASSES, names, in_root("pictures"), test_each ? "train/" : "", train_each));
    if (test_each)
        assert_ok(write_picture_folders(
            &tiny.test, CLASSES, names, in_root("pictures"), "test/", test_each));
    return in_root("pictures");
}

static struct fm_dataset open_pictures(void)
{
    struct fm_dataset data;
    told[0] = '\0';
    assert_ok(fm_dataset_open(in_root("pictures"), &data));
    return data;
}

static void expect_refusal(enum fm_status expected, const char *part)
{
    struct fm_dataset data;
    told[0] = '\0';
    assert_fails(fm_dataset_open(in_root("pictures"), &data), expected, part);
}

static void expect_same(const struct fm_dataset *a, const struct fm_dataset *b)
{
    for (int i = 0; i < 4; i++) {
        assert_int_equal(a->files[i].crc32, b->files[i].crc32);
        assert_int_equal(a->files[i].size, b->files[i].size);
    }
    assert_int_equal(a->train.count, b->train.count);
    assert_int_equal(a->test.count, b->test.count);
    assert_memory_equal(a->train.records, b->train.records, a->train.count * FM_IMAGE_BYTES);
    assert_memory_equal(a->test.records, b->test.records, a->test.count * FM_IMAGE_BYTES);
    assert_memory_equal(a->train.labels, b->train.labels, a->train.count);
    assert_memory_equal(a->test.labels, b->test.labels, a->test.count);
    assert_int_equal(a->classes, b->classes);
    for (int c = 0; c < a->classes; c++)
        assert_string_equal(a->class_names[c], b->class_names[c]);
    for (uint32_t i = 0; i < a->train.count; i++)
        assert_string_equal(a->train_names[i], b->train_names[i]);
    for (uint32_t i = 0; i < a->test.count; i++)
        assert_string_equal(a->test_names[i], b->test_names[i]);
}

static uint32_t sample_number(const char *path)
{
    return (uint32_t)strtoul(strrchr(path, '/') + 1, NULL, 10);
}

// Each record is the sample's that its file is named after, under the class of its folder.
static void expect_records(const struct fm_dataset *data, const struct fm_samples *samples,
    char *const *paths, const struct fm_samples *source)
{
    for (uint32_t i = 0; i < samples->count; i++) {
        uint32_t number = sample_number(paths[i]);
        const char *class = data->class_names[samples->labels[i]];
        assert_memory_equal(samples->records + (size_t)i * FM_IMAGE_BYTES,
            source->records + (size_t)number * FM_IMAGE_BYTES, FM_IMAGE_BYTES);
        assert_string_equal(class, names[source->labels[number]]);
        assert_non_null(strstr(paths[i], class));
        if (i > 0 && samples->labels[i] == samples->labels[i - 1])
            assert_true(strcmp(paths[i - 1], paths[i]) < 0);
        if (i > 0)
            assert_true(samples->labels[i - 1] <= samples->labels[i]);
    }
}

// ---- The same data as from IDX files

static void records_are_those_of_idx_files(void **state)
{
    (void)state;
    const char *pictures = make_pictures(TRAIN_EACH, TEST_EACH);
    char directory[FM_PATH_MAX];
    assert_true(fm_folders_found(pictures));
    assert_ok(fm_dataset_find(pictures, directory));
    assert_string_equal(directory, pictures);
    struct fm_dataset data = open_pictures();
    assert_told("pictures: 250 in 10 classes converted in ");
    assert_string_equal(data.directory, pictures);
    assert_string_equal(data.files[0].path, pictures);
    assert_true(data.pictures && !data.test_held_out && !data.fashion_mnist);
    assert_int_equal(data.train.count, CLASSES * TRAIN_EACH);
    assert_int_equal(data.test.count, CLASSES * TEST_EACH);
    assert_int_equal(data.train.record_size, FM_IMAGE_BYTES);
    assert_int_equal(data.classes, CLASSES);
    for (int c = 1; c < CLASSES; c++)
        assert_true(strcmp(data.class_names[c - 1], data.class_names[c]) < 0);
    assert_string_equal(data.class_names[0], "\"Shirt\"");
    assert_string_equal(data.class_names[CLASSES - 1], "\xd0\x9f\xd1\x83\xd0\xbb");
    expect_records(&data, &data.train, data.train_names, &tiny.train);
    expect_records(&data, &data.test, data.test_names, &tiny.test);
    assert_non_null(strstr(data.train_names[0], "train/"));
    struct fm_split split;
    assert_ok(fm_split_make(&data.train, data.classes, &split));
    fm_split_free(&split);
    fm_dataset_close(&data);
}

// ---- The cache

// The only folder of the cache; fails where there are others, half-made ones too.
static const char *cache_folder(void)
{
    static char path[FM_PATH_MAX];
    int count = 0;
    DIR *dir = opendir(in_root("cache/fmnist/datasets"));
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        count++;
        snprintf(path, sizeof path, "%s/%s", in_root("cache/fmnist/datasets"), entry->d_name);
    }
    closedir(dir);
    assert_int_equal(count, 1);
    return path;
}

static const char *in_cache(const char *name)
{
    static char path[FM_PATH_MAX];
    assert_ok(fm_path_join(path, cache_folder(), name));
    return path;
}

static struct stat stat_of(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0)
        fail_msg("%s is not there", path);
    return info;
}

static void set_time(const char *path, struct timespec time)
{
    const struct timespec times[2] = {time, time};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static const char *some_picture(void)
{
    static char path[FM_PATH_MAX];
    struct fm_dataset data = open_pictures();
    snprintf(path, sizeof path, "%s/%s", in_root("pictures"), data.train_names[7]);
    fm_dataset_close(&data);
    return path;
}

// A picture turns into rubbish of the same size and time: who does not read it does not notice.
static void a_second_start_decodes_nothing(void **state)
{
    (void)state;
    make_pictures(TRAIN_EACH, TEST_EACH);
    struct fm_dataset first = open_pictures();
    const char *picture = some_picture();
    struct stat info = stat_of(picture);
    char *rubbish = calloc(1, (size_t)info.st_size);
    assert_int_equal(scratch_write(picture, rubbish, (size_t)info.st_size), 0);
    free(rubbish);
    set_time(picture, info.st_mtim);
    struct fm_dataset second = open_pictures();
    assert_string_equal(told, "");
    assert_string_equal(second.directory, in_root("pictures"));
    assert_string_equal(second.files[0].path, in_root("pictures"));
    assert_true(second.pictures);
    expect_same(&first, &second);
    fm_dataset_close(&second);

    // The cache is a data set in IDX format of its own.
    assert_ok(fm_dataset_open(cache_folder(), &second));
    assert_false(second.pictures);
    assert_int_equal(second.files[0].crc32, first.files[0].crc32);
    assert_string_equal(second.class_names[0], "\"Shirt\"");
    fm_dataset_close(&second);

    // Its time alone says that it has changed.
    info.st_mtim.tv_nsec ^= 1;
    set_time(picture, info.st_mtim);
    second = open_pictures();
    assert_told("left out: ");
    assert_told("converted in");
    assert_int_equal(second.train.count, first.train.count - 1);
    fm_dataset_close(&second);
    second = open_pictures(); // what is left out is told each time
    assert_told("left out: ");
    assert_not_told("converted in");
    assert_int_equal(second.train.count, first.train.count - 1);
    cache_folder(); // that of the earlier state has gone
    fm_dataset_close(&second);
    fm_dataset_close(&first);
}

static void a_change_is_noticed(void **state)
{
    (void)state;
    make_pictures(TRAIN_EACH, TEST_EACH);
    const char *picture = some_picture();
    char copy[FM_PATH_MAX];
    snprintf(copy, sizeof copy, "%s/train/coat/zz.png", in_root("pictures"));
    assert_int_equal(link(picture, copy), 0);
    struct fm_dataset data = open_pictures();
    assert_told("converted in");
    assert_int_equal(data.train.count, CLASSES * TRAIN_EACH + 1);
    fm_dataset_close(&data);

    snprintf(copy, sizeof copy, "%s/train/coat/zzz.png", in_root("pictures"));
    assert_int_equal(rename(picture, copy), 0);
    data = open_pictures();
    assert_told("converted in");
    assert_int_equal(data.train.count, CLASSES * TRAIN_EACH + 1);
    fm_dataset_close(&data);

    assert_int_equal(unlink(copy), 0);
    data = open_pictures();
    assert_told("converted in");
    assert_int_equal(data.train.count, CLASSES * TRAIN_EACH);
    fm_dataset_close(&data);

    picture = some_picture();
    struct timespec before = stat_of(picture).st_mtim;
    before.tv_sec--;
    set_time(picture, before);
    data = open_pictures();
    assert_told("converted in");
    fm_dataset_close(&data);

    // Neither of these is a picture: what is kept serves.
    snprintf(copy, sizeof copy, "%s/train/coat/.hidden.png", in_root("pictures"));
    assert_int_equal(scratch_write(copy, "x", 1), 0);
    snprintf(copy, sizeof copy, "%s/train/coat/notes.txt", in_root("pictures"));
    assert_int_equal(scratch_write(copy, "x", 1), 0);
    data = open_pictures();
    assert_told("1 file is passed over: ");
    assert_not_told("converted in");
    fm_dataset_close(&data);
    cache_folder();
}

static void flip_byte(const char *path, long at)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, -1, SEEK_CUR), 0);
    assert_int_not_equal(fputc(byte ^ 1, file), EOF);
    assert_int_equal(fclose(file), 0);
}

// What is damaged is told, converted again, and right from then on.
static void expect_repair(const struct fm_dataset *right, const char *what)
{
    struct fm_dataset data = open_pictures();
    if (!strstr(told, "is damaged") || !strstr(told, "converted in"))
        fail_msg("%s: not noticed; told: %s", what, told);
    expect_same(right, &data);
    fm_dataset_close(&data);
    data = open_pictures();
    if (strstr(told, "is damaged") || strstr(told, "converted"))
        fail_msg("%s: not repaired; told: %s", what, told);
    expect_same(right, &data);
    fm_dataset_close(&data);
}

static void damage_is_repaired(void **state)
{
    (void)state;
    static const char *const files[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", "classes.txt", "manifest"};
    make_pictures(TRAIN_EACH, 0); // what is held out has to come out the same, too
    struct fm_dataset right = open_pictures();
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char what[256];
        snprintf(what, sizeof what, "the last byte of %s", files[i]);
        flip_byte(in_cache(files[i]), -2);
        expect_repair(&right, what);
        snprintf(what, sizeof what, "the first byte of %s", files[i]);
        flip_byte(in_cache(files[i]), 0);
        expect_repair(&right, what);
        snprintf(what, sizeof what, "%s empty", files[i]);
        assert_int_equal(truncate(in_cache(files[i]), 0), 0);
        expect_repair(&right, what);
        snprintf(what, sizeof what, "%s missing", files[i]);
        assert_int_equal(unlink(in_cache(files[i])), 0);
        expect_repair(&right, what);
    }
    flip_byte(in_cache("manifest"), 30);
    expect_repair(&right, "a byte of the manifest's listing");
    fm_dataset_close(&right);
}

static void without_a_cache_it_works_as_well(void **state)
{
    (void)state;
    make_pictures(TRAIN_EACH, TEST_EACH);
    struct fm_dataset kept = open_pictures(), data;
    assert_int_equal(setenv("XDG_CACHE_HOME", "/proc/version/none", 1), 0);
    for (int i = 0; i < 2; i++) {
        data = open_pictures();
        assert_told("the converted pictures are not kept, and will be converted again: ");
        assert_told("converted in");
        expect_same(&kept, &data);
        fm_dataset_close(&data);
    }
    const char *home = getenv("HOME");
    char *before = home ? strdup(home) : NULL;
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    data = open_pictures();
    assert_told("not kept: neither $XDG_CACHE_HOME nor $HOME names a folder");
    expect_same(&kept, &data);
    fm_dataset_close(&data);

    assert_int_equal(setenv("HOME", in_root("home"), 1), 0);
    data = open_pictures();
    fm_dataset_close(&data);
    assert_true(fm_path_is_dir(in_root("home/.cache/fmnist/datasets")));
    if (before)
        setenv("HOME", before, 1);
    free(before);
    fm_dataset_close(&kept);
}

// Several processes at once, with nothing kept and then with a damaged cache: all are right, one
// folder is left.
static void processes_do_not_disturb_one_another(void **state)
{
    (void)state;
    enum {
        PROCESSES = 6
    };
    make_pictures(TRAIN_EACH, 0);
    struct fm_dataset right = open_pictures();
    for (int round = 0; round < 4; round++) {
        if (round % 2 == 0)
            scratch_remove(in_root("cache"));
        else
            flip_byte(in_cache("t10k-images-idx3-ubyte"), 100);
        pid_t children[PROCESSES];
        for (int i = 0; i < PROCESSES; i++) {
            children[i] = fork();
            if (children[i] == 0) {
                struct fm_dataset data;
                bool good = fm_dataset_open(in_root("pictures"), &data) == FM_OK &&
                            data.files[0].crc32 == right.files[0].crc32 &&
                            data.files[2].crc32 == right.files[2].crc32;
                if (!good)
                    fprintf(stderr, "round %d: %s\n", round, fm_error_message());
                _exit(good ? 0 : 1);
            }
        }
        for (int i = 0; i < PROCESSES; i++) {
            int status = -1;
            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
            assert_int_equal(status, 0);
        }
        struct fm_dataset data = open_pictures();
        assert_not_told("converted");
        expect_same(&right, &data);
        fm_dataset_close(&data);
        cache_folder();
    }
    fm_dataset_close(&right);
}

// What a killed process leaves is not taken for a cache, and goes after a day.
static void half_made_folders_go(void **state)
{
    (void)state;
    make_pictures(TRAIN_EACH, TEST_EACH);
    struct fm_dataset data = open_pictures();
    fm_dataset_close(&data);
    char old[FM_PATH_MAX], fresh[FM_PATH_MAX], foreign[FM_PATH_MAX];
    snprintf(old, sizeof old, "%s.tmp-aaaaaa", cache_folder());
    snprintf(fresh, sizeof fresh, "%s.tmp-bbbbbb", cache_folder());
    snprintf(foreign, sizeof foreign, "%s", in_root("cache/fmnist/datasets/mine"));
    assert_ok(fm_make_dirs(old));
    assert_ok(fm_make_dirs(fresh));
    assert_ok(fm_make_dirs(foreign));
    set_time(old, (struct timespec){1000, 0});
    set_time(foreign, (struct timespec){1000, 0});
    set_time(some_picture(), (struct timespec){2000, 0}); // another state: the cache is written
    data = open_pictures();
    assert_told("converted in");
    fm_dataset_close(&data);
    assert_false(fm_path_exists(old));
    assert_true(fm_path_exists(fresh));
    assert_true(fm_path_exists(foreign));
}

// ---- What is held out

static bool is_among(char *const *among, uint32_t count, const char *path)
{
    for (uint32_t i = 0; i < count; i++)
        if (sample_number(among[i]) == sample_number(path))
            return true;
    return false;
}

static void a_tenth_of_each_class_is_held_out(void **state)
{
    (void)state;
    make_pictures(TRAIN_EACH, 0);
    struct fm_dataset data = open_pictures();
    assert_told("there is no folder test/: 20 pictures, a tenth of each class, are held out");
    assert_true(data.test_held_out);
    assert_int_equal(data.train.count, CLASSES * (TRAIN_EACH - 2));
    assert_int_equal(data.test.count, CLASSES * 2);
    int each[CLASSES] = {0};
    for (uint32_t i = 0; i < data.test.count; i++)
        each[data.test.labels[i]]++;
    for (int c = 0; c < CLASSES; c++)
        assert_int_equal(each[c], 2);
    expect_records(&data, &data.train, data.train_names, &tiny.train);
    expect_records(&data, &data.test, data.test_names, &tiny.train);
    for (uint32_t i = 0; i < data.test.count; i++)
        assert_false(is_among(data.train_names, data.train.count, data.test_names[i]));
    // Not the first ones or the last ones of each class: drawn.
    int first = 0;
    for (uint32_t i = 0; i < data.test.count; i++) {
        char path[FM_PATH_MAX];
        const char *class = data.class_names[data.test.labels[i]];
        snprintf(path, sizeof path, "%s/%s", class, strrchr(data.test_names[i], '/') + 1);
        assert_string_equal(path, data.test_names[i]);
        for (uint32_t k = 0; k < data.train.count; k++)
            if (data.train.labels[k] == data.test.labels[i]) {
                first += strcmp(data.test_names[i], data.train_names[k]) < 0;
                break;
            }
    }
    assert_true(first < 10);

    // Another name, another folder: the same pictures are held out.
    char moved[FM_PATH_MAX], from[FM_PATH_MAX];
    snprintf(from, sizeof from, "%s/%s", in_root("pictures"), data.test_names[3]);
    snprintf(moved, sizeof moved, "%s/%s/a/", in_root("pictures"),
        data.class_names[data.test.labels[3]]);
    assert_ok(fm_make_dirs(moved));
    snprintf(moved + strlen(moved), sizeof moved - strlen(moved), "%s",
        strrchr(data.test_names[3], '/') + 1);
    assert_int_equal(rename(from, moved), 0);
    struct fm_dataset again = open_pictures();
    assert_told("converted in");
    assert_int_equal(again.test.count, data.test.count);
    for (uint32_t i = 0; i < again.test.count; i++)
        assert_true(is_among(data.test_names, data.test.count, again.test_names[i]));
    fm_dataset_close(&again);
    fm_dataset_close(&data);
}

// Each picture twice: both are trained on or both are tested on.
static void equal_pictures_stay_together(void **state)
{
    (void)state;
    make_pictures(15, 0); // a tenth of 30 would part a pair
    struct fm_dataset data = open_pictures();
    for (int part = 0; part < 2; part++) {
        uint32_t count = part ? data.test.count : data.train.count;
        char *const *paths = part ? data.test_names : data.train_names;
        for (uint32_t i = 0; i < count; i++) {
            char from[FM_PATH_MAX], to[FM_PATH_MAX];
            snprintf(from, sizeof from, "%s/%s", in_root("pictures"), paths[i]);
            snprintf(to, sizeof to, "%.*s-again.png", (int)strlen(from) - 4, from);
            assert_int_equal(link(from, to), 0);
        }
    }
    fm_dataset_close(&data);
    data = open_pictures();
    assert_int_equal(data.train.count + data.test.count, 2 * CLASSES * 15);
    assert_int_equal(data.test.count, CLASSES * 4);
    for (uint32_t i = 0; i < data.test.count; i++)
        assert_false(is_among(data.train_names, data.train.count, data.test_names[i]));
    assert_not_told("have the same content");
    fm_dataset_close(&data);
}

static int remove_picture(const char *path)
{
    char full[FM_PATH_MAX];
    assert_ok(fm_path_join(full, in_root("pictures"), path));
    return unlink(full);
}

// Links so many copies to a picture of the data set, in its folder.
static void copy_picture(const char *path, int copies)
{
    for (int i = 0; i < copies; i++) {
        char from[FM_PATH_MAX], to[FM_PATH_MAX];
        assert_ok(fm_path_join(from, in_root("pictures"), path));
        snprintf(to, sizeof to, "%.*s-copy-%d.png", (int)strlen(from) - 4, from, i);
        assert_int_equal(link(from, to), 0);
    }
}

static void many_equal_pictures_are_not_the_test(void **state)
{
    (void)state;
    make_pictures(15, 0);
    struct fm_dataset data = open_pictures();
    copy_picture(data.test_names[0], 20); // the first of its class that were drawn, 2 of 15
    const char *alone = data.train_names[data.train.count - 1];
    int first = data.test.labels[0], last = data.train.labels[data.train.count - 1];
    for (uint32_t i = 0; i < data.train.count - 1; i++)
        if (data.train.labels[i] == last)
            assert_int_equal(remove_picture(data.train_names[i]), 0);
    for (uint32_t i = 0; i < data.test.count; i++)
        if (data.test.labels[i] == last)
            assert_int_equal(remove_picture(data.test_names[i]), 0);
    copy_picture(alone, 29); // a class of 30 equal ones
    fm_dataset_close(&data);
    data = open_pictures();
    int of_first = 0, of_last = 0;
    for (uint32_t i = 0; i < data.test.count; i++) {
        of_first += data.test.labels[i] == first;
        of_last += data.test.labels[i] == last;
        assert_null(strstr(data.test.labels[i] == first ? data.test_names[i] : "", "-copy-"));
    }
    assert_int_equal(of_first, 4); // a tenth of 35, without the 21 that are equal
    assert_int_equal(of_last, 3);
    assert_told("3 of the 23 test pictures have the same content as a training picture");
    fm_dataset_close(&data);
}

static void duplicates_across_the_parts_are_told(void **state)
{
    (void)state;
    make_pictures(TRAIN_EACH, TEST_EACH);
    struct fm_dataset data = open_pictures();
    assert_not_told("have the same content");
    for (uint32_t i = 0; i < data.train.count; i += TRAIN_EACH) { // in another class's folder, too
        char from[FM_PATH_MAX], to[FM_PATH_MAX];
        snprintf(from, sizeof from, "%s/%s", in_root("pictures"), data.train_names[i]);
        snprintf(to, sizeof to, "%s/test/coat/copy-%u.png", in_root("pictures"), i);
        assert_int_equal(link(from, to), 0);
    }
    fm_dataset_close(&data);
    for (int i = 0; i < 2; i++) { // converted, then from the cache
        data = open_pictures();
        assert_told("10 of the 60 test pictures have the same content as a training picture");
        fm_dataset_close(&data);
    }
}

// ---- What cannot be read, and what is refused

static void spoil(const char *path)
{
    assert_int_equal(scratch_write(path, "GIF89a", 6), 0);
}

static void unreadable_pictures_are_left_out(void **state)
{
    (void)state;
    make_pictures(TRAIN_EACH, TEST_EACH);
    struct fm_dataset data = open_pictures();
    for (int i = 0; i < 13; i++) {
        char path[FM_PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", in_root("pictures"), data.train_names[i]);
        spoil(path);
    }
    fm_dataset_close(&data);
    for (int i = 0; i < 2; i++) { // converted, then from the cache
        data = open_pictures();
        assert_told("train/\"Shirt\"/");
        assert_told(".png: left out: ");
        assert_told("3 more pictures are left out");
        assert_int_equal(data.train.count, CLASSES * TRAIN_EACH - 13);
        expect_records(&data, &data.train, data.train_names, &tiny.train);
        fm_dataset_close(&data);
    }
    data = open_pictures();
    for (uint32_t i = 0; i < data.train.count; i++) {
        char path[FM_PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", in_root("pictures"), data.train_names[i]);
        if (strcmp(data.class_names[data.train.labels[i]], "coat") == 0)
            spoil(path);
    }
    fm_dataset_close(&data);
    expect_refusal(FM_DATA,
        "none of the pictures to train on of class 'coat' can be read; of the first, train");
}

static void other_files_are_counted_in_a_line(void **state)
{
    (void)state;
    make_pictures(TRAIN_EACH, TEST_EACH);
    const char *const others[] = {
        "pictures/train/coat/a.webp", "pictures/train/Dress/b", "pictures/test/coat/c.GIF"};
    for (int i = 0; i < 3; i++)
        spoil(in_root(others[i]));
    spoil(in_root("pictures/train/coat/.hidden.webp"));
    for (int i = 0; i < 2; i++) { // converted, then from the cache
        struct fm_dataset data = open_pictures();
        assert_told("pictures: 3 files are passed over: the pictures of a folder are named *.png, "
                    "*.jpg, *.jpeg, *.jpe or *.jfif\n");
        assert_not_told("webp");
        assert_int_equal(data.train.count, CLASSES * TRAIN_EACH);
        fm_dataset_close(&data);
    }
}

// The process's memory stands for a file on a disk that fails: it can be opened, but what is at its
// beginning cannot be read, not even by root.
static void what_may_pass_is_not_kept(void **state)
{
    (void)state;
    make_pictures(TRAIN_EACH, TEST_EACH);
    const char *path = in_root("pictures/train/coat/failing.png");
    assert_int_equal(symlink("/proc/self/mem", path), 0);
    for (int i = 0; i < 2; i++) {
        struct fm_dataset data = open_pictures();
        assert_told("train/coat/failing.png: left out: cannot read: ");
        assert_told("not kept, as 1 of them could not be read");
        assert_told("converted in");
        fm_dataset_close(&data);
    }
    assert_int_equal(unlink(path), 0);
    struct fm_dataset data = open_pictures();
    fm_dataset_close(&data);
    data = open_pictures();
    assert_string_equal(told, "");
    fm_dataset_close(&data);
}

static void make_folder(const char *name)
{
    assert_ok(fm_make_dirs(in_root(name)));
}

// Without the class that cannot be seen, those behind it would have other labels; without the test
// pictures, others would be tested on.
static void what_cannot_be_examined_is_refused(void **state)
{
    (void)state;
    static const char *const links[] = {"pictures/train/gone", "pictures/test/gone"};
    make_pictures(TRAIN_EACH, TEST_EACH);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(symlink("nowhere", in_root(links[i])), 0);
        expect_refusal(FM_IO, "/gone: cannot tell whether this is a folder: No such file");
        assert_int_equal(unlink(in_root(links[i])), 0);
    }
    scratch_remove(in_root("pictures/test"));
    assert_int_equal(symlink("test", in_root("pictures/test")), 0);
    expect_refusal(FM_IO, "/test: cannot read the folder: ");
    assert_int_equal(unlink(in_root("pictures/test")), 0);

    // Links to nothing that are in a class's folder do not keep pictures from being found.
    assert_int_equal(symlink("nowhere", in_root("pictures/train/coat/gone")), 0);
    assert_true(fm_folders_found(in_root("pictures/train")));
    make_folder("pictures/test");
    assert_int_equal(scratch_write(in_root("pictures/test/a.png"), "x", 1), 0);
    expect_refusal(FM_DATA, "/test: found pictures, but no folders in it, expected one for each");
}

static void wrong_folders_are_refused(void **state)
{
    (void)state;
    make_pictures(1, 1);
    expect_refusal(FM_DATA,
        "found 10 pictures to train on (10 to test on, 0 that cannot be read), expected at least "
        "20");
    make_pictures(TRAIN_EACH, TEST_EACH);
    make_folder("pictures/train/empty");
    expect_refusal(FM_DATA, "the class 'empty': ");
    assert_int_equal(rmdir(in_root("pictures/train/empty")), 0);
    make_folder("pictures/test/Coat");
    expect_refusal(FM_DATA, "test/Coat: there is no class of this name to train on");
    scratch_remove(in_root("pictures/test"));
    make_folder("pictures/test/coat");
    expect_refusal(FM_DATA, "/test: no pictures in the folders there");

    scratch_remove(in_root("pictures/test"));
    make_folder("pictures/train/\xff");
    expect_refusal(FM_DATA, "found byte 0xff at 0 of the folder's name");
    assert_int_equal(rmdir(in_root("pictures/train/\xff")), 0);
    make_folder("pictures/train/two\nlines");
    expect_refusal(FM_DATA, "found byte 0x0a at 3 of the folder's name");
    assert_int_equal(rmdir(in_root("pictures/train/two\nlines")), 0);
    char name[128];
    snprintf(name, sizeof name, "pictures/train/%065d", 0);
    make_folder(name);
    expect_refusal(FM_DATA, "is of 65 bytes, expected at most 64");
    assert_int_equal(rmdir(in_root(name)), 0);

    for (int i = 0; i < 250; i++) {
        snprintf(name, sizeof name, "pictures/train/more-%d", i);
        make_folder(name);
    }
    expect_refusal(FM_DATA, "train: found 260 folders of pictures, expected 2 to 256");
    assert_int_equal(rename(in_root("pictures/train"), in_root("pictures/test")), 0);
    make_folder("pictures/other");
    assert_int_equal(scratch_write(in_root("pictures/other/a.png"), "x", 1), 0);
    expect_refusal(FM_DATA, "/test holds folders, but ");

    scratch_remove(in_root("pictures"));
    make_folder("pictures/one");
    assert_int_equal(scratch_write(in_root("pictures/one/a.png"), "x", 1), 0);
    expect_refusal(FM_DATA, "found 1 folder of pictures, expected 2 to 256");
    scratch_remove(in_root("pictures"));
    make_folder("pictures/train");
    make_folder("pictures/test");
    assert_int_equal(scratch_write(in_root("pictures/train/a.png"), "x", 1), 0);
    assert_int_equal(scratch_write(in_root("pictures/test/a.png"), "x", 1), 0);
    expect_refusal(FM_DATA, "/train: found no folders in it, expected one for each class");

    scratch_remove(in_root("pictures"));
    struct fm_text png = {0};
    assert_ok(fm_png_encode_grey(tiny.train.records, FM_IMAGE_SIDE, FM_IMAGE_SIDE, &png));
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "pictures/class-%d", i);
        make_folder(name);
        snprintf(name, sizeof name, "pictures/class-%d/a.png", i);
        assert_int_equal(scratch_write(in_root(name), png.data, png.length), 0);
    }
    fm_text_free(&png);
    expect_refusal(FM_DATA, "no class has more than one picture that can be read");
}

static void what_is_no_data_set_is_told(void **state)
{
    (void)state;
    scratch_remove(in_root("pictures"));
    make_folder("pictures/notes");
    assert_false(fm_folders_found(in_root("pictures")));
    expect_refusal(FM_NOT_FOUND, "none of the files there, and no folders of pictures");
    expect_refusal(FM_NOT_FOUND, "a folder of PNG or JPEG files for each class");
    assert_false(fm_folders_found("/nonexistent"));
    // Some of the four files: they are meant.
    make_pictures(TRAIN_EACH, TEST_EACH);
    assert_int_equal(scratch_write(in_root("pictures/train-labels-idx1-ubyte"), "x", 1), 0);
    expect_refusal(FM_NOT_FOUND, "the data set is not complete");
    // Others beside train/ and test/ are not taken in silence.
    assert_int_equal(unlink(in_root("pictures/train-labels-idx1-ubyte")), 0);
    make_folder("pictures/val");
    make_folder("pictures/v\033[2J\302\233m\351"); // a name that would steer a terminal
    struct fm_dataset data = open_pictures();
    assert_told("/val is left out: train/ and test/ are taken");
    assert_told("/v?[2J??m? is left out");
    fm_dataset_close(&data);
    // $FMNIST_DATA may name pictures, too.
    assert_int_equal(setenv("FMNIST_DATA", in_root("pictures"), 1), 0);
    assert_ok(fm_dataset_open(NULL, &data));
    assert_true(data.pictures);
    fm_dataset_close(&data);
    unsetenv("FMNIST_DATA");
}

int main(void)
{
    if (fm_dataset_open(FM_TEST_SOURCE_DIR "/data/tiny", &tiny) != FM_OK) {
        fprintf(stderr, "%s\n", fm_error_message());
        return 1;
    }
    scratch_make(root, "folders");
    fm_log_set_sink(&listening);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_those_of_idx_files),
        cmocka_unit_test(a_second_start_decodes_nothing),
        cmocka_unit_test(a_change_is_noticed),
        cmocka_unit_test(damage_is_repaired),
        cmocka_unit_test(without_a_cache_it_works_as_well),
        cmocka_unit_test(processes_do_not_disturb_one_another),
        cmocka_unit_test(half_made_folders_go),
        cmocka_unit_test(a_tenth_of_each_class_is_held_out),
        cmocka_unit_test(equal_pictures_stay_together),
        cmocka_unit_test(many_equal_pictures_are_not_the_test),
        cmocka_unit_test(duplicates_across_the_parts_are_told),
        cmocka_unit_test(unreadable_pictures_are_left_out),
        cmocka_unit_test(other_files_are_counted_in_a_line),
        cmocka_unit_test(what_may_pass_is_not_kept),
        cmocka_unit_test(what_cannot_be_examined_is_refused),
        cmocka_unit_test(wrong_folders_are_refused),
        cmocka_unit_test(what_is_no_data_set_is_told),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(root);
    fm_dataset_close(&tiny);
    return failed;
}
