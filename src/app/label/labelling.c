// The work in the order in which it can fail: what is cheap to find out comes before a device is
// opened, and nothing is written before all is known.
#include "app/label/labelling.h"

#include "app/label/labelling_parts.h"
#include "run/run.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHUNK = 1024 // images predicted between two tellings of progress
};

double fm_label_worth(const struct fm_guess *guess)
{
    return guess->doubt;
}

// ---- Before a device is opened

static enum fm_status check_run(const struct fm_labelling *l)
{
    if (l->config.full)
        return fm_fail(FM_USAGE,
            "%s: was trained on all training images (--full), the calibration images among them: "
            "how sure it may be can't be told from images that it has learnt; take a run that was "
            "trained without --full",
            l->options.directory);
    return FM_OK;
}

static enum fm_status reading(void *context, uint32_t done, uint32_t total)
{
    struct fm_labelling *l = context;
    return l->options.progress ? l->options.progress(l->options.context, "reading", done, total)
                               : FM_OK;
}

// Names as files and people are told them: what is no text in them becomes U+FFFD.
static enum fm_status take_names(struct fm_labelling *l)
{
    uint32_t count = l->pictures.count + l->pictures.failed;
    l->names = calloc(count + 1, sizeof *l->names);
    if (!l->names)
        return fm_fail_memory("the names of pictures", count * sizeof *l->names);
    for (uint32_t i = 0; i < count; i++) {
        struct fm_text text = {0};
        fm_text_append_line(&text, i < l->pictures.count
                                       ? l->pictures.names[i]
                                       : l->pictures.failed_names[i - l->pictures.count]);
        l->names[i] = text.failed ? NULL : strdup(fm_text_cstr(&text));
        fm_text_free(&text);
        if (!l->names[i])
            return fm_fail_memory("the name of a picture", 1);
    }
    return FM_OK;
}

enum fm_status fm_labelling_begin(
    const struct fm_labelling_options *options, struct fm_labelling *l)
{
    enum fm_status status;
    memset(l, 0, sizeof *l);
    l->options = *options;
    FM_TRY(fm_run_read_whole_config(options->directory, &l->config));
    FM_TRY_GOTO(status, check_run(l), out);
    if (options->out)
        FM_TRY_GOTO(status, fm_labelling_check_folder(options->out, options->force), out);
    if (options->reviewed)
        FM_TRY_GOTO(status, fm_answers_read(options->reviewed, &l->answers), out);
    if (options->source)
        FM_TRY_GOTO(status, fm_pictures_read(options->source, reading, l, &l->pictures), out);
    FM_TRY_GOTO(status, take_names(l), out);
    if (options->reviewed)
        FM_TRY_GOTO(status, fm_labelling_match(l), out);
out:
    if (status != FM_OK)
        fm_labelling_free(l);
    return status;
}

// ---- Guesses

enum fm_status fm_labelling_guess(struct fm_labelling *l, const char *what, const uint8_t *records,
    const uint32_t *ids, uint32_t count, struct fm_guess **guesses)
{
    size_t classes = (size_t)l->trained.predictor.classes;
    uint8_t *chunk = malloc((size_t)CHUNK * FM_IMAGE_BYTES);
    float *probabilities = malloc(CHUNK * classes * sizeof *probabilities);
    enum fm_status status = FM_OK;
    *guesses = malloc((count + 1) * sizeof **guesses);
    if (!chunk || !probabilities || !*guesses)
        FM_TRY_GOTO(status, fm_fail_memory("predictions", count * sizeof **guesses), out);
    for (uint32_t done = 0, now; done < count; done += now) {
        now = count - done < CHUNK ? count - done : CHUNK;
        for (uint32_t i = 0; i < now; i++)
            memcpy(chunk + (size_t)i * FM_IMAGE_BYTES,
                records + (size_t)(ids ? ids[done + i] : done + i) * FM_IMAGE_BYTES,
                FM_IMAGE_BYTES);
        FM_TRY_GOTO(
            status, fm_predictor_run(&l->trained.predictor, chunk, now, probabilities), out);
        for (uint32_t i = 0; i < now; i++)
            (*guesses)[done + i] = fm_guess_of(probabilities + i * classes, (int)classes);
        if (l->options.progress)
            FM_TRY_GOTO(
                status, l->options.progress(l->options.context, what, done + now, count), out);
    }
out:
    free(chunk);
    free(probabilities);
    return status;
}

