// Which images are furthest off: distances from a mean for each class, with one covariance for all,
// as the classes have too few images for one each.
#include "app/drift/drift_distance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    N = FM_DRIFT_FEATURES,
    CLASS_LEAST = 10 // reference images that a class's own mean is taken from
};
static const double ridge = 1e-3; // added to the covariance, in parts of each variance

struct model {
    double means[FM_CLASSES_MAX][N];
    double deviations[N];
    double factor[N][N]; // lower triangle L of the covariance L L'
};

static void take_means(const float *const features[N], const uint8_t *predicted, uint32_t reference,
    struct model *model)
{
    double overall[N] = {0};
    uint32_t counts[FM_CLASSES_MAX] = {0};
    for (uint32_t i = 0; i < reference; i++) {
        counts[predicted[i]]++;
        for (int k = 0; k < N; k++) {
            model->means[predicted[i]][k] += features[k][i];
            overall[k] += features[k][i];
        }
    }
    for (int c = 0; c < FM_CLASSES_MAX; c++)
        for (int k = 0; k < N; k++)
            model->means[c][k] = counts[c] >= CLASS_LEAST ? model->means[c][k] / counts[c]
                                                          : overall[k] / reference;
}

static void residual(const float *const features[N], const uint8_t *predicted, uint32_t i,
    const struct model *model, double out[N])
{
    for (int k = 0; k < N; k++)
        out[k] = features[k][i] - model->means[predicted[i]][k];
}

// The ridge keeps a statistic that the others determine from counting for everything; a statistic
// that never varies has none to be measured in, and counts as one that varies by a thousandth.
static void take_covariance(const float *const features[N], const uint8_t *predicted,
    uint32_t reference, struct model *model)
{
    double r[N];
    for (uint32_t i = 0; i < reference; i++) {
        residual(features, predicted, i, model, r);
        for (int a = 0; a < N; a++)
            for (int b = 0; b <= a; b++)
                model->factor[a][b] += r[a] * r[b] / reference;
    }
    for (int a = 0; a < N; a++) {
        model->factor[a][a] = fmax(model->factor[a][a] * (1 + ridge), 1e-6);
        model->deviations[a] = sqrt(model->factor[a][a]);
    }
}

// Cholesky's decomposition in place; the ridge keeps the pivots positive.
static void decompose(double l[N][N])
{
    for (int a = 0; a < N; a++)
        for (int b = 0; b <= a; b++) {
            double sum = l[a][b];
            for (int k = 0; k < b; k++)
                sum -= l[a][k] * l[b][k];
            l[a][b] = a == b ? sqrt(fmax(sum, 1e-12)) : sum / l[b][b];
        }
}

// |L^-1 r|
static double length(const double l[N][N], const double r[N])
{
    double solved[N], squares = 0;
    for (int a = 0; a < N; a++) {
        double sum = r[a];
        for (int k = 0; k < a; k++)
            sum -= l[a][k] * solved[k];
        solved[a] = sum / l[a][a];
        squares += solved[a] * solved[a];
    }
    return sqrt(squares);
}

static int furthest_first(const void *a, const void *b)
{
    const struct fm_drift_image *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance > y->distance ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static void measure(const struct model *model, const double r[N], struct fm_drift_image *image)
{
    int furthest = 0;
    for (int k = 1; k < N; k++)
        if (fabs(r[k] / model->deviations[k]) > fabs(r[furthest] / model->deviations[furthest]))
            furthest = k;
    image->distance = length(model->factor, r);
    image->deviations = r[furthest] / model->deviations[furthest];
    image->furthest = furthest < FM_IMAGE_STATISTICS ? fm_image_statistic_names[furthest]
                                                     : "confidence";
}

enum fm_status fm_drift_distances(const float *const features[N], const uint8_t *predicted,
    uint32_t reference, uint32_t count, struct fm_drift_image *images)
{
    double r[N];
    struct model *model = calloc(1, sizeof *model);
    if (!model)
        return fm_fail_memory("the images' distances", sizeof *model);
    take_means(features, predicted, reference, model);
    take_covariance(features, predicted, reference, model);
    decompose(model->factor);
    for (uint32_t i = 0; i < count; i++) {
        residual(features, predicted, reference + i, model, r);
        measure(model, r, &images[i]);
    }
    qsort(images, count, sizeof *images, furthest_first);
    free(model);
    return FM_OK;
}
