// Checkpoints over a model of a few lines: what is written is read, bit for bit; no damage goes
// unnoticed; and whichever call of the system fails, or is the last that a killed process makes,
// the newest checkpoint that was there can still be read.
#include "run/checkpoint.h"

#include "net/safetensors.h"
#include "run/run.h"
#include "scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "expect.h"
#include "fake_state.h"

// ---- A system that fails on demand (tests/run.cmake wraps these calls)

enum {
    KILLED = 99 // exit status of a process that ended within a call
};

static struct {
    const char *call; // that fails; NULL: any
    int at;           // the at-th of them, from 1; 0: none
    bool onwards;     // and all that follow
    int error;        // errno; 0: the process ends
    bool no_links;    // a file system without hard links
    bool halves;      // write() takes half of what it is given
    int seen;
} fault;

static bool unsynced; // there was a write() since the last fsync()

static bool fails(const char *call)
{
    if (fault.at == 0 || (fault.call && strcmp(fault.call, call) != 0))
        return false;
    fault.seen++;
    if (fault.seen < fault.at || (fault.seen > fault.at && !fault.onwards))
        return false;
    errno = fault.error;
    return true;
}

static void end_if_killed(void)
{
    if (fault.error == 0)
        _exit(KILLED);
}

ssize_t __real_write(int fd, const void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);

ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    bool failing = fails("write");
    unsynced = true;
    if (failing && fault.error == 0)
        (void)!__real_write(fd, data, size / 2);
    if (failing)
        end_if_killed();
    return failing ? -1 : __real_write(fd, data, fault.halves ? (size + 1) / 2 : size);
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (!fails("open"))
        return __real_open(path, flags, mode);
    end_if_killed();
    return -1;
}

#define WRAP(name, declared, given)                                                                \
    int __real_##name declared;                                                                    \
    int __wrap_##name declared;                                                                    \
    int __wrap_##name declared                                                                     \
    {                                                                                              \
        if (!fails(#name))                                                                         \
            return __real_##name given;                                                            \
        end_if_killed();                                                                           \
        return -1;                                                                                 \
    }
WRAP(unlink, (const char *path), (path))

// Nothing here needs to outlive the machine; that it is asked for before a file gets its name is
// what counts.
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    (void)fd;
    bool failing = fails("fsync");
    if (failing)
        end_if_killed();
    unsynced = false;
    return failing ? -1 : 0;
}

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to)
{
    if (unsynced)
        fail_msg("%s is put in place before it is on the disk", to);
    if (!fails("rename"))
        return __real_rename(from, to);
    end_if_killed();
    return -1;
}

int __real_link(const char *from, const char *to);
int __wrap_link(const char *from, const char *to);

int __wrap_link(const char *from, const char *to)
{
    if (fails("link")) {
        end_if_killed();
        return -1;
    }
    if (!fault.no_links)
        return __real_link(from, to);
    errno = EPERM;
    return -1;
}

// ---- A model that holds its states and nothing else

struct fm_model {
    const struct fm_net *net;
    float *params, *running, *moment1, *moment2;
    float *ema; // of the parameters, then of the running statistics
    struct fm_counters counters;
    struct fm_sums sums;
    int changes;   // calls that set something
    int gets_left; // calls of model_get that succeed; negative: all
};

static struct fm_net net;

static float *find_state(
    struct fm_model *model, enum fm_state_kind kind, const char *name, size_t count)
{
    float *params = model->params, *running = model->running;
    if (kind == FM_STATE_MOMENT1 || kind == FM_STATE_MOMENT2) {
        params = kind == FM_STATE_MOMENT1 ? model->moment1 : model->moment2;
        kind = FM_STATE_PARAM;
    } else if (kind == FM_STATE_EMA) {
        params = model->ema;
        running = model->ema + model->net->param_elements;
        kind = fm_net_find_param(model->net, name) >= 0 ? FM_STATE_PARAM : FM_STATE_RUNNING;
    }
    return fake_state(model->net, params, running, kind, name, count);
}

