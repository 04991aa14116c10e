// The same model on two backends: the CPU's, which other tests hold to references in double
// precision, and another one that must agree with it. What the parity tests share.
//
//   parity_NAME [--long] [--only TEST] [BACKEND [MODULES]]
//
// --long: what takes minutes, instead of the rest. --only: the tests of that name, with wildcards.
// BACKEND: cuda unless given; cpu holds the CPU's to itself, which shows what of an error is the
// order of sums alone. MODULES: a folder with both backends' modules. On a real device, which takes
// long to choose plans, FM_PARITY_PLANS names a folder that they are kept in from program to
// program.
#ifndef FM_TESTS_PARITY_PARITY_H
#define FM_TESTS_PARITY_PARITY_H

#include "backend/registry.h"
#include "data/dataset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

// For main(): reads the command line; the group's setup and teardown open and close the data.
extern bool parity_long;
void parity_arguments(int argc, char **argv);
int parity_begin(void **state);
int parity_end(void **state);

// A program of two lists of tests.
#define PARITY_MAIN(tests, long_tests)                                                             \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        parity_arguments(argc, argv);                                                              \
        return parity_long ? cmocka_run_group_tests(long_tests, parity_begin, parity_end)          \
                           : cmocka_run_group_tests(tests, parity_begin, parity_end);              \
    }

// What of a model is opened: it, or what is in front of or behind its layer `cut`.
enum parity_part {
    PARITY_WHOLE,
    PARITY_BASE, // up to `cut`, whose output it predicts
    PARITY_HEAD, // behind `cut`: its records are features
};

struct parity_case {
    const char *model;
    enum fm_precision precision;
    int batch;                   // and the capacity of the staging
    const char *device;          // that is posed as
    enum fm_optimiser optimiser; // ADAMW or SGD
    bool resident;               // the second backend keeps the data
    enum parity_part part;
    const char *cut;
    const char *trained_from;  // a parameter: those in front of it are not trained; NULL: all are
    float base_rate;           // of learning in front of the layer `cut`'s end; 0: as behind it
    int input_size;            // 0: the model's own
    float soft_share, mix_cut; // struct fm_compile_options and fm_mix
    const void *records;       // a head's, [parity_samples()][features]
};
#define PARITY_CASE(model_, precision_, batch_, device_, optimiser_)                               \
    PARITY_CASE_OF(model_, precision_, batch_, device_, optimiser_, .resident = false)
// With further members.
#define PARITY_CASE_OF(model_, precision_, batch_, device_, optimiser_, ...)                       \
    {                                                                                              \
        .model = model_, .precision = FM_PRECISION_##precision_, .batch = batch_,                  \
        .device = device_, .optimiser = FM_OPTIMISER_##optimiser_, __VA_ARGS__                     \
    }
