// Finds the four files of a data set, reads them at the same time, and refuses everything that
// would make a training go wrong later and less clearly: files of different sets mixed, labels
// without a class, images of another size.
#include "data/dataset.h"

#include "base/clock.h"
#include "data/folders/folders.h"
#include "data/idx.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// Where Debian's package puts the files. The test of what is said when nothing is found sets it.
#ifndef FM_DATA_SYSTEM_DIR
#define FM_DATA_SYSTEM_DIR "/usr/share/datasets/fashion-mnist"
#endif

enum file_index {
    TRAIN_IMAGES,
    TRAIN_LABELS,
    TEST_IMAGES,
    TEST_LABELS,
    FILES,
};

static const char *const file_names[FILES] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};

// Fashion-MNIST is known by its contents, the uncompressed files of
// https://github.com/zalandoresearch/fashion-mnist: a folder may be called anything.
static const uint32_t fashion_crc32[FILES] = {0xb4f29f28, 0x741a4657, 0x678fe0b1, 0x80142c1f};
static const char *const fashion_names[] = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"};
enum {
    FASHION_CLASSES = sizeof fashion_names / sizeof fashion_names[0]
};

// ---- Finding

static bool is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && !S_ISDIR(info.st_mode);
}

// The path of one of the files, plain or else gzipped; `*found` says whether there is one.
static enum fm_status find_file(
    const char *dir, enum file_index file, char path[FM_PATH_MAX], bool *found)
{
    char zipped[64];
    FM_TRY(fm_path_join(path, dir, file_names[file]));
    *found = is_file(path);
    if (*found)
        return FM_OK;
    snprintf(zipped, sizeof zipped, "%s.gz", file_names[file]);
    FM_TRY(fm_path_join(path, dir, zipped));
    *found = is_file(path);
    return FM_OK;
}

// Looks into one place, for pictures, too, where somebody has named it. A directory with some of
// the files is an error at once: going on to the next place would train on other data than the user
// put there. Otherwise why there is nothing is added to `places`.
static enum fm_status look_in(const char *label, const char *dir, bool named,
    struct fm_text *places, char place[FM_PATH_MAX], bool *found)
{
    char path[FM_PATH_MAX];
    struct fm_text missing = {0};
    int have = 0;
    enum fm_status status = FM_OK;
    for (int i = 0; i < FILES; i++) {
        bool there = false;
        FM_TRY_GOTO(status, find_file(dir, (enum file_index)i, path, &there), out);
        if (there)
            have++;
        else
            fm_text_append(&missing, "%s%s[.gz]", missing.length ? ", " : "", file_names[i]);
    }
    *found = have == FILES || (have == 0 && named && fm_folders_found(dir));
    if (*found)
        status = fm_path_copy(place, dir);
    else if (have > 0)
        status = fm_fail(FM_NOT_FOUND, "%s: the data set is not complete: missing %s", dir,
            fm_text_cstr(&missing));
    else
        fm_text_append(places, "\n  %s%s (%s)", label, dir,
            fm_path_is_dir(dir) && named ? "none of the files there, and no folders of pictures"
            : fm_path_is_dir(dir)        ? "none of the files there"
            : fm_path_exists(dir)        ? "not a directory"
                                         : "no such directory");
out:
    fm_text_free(&missing);
    return status;
}

// "" when neither variable says where; XDG: a relative path is to be ignored.
static enum fm_status user_data_dir(char out[FM_PATH_MAX])
{
    const char *xdg = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    if (xdg && xdg[0] == '/')
        return fm_path_join(out, xdg, "fmnist");
    if (home && home[0] == '/')
        return fm_path_join(out, home, ".local/share/fmnist");
    out[0] = '\0';
    return FM_OK;
}

static enum fm_status look_everywhere(
    const char *directory, struct fm_text *places, char out[FM_PATH_MAX], bool *found)
{
    const char *variable = getenv("FMNIST_DATA");
    char user[FM_PATH_MAX];
    if (directory)
        return look_in("", directory, true, places, out, found);
    if (variable && variable[0])
        return look_in("$FMNIST_DATA: ", variable, true, places, out, found);
    fm_text_append(places, "\n  $FMNIST_DATA (not set)");
    FM_TRY(user_data_dir(user));
    if (user[0])
        FM_TRY(look_in("", user, false, places, out, found));
    if (!*found)
        FM_TRY(look_in("", FM_DATA_SYSTEM_DIR, false, places, out, found));
    return FM_OK;
}