static enum fm_status fake_get(
    struct fm_model *model, enum fm_state_kind kind, const char *name, float *data, size_t count)
{
    if (model->gets_left-- == 0)
        return fm_fail(FM_BACKEND, "the device is gone");
    memcpy(data, find_state(model, kind, name, count), count * sizeof *data);
    return FM_OK;
}

static enum fm_status fake_set(struct fm_model *model, enum fm_state_kind kind, const char *name,
    const float *data, size_t count)
{
    model->changes++;
    memcpy(find_state(model, kind, name, count), data, count * sizeof *data);
    return FM_OK;
}

static enum fm_status fake_counters_set(struct fm_model *model, const struct fm_counters *counters)
{
    model->changes++;
    model->counters = *counters;
    return FM_OK;
}

static enum fm_status fake_sums_set(struct fm_model *model, const struct fm_sums *sums)
{
    model->changes++;
    model->sums = *sums;
    return FM_OK;
}

static const struct fm_backend fake = {.abi = FM_BACKEND_ABI,
    .name = "fake",
    .model_get = fake_get,
    .model_set = fake_set,
    .counters_set = fake_counters_set,
    .sums_set = fake_sums_set};

static float *floats(size_t count)
{
    float *memory = calloc(count, sizeof *memory);
    assert_non_null(memory);
    return memory;
}

static struct fm_model make_model(void)
{
    size_t params = net.param_elements, running = net.running_elements;
    return (struct fm_model){.net = &net,
        .params = floats(params),
        .running = floats(running),
        .moment1 = floats(params),
        .moment2 = floats(params),
        .ema = floats(params + running),
        .gets_left = -1};
}

static void free_model(struct fm_model *model)
{
    free(model->params);
    free(model->running);
    free(model->moment1);
    free(model->moment2);
    free(model->ema);
}

// ---- Checkpoints told apart by a number, and compared

static char root[FM_PATH_MAX];

static const char *in_root(const char *name)
{
    static char path[4][FM_PATH_MAX];
    static int turn;
    char *out = path[turn++ % 4];
    assert_int_equal(fm_path_join(out, root, name), FM_OK);
    return out;
}

// Numbers of `number`, with all the values between them that are easily lost.
static void fill(float *out, size_t count, unsigned number)
{
    static const uint32_t rare[] = {0x7fc12345, 0xffc00001, 0x7fa00001, 0x7f800000, 0xff800000,
        0x80000000, 0x00000001, 0x7f7fffff};
    for (size_t i = 0; i < count; i++) {
        out[i] = (float)number + (float)i / 7;
        if (i % 3 == 1)
            memcpy(&out[i], &rare[(i / 3 + number) % (sizeof rare / sizeof rare[0])], 4);
    }
}

enum {
    MOMENT2 = 1,
    EMA = 2,
    BEST = 4,
    ALL = 7
};

static struct fm_checkpoint blank(int parts, float *best)
{
    return (struct fm_checkpoint){.moment2 = (parts & MOMENT2) != 0,
        .ema = (parts & EMA) != 0,
        .best = parts & BEST ? best : NULL};
}

// A model and the place that its training is at.
struct saved {
    struct fm_model model;
    float *best;
    struct fm_checkpoint checkpoint;
};

