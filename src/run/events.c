// TensorBoard's files without TensorFlow: the few fields of its messages, encoded by hand.
#include "run/events.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NAME_FORMAT "events.out.tfevents.%04d.fmnist"
enum {
    NUMBER_MAX = 9999
};

// ---- Checksums

uint32_t fm_crc32c(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0); // the polynomial, lowest bit first
    }
    return ~crc;
}

uint32_t fm_crc32c_masked(const void *data, size_t size)
{
    uint32_t crc = fm_crc32c(data, size);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

// ---- Protobuf's wire format (https://protobuf.dev/programming-guides/encoding)

enum wire {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    WIRE_FIXED32 = 5
};

static void put_varint(struct fm_text *out, uint64_t value)
{
    do {
        char byte = (char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        fm_text_append_bytes(out, &byte, 1);
        value >>= 7;
    } while (value > 0);
}

static void put_key(struct fm_text *out, uint32_t field, enum wire wire)
{
    put_varint(out, field << 3 | (uint32_t)wire);
}

static void put_number(struct fm_text *out, uint32_t field, uint64_t value)
{
    put_key(out, field, WIRE_VARINT);
    put_varint(out, value);
}

// The lowest `size` bytes of `value`, the lowest first.
static void put_little_endian(struct fm_text *out, uint64_t value, int size)
{
    for (int i = 0; i < size; i++) {
        char byte = (char)(value >> 8 * i & 0xff);
        fm_text_append_bytes(out, &byte, 1);
    }
}

static void put_double(struct fm_text *out, uint32_t field, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(out, field, WIRE_FIXED64);
    put_little_endian(out, bits, 8);
}

static void put_float(struct fm_text *out, uint32_t field, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(out, field, WIRE_FIXED32);
    put_little_endian(out, bits, 4);
}

static void put_bytes(struct fm_text *out, uint32_t field, const void *bytes, size_t size)
{
    put_key(out, field, WIRE_BYTES);
    put_varint(out, size);
    fm_text_append_bytes(out, bytes, size);
}

static void put_string(struct fm_text *out, uint32_t field, const char *string)
{
    put_bytes(out, field, string, strlen(string));
}

// A message within a message; frees the inner one, and fails with it.
static void put_message(struct fm_text *out, uint32_t field, struct fm_text *inner)
{
    put_bytes(out, field, fm_text_cstr(inner), inner->length);
    out->failed = out->failed || inner->failed;
    fm_text_free(inner);
}

// ---- Summaries

void fm_summary_scalar(struct fm_text *summary, const char *tag, double value)
{
    struct fm_text inner = {0};
    put_string(&inner, 1, tag);
    put_float(&inner, 2, (float)value);
    put_message(summary, 1, &inner);
}

// SummaryMetadata: the plugin that shows the value.
static void put_plugin(struct fm_text *value, const char *name)
{
    struct fm_text metadata = {0}, plugin = {0};
    put_string(&plugin, 1, name);
    put_message(&metadata, 1, &plugin);
    put_message(value, 9, &metadata);
}

void fm_summary_text(struct fm_text *summary, const char *tag, const char *markdown)
{
    enum {
        DT_STRING = 7
    };
    struct fm_text value = {0}, tensor = {0}, shape = {0}, dimension = {0};
    put_number(&dimension, 1, 1); // TensorShapeProto.Dim.size: a row of one string
    put_message(&shape, 2, &dimension);
    put_number(&tensor, 1, DT_STRING);
    put_message(&tensor, 2, &shape);
    put_string(&tensor, 8, markdown);
    put_string(&value, 1, tag);
    put_message(&value, 8, &tensor);
    put_plugin(&value, "text");
    put_message(summary, 1, &value);
}

void fm_summary_png(struct fm_text *summary, const char *tag, const void *png, size_t size,
    uint32_t width, uint32_t height)
{
    enum {
        RGBA = 4
    };
    struct fm_text value = {0}, image = {0};
    put_number(&image, 1, height);
    put_number(&image, 2, width);
    put_number(&image, 3, RGBA);
    put_bytes(&image, 4, png, size);
    put_string(&value, 1, tag);
    put_message(&value, 4, &image);
    put_message(summary, 1, &value);
}

// ---- Files

bool fm_events_is_name(const char *name)
{
    char expected[64];
    int number = 0;
    if (sscanf(name, "events.out.tfevents.%4d", &number) != 1 || number < 1)
        return false;
    snprintf(expected, sizeof expected, NAME_FORMAT, number);
    return strcmp(name, expected) == 0;
}

// A record of the event, written at once: whoever reads at the same time sees it whole or not yet.
static enum fm_status write_event(struct fm_events *events, struct fm_text *event)
{
    struct fm_text record = {0};
    put_little_endian(&record, event->length, 8);
    put_little_endian(&record, fm_crc32c_masked(fm_text_cstr(&record), 8), 4);
    fm_text_append_bytes(&record, fm_text_cstr(event), event->length);
    put_little_endian(&record, fm_crc32c_masked(fm_text_cstr(event), event->length), 4);
    enum fm_status status = FM_OK;
    if (event->failed || record.failed)
        status = fm_fail(FM_MEMORY, "%s: out of memory", events->path);
    for (size_t done = 0; status == FM_OK && done < record.length;) {
        ssize_t put = write(events->fd, record.data + done, record.length - done);
        if (put < 0 && errno != EINTR)
            status = fm_fail(FM_IO, "%s: cannot write: %s", events->path, strerror(errno));
        done += put > 0 ? (size_t)put : 0;
    }
    fm_text_free(&record);
    fm_text_free(event);
    return status;
}

static void begin_event(struct fm_text *event, double wall_time, int64_t step)
{
    put_double(event, 1, wall_time);
    if (step != 0) // protobuf leaves out what is 0
        put_number(event, 2, (uint64_t)step);
}

static enum fm_status put_version(struct fm_events *events)
{
    struct fm_text event = {0};
    begin_event(&event, fm_events_now(), 0);
    put_string(&event, 3, "brain.Event:2");
    return write_event(events, &event);
}

// Of the folder's files, the highest number (0: there is none) and the size of the largest.
static enum fm_status find_files(const char *directory, int *highest, off_t *largest)
{
    DIR *dir = opendir(directory);
    if (!dir)
        return fm_fail(FM_IO, "%s: cannot read the directory: %s", directory, strerror(errno));
    *highest = 0;
    *largest = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct stat info;
        if (!fm_events_is_name(entry->d_name))
            continue;
        int number = atoi(entry->d_name + sizeof "events.out.tfevents");
        *highest = number > *highest ? number : *highest;
        if (fstatat(dirfd(dir), entry->d_name, &info, 0) == 0 && info.st_size > *largest)
            *largest = info.st_size;
    }
    closedir(dir);
    return FM_OK;
}

bool fm_events_exist(const char *directory)
{
    int highest = 0;
    off_t largest;
    if (find_files(directory, &highest, &largest) != FM_OK)
        fm_error_clear(); // what cannot be read holds none
    return highest > 0;
}

enum fm_status fm_events_open(const char *directory, struct fm_events *events)
{
    char name[64];
    int highest;
    off_t largest;
    *events = (struct fm_events){.fd = -1};
    FM_TRY(find_files(directory, &highest, &largest));
    for (int number = highest + 1; events->fd < 0; number++) {
        if (number > NUMBER_MAX)
            return fm_fail(FM_IO, "%s: holds %d event files already", directory, NUMBER_MAX);
        snprintf(name, sizeof name, NAME_FORMAT, number);
        FM_TRY(fm_path_join(events->path, directory, name));
        events->fd = open(events->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (events->fd < 0 && errno != EEXIST)
            return fm_fail(FM_IO, "%s: cannot create: %s", events->path, strerror(errno));
    }
    enum fm_status status = put_version(events);
    events->before = largest > lseek(events->fd, 0, SEEK_CUR);
    if (status != FM_OK)
        fm_events_close(events);
    return status;
}

void fm_events_close(struct fm_events *events)
{
    if (events->fd >= 0)
        close(events->fd);
    events->fd = -1;
}

double fm_events_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

enum fm_status fm_events_start(struct fm_events *events, double wall_time, int64_t step)
{
    enum {
        SESSION_START = 1
    };
    struct fm_text event = {0}, session = {0};
    put_number(&session, 1, SESSION_START);
    begin_event(&event, wall_time, step);
    put_message(&event, 7, &session);
    return write_event(events, &event);
}

enum fm_status fm_events_put(
    struct fm_events *events, double wall_time, int64_t step, const struct fm_text *summary)
{
    struct fm_text event = {0};
    begin_event(&event, wall_time, step);
    put_bytes(&event, 5, fm_text_cstr(summary), summary->length);
    event.failed = event.failed || summary->failed;
    return write_event(events, &event);
}
