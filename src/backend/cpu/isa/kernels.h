// The CPU backend's own kernels: what oneDNN does not do, or does in more passes or more slowly.
//
// Every file of this folder is compiled once for each instruction set (see CMakeLists.txt) and the
// table of the best one that oneDNN's choice allows is taken when the device is opened (choose.c);
// the sources are the same, and the few instructions that vector.h, element_vector.h,
// stream.h and philox_vector.h name have portable twins. Those that read or write activations
// (element.h) are compiled once more for each type of an activation's elements, and Winograd's for
// each size of tiles. Arithmetic is in fp32 whatever the type. All kernels but the loss and an
// input of features share their work among OpenMP's threads and wait for them. Sums are made per
// image, of a single one per part of its inputs, and added in their order, and nothing is
// contracted or reassociated: results are the same bits with every instruction set and any number
// of threads (tests/test_kernels.c, test_gathered.c). Convolutions and the products of dense layers
// in training alone may fuse a product with its sum: their bits depend on the instruction set, not
// on the threads (tests/test_winograd.c, test_direct.c, test_matrix.c).
#ifndef FM_CPU_ISA_KERNELS_H
#define FM_CPU_ISA_KERNELS_H

#include "adam.h"
#include "backend/cpu/isa/amx.h"
#include "backend/cpu/isa/direct.h"
#include "backend/cpu/isa/gathered.h"
#include "backend/cpu/isa/matrix.h"
#include "backend/cpu/isa/winograd.h"
#include "mix.h"
#include "net/net.h"
#include "sgd.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FM_RECORD_MAX = 64 * 64 // bytes of a record that the input kernel takes
};

// What the input kernel does to a batch.
struct fm_input_work {
    const struct fm_input *input;
    // [count][rows][cols], rows * cols at most FM_RECORD_MAX; or fp32 [count][features].
    const uint8_t *records;
    const uint32_t *ids; // [count]
    int count;
    bool augment; // shift, flip and erasing apply; not to features
    bool mirror;  // without augment: every image is mirrored left to right
    struct fm_augment_ranges ranges;
    struct fm_mix_ranges mix;
    uint64_t seed;
    uint32_t epoch;
};

// What the loss is computed of.
struct fm_loss_work {
    const float *logits;   // [count][classes]
    const uint8_t *labels; // [count]
    const uint32_t *ids;   // [count]: the counters of the draws
    int count, classes;
    float smoothing;
    struct fm_mix_ranges mix;
    float soft_share;          // the share that soft_targets have in the targets, 0 to 1
    const float *soft_targets; // [count][classes]; not looked at where their share is 0
    uint64_t seed;
    uint32_t epoch;
    float loss_scale;
    float *gradient; // [count][classes] of the mean loss, times loss_scale; may be NULL
};

struct fm_dropout_work {
    const uint32_t *ids; // [view.n]
    uint64_t seed;
    uint32_t epoch, stream;
    int channels; // logical ones, without padding
    float rate;
};

// A format that fp32 values are rounded to: kernels/rounding.h.
enum fm_rounding {
    FM_ROUNDING_NONE,
    FM_ROUNDING_BF16,
    FM_ROUNDING_FP16,
};

static inline size_t fm_element_size(enum fm_element element)
{
    return element == FM_ELEMENT_BF16 ? sizeof(uint16_t) : sizeof(float);
}

// Kernels on activations; `void` stands for elements of the table's type.
struct fm_element_kernels {
    // Augment, normalise, repeat to channels, resize: out [count][c][h][w], plain. Features are
    // stored as they are: out [count][features].
    void (*input)(const struct fm_input_work *work, void *out);

    // y += bias[c] in place; and its gradient: db[c] = sum of dy. `image_sums` is scratch [n][c].
    void (*bias_forward)(const struct fm_view *v, const float *bias, void *y);
    void (*bias_backward)(const struct fm_view *v, const void *dy, double *image_sums, float *db);

    void (*relu_forward)(size_t count, const void *x, void *y);
    // dx = y > 0 ? dy : 0; dx may be dy.
    void (*relu_backward)(size_t count, const void *y, const void *dy, void *dx);