static struct saved make_saved(unsigned number, int parts)
{
    struct saved s = {
        .model = make_model(), .best = floats(net.param_elements + net.running_elements)};
    fill(s.model.params, net.param_elements, 10 * number);
    fill(s.model.running, net.running_elements, 10 * number + 1);
    fill(s.model.moment1, net.param_elements, 10 * number + 2);
    fill(s.model.moment2, net.param_elements, 10 * number + 3);
    fill(s.model.ema, net.param_elements + net.running_elements, 10 * number + 4);
    fill(s.best, net.param_elements + net.running_elements, 10 * number + 5);
    s.checkpoint = blank(parts, s.best);
    s.checkpoint.step = 9007199254740993 + number; // no double holds it
    s.checkpoint.epoch_step = 7 + number;
    s.checkpoint.epochs = (int)number + 3;
    s.checkpoint.images = 123456789012345678;
    s.checkpoint.loss = 0.1 + 0.2;
    s.checkpoint.kept_epoch = 2;
    s.checkpoint.kept_accuracy = NAN;
    s.checkpoint.kept_nll = 5e-324;
    s.checkpoint.counters = (struct fm_counters){.applied = 9007199254740995,
        .skipped = 11,
        .growths = 12,
        .good_steps = 4294967295,
        .loss_scale = 0x1.fffffep+20f};
    s.checkpoint.sums = (struct fm_sums){
        .loss = -0.0, .correct = 13, .count = 9007199254740997, .incurable = 14};
    if (number % 2 == 1)
        s.checkpoint.kept_nll = INFINITY;
    return s;
}

static void free_saved(struct saved *s)
{
    free_model(&s->model);
    free(s->best);
}

static enum fm_status write_saved(const char *directory, struct saved *s)
{
    return fm_checkpoint_write(directory, &net, &fake, &s->model, &s->checkpoint);
}

static bool same_double(double a, double b)
{
    return isnan(a) ? isnan(b) : memcmp(&a, &b, sizeof a) == 0;
}

static void expect_floats(const char *what, const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(&a[i], &b[i], sizeof a[i]) != 0)
            fail_msg("%s %zu: found %a, expected %a", what, i, (double)a[i], (double)b[i]);
}

static void expect_position(const struct fm_checkpoint *a, const struct fm_checkpoint *b)
{
    assert_true(a->step == b->step && a->epoch_step == b->epoch_step && a->epochs == b->epochs);
    assert_true(a->images == b->images && a->kept_epoch == b->kept_epoch);
    assert_true(same_double(a->loss, b->loss));
    assert_true(same_double(a->kept_accuracy, b->kept_accuracy));
    assert_true(same_double(a->kept_nll, b->kept_nll));
}

static void expect_counted(const struct fm_counters *a, const struct fm_counters *b)
{
    assert_true(a->applied == b->applied && a->skipped == b->skipped && a->growths == b->growths);
    assert_true(a->good_steps == b->good_steps && a->loss_scale == b->loss_scale);
}

static void expect_summed(const struct fm_sums *a, const struct fm_sums *b)
{
    assert_true(same_double(a->loss, b->loss));
    assert_true(a->correct == b->correct && a->count == b->count && a->incurable == b->incurable);
}

// What was read is what was written; what was not, is as it was: zero.
static void expect_saved(const struct saved *found, const struct saved *expected, int parts)
{
    size_t params = net.param_elements, running = net.running_elements;
    struct fm_model none = make_model();
    const struct fm_model *a = &found->model, *b = &expected->model;
    expect_floats("parameter", a->params, b->params, params);
    expect_floats("running statistic", a->running, b->running, running);
    expect_floats("first moment", a->moment1, b->moment1, params);
    expect_floats("second moment", a->moment2, (parts & MOMENT2 ? b : &none)->moment2, params);
    expect_floats("average", a->ema, (parts & EMA ? b : &none)->ema, params + running);
    expect_floats(
        "kept weight", found->best, parts & BEST ? expected->best : none.ema, params + running);
    expect_position(&found->checkpoint, &expected->checkpoint);
    expect_counted(&found->checkpoint.counters, &expected->checkpoint.counters);
    expect_counted(&a->counters, &expected->checkpoint.counters);
    expect_summed(&found->checkpoint.sums, &expected->checkpoint.sums);
    expect_summed(&a->sums, &expected->checkpoint.sums);
    free_model(&none);
}

