/* libfmnist: predicts with networks that fmnist has trained.
 *
 *     fmnist_model *model;
 *     if (fmnist_open("runs/deeper", NULL, &model) != FMNIST_OK)
 *         fprintf(stderr, "%s\n", fmnist_error());
 *     ...
 *     fmnist_predict(model, images, count, probabilities);
 *     ...
 *     fmnist_close(model);
 *
 * Images are what Fashion-MNIST has: 28 rows of 28 pixels, 8 bits each, row by row, 0 for black,
 * the background. Everything that a network does to its input (normalisation, another size, more
 * channels) is done inside.
 *
 * Errors: a function that can fail returns an fmnist_status. Whatever is not FMNIST_OK has left a
 * message in the calling thread, which fmnist_error() returns: what was found, what was expected
 * and what to do. Nothing is printed, and no function but fmnist_main() reads standard input or
 * writes to a standard stream; none ends the process.
 *
 * Threads: every function but fmnist_main() may be called from several threads at the same time,
 * also with the same model: calls of fmnist_predict() with one model wait for one another, those
 * with different models run at the same time. Only fmnist_close() must be the last call with its
 * model. A model computes on threads of its own, which take no signals; OpenMP's settings in the
 * calling thread are neither used nor changed. After fork() the child must not use a model of its
 * parent.
 *
 * ABI: libfmnist.so.0 stays compatible: functions, structs and numbers below are not changed or
 * removed within it; a later version may add functions, statuses, and members at the end of
 * fmnist_options, which is why that begins with its size. */
#ifndef FMNIST_FMNIST_H
#define FMNIST_FMNIST_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define FMNIST_API __attribute__((visibility("default")))
#else
#define FMNIST_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fmnist_status {
    FMNIST_OK = 0,
    FMNIST_USAGE = 1,       /* an argument that makes no sense: a programming error */
    FMNIST_IO = 2,          /* a file cannot be read */
    FMNIST_DATA = 3,        /* a file that is not what it should be */
    FMNIST_NOT_FOUND = 4,   /* no such file, folder, backend */
    FMNIST_MEMORY = 5,      /* out of memory, or of threads */
    FMNIST_UNSUPPORTED = 6, /* this machine or this version cannot */
    FMNIST_BACKEND = 7,     /* a library underneath has failed */
    FMNIST_NUMERIC = 8      /* the network's output is not finite: diverged weights */
} fmnist_status;

enum {
    FMNIST_ROWS = 28,
    FMNIST_COLUMNS = 28,
    FMNIST_IMAGE_BYTES = FMNIST_ROWS * FMNIST_COLUMNS
};

/* A trained network, ready to predict. */
typedef struct fmnist_model fmnist_model;

/* How a model computes. Start from FMNIST_OPTIONS_INIT; zero means the default. */
typedef struct fmnist_options {
    size_t size;         /* sizeof(fmnist_options) */
    const char *backend; /* "cpu", ...; NULL or "auto": the best that this machine has */
    int threads;         /* of a processor; 0: one for each core */
    int batch; /* images computed at once at most, 1 to 65536; 0: 256. Memory grows with it */
} fmnist_options;

#define FMNIST_OPTIONS_INIT                                                                        \
    {                                                                                              \
        sizeof(fmnist_options), NULL, 0, 0                                                         \
    }

/* Opens a trained network: `path` is a run folder, as `fmnist train` leaves it, or a weights file
 * (the folder's model.safetensors), which is enough by itself. `options` may be NULL; it is not
 * kept.
 *
 * On success *model is a new model, to be closed with fmnist_close(); on failure it is NULL.
 * FMNIST_NOT_FOUND: nothing at `path`, a folder without weights, a backend that there is not;
 * FMNIST_DATA: a damaged file, or one that is none of fmnist's weights. */
FMNIST_API fmnist_status fmnist_open(
    const char *path, const fmnist_options *options, fmnist_model **model);

/* The probabilities of each class for each of `count` images: any number, computed in batches.
 *
 *   images         [count][28][28]
 *   probabilities  [count][fmnist_class_count(model)]; each row sums to 1 but for rounding
 *
 * Both are the caller's and only used during the call. A count of 0 does nothing. Computes in fp32,
 * in whatever precision the network was trained. The same call gives the same bits; an image's
 * probabilities may differ in the last bits with its place and with `count`, as the batches do.
 * On failure the contents of `probabilities` are undefined, and the model can be used again. */
FMNIST_API fmnist_status fmnist_predict(
    fmnist_model *model, const uint8_t *images, size_t count, float *probabilities);

/* The number of classes, at least 2. */
FMNIST_API int fmnist_class_count(const fmnist_model *model);

/* The name of class k, counted from 0: UTF-8, the model's. NULL for a k that is no class. */
FMNIST_API const char *fmnist_class_name(const fmnist_model *model, int k);

/* The name of the network's architecture ("deeper"); the model's. */
FMNIST_API const char *fmnist_model_name(const fmnist_model *model);

/* Frees a model and ends its threads. NULL is allowed. */
FMNIST_API void fmnist_close(fmnist_model *model);

/* Why the thread's last call of fmnist_open() or fmnist_predict() failed; "" if it did not. UTF-8,
 * one line without a full stop. Valid until the thread's next call of this library. Never NULL. */
FMNIST_API const char *fmnist_error(void);

/* The version of the library: "0.1.0". */
FMNIST_API const char *fmnist_version(void);

/* The command line tool: does what `fmnist` does with these arguments (argv[0] is the program's
 * name), prints results to standard output and messages to standard error, and returns the exit
 * status: 0 for success, 1 for a failure, 2 for wrong usage, 128 + N for a training that signal N
 * has stopped (130 SIGINT, 143 SIGTERM). Made for the end of a program's main(): a command that
 * succeeds closes standard output; standard streams that are closed are taken by /dev/null, so that
 * no file gets what is meant for them; SIGPIPE and SIGXFSZ are ignored from then on, and training
 * catches SIGINT and SIGTERM. Must not be called twice at the same time. */
FMNIST_API int fmnist_main(int argc, char *const *argv);

#ifdef __cplusplus
}
#endif

#endif