    // 2x2 pooling, stride 2, of view `v` (the input's). `index` [outputs] keeps which of the four
    // it was (NULL in inference). With `gate` (the pooled output) the gradient passes only where it
    // is above zero: the backward of a ReLU in front of the pool, for free.
    void (*maxpool_forward)(const struct fm_view *v, const void *x, struct fm_norm_relu pending,
        void *y, uint8_t *index);
    void (*maxpool_backward)(
        const struct fm_view *v, const void *dy, const void *gate, const uint8_t *index, void *dx);
    void (*meanpool_forward)(const struct fm_view *v, const void *x, void *y);
    void (*meanpool_backward)(const struct fm_view *v, const void *dy, void *dx);

    // Batch norm. Statistics: per-channel mean and (biased) variance; `image_sums` is scratch
    // [2][n][c].
    void (*norm_statistics)(
        const struct fm_view *v, const void *x, double *image_sums, float *mean, float *variance);
    // y = x * scale[c] + shift[c], then ReLU if asked for.
    void (*norm_apply)(const struct fm_view *v, const void *x, const float *scale,
        const float *shift, bool relu, void *y);
    // Gradients of gamma and beta; with `gate`, the fused ReLU's, dy counts where it lets pass.
    void (*norm_backward_sums)(const struct fm_view *v, const void *x, const void *dy,
        struct fm_norm_relu gate, const float *mean, const float *inverse_deviation,
        double *image_sums, float *dgamma, float *dbeta);
    // dx = a[c] * dy + b[c] * x + k[c] (the caller folds the formula into a, b, k); dx may be x or
    // dy.
    void (*norm_backward_apply)(const struct fm_view *v, const void *x, const void *dy,
        struct fm_norm_relu gate, const float *a, const float *b, const float *k, void *dx);

    // Winograd, by w->tiling: forward or the data's gradient; and the gradient of filters
    // [out][in][3][3], fp32. `scratch` has the bytes that ..._scratch says.
    // `parts`: the filters are not transformed beforehand (struct fm_winograd_run).
    size_t (*winograd_scratch[FM_WINOGRAD_TILING_COUNT])(const struct fm_winograd *w, bool parts);
    void (*winograd_convolve[FM_WINOGRAD_TILING_COUNT])(
        const struct fm_winograd *w, const struct fm_winograd_run *run, float *scratch);
    size_t (*winograd_gradient_scratch[FM_WINOGRAD_TILING_COUNT])(const struct fm_winograd *w);
    void (*winograd_gradient[FM_WINOGRAD_TILING_COUNT])(const struct fm_winograd *w, const void *x,
        struct fm_norm_relu pending, const void *dy, float *dw, float *scratch);

    // A convolution of few input channels. `scratch` has the bytes that direct_scratch says.
    size_t (*direct_scratch)(const struct fm_direct *d);
    void (*direct)(const struct fm_direct *d, const struct fm_direct_run *run, void *scratch);

    // A weight w [out][in] as rows [in][out] of elements; whether all is finite.
    bool (*rows)(int out, int in, const float *w, void *to);
    // A dense layer of the one image of view `v`. Of weights in rows those of inputs that are zero
    // are not read, unless `d` says so. `scratch` has the bytes that gathered_scratch says.
    size_t (*gathered_scratch)(const struct fm_view *v, int out, int threads);
    void (*gathered)(
        const struct fm_view *v, const struct fm_gathered_run *d, int threads, void *scratch);

    // y = mask ? x * scale : 0, y may be x.
    void (*dropout_apply)(size_t count, const uint8_t *mask, float scale, const void *x, void *y);
};

struct fm_kernels {
    const char *name; // "x86_64_v4"
    bool avx512;
    int lanes; // of a vector
    const struct fm_element_kernels *on[FM_ELEMENT_COUNT];

    // Filters as winograd_convolve takes them: fm_winograd_points() values for each of out_c *
    // in_c.
    void (*winograd_transform[FM_WINOGRAD_TILING_COUNT])(
        const struct fm_winograd_filters *filters, float *transformed);
    const struct fm_winograd_units *winograd_units;

    // The gradient of the filters and bias of a convolution of few input channels, in fp32.
    // `scratch` has the bytes that direct_gradient_scratch says.
    const char *direct_gradient_name; // "direct_gradient:x86_64_v3"
    size_t (*direct_gradient_scratch)(const struct fm_direct *d);
    void (*direct_gradient)(
        const struct fm_direct *d, const struct fm_direct_gradient *g, void *scratch);

    // One of a dense layer's products in fp32. `scratch` has the bytes that matrix_scratch says.
    size_t (*matrix_scratch)(const struct fm_matrix_product *p);
    void (*matrix_multiply)(
        const struct fm_matrix_product *p, const struct fm_matrix_run *run, float *scratch);