enum fm_status fm_dataset_find(const char *directory, char out[FM_PATH_MAX])
{
    struct fm_text places = {0};
    bool found = false;
    enum fm_status status = look_everywhere(directory, &places, out, &found);
    if (status == FM_OK && !found)
        status = fm_fail(FM_NOT_FOUND,
            "no data set found. Looked for %s[.gz] and the other three files in:%s\n"
            "Get Fashion-MNIST with: apt-get install dataset-fashion-mnist\n"
            "or name a directory with the four files by --data DIR or $FMNIST_DATA; or one of "
            "pictures, with a folder of PNG or JPEG files for each class",
            file_names[TRAIN_IMAGES], fm_text_cstr(&places));
    fm_text_free(&places);
    return status;
}

// ---- Reading

// One file's reading: done in a thread of its own, its failure kept for the thread that joins.
struct job {
    const char *path;
    enum fm_idx_kind kind;
    struct fm_idx idx;
    enum fm_status status;
    char *message;
};

static void *run_job(void *argument)
{
    struct job *job = argument;
    job->status = fm_idx_read(job->path, job->kind, &job->idx);
    if (job->status == FM_OK && job->kind == FM_IDX_IMAGES &&
        (job->idx.rows != FM_IMAGE_SIDE || job->idx.cols != FM_IMAGE_SIDE))
        job->status = fm_fail(FM_DATA,
            "%s: offset 8: found images of %" PRIu32 "x%" PRIu32 ", expected %dx%d", job->path,
            job->idx.rows, job->idx.cols, FM_IMAGE_SIDE, FM_IMAGE_SIDE);
    job->message = fm_error_take();
    return NULL;
}

// The calling thread takes the training images, which need longest; it also does the work of a
// thread that could not be started.
static enum fm_status read_files(struct fm_dataset *dataset, struct job jobs[FILES])
{
    pthread_t threads[FILES];
    bool started[FILES] = {false};
    for (int i = 0; i < FILES; i++) {
        bool images = i == TRAIN_IMAGES || i == TEST_IMAGES;
        jobs[i] = (struct job){
            .path = dataset->files[i].path, .kind = images ? FM_IDX_IMAGES : FM_IDX_LABELS};
    }
    for (int i = FILES - 1; i > TRAIN_IMAGES; i--)
        started[i] = pthread_create(&threads[i], NULL, run_job, &jobs[i]) == 0;
    for (int i = 0; i < FILES; i++) {
        if (started[i])
            pthread_join(threads[i], NULL);
        else
            run_job(&jobs[i]);
    }
    enum fm_status status = FM_OK; // the first failure in the files' order, not in time
    for (int i = 0; i < FILES; i++) {
        if (status == FM_OK)
            status = jobs[i].status;
        fm_error_put(jobs[i].message);
        dataset->owned[i] = jobs[i].idx.data;
        dataset->files[i].crc32 = jobs[i].idx.crc32;
        dataset->files[i].size = jobs[i].idx.size;
    }
    return status;
}

static enum fm_status pair_up(
    const struct job *images, const struct job *labels, struct fm_samples *samples)
{
    if (images->idx.count != labels->idx.count)
        return fm_fail(FM_DATA,
            "%s: offset 4: found %" PRIu32 " labels, expected %" PRIu32 ", as many as images in %s",
            labels->path, labels->idx.count, images->idx.count, images->path);
    *samples = (struct fm_samples){.count = images->idx.count,
        .record_size = FM_IMAGE_BYTES,
        .records = images->idx.data,
        .labels = labels->idx.data};
    return FM_OK;
}

// Where the labels of the training part stand first; `count` of them are different.
struct label_use {
    uint32_t first[FM_CLASSES_MAX]; // UINT32_MAX: nowhere
    int count, highest;
};

static struct label_use find_labels(const struct fm_samples *train)
{
    struct label_use use = {.highest = 0};
    memset(use.first, 0xff, sizeof use.first);
    for (uint32_t i = 0; i < train->count; i++) {
        uint8_t label = train->labels[i];
        if (use.first[label] != UINT32_MAX)
            continue;
        use.first[label] = i;
        use.count++;
        use.highest = label > use.highest ? label : use.highest;
    }
    return use;
}

