// Event files byte by byte: checksums against published values, an event against what TensorFlow's
// own protobuf classes make of it, and whole files read back by a reader that shares no code.
#include "base/file.h"
#include "run/events.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "expect.h"
#include "scratch.h"

static char root[SCRATCH_PATH_MAX];

static void checksums_are_the_published_ones(void **state)
{
    (void)state;
    // RFC 3720, appendix B.4; "123456789" is the catalogues' check value.
    unsigned char bytes[32] = {0};
    assert_int_equal(fm_crc32c(bytes, sizeof bytes), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(fm_crc32c(bytes, sizeof bytes), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (unsigned char)i;
    assert_int_equal(fm_crc32c(bytes, sizeof bytes), 0x46dd794e);
    for (int i = 0; i < 32; i++)
        bytes[i] = (unsigned char)(31 - i);
    assert_int_equal(fm_crc32c(bytes, sizeof bytes), 0x113fdb5c);
    assert_int_equal(fm_crc32c("123456789", 9), 0xe3069283);
    assert_int_equal(fm_crc32c("", 0), 0);
    // By tensorboard.compat.tensorflow_stub.pywrap_tensorflow.masked_crc32c of TensorBoard 2.21.0.
    assert_int_equal(fm_crc32c_masked("123456789", 9), 0xc78ab0e5);
    assert_int_equal(fm_crc32c_masked("", 0), 0xa282ead8);
}

// ---- Reading back

static uint64_t little_endian(const unsigned char *bytes, int size)
{
    uint64_t value = 0;
    for (int i = size - 1; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

// The records of a file, both checksums of each checked, and their bytes.
struct record {
    const unsigned char *bytes;
    size_t size;
};

static int read_records(
    const char *path, unsigned char **data, struct record *records, int capacity)
{
    size_t size, at = 0;
    int count = 0;
    assert_ok(fm_file_read(path, data, &size));
    while (at < size) {
        assert_true(size - at >= 16);
        const unsigned char *head = *data + at;
        uint64_t length = little_endian(head, 8);
        assert_true(length <= size - at - 16);
        assert_int_equal(little_endian(head + 8, 4), fm_crc32c_masked(head, 8));
        assert_int_equal(
            little_endian(head + 12 + length, 4), fm_crc32c_masked(head + 12, (size_t)length));
        assert_true(count < capacity);
        records[count++] = (struct record){head + 12, (size_t)length};
        at += 16 + (size_t)length;
    }
    return count;
}

static void expect_bytes(const struct record *record, const char *bytes, size_t size)
{
    assert_int_equal(record->size, size);
    assert_memory_equal(record->bytes, bytes, size);
}

static const char *in_root(const char *name)
{
    static char path[FM_PATH_MAX];
    assert_ok(fm_path_join(path, root, name));
    return path;
}

// The bytes expected are those of Event.SerializeToString() of TensorBoard 2.21.0's protobuf
// classes (tensorboard.compat.proto, protobuf 7.36.2); the comment before each says of which event.
static void events_are_protobufs(void **state)
{
    (void)state;
    struct fm_events events;
    struct fm_text scalars = {0}, text = {0}, picture = {0};
    struct record records[8];
    unsigned char *data;
    assert_false(fm_events_exist(root));
    assert_ok(fm_events_open(root, &events));
    assert_false(events.before);
    assert_true(fm_events_exist(root));
    assert_ok(fm_events_start(&events, 1.5, 301));
    fm_summary_scalar(&scalars, "train/loss", 0.25);
    fm_summary_scalar(&scalars, "learning_rate", 1e-3);
    assert_ok(fm_events_put(&events, 1700000000.25, 300, &scalars));
    fm_summary_text(&text, "t/text_summary", "| a |\xc3\xa9");
    assert_ok(fm_events_put(&events, 2, 0, &text));
    fm_summary_png(&picture, "p", "PNG\0!", 5, 640, 480);
    assert_ok(fm_events_put(&events, 2, (int64_t)1 << 40, &picture));
    fm_events_close(&events);

    assert_int_equal(
        read_records(in_root("events.out.tfevents.0001.fmnist"), &data, records, 8), 5);
    // Event(wall_time=w, file_version="brain.Event:2"): the time is now
    assert_int_equal(records[0].size, 9 + 15);
    assert_int_equal(records[0].bytes[0], 0x09);
    double wall_time;
    memcpy(&wall_time, records[0].bytes + 1, sizeof wall_time);
    assert_true(fabs(wall_time - fm_events_now()) < 60);
    assert_memory_equal(records[0].bytes + 9,
        "\x1a\x0d"
        "brain.Event:2",
        15);
    // Event(wall_time=1.5, step=301, session_log=SessionLog(status=SessionLog.START))
    expect_bytes(
        &records[1], "\x09\x00\x00\x00\x00\x00\x00\xf8\x3f\x10\xad\x02\x3a\x02\x08\x01", 16);
    // e = Event(wall_time=1700000000.25, step=300)
    // e.summary.value.add(tag="train/loss", simple_value=0.25)
    // e.summary.value.add(tag="learning_rate", simple_value=1e-3)
    expect_bytes(&records[2],
        "\x09\x00\x00\x10\x40\xfc\x54\xd9\x41\x10\xac\x02\x2a\x29\x0a\x11\x0a\x0a\x74\x72"
        "\x61\x69\x6e\x2f\x6c\x6f\x73\x73\x15\x00\x00\x80\x3e\x0a\x14\x0a\x0d\x6c\x65\x61"
        "\x72\x6e\x69\x6e\x67\x5f\x72\x61\x74\x65\x15\x6f\x12\x83\x3a",
        55);
    // e = Event(wall_time=2); v = e.summary.value.add(tag="t/text_summary"); v.tensor.dtype = 7
    // v.tensor.tensor_shape.dim.add(size=1); v.tensor.string_val.append("| a |\u00e9".encode())
    // v.metadata.plugin_data.plugin_name = "text"
    expect_bytes(&records[3],
        "\x09\x00\x00\x00\x00\x00\x00\x00\x40\x2a\x2f\x0a\x2d\x0a\x0e\x74\x2f\x74\x65\x78"
        "\x74\x5f\x73\x75\x6d\x6d\x61\x72\x79\x42\x11\x08\x07\x12\x04\x12\x02\x08\x01\x42"
        "\x07\x7c\x20\x61\x20\x7c\xc3\xa9\x4a\x08\x0a\x06\x0a\x04\x74\x65\x78\x74",
        58);
    // e = Event(wall_time=2, step=1 << 40); v = e.summary.value.add(tag="p"); v.image.height = 480
    // v.image.width = 640; v.image.colorspace = 4; v.image.encoded_image_string = b"PNG\0!"
    expect_bytes(&records[4],
        "\x09\x00\x00\x00\x00\x00\x00\x00\x40\x10\x80\x80\x80\x80\x80\x20\x2a\x16\x0a\x14"
        "\x0a\x01\x70\x22\x0f\x08\xe0\x03\x10\x80\x05\x18\x04\x22\x05\x50\x4e\x47\x00\x21",
        40);
    free(data);
    fm_text_free(&scalars);
    fm_text_free(&text);
    fm_text_free(&picture);
}

static void every_call_has_its_file(void **state)
{
    (void)state;
    struct fm_events first, second;
    assert_ok(fm_events_open(root, &first));
    assert_string_equal(first.path, in_root("events.out.tfevents.0002.fmnist"));
    assert_true(first.before);
    assert_ok(fm_events_open(root, &second));
    assert_string_equal(second.path, in_root("events.out.tfevents.0003.fmnist"));
    fm_events_close(&first);
    fm_events_close(&second);
    fm_events_close(&second);
}

// A file that says its version alone says nothing.
static void an_empty_file_is_nothing_before(void **state)
{
    (void)state;
    struct fm_events events;
    char folder[FM_PATH_MAX];
    snprintf(folder, sizeof folder, "%s", in_root("empty"));
    assert_ok(fm_make_dirs(folder));
    for (int i = 0; i < 2; i++) {
        assert_ok(fm_events_open(folder, &events));
        assert_false(events.before);
        fm_events_close(&events);
    }
    assert_ok(fm_events_open(folder, &events));
    assert_ok(fm_events_start(&events, 1, 1));
    fm_events_close(&events);
    assert_ok(fm_events_open(folder, &events));
    assert_true(events.before);
    fm_events_close(&events);
}

static void names_are_told_apart(void **state)
{
    (void)state;
    assert_true(fm_events_is_name("events.out.tfevents.0001.fmnist"));
    assert_true(fm_events_is_name("events.out.tfevents.9999.fmnist"));
    static const char *const others[] = {"events.out.tfevents.0000.fmnist",
        "events.out.tfevents.1.fmnist", "events.out.tfevents.00001.fmnist",
        "events.out.tfevents.0001.fmnist.bak", "events.out.tfevents.1700000000.host",
        "events.out.tfevents.", "events.out.tfevents.-001.fmnist", "log.jsonl", ""};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (fm_events_is_name(others[i]))
            fail_msg("'%s' is taken for one of ours", others[i]);
}

static void a_folder_that_cannot_be_written_is_named(void **state)
{
    (void)state;
    struct fm_events events;
    assert_fails(fm_events_open("/proc/self", &events), FM_IO,
        "/proc/self/events.out.tfevents.0001.fmnist: cannot create");
    assert_fails(fm_events_open("/nonexistent", &events), FM_IO, "/nonexistent");
    assert_false(fm_events_exist("/nonexistent"));
    assert_string_equal(fm_error_message(), "");
    // A full disk is told, not kept silent about.
    struct fm_events full = {.path = "/dev/full", .fd = open("/dev/full", O_WRONLY)};
    assert_fails(fm_events_start(&full, 1, 1), FM_IO, "/dev/full: cannot write");
    fm_events_close(&full);
}

int main(void)
{
    scratch_make(root, "events");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums_are_the_published_ones),
        cmocka_unit_test(events_are_protobufs),
        cmocka_unit_test(every_call_has_its_file),
        cmocka_unit_test(an_empty_file_is_nothing_before),
        cmocka_unit_test(names_are_told_apart),
        cmocka_unit_test(a_folder_that_cannot_be_written_is_named),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(root);
    return failed;
}