// A test whose state is a struct `type` with these initialisers, the first of them a case.
#define PARITY_TEST(name, check, type, ...)                                                        \
    {                                                                                              \
        name, check, NULL, NULL, &(struct type)                                                    \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

// ---- a model on a backend

struct parity_side {
    bool tested; // else the reference
    struct fm_engine engine;
    const struct fm_backend *api;
    const struct fm_net *net;
    const uint8_t *records; // of all samples
    struct fm_model *model;
    struct fm_staging *staging;
};

// A test's pair, on the same net. The reference emulates what the other computes natively.
struct parity {
    struct parity_case what;
    char name[128]; // "deeper fp16 on t4, batch 8"
    struct fm_net net;
    struct parity_side reference, tested;
    // Nothing in it is at a value (0, 1) that would hide a mistake; five steps old.
    struct parity_state *begin;
};

// Opens both (parity_open) or the tested one alone. The models then hold the state `begin`. Every
// failure fails the test.
struct parity *parity_open(const struct parity_case *what);
struct parity *parity_open_tested(const struct parity_case *what);
// Also fails the test if the simulated device has seen a misuse or a leak.
void parity_close(struct parity *p);

// Another model beside the open one, on the same device.
struct parity_side parity_beside(const struct parity *p, const struct parity_side *side);
void parity_side_close(struct parity_side *side); // but not its device

// ---- state

enum parity_range {
    PARITY_PARAM,
    PARITY_MOMENT1,
    PARITY_MOMENT2, // zeros where SGD has none
    PARITY_AVERAGE,
    PARITY_AVERAGE_RUNNING,
    PARITY_RUNNING,
    PARITY_KEPT, // a checkpoint has those before
    PARITY_GRADIENT = PARITY_KEPT,
    PARITY_RANGES,
};

struct parity_tensor {
    const char *name;
    size_t offset, count; // within its range
};
int parity_tensors(const struct fm_net *net, enum parity_range range);
struct parity_tensor parity_tensor(const struct fm_net *net, enum parity_range range, int index);

struct parity_state {
    const struct fm_net *net;
    float *range[PARITY_RANGES]; // at the net's offsets
    struct fm_counters counters;
    struct fm_sums sums;
};

struct parity_state *parity_copy(const struct parity_state *state);
struct parity_state *parity_get(const struct parity_side *side);
void parity_set(const struct parity_side *side, const struct parity_state *state);
void parity_free(struct parity_state *state);

// Fails the test, naming `when` and the first tensor that differs, unless all is equal bit by bit
// but the gradients; the sums and counters only if `all`.
void parity_same(const char *when, const struct parity_state *found,
    const struct parity_state *expected, bool all);

// ---- steps

// Which samples of the data and how: `first` is a place in the shuffled order.
struct parity_batch {
    uint32_t first, count;
    struct fm_step step; // count is filled in
};

struct parity_batch parity_batch(uint32_t first, int count, uint32_t step);
uint32_t parity_samples(void);          // of the data
uint32_t parity_sample(uint32_t place); // the id of the sample there
void parity_fill(const struct parity_side *side, int slot, const struct parity_batch *batch);
struct fm_executor *parity_compile(
    const struct parity_side *side, const struct fm_compile_options *options);
// Training with every augmentation, label smoothing and mixing by averages.
struct fm_compile_options parity_training(int batch);
// The same of the pair: with its shares of soft targets and rectangles, and nothing is augmented
// where the records are features.
struct fm_compile_options parity_training_of(const struct parity *p);
void parity_submit(const struct parity_side *side, struct fm_executor *executor, int slot,
    const struct parity_batch *batch);
struct fm_sums parity_sums(const struct parity_side *side); // waits

// ---- comparison

// Allowed relative errors of a tensor, |found - expected| / |expected| as Euclidean norms.
struct parity_tolerance {
    double activation; // forward: activations, losses, statistics
    double gradient;   // backward: gradients, moments
    double update;     // what the step changes in parameters and averages
};
const struct parity_tolerance *parity_tolerance(const struct parity *p);

// True if all is finite and within `tolerance`; `before` (or NULL) is taken from both first, and
// then a last bit of the values is allowed, too. Else says on standard error what differs, where
// most, and both values.
struct parity_named {
    const char *of;     // "deeper fp16, batch 8: step 2"
    const char *what;   // "gradient"
    const char *tensor; // "conv1.weight"
};
bool parity_close_to(const struct parity_named *name, const float *found, const float *expected,
    const float *before, size_t count, double tolerance);
bool parity_close_number(
    const struct parity_named *name, double found, double expected, double tolerance);

// The states after a step from the state `before`, tensor by tensor, and counters and sums.
bool parity_states_close(const struct parity *p, const char *when, const struct parity_state *found,
    const struct parity_state *expected, const struct parity_state *before, double slack);

// Trains `count` steps on both, each from the state that the reference's last one left, so that
// errors do not add up, and compares the states after each: steps.c.
bool parity_steps(struct parity *p, bool unfused, uint32_t count, double slack);

// Says on standard output how near to its tolerance the worst comparison came since it last did.
void parity_report(void);

#define parity_must(call) parity_must_((call), #call)
void parity_must_(enum fm_status status, const char *call);
void *parity_allocate(size_t count, size_t size); // zeros

#endif