// A class without an image is more likely a damaged label above it than meant: one wrong byte would
// make a network of 200 outputs. Who means it names the classes.
static enum fm_status refuse_hollow(const struct fm_dataset *dataset, const struct label_use *use)
{
    char names[FM_PATH_MAX];
    int missing = 0;
    FM_TRY(fm_path_join(names, dataset->directory, "classes.txt"));
    if (use->count > use->highest || fm_path_exists(names))
        return FM_OK;
    while (use->first[missing] != UINT32_MAX)
        missing++;
    return fm_fail(FM_DATA,
        "%s: offset %" PRIu32 ": found the label %d, but no image with the label %d: %d of the "
        "labels 0 to %d, expected all of them. If classes are meant to have no image, name all %d, "
        "one a line, in %s",
        dataset->files[TRAIN_LABELS].path, 8 + use->first[use->highest], use->highest, missing,
        use->count, use->highest, use->highest + 1, names);
}

static enum fm_status count_classes(struct fm_dataset *dataset)
{
    struct label_use use = find_labels(&dataset->train);
    if (use.count == 1)
        return fm_fail(FM_DATA, "%s: offset 8: found the label %d only, expected 2 to %d classes",
            dataset->files[TRAIN_LABELS].path, use.highest, FM_CLASSES_MAX);
    dataset->classes = use.highest + 1;
    return refuse_hollow(dataset, &use);
}

static enum fm_status check_test_labels(const struct fm_dataset *dataset)
{
    const struct fm_samples *test = &dataset->test;
    for (uint32_t i = 0; i < test->count; i++)
        if (test->labels[i] >= dataset->classes)
            return fm_fail(FM_DATA,
                "%s: offset %" PRIu32 ": found the label %d, expected 0 to %d, the labels in %s",
                dataset->files[TEST_LABELS].path, 8 + i, test->labels[i], dataset->classes - 1,
                dataset->files[TRAIN_LABELS].path);
    return FM_OK;
}

// ---- Class names

// The names go into JSON, tables and pictures, and none of them can hold control characters or
// anything but UTF-8. `name` need not end at `size`, but the text that it stands in ends with NUL.
static enum fm_status check_name(const char *path, int line, const unsigned char *name, size_t size)
{
    if (size == 0 || size > FM_CLASS_NAME_MAX)
        return fm_fail(FM_DATA, "%s: line %d: found a name of %zu bytes, expected 1 to %d", path,
            line, size, FM_CLASS_NAME_MAX);
    for (size_t at = 0; at < size;) {
        const char *character = (const char *)name + at;
        int length = fm_utf8_length(character);
        if (length == 0 || fm_utf8_is_control(character))
            return fm_fail(FM_DATA,
                "%s: line %d: found byte 0x%02x at %zu, expected UTF-8 without control characters",
                path, line, name[at], at);
        at += (size_t)length;
    }
    return FM_OK;
}

// Classes are told apart by their names, in results and in what a user answers.
static enum fm_status refuse_twins(const char *path, char *const *names, int count)
{
    for (int a = 0; a < count; a++)
        for (int b = a + 1; b < count; b++)
            if (strcmp(names[a], names[b]) == 0)
                return fm_fail(FM_DATA,
                    "%s: lines %d and %d: found the name '%s' twice, expected one of its own for "
                    "each class",
                    path, a + 1, b + 1, names[a]);
    return FM_OK;
}

// One name a line; the last line may end without a newline. Lines may end, and the file begin (byte
// order mark), as on Windows.
static enum fm_status parse_names(
    struct fm_dataset *dataset, const char *path, const unsigned char *text, size_t size)
{
    static const char mark[] = "\xef\xbb\xbf";
    int count = 0;
    size_t start = size >= 3 && memcmp(text, mark, 3) == 0 ? 3 : 0;
    for (size_t at = start; at < size;) {
        const unsigned char *newline = memchr(text + at, '\n', size - at);
        size_t length = newline ? (size_t)(newline - text) - at : size - at;
        size_t next = at + length + 1;
        if (length > 0 && text[at + length - 1] == '\r')
            length--;
        FM_TRY(check_name(path, count + 1, text + at, length));
        if (count < dataset->classes) {
            dataset->class_names[count] = strndup((const char *)text + at, length);
            if (!dataset->class_names[count])
                return fm_fail_memory("a class name", length);
        }
        count++;
        at = next;
    }
    if (count != dataset->classes)
        return fm_fail(FM_DATA, "%s: found %d names, expected %d, one for each class", path, count,
            dataset->classes);
    return refuse_twins(path, dataset->class_names, count);
}