static enum fm_status check_data(const struct fm_labelling *l, const struct fm_dataset *dataset)
{
    if (!fm_trained_same_data(&l->trained.config, dataset))
        return fm_fail(FM_DATA,
            "%s: are not the data that %s was trained on (%s): the calibration images must be "
            "those that were held out of its training; name its data with --data DIR",
            dataset->directory, l->trained.directory, l->trained.config.data.directory);
    return FM_OK;
}

static enum fm_status calibrate(
    struct fm_labelling *l, const struct fm_dataset *dataset, const struct fm_split *split)
{
    const struct fm_selective_options options = {.classes = l->trained.predictor.classes,
        .risk = 1 - l->options.least,
        .confidence = l->options.confidence,
        .per_class = l->options.per_class};
    l->calibrated = split->calibrate_count;
    FM_TRY(fm_labelling_guess(l, "calibrating", dataset->train.records, split->calibrate,
        l->calibrated, &l->calibration));
    l->calibration_labels = malloc(l->calibrated + 1);
    if (!l->calibration_labels)
        return fm_fail_memory("the calibration labels", l->calibrated);
    for (uint32_t i = 0; i < l->calibrated; i++)
        l->calibration_labels[i] = dataset->train.labels[split->calibrate[i]];
    return fm_selective_calibrate(
        l->calibration, l->calibration_labels, l->calibrated, &options, &l->selective);
}

// ---- Pictures

struct item {
    double worth;
    uint32_t index;
};

// Most worth first; of equal ones the first first.
static int by_worth(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->worth != y->worth)
        return x->worth > y->worth ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static enum fm_status route(struct fm_labelling *l)
{
    uint32_t count = l->pictures.count;
    struct item *items = malloc((count + 1) * sizeof *items);
    l->review = malloc((count + 1) * sizeof *l->review);
    if (!items || !l->review) {
        free(items);
        return fm_fail_memory("the order of review", count * sizeof *items);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (fm_selective_takes(&l->selective, &l->guesses[i]))
            l->taken++;
        else
            items[l->review_count++] = (struct item){fm_label_worth(&l->guesses[i]), i};
    }
    qsort(items, l->review_count, sizeof *items, by_worth);
    for (uint32_t i = 0; i < l->review_count; i++)
        l->review[i] = items[i].index;
    free(items);
    return FM_OK;
}

enum fm_status fm_labelling_run(struct fm_labelling *l, const struct fm_engine *engine,
    const struct fm_dataset *dataset, const struct fm_split *split)
{
    FM_TRY(fm_trained_open(engine, l->options.directory, 0, &l->trained));
    FM_TRY(check_data(l, dataset));
    FM_TRY(calibrate(l, dataset, split));
    if (!l->options.source)
        return FM_OK;
    FM_TRY(fm_labelling_guess(
        l, "labelling", l->pictures.records, NULL, l->pictures.count, &l->guesses));
    FM_TRY(route(l));
    if (l->options.reviewed)
        fm_labelling_merge(l);
    return FM_OK;
}

void fm_labelling_free(struct fm_labelling *l)
{
    for (uint32_t i = 0; l->names && i < l->pictures.count + l->pictures.failed; i++)
        free(l->names[i]);
    free(l->names);
    free(l->measure.guesses);
    free(l->by_person);
    free(l->labels);
    free(l->review);
    free(l->guesses);
    free(l->calibration_labels);
    free(l->calibration);
    fm_pictures_free(&l->pictures);
    fm_answers_free(&l->answers);
    fm_trained_close(&l->trained);
    fm_run_config_free(&l->config);
    memset(l, 0, sizeof *l);
}