// Reads the newest into a model of zeros.
static enum fm_status read_newest(
    const char *directory, int parts, struct saved *s, char path[FM_PATH_MAX])
{
    *s = (struct saved){
        .model = make_model(), .best = floats(net.param_elements + net.running_elements)};
    s->checkpoint = blank(parts, s->best);
    return fm_checkpoint_read(directory, &net, &fake, &s->model, &s->checkpoint, path);
}

static void expect_newest(
    const char *directory, const struct saved *expected, int parts, const char *file)
{
    char path[FM_PATH_MAX];
    struct saved found;
    assert_ok(read_newest(directory, parts, &found, path));
    expect_saved(&found, expected, parts);
    if (file)
        assert_string_equal(strrchr(path, '/') + 1, file);
    free_saved(&found);
}

static int set_up(void **state)
{
    (void)state;
    scratch_make(root, "checkpoint");
    memset(&fault, 0, sizeof fault);
    unsynced = false;
    struct fm_input input = {.rows = 2, .cols = 2, .shape = {1, 2, 2}};
    fm_net_begin(&net, "s", &input);
    assert_int_equal(fm_net_conv(&net, "c", 1, 1, 0, true), FM_OK);
    assert_int_equal(fm_net_batchnorm(&net, "b"), FM_OK);
    assert_int_equal(fm_net_dense(&net, "f", 2, true), FM_OK);
    assert_int_equal(fm_net_end(&net), FM_OK);
    fm_error_clear();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    memset(&fault, 0, sizeof fault);
    scratch_remove(root);
    return 0;
}

// ---- What is written is read

static void every_part_comes_back(void **state)
{
    (void)state;
    for (int parts = 0; parts <= ALL; parts++) {
        struct saved s = make_saved(1, parts);
        assert_ok(write_saved(root, &s));
        expect_newest(root, &s, parts, FM_CHECKPOINT_LAST);
        free_saved(&s);
    }
}

static void none_is_no_failure(void **state)
{
    (void)state;
    struct saved s;
    char path[FM_PATH_MAX];
    assert_int_equal(read_newest(root, ALL, &s, path), FM_NOT_FOUND);
    assert_string_equal(fm_error_message(), "");
    assert_int_equal(s.model.changes, 0);
    free_saved(&s);
    assert_ok(fm_checkpoint_finish(root));
}

static void the_two_newest_are_kept(void **state)
{
    (void)state;
    struct saved s[3];
    for (unsigned i = 0; i < 3; i++) {
        s[i] = make_saved(i, ALL);
        assert_ok(write_saved(root, &s[i]));
        expect_newest(root, &s[i], ALL, FM_CHECKPOINT_LAST);
    }
    assert_int_equal(unlink(in_root(FM_CHECKPOINT_LAST)), 0);
    expect_newest(root, &s[1], ALL, FM_CHECKPOINT_PREVIOUS);
    assert_ok(write_saved(root, &s[2])); // with none to be kept: the former second stays
    expect_newest(root, &s[2], ALL, FM_CHECKPOINT_LAST);
    assert_true(fm_path_exists(in_root(FM_CHECKPOINT_PREVIOUS)));
    assert_ok(fm_checkpoint_finish(root));
    assert_false(fm_path_exists(in_root(FM_CHECKPOINT_PREVIOUS)));
    expect_newest(root, &s[2], ALL, FM_CHECKPOINT_LAST);
    for (int i = 0; i < 3; i++)
        free_saved(&s[i]);
}

static void read_bytes(const char *path, unsigned char **data, size_t *size)
{
    assert_ok(fm_file_read(path, data, size));
}