    // Which elements dropout keeps, in memory order: 1 where kept.
    void (*dropout_mask)(
        const struct fm_view *v, const struct fm_dropout_work *work, uint8_t *mask);

    // Softmax cross-entropy: gradient, sum of losses, correct predictions.
    void (*loss)(const struct fm_loss_work *work, double *loss_sum, uint64_t *correct);

    // True when every element is finite.
    bool (*all_finite)(size_t count, const float *x);

    void (*adam)(size_t count, float *param, float *moment1, float *moment2, const float *gradient,
        const struct fm_adam_step *step);
    void (*sgd)(size_t count, float *param, float *moment, const float *gradient,
        const struct fm_sgd_step *step);
    // average = decay * average + (1 - decay) * value
    void (*average)(size_t count, float *average, const float *value, float decay);

    // In place.
    void (*round)(size_t count, float *x, enum fm_rounding rounding);
    // fp32 to bf16.
    void (*narrow)(size_t count, const float *x, uint16_t *y);
};

// The tables that this processor can run, the best first, the portable one last; returns how many.
enum {
    FM_KERNEL_TABLES_MAX = 3
};
int fm_kernels_usable(const struct fm_kernels *tables[FM_KERNEL_TABLES_MAX]);

// The best of them; not those of AVX-512 unless `avx512`.
const struct fm_kernels *fm_kernels_choose(bool avx512);

// In files compiled once for each instruction set, the name that the table is made of.
#define FM_ISA_CAT_(a, b) a##_##b
#define FM_ISA_CAT(a, b) FM_ISA_CAT_(a, b)
#ifdef FM_ISA
#define FM_KERNEL(name) FM_ISA_CAT(fm_##name, FM_ISA)
static inline int least(int a, int b)
{
    return a < b ? a : b;
}
// ... and, of those compiled once for each size of Winograd's tiles, of a kernel's name.
#define FM_TILED(kernel, size) FM_ISA_CAT(kernel, size)
#define FM_ISA_STRING_(x) #x
#define FM_ISA_STRING(x) FM_ISA_STRING_(x)
void FM_TILED(FM_KERNEL(winograd_transform), 4)(
    const struct fm_winograd_filters *filters, float *transformed);
void FM_TILED(FM_KERNEL(winograd_transform), 2)(
    const struct fm_winograd_filters *filters, float *transformed);
// The filters of one panel of outputs (inputs where rotated), [point][step][PANEL]: each point
// begins a line of the cache later than that, lest all share a set of it.
void FM_TILED(FM_KERNEL(winograd_transform_panel), 4)(
    const struct fm_winograd_filters *filters, int panel, float *transformed);
void FM_TILED(FM_KERNEL(winograd_transform_panel), 2)(
    const struct fm_winograd_filters *filters, int panel, float *transformed);
// dw [out][in][3][3] of dU [point][in][out]: the end of winograd_gradient.
void FM_TILED(FM_KERNEL(winograd_filter_gradients), 4)(
    const struct fm_winograd *w, const float *du, float *dw);
void FM_TILED(FM_KERNEL(winograd_filter_gradients), 2)(
    const struct fm_winograd *w, const float *du, float *dw);
size_t FM_KERNEL(direct_gradient_scratch)(const struct fm_direct *d);
void FM_KERNEL(direct_gradient)(
    const struct fm_direct *d, const struct fm_direct_gradient *g, void *scratch);
size_t FM_KERNEL(matrix_scratch)(const struct fm_matrix_product *p);
void FM_KERNEL(matrix_multiply)(
    const struct fm_matrix_product *p, const struct fm_matrix_run *run, float *scratch);
void FM_KERNEL(dropout_mask)(
    const struct fm_view *v, const struct fm_dropout_work *work, uint8_t *mask);
void FM_KERNEL(loss)(const struct fm_loss_work *work, double *loss_sum, uint64_t *correct);
bool FM_KERNEL(all_finite)(size_t count, const float *x);
void FM_KERNEL(adam)(size_t count, float *param, float *moment1, float *moment2,
    const float *gradient, const struct fm_adam_step *step);
void FM_KERNEL(sgd)(size_t count, float *param, float *moment, const float *gradient,
    const struct fm_sgd_step *step);
void FM_KERNEL(average)(size_t count, float *average, const float *value, float decay);
void FM_KERNEL(round)(size_t count, float *x, enum fm_rounding rounding);
void FM_KERNEL(narrow)(size_t count, const float *x, uint16_t *y);
#endif

#endif
