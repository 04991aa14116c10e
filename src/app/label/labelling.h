// Labels for pictures: what the network is sure of, and the rest to people. What `fmnist label`
// does.
//
// The thresholds come from the calibration images of the run's own data set, which it was neither
// trained nor selected on, by the method of eval/label/selective.h. Test images serve nothing but
// fm_labelling_measure(), which says what the promise is worth.
//
// The folder: auto.csv (name, label, probability), review.csv and review.html (what people are to
// label), failed.csv (what could not be classified, if there is any), labels.csv (all labels, once
// there are answers), risk-coverage.png and .svg (with a measurement), label.json last.
#ifndef FM_APP_LABELLING_H
#define FM_APP_LABELLING_H

#include "app/trained.h"
#include "data/pictures/source.h"
#include "data/split.h"
#include "eval/label/binomial.h"
#include "eval/label/selective.h"
#include "report/table.h"

#include <jansson.h>

struct fm_labelling_options {
    const char *directory;                  // of the run
    const struct fm_source_options *source; // pictures to label; NULL: none
    const char *reviewed;                   // people's answers; NULL: none
    const char *out;                        // folder; NULL: nothing is written
    bool force;                             // replace what an earlier call has put there
    double least, confidence;               // precision of what is labelled, and that it holds
    bool per_class;
    double cost; // of a label by hand
    // How far it is; may be NULL. A failure ends the work.
    enum fm_status (*progress)(void *context, const char *what, uint32_t done, uint32_t total);
    void *context;
};

// A person's answers: a CSV file (RFC 4180, or with LF) with columns "name" and "label", others are
// passed over. A row without a label is no answer.
struct fm_answer {
    char *name, *label; // owned
    int line;           // of the file, where its row begins
};
struct fm_answers {
    struct fm_answer *rows; // [count]; owned
    uint32_t count;
};
// FM_DATA names the line: columns that are missing, a quote that is not closed.
enum fm_status fm_answers_read(const char *path, struct fm_answers *answers);
void fm_answers_free(struct fm_answers *answers);

// How the images of one predicted class fare, or of all.
struct fm_label_count {
    uint32_t predicted, taken,
        right; // images given the class; taken without a person; right of those
};

// What the thresholds do on images whose labels are known.
struct fm_label_measure {
    uint32_t count; // 0: not measured
    struct fm_label_count all, classes[FM_CLASSES_MAX];
    struct fm_guess *guesses; // [count]; owned
    const uint8_t *labels;    // [count]; the data set's
};

enum {
    FM_LABEL_NONE = -1
};

struct fm_labelling {
    struct fm_labelling_options options;
    struct fm_run_config config; // of the run, with its data
    struct fm_trained trained;
    struct fm_answers answers;
    // Calibration
    uint32_t calibrated;
    struct fm_guess *calibration; // [calibrated]; owned
    uint8_t *calibration_labels;  // [calibrated]; owned
    struct fm_selective selective;
    // Pictures
    struct fm_pictures pictures;
    struct fm_guess *guesses; // [pictures.count]; owned
    char **names;             // [pictures.count + failed]; owned: as files and people are told them
    uint32_t taken;
    uint32_t *review; // [review_count], indices of pictures, by falling worth; owned
    uint32_t review_count;
    // With answers: the label of each picture, failed ones last, FM_LABEL_NONE without one.
    int *labels;                // owned; NULL: no answers
    bool *by_person;            // owned
    uint32_t answered, missing; // by people; of the pictures that were to be reviewed
    struct fm_label_measure measure;
};

// What can be told before a device is opened: a run that was trained on its calibration images
// (--full: FM_USAGE), a folder in use (FM_EXISTS), answers that cannot be read or are for a name or
// with a class that there is not (FM_DATA, with their line); reads the pictures. FM_NOT_FOUND as
// fm_source_open(). On failure nothing needs to be freed.
enum fm_status fm_labelling_begin(
    const struct fm_labelling_options *options, struct fm_labelling *labelling);
// Opens the run on the engine, takes thresholds from the calibration images, labels the pictures
// and puts answers beside them. FM_DATA: not the data that the run was trained on.
enum fm_status fm_labelling_run(struct fm_labelling *labelling, const struct fm_engine *engine,
    const struct fm_dataset *dataset, const struct fm_split *split);
// What the thresholds do on the test images.
enum fm_status fm_labelling_measure(
    struct fm_labelling *labelling, const struct fm_dataset *dataset);
// Writes the folder options.out. What an earlier call has put there stays until all is written.
enum fm_status fm_labelling_write(struct fm_labelling *labelling);
void fm_labelling_free(struct fm_labelling *labelling);

// What a person's answer is worth: the probability that it saves a wrong label, were the suggestion
// taken otherwise. That is the doubt.
double fm_label_worth(const struct fm_guess *guess);

// The JSON of label.json; new reference, NULL when out of memory.
json_t *fm_labelling_json(const struct fm_labelling *labelling);
// A row a threshold; a row a class, then all, of the measurement. The caller frees each.
enum fm_status fm_labelling_thresholds(
    const struct fm_labelling *labelling, struct fm_table **table);
enum fm_status fm_labelling_measured(const struct fm_labelling *labelling, struct fm_table **table);
// Why a threshold is not met, in a sentence.
void fm_threshold_reason(const struct fm_threshold *threshold, struct fm_text *out);
// Draws risk over coverage: <directory>/risk-coverage.png and .svg.
enum fm_status fm_labelling_chart(const struct fm_labelling *labelling, const char *directory);
// <directory>/review.html, and how many of the pictures for people it shows: the first ones, as
// many as a page holds.
enum fm_status fm_labelling_page(const struct fm_labelling *labelling, const char *directory);
uint32_t fm_labelling_shown(const struct fm_labelling *labelling);
// The sentence for where these are not all.
void fm_labelling_limit(const struct fm_labelling *labelling, struct fm_text *out);

#endif