static enum fm_status read_names(struct fm_dataset *dataset, const char *path)
{
    unsigned char *text = NULL;
    size_t size = 0;
    FM_TRY(fm_file_read(path, &text, &size));
    enum fm_status status = parse_names(dataset, path, text, size);
    free(text);
    return status;
}

// By its label files, so that another set is never given its names.
static bool has_fashion_labels(const struct fm_dataset *dataset)
{
    return dataset->files[TRAIN_LABELS].crc32 == fashion_crc32[TRAIN_LABELS] &&
           dataset->files[TEST_LABELS].crc32 == fashion_crc32[TEST_LABELS];
}

static enum fm_status name_classes(struct fm_dataset *dataset)
{
    char path[FM_PATH_MAX];
    FM_TRY(fm_path_join(path, dataset->directory, "classes.txt"));
    if (fm_path_exists(path))
        return read_names(dataset, path);
    bool fashion = dataset->classes == FASHION_CLASSES && has_fashion_labels(dataset);
    for (int i = 0; i < dataset->classes; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", i);
        dataset->class_names[i] = strdup(fashion ? fashion_names[i] : number);
        if (!dataset->class_names[i])
            return fm_fail_memory("a class name", sizeof number);
    }
    return FM_OK;
}

// ---- Opening

// The four files in dataset->directory.
static enum fm_status open_files(struct fm_dataset *dataset)
{
    struct job jobs[FILES];
    for (int i = 0; i < FILES; i++) {
        bool found = false; // found a moment ago; if it has gone since, reading it says so
        FM_TRY(find_file(dataset->directory, (enum file_index)i, dataset->files[i].path, &found));
    }
    FM_TRY(read_files(dataset, jobs));
    dataset->fashion_mnist = true;
    for (int i = 0; i < FILES; i++)
        if (dataset->files[i].crc32 != fashion_crc32[i])
            dataset->fashion_mnist = false;
    FM_TRY(pair_up(&jobs[TRAIN_IMAGES], &jobs[TRAIN_LABELS], &dataset->train));
    FM_TRY(pair_up(&jobs[TEST_IMAGES], &jobs[TEST_LABELS], &dataset->test));
    FM_TRY(count_classes(dataset));
    FM_TRY(check_test_labels(dataset));
    return name_classes(dataset);
}

static enum fm_status open_any(const char *directory, struct fm_dataset *dataset)
{
    char place[FM_PATH_MAX], path[FM_PATH_MAX];
    bool files = false;
    FM_TRY(fm_dataset_find(directory, place));
    FM_TRY(find_file(place, TRAIN_IMAGES, path, &files));
    if (!files)
        return fm_folders_open(place, dataset);
    FM_TRY(fm_path_copy(dataset->directory, place));
    return open_files(dataset);
}

enum fm_status fm_dataset_open(const char *directory, struct fm_dataset *dataset)
{
    double start = fm_clock_seconds();
    *dataset = (struct fm_dataset){0};
    enum fm_status status = open_any(directory, dataset);
    if (status != FM_OK)
        fm_dataset_close(dataset);
    else
        dataset->load_seconds = fm_clock_seconds() - start;
    return status;
}

static void free_names(char **names, uint32_t count)
{
    for (uint32_t i = 0; names && i < count; i++)
        free(names[i]);
    free(names);
}

void fm_dataset_close(struct fm_dataset *dataset)
{
    free_names(dataset->train_names, dataset->train.count);
    free_names(dataset->test_names, dataset->test.count);
    for (int i = 0; i < FM_CLASSES_MAX; i++)
        free(dataset->class_names[i]);
    for (int i = 0; i < FILES; i++)
        free(dataset->owned[i]);
    *dataset = (struct fm_dataset){0};
}
