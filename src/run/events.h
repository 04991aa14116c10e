// Event files, as TensorBoard reads them from a run's folder.
//
// A file is a row of records in TensorFlow's framing (TFRecord: length, its masked CRC-32C, the
// bytes, their masked CRC-32C); each record is an Event message in protobuf's wire format, of which
// a handful of fields are needed (tensorflow/core/util/event.proto, framework/summary.proto):
//
//   Event    1 wall_time double, 2 step int64, 3 file_version string, 5 summary, 7 session_log
//   Summary  1 value, repeated:  1 tag, 2 simple_value float, 4 image, 8 tensor, 9 metadata
//
// A run's files are events.out.tfevents.0001.fmnist, .0002.fmnist and so on: one for each call of
// the program that wrote to the run, in the order in which TensorBoard reads them, whatever clocks
// say. They appear and grow event by event, so that a training can be watched; a killed writer
// leaves an unfinished last record, which TensorBoard leaves out, and nothing is ever written
// behind one.
#ifndef FM_RUN_EVENTS_H
#define FM_RUN_EVENTS_H

#include "base/file.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

struct fm_events {
    char path[FM_PATH_MAX];
    int fd;      // negative: not open
    bool before; // an earlier file of the run says something already
};

// True for the name of a file that fm_events_open() makes.
bool fm_events_is_name(const char *name);
// True when the folder holds such a file.
bool fm_events_exist(const char *directory);

// Begins the run's next file, of which TensorBoard knows by its first event what version it has.
enum fm_status fm_events_open(const char *directory, struct fm_events *events);
// Does nothing where none is open.
void fm_events_close(struct fm_events *events);

// Seconds since 1970, for `wall_time`.
double fm_events_now(void);

// Tells TensorBoard that the run went on: what earlier files say of `step` and later ones is gone.
enum fm_status fm_events_start(struct fm_events *events, double wall_time, int64_t step);

// Writes an event that holds a summary, put together by the functions below.
enum fm_status fm_events_put(
    struct fm_events *events, double wall_time, int64_t step, const struct fm_text *summary);

// Append a value to a summary: a number; a text in Markdown, shown under TEXT; a picture, the bytes
// of a PNG file of `width` x `height` pixels, shown under IMAGES.
void fm_summary_scalar(struct fm_text *summary, const char *tag, double value);
void fm_summary_text(struct fm_text *summary, const char *tag, const char *markdown);
void fm_summary_png(struct fm_text *summary, const char *tag, const void *png, size_t size,
    uint32_t width, uint32_t height);

// CRC-32C (Castagnoli; RFC 3720, B.4), and as TFRecord stores it: rotated and moved, so that a
// checksum of bytes that hold checksums stays one.
uint32_t fm_crc32c(const void *data, size_t size);
uint32_t fm_crc32c_masked(const void *data, size_t size);

#endif
