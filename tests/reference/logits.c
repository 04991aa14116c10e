// What this project computes for every test image of a data set:
//
//   reference_logits WEIGHTS DATA OUT
//
// WEIGHTS: a weights file, computed in fp32 on the CPU. OUT: a safetensors file with "logits"
// [N, classes], before the softmax. Other programs are held against it (onnx_all.py).
#include "data/dataset.h"
#include "eval/predictor.h"
#include "net/safetensors.h"
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH = 250
};

// The predictor keeps the logits of its last batch.
static void predict(struct fm_predictor *predictor, const struct fm_samples *images,
    float *probabilities, float *out)
{
    size_t classes = (size_t)predictor->classes;
    for (uint32_t done = 0; done < images->count; done += BATCH) {
        size_t count = images->count - done < BATCH ? images->count - done : BATCH;
        fm_rig_must(fm_predictor_run(predictor,
                        images->records + (size_t)done * images->record_size, count, probabilities),
            "prediction");
        memcpy(out + done * classes, predictor->logits, count * classes * sizeof *out);
    }
}

int main(int argc, char **argv)
{
    struct fm_dataset dataset;
    struct fm_engine engine;
    struct fm_predictor predictor;
    const struct fm_device_options device = {.threads = 2};
    const struct fm_predictor_options options = {.precision = FM_PRECISION_FP32, .batch = BATCH};
    if (argc != 4) {
        fprintf(stderr, "usage: reference_logits WEIGHTS DATA OUT\n");
        return 2;
    }
    fm_module_set_directory(FM_TEST_BINARY_DIR "/modules");
    fm_rig_must(fm_dataset_open(argv[2], &dataset), argv[2]);
    fm_rig_must(fm_engine_open("cpu", &device, &engine), "the CPU backend");
    fm_rig_must(fm_predictor_open(&engine, argv[1], &options, &predictor), argv[1]);
    size_t elements = (size_t)dataset.test.count * (size_t)predictor.classes;
    float *logits = malloc(elements * sizeof *logits);
    float *probabilities = malloc(BATCH * (size_t)predictor.classes * sizeof *probabilities);
    if (!logits || !probabilities)
        abort();
    predict(&predictor, &dataset.test, probabilities, logits);
    const struct fm_tensor tensor = {.name = "logits",
        .ndims = 2,
        .dims = {dataset.test.count, predictor.classes},
        .count = elements,
        .data = logits};
    fm_rig_must(fm_safetensors_write(argv[3], &tensor, 1, NULL), argv[3]);
    free(probabilities);
    free(logits);
    fm_predictor_close(&predictor);
    fm_engine_close(&engine);
    fm_dataset_close(&dataset);
    return 0;
}