static void equal_states_are_equal_bytes(void **state)
{
    (void)state;
    unsigned char *data[2];
    size_t size[2];
    for (int i = 0; i < 2; i++) {
        const char *directory = in_root(i == 0 ? "one" : "another");
        struct saved s = make_saved(4, ALL);
        assert_ok(fm_make_dirs(directory));
        assert_ok(write_saved(directory, &s));
        read_bytes(in_root(i == 0 ? "one/last.safetensors" : "another/last.safetensors"), &data[i],
            &size[i]);
        free_saved(&s);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(data[0], data[1], size[0]);
    free(data[0]);
    free(data[1]);

    // Nothing else is in it that another machine or another day would write otherwise.
    struct fm_tensor_file file;
    assert_ok(fm_safetensors_read(in_root("one/last.safetensors"), &file));
    static const char *const keys[] = {"fmnist_checkpoint", "model", "state", "crc32"};
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(file.metadata[2 * i], keys[i]);
    assert_null(file.metadata[8]);
    json_t *position = json_loads(file.metadata[5], JSON_REJECT_DUPLICATES, NULL);
    static const char *const told[] = {"step", "epoch_step", "epochs", "images", "loss",
        "kept_epoch", "kept_accuracy", "kept_nll", "counters", "sums"};
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++)
        assert_int_equal(json_object_del(position, told[i]), 0);
    assert_int_equal(json_object_size(position), 0);
    json_decref(position);
    fm_safetensors_free(&file);
}

// ---- What is not a checkpoint of this training is refused

// The newest cannot be used: the message says why, which file and what to do; nothing is changed.
static void expect_refused(const char *why, const char *advice)
{
    struct saved s;
    char path[FM_PATH_MAX];
    enum fm_status status = read_newest(root, ALL, &s, path);
    if (status == FM_OK || s.model.changes != 0 || s.checkpoint.step != 0)
        fail_msg("%s: status '%s', %d changes", why, fm_status_text(status), s.model.changes);
    if (!strstr(fm_error_message(), path) || !strstr(fm_error_message(), advice) ||
        !strstr(fm_error_message(), "move it away"))
        fail_msg("%s: message \"%s\"", why, fm_error_message());
    assert_fails(status, FM_DATA, why);
    free_saved(&s);
}

// The newest written again with other tensors or one other value of its metadata.
static void rewrite(const struct fm_tensor_file *file, const struct fm_tensor *tensors, int count,
    const char *key, const char *value)
{
    const char *metadata[16] = {NULL};
    for (int i = 0, used = 0; file->metadata[i]; i += 2) {
        bool meant = key && strcmp(file->metadata[i], key) == 0;
        if (meant && !value)
            continue;
        metadata[used++] = file->metadata[i];
        metadata[used++] = meant ? value : file->metadata[i + 1];
    }
    assert_ok(fm_safetensors_write(in_root(FM_CHECKPOINT_LAST), tensors, count, metadata));
}

