// What is known of a run: what it says of itself, and what its weights say of each test image.
#include "app/report/reporting.h"

#include "run/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK = 1024,    // images predicted between two calls of progress
    LOG_COLUMNS = 5, // of struct fm_report_run
    COVERAGE_PARTS = 100
};
static const float least_probability = 1e-38F; // an fp32 probability may be 0, its logarithm not

// ---- The log

static enum fm_status read_line(const char *path, int number, char *text, double *const columns[])
{
    static const char *const keys[LOG_COLUMNS] = {
        "epoch", "loss", "accuracy", "select_nll", "select_accuracy"};
    json_error_t error;
    json_t *line = json_loads(text, 0, &error);
    if (!line)
        return fm_fail(FM_DATA, "%s:%d: %s", path, number, error.text);
    for (int i = 0; i < LOG_COLUMNS; i++)
        columns[i][number - 1] = fm_json_number(line, keys[i]);
    json_decref(line);
    return FM_OK;
}

static int count_lines(const char *text)
{
    int lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static enum fm_status read_log(struct fm_report_run *run)
{
    char path[FM_PATH_MAX], *text, *rest;
    size_t size;
    enum fm_status status = FM_OK;
    FM_TRY(fm_path_join(path, run->directory, FM_RUN_LOG));
    FM_TRY(fm_file_read(path, (unsigned char **)&text, &size));
    int capacity = count_lines(text) + 1;
    double *values = calloc((size_t)capacity * LOG_COLUMNS, sizeof *values);
    if (!values) {
        free(text);
        return fm_fail_memory(path, (size_t)capacity * LOG_COLUMNS * sizeof *values);
    }
    double **const columns[LOG_COLUMNS] = {
        &run->epoch, &run->loss, &run->accuracy, &run->select_nll, &run->select_accuracy};
    double *starts[LOG_COLUMNS];
    for (int i = 0; i < LOG_COLUMNS; i++)
        *columns[i] = starts[i] = values + i * capacity;
    for (char *line = strtok_r(text, "\n", &rest); line && status == FM_OK;
         line = strtok_r(NULL, "\n", &rest))
        status = read_line(path, ++run->epochs, line, starts);
    free(text);
    return status;
}

enum fm_status fm_report_read_run(const char *directory, struct fm_report_run *run)
{
    FM_TRY(fm_path_copy(run->directory, directory));
    FM_TRY(fm_run_read_whole_config(directory, &run->config));
    FM_TRY(fm_run_read_result(directory, &run->result));
    return read_log(run);
}

void fm_report_free_run(struct fm_report_run *run)
{
    json_decref(run->result);
    fm_run_config_free(&run->config);
    free(run->epoch);
    fm_metrics_free(&run->metrics);
    free(run->predictions);
    *run = (struct fm_report_run){0};
}

// That of the selection images is always of the labels as they are.
void fm_report_losses(const struct fm_report_run *run, struct fm_text *out)
{
    const char *targets[3];
    int count = 0;
    if (fm_json_number(run->config.recipe, "label_smoothing") > 0)
        targets[count++] = "smoothed";
    if (fm_json_number(run->config.recipe, "mix") > 0)
        targets[count++] = "mixed";
    if (run->config.teaching.count > 0)
        targets[count++] = "taught";
    if (count == 0)
        return;
    fm_text_append(out, "Training images: the loss against ");
    for (int i = 0; i < count; i++)
        fm_text_append(out, "%s%s", i == 0 ? "" : i + 1 < count ? ", " : " and ", targets[i]);
    fm_text_append(out, " targets.");
    if (!run->config.full)
        fm_text_append(out, " Selection images: the negative log-likelihood of their labels, which "
                            "is another quantity.");
}

// ---- Predictions

// Turns `probabilities` into logits, of which softmax makes the same probabilities again.
static enum fm_status add_chunk(struct fm_report_run *run, const uint8_t *labels, uint32_t first,
    uint32_t count, float *probabilities)
{
    size_t classes = (size_t)run->metrics.classes;
    for (uint32_t i = 0; i < count; i++) {
        float *row = probabilities + i * classes;
        size_t best = 0;
        for (size_t k = 1; k < classes; k++)
            best = row[k] > row[best] ? k : best;
        run->predictions[first + i] = (struct fm_report_prediction){
            first + i, (uint8_t)best, row[best]};
        for (size_t k = 0; k < classes; k++)
            row[k] = logf(fmaxf(row[k], least_probability));
    }
    return fm_metrics_add(&run->metrics, probabilities, labels + first, count);
}

static enum fm_status predict_all(
    const struct fm_reporting *r, struct fm_predictor *predictor, struct fm_report_run *run)
{
    const struct fm_samples *test = &r->dataset->test;
    const struct fm_report_options *options = r->options;
    size_t bytes = (size_t)CHUNK * (size_t)predictor->classes * sizeof(float);
    float *probabilities = malloc(bytes);
    enum fm_status status = probabilities ? FM_OK : fm_fail_memory("probabilities", bytes);
    for (uint32_t first = 0; status == FM_OK && first < test->count; first += CHUNK) {
        uint32_t left = test->count - first, count = left < CHUNK ? left : CHUNK;
        status = fm_predictor_run(
            predictor, test->records + (size_t)first * test->record_size, count, probabilities);
        if (status == FM_OK)
            status = add_chunk(run, test->labels, first, count, probabilities);
        if (status == FM_OK && options->progress)
            status = options->progress(options->context, first + count, test->count);
    }
    free(probabilities);
    return status;
}

// The most confident first; equals in the order of the images, so that the same run makes the same
// report.
static int by_confidence(const void *a, const void *b)
{
    const struct fm_report_prediction *x = a, *y = b;
    if (x->confidence != y->confidence)
        return x->confidence < y->confidence ? 1 : -1;
    return x->image < y->image ? -1 : 1;
}

// Accuracy of the most confident x % of the images (El-Yaniv and Wiener 2010: the risk-coverage
// curve, with accuracy for risk), at about each per cent: images of the same confidence cannot be
// told apart, so that they are covered together.
static void find_coverage(const struct fm_reporting *r, struct fm_report_run *run)
{
    const struct fm_samples *test = &r->dataset->test;
    uint32_t correct = 0, next = 1;
    for (uint32_t i = 0; i < test->count; i++) {
        const struct fm_report_prediction *p = &run->predictions[i];
        correct += p->predicted == test->labels[p->image];
        bool tied = i + 1 < test->count && p[1].confidence == p->confidence;
        if (tied || (uint64_t)(i + 1) * COVERAGE_PARTS < (uint64_t)next * test->count)
            continue;
        run->coverage[run->coverage_count] = (double)(i + 1) / test->count;
        run->covered_accuracy[run->coverage_count++] = (double)correct / (i + 1);
        next = (uint32_t)((uint64_t)(i + 1) * COVERAGE_PARTS / test->count) + 1;
    }
}

enum fm_status fm_report_predict(const struct fm_reporting *r, struct fm_report_run *run)
{
    struct fm_trained trained;
    size_t bytes = r->dataset->test.count * sizeof *run->predictions;
    run->predictions = malloc(bytes);
    if (!run->predictions)
        return fm_fail_memory("the predictions", bytes);
    FM_TRY(fm_metrics_begin(&run->metrics, run->config.data.classes));
    FM_TRY(fm_trained_open(r->engine, run->directory, 0, &trained));
    run->precision = trained.precision;
    run->emulated = trained.emulated;
    enum fm_status status = predict_all(r, &trained.predictor, run);
    fm_trained_close(&trained);
    FM_TRY(status);
    fm_metrics_finish(&run->metrics);
    qsort(run->predictions, r->dataset->test.count, sizeof *run->predictions, by_confidence);
    find_coverage(r, run);
    return FM_OK;
}

int fm_report_samples(const struct fm_reporting *r, const struct fm_report_run *run,
    const struct fm_report_prediction *shown[FM_REPORT_SHOWN_MAX])
{
    for (int i = 0; i < r->sample_count; i++) {
        shown[i] = run->predictions;
        while (shown[i]->image != r->samples[i])
            shown[i]++;
    }
    return r->sample_count;
}

int fm_report_mistakes(const struct fm_reporting *r, const struct fm_report_run *run,
    const struct fm_report_prediction *shown[FM_REPORT_SHOWN_MAX])
{
    const struct fm_samples *test = &r->dataset->test;
    int count = 0;
    for (uint32_t i = 0; i < test->count && count < FM_REPORT_SHOWN_MAX; i++) {
        const struct fm_report_prediction *p = &run->predictions[i];
        if (p->predicted != test->labels[p->image])
            shown[count++] = p;
    }
    return count;
}
