// What the parts of the comparison share: compare.c finds and trains the rows, compare_table.c says
// what they mean, compare_print.c and compare_files.c bring it to people. No header for others.
#ifndef FM_APP_COMPARING_H
#define FM_APP_COMPARING_H

#include "app/compare/compare.h"

enum {
    FM_COMPARE_MAX = 16, // models
    FM_COMPARE_WHERE_MAX = 256
};

// A finished run and what it says of itself.
struct fm_compare_row {
    char name[FM_RUN_NAME_MAX];
    char directory[FM_PATH_MAX];
    bool reused;
    json_t *result;
    char elsewhere[FM_COMPARE_WHERE_MAX]; // "with 32 threads on NAME"; "": measured as here
};

// A comparison being made.
struct fm_comparing {
    const struct fm_engine *engine;
    const struct fm_dataset *dataset;
    const struct fm_split *split;
    const struct fm_compare_options *options;
    struct fm_compare_row *rows;           // [options->entry_count]
    json_t *results[FM_COMPARE_MAX];       // borrowed from rows
    const char *elsewhere[FM_COMPARE_MAX]; // the same
    json_t *environment;
    struct fm_transfer weights;    // that rows begin with, identified; zero: there are none
    char label[FM_PATH_MAX];       // of the data
    char recipe[FM_NAME_MAX + 16]; // "quick", or "quick, changed" where options changed any row's
};

// A reused run's figures of cost (speed, latency, memory) are those of where it was measured, which
// may have had another device or other threads: sets row->elsewhere.
void fm_compare_tell_elsewhere(const struct fm_comparing *c, struct fm_compare_row *row);

// The sentences under the table, into comparison->notes.
enum fm_status fm_compare_notes(const struct fm_comparing *c, struct fm_comparison *comparison);

// comparison->json from its tables and notes, and all files into comparison->directory, which is
// made.
enum fm_status fm_compare_json(const struct fm_comparing *c, struct fm_comparison *comparison);
enum fm_status fm_compare_write(
    const struct fm_comparing *c, const struct fm_comparison *comparison);

#endif