static void what_does_not_belong_is_refused(void **state)
{
    (void)state;
    struct saved s = make_saved(1, ALL);
    struct fm_tensor_file file;
    assert_ok(write_saved(root, &s));
    assert_ok(fm_safetensors_read(in_root(FM_CHECKPOINT_LAST), &file));
    struct fm_tensor tensors[64];
    int count = file.count;
    assert_true(count < 63);
    memcpy(tensors, file.tensors, (size_t)count * sizeof tensors[0]);
    static const char again[] = "starts again at step 0";

    rewrite(&file, tensors, count - 1, NULL, NULL);
    expect_refused("tensor \"best/b.running_var\" is missing", again);
    tensors[count] = tensors[0];
    snprintf(tensors[count].name, sizeof tensors[0].name, "best/more");
    rewrite(&file, tensors, count + 1, NULL, NULL);
    expect_refused("tensors, expected", again);
    tensors[0].ndims = 1; // "param/c.weight", [1, 1, 1, 1]
    rewrite(&file, tensors, count, NULL, NULL);
    expect_refused("tensor \"param/c.weight\": found shape [1], expected [1, 1, 1, 1]", again);
    tensors[0].ndims = 4;

    static const struct {
        const char *key, *value, *why;
    } wrong[] = {
        {"model", "simple", "metadata \"model\": found \"simple\", expected \"s\""},
        {"model", NULL, "metadata \"model\": found nothing, expected \"s\""},
        {"fmnist_checkpoint", "2", "metadata \"fmnist_checkpoint\": found \"2\", expected \"1\""},
        {"fmnist_checkpoint", NULL, "metadata \"fmnist_checkpoint\": found nothing"},
        {"state", NULL, "metadata \"state\" is missing"},
        {"state", "{}", "its checksum says"},
        {"crc32", NULL, "its checksum says nothing"},
        {"crc32", "00000000", "its checksum says 00000000"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        rewrite(&file, tensors, count, wrong[i].key, wrong[i].value);
        expect_refused(wrong[i].why, again);
    }
    assert_ok(write_saved(root, &s)); // now there is one before it
    rewrite(&file, tensors, count, "state", NULL);
    expect_refused("metadata \"state\" is missing", "goes on from " FM_CHECKPOINT_PREVIOUS);
    fm_safetensors_free(&file);
    free_saved(&s);
}

// A file of other parts than the training has: an optimiser with more moments, no average.
static void other_parts_are_refused(void **state)
{
    (void)state;
    for (int parts = 0; parts < ALL; parts++) {
        struct saved s = make_saved(1, parts);
        assert_ok(write_saved(root, &s));
        expect_refused("is missing", "move it away");
        free_saved(&s);
    }
    struct saved s = make_saved(1, ALL), found;
    char path[FM_PATH_MAX];
    assert_ok(write_saved(root, &s));
    assert_fails(read_newest(root, MOMENT2, &found, path), FM_DATA, "tensors, expected");
    assert_int_equal(found.model.changes, 0);
    free_saved(&found);
    free_saved(&s);
}

// What the advice led to cannot be read either: there is advice left.
static void a_damaged_previous_is_told_too(void **state)
{
    (void)state;
    assert_int_equal(scratch_write(in_root(FM_CHECKPOINT_PREVIOUS), "nothing", 7), 0);
    expect_refused(FM_CHECKPOINT_PREVIOUS, "starts again at step 0");
}

// ---- Damage

struct damage {
    struct saved before, now;
    unsigned char *data; // of the newest
    size_t size;
};

static struct damage begin_damage(void)
{
    struct damage d = {.before = make_saved(1, ALL), .now = make_saved(2, ALL)};
    assert_ok(write_saved(root, &d.before));
    assert_ok(write_saved(root, &d.now));
    read_bytes(in_root(FM_CHECKPOINT_LAST), &d.data, &d.size);
    return d;
}

// The one before is whole in spite of all that was done to the newest.
static void end_damage(struct damage *d)
{
    assert_int_equal(unlink(in_root(FM_CHECKPOINT_LAST)), 0);
    expect_newest(root, &d->before, ALL, FM_CHECKPOINT_PREVIOUS);
    free_saved(&d->before);
    free_saved(&d->now);
    free(d->data);
}

static void put_newest(const unsigned char *data, size_t size)
{
    assert_int_equal(scratch_write(in_root(FM_CHECKPOINT_LAST), data, size), 0);
}

static void expect_damage_seen(const char *what, size_t where)
{
    struct saved s;
    char path[FM_PATH_MAX];
    enum fm_status status = read_newest(root, ALL, &s, path);
    bool refused = status == FM_DATA || status == FM_UNSUPPORTED; // the latter: of a tensor's type
    if (!refused || s.model.changes != 0 || s.checkpoint.step != 0 ||
        !strstr(fm_error_message(), path) ||
        !strstr(fm_error_message(), "goes on from " FM_CHECKPOINT_PREVIOUS ": move it away"))
        fail_msg("%s %zu: status '%s', %d changes, message \"%s\"", what, where,
            fm_status_text(status), s.model.changes, fm_error_message());
    fm_error_clear();
    free_saved(&s);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    struct damage d = begin_damage();
    for (size_t size = 0; size < d.size; size++) {
        put_newest(d.data, size);
        expect_damage_seen("cut to", size);
    }
    unsigned char *longer = calloc(d.size + 1, 1);
    assert_non_null(longer);
    memcpy(longer, d.data, d.size);
    put_newest(longer, d.size + 1);
    expect_damage_seen("lengthened to", d.size + 1);
    free(longer);
    put_newest(d.data, d.size);
    expect_newest(root, &d.now, ALL, FM_CHECKPOINT_LAST); // the file itself was good
    end_damage(&d);
}

static void every_flipped_bit_is_seen(void **state)
{
    (void)state;
    struct damage d = begin_damage();
    for (size_t bit = 0; bit < 8 * d.size; bit++) {
        d.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        put_newest(d.data, d.size);
        expect_damage_seen("bit", bit);
        d.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    put_newest(d.data, d.size);
    expect_newest(root, &d.now, ALL, FM_CHECKPOINT_LAST);
    end_damage(&d);
}

// ---- Failures while it is written

// Names in the folder with the mark of a temporary file.
static int temporaries(const char *directory)
{
    int found = 0;
    DIR *dir = opendir(directory);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        found += strstr(entry->d_name, FM_TEMPORARY_MARK) != NULL;
    closedir(dir);
    return found;
}

// A folder with two checkpoints, and a third one to be written there.
struct attempt {
    char directory[FM_PATH_MAX];
    struct saved s[3];
};

static void begin_attempt(struct attempt *a, int number)
{
    char name[32];
    snprintf(name, sizeof name, "attempt-%d", number);
    memcpy(a->directory, in_root(name), FM_PATH_MAX);
    assert_ok(fm_make_dirs(a->directory));
    for (unsigned i = 0; i < 3; i++)
        a->s[i] = make_saved(i, ALL);
    assert_ok(write_saved(a->directory, &a->s[0]));
    assert_ok(write_saved(a->directory, &a->s[1]));
}

static void end_attempt(struct attempt *a)
{
    for (int i = 0; i < 3; i++)
        free_saved(&a->s[i]);
    scratch_remove(a->directory);
}

// With the fault set. Returns whether it came to it.
static bool attempt(int number, bool links)
{
    struct attempt a;
    const char *call = fault.call;
    int at = fault.at, error = fault.error;
    fault.at = 0;
    begin_attempt(&a, number);
    fault.at = at;
    fault.seen = 0;
    fault.no_links = !links;
    enum fm_status status = write_saved(a.directory, &a.s[2]);
    bool reached = fault.seen >= at;
    fault.at = 0;
    fault.no_links = false;
    if (status == FM_OK) {
        expect_newest(a.directory, &a.s[2], ALL, FM_CHECKPOINT_LAST);
    } else {
        if (status != FM_IO || !strstr(fm_error_message(), a.directory) ||
            !strstr(fm_error_message(), ".safetensors") ||
            !strstr(fm_error_message(), strerror(error)))
            fail_msg("%s %d: status '%s', message \"%s\"", call, at, fm_status_text(status),
                fm_error_message());
        fm_error_clear();
        expect_newest(a.directory, &a.s[1], ALL, NULL);
    }
    if (strcmp(call, "unlink") == 0)
        assert_ok(fm_run_sweep(a.directory));
    if (temporaries(a.directory) != 0)
        fail_msg("%s %d: something is left", call, at);
    end_attempt(&a);
    // A folder's own fsync, and the open() for it, are beyond what can be asked of every file
    // system, and the file is whole without: only these may fail unseen. Without hard links the
    // newest is renamed.
    bool dispensable = strcmp(call, "link") == 0 ||
                       ((strcmp(call, "open") == 0 || strcmp(call, "fsync") == 0) && at > 1);
    if (reached && status == FM_OK && !dispensable)
        fail_msg("%s %d failed and nobody noticed", call, at);
    return reached;
}

static void a_failing_call_costs_no_more_than_the_newest(void **state)
{
    (void)state;
    static const char *const calls[] = {"write", "fsync", "open", "rename", "link", "unlink"};
    static const int errors[] = {ENOSPC, EIO, EACCES};
    int number = 0;
    for (size_t c = 0; c < sizeof calls / sizeof calls[0]; c++)
        for (int variant = 0; variant < 4; variant++) {
            fault.call = calls[c];
            fault.onwards = (variant & 1) != 0; // the disk stays full
            int at = 1;
            do {
                fault.at = at;
                fault.error = errors[at % 3];
            } while (attempt(number++, (variant & 2) == 0) && at++ < 100);
            if (at < 2)
                fail_msg("%s is never called", calls[c]);
        }
}

static void a_disk_that_takes_little_at_a_time_is_enough(void **state)
{
    (void)state;
    struct saved s = make_saved(1, ALL);
    fault.halves = true;
    assert_ok(write_saved(root, &s));
    fault.halves = false;
    expect_newest(root, &s, ALL, FM_CHECKPOINT_LAST);
    free_saved(&s);
}

// A model that cannot be read, at every tensor and both times that it is.
static void a_failing_device_leaves_what_was_there(void **state)
{
    (void)state;
    struct saved before = make_saved(1, ALL), s = make_saved(2, ALL);
    assert_ok(write_saved(root, &before));
    int gets = 0;
    for (;; gets++) {
        s.model.gets_left = gets;
        if (write_saved(root, &s) == FM_OK)
            break;
        assert_message("the device is gone");
        assert_int_equal(temporaries(root), 0);
        expect_newest(root, &before, ALL, FM_CHECKPOINT_LAST);
    }
    assert_true(gets > 2 * net.param_count);
    expect_newest(root, &s, ALL, FM_CHECKPOINT_LAST);
    free_saved(&before);
    free_saved(&s);
}

// ---- The process ends within any call

static bool killed_attempt(int at, bool links)
{
    struct attempt a;
    begin_attempt(&a, at);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fault.at = at;
        fault.no_links = !links;
        _exit(write_saved(a.directory, &a.s[2]) == FM_OK ? 0 : 1);
    }
    int how = 0;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    bool killed = WEXITSTATUS(how) == KILLED;
    if (!killed)
        assert_int_equal(WEXITSTATUS(how), 0);

    assert_ok(fm_run_sweep(a.directory));
    if (temporaries(a.directory) != 0)
        fail_msg("killed in call %d: something is left", at);
    struct saved found;
    char path[FM_PATH_MAX];
    assert_ok(read_newest(a.directory, ALL, &found, path));
    bool third = found.checkpoint.step == a.s[2].checkpoint.step;
    expect_saved(&found, &a.s[third ? 2 : 1], ALL);
    if (!killed)
        assert_true(third);
    free_saved(&found);
    // And the run goes on writing.
    assert_ok(write_saved(a.directory, &a.s[2]));
    expect_newest(a.directory, &a.s[2], ALL, FM_CHECKPOINT_LAST);
    end_attempt(&a);
    return killed;
}

static void a_kill_costs_no_more_than_the_newest(void **state)
{
    (void)state;
    for (int links = 0; links < 2; links++) {
        int at = 1;
        while (killed_attempt(at, links))
            at++;
        assert_true(at > 40); // a write for each tensor, and what is around them
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_part_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(none_is_no_failure, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_two_newest_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(equal_states_are_equal_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_does_not_belong_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_parts_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_previous_is_told_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_cut_anywhere_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_flipped_bit_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_failing_call_costs_no_more_than_the_newest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_disk_that_takes_little_at_a_time_is_enough, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failing_device_leaves_what_was_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_kill_costs_no_more_than_the_newest, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
