// An operation of a compiled network: one primitive or kernel forward, and its backward.
//
// Each op_*.c file holds one family, forward and backward side by side. An operation owns its
// primitives; activations, gradients and scratch lie in the model's workspace, or in buffers of the
// executor where they may not be shared (allocate.c). Creation decides the layout of the output
// from the layout of the input and what oneDNN prefers.
#ifndef FM_CPU_OP_H
#define FM_CPU_OP_H

#include "backend/cpu/copies.h"
#include "backend/cpu/model.h"

// A value between operations: an activation and, in training, its gradient in the same layout.
struct fm_value {
    struct fm_shape shape;
    bool logits;             // these stay fp32 in every precision; their gradient does not
    enum fm_element element; // of the activation; the gradient's is the model's
    struct fm_md md;
    struct fm_view view;
    struct fm_tensor_mem activation;
    bool norm_pending; // the activation is still a batch norm's input: its reader applies ...
    struct fm_norm_relu pending;   // ... this, which is known once the norm is connected
    struct fm_tensor_mem gradient; // memory NULL where no gradient flows
};

// What one step brings with it.
struct fm_pass {
    const struct fm_slot *slot;
    const struct fm_step *step;
    bool training;
};

// What a pass took, where a profile is wanted.
struct fm_op_time {
    double seconds;
    uint64_t calls;
};

// An oneDNN primitive ready to run.
struct fm_primitive {
    dnnl_primitive_t primitive;
    struct fm_md scratch_md;
    dnnl_memory_t scratchpad; // in the scratch of its pass
    char plan[64];
};

enum fm_op_pass {
    FM_PASS_FORWARD,
    FM_PASS_PREPARE, // backward: what both of the next need (the ReLU's mask, sums)
    FM_PASS_WEIGHTS,
    FM_PASS_DATA,
    FM_PASS_COUNT,
};

// Sets of backward passes.
enum {
    FM_IN_PREPARE = 1 << FM_PASS_PREPARE,
    FM_IN_WEIGHTS = 1 << FM_PASS_WEIGHTS,
    FM_IN_DATA = 1 << FM_PASS_DATA,
};

// What the operation of a convolution or dense layer ("linear", whichever family computes it) does
// besides.
struct fm_linear_fusion {
    bool bias;       // added by the operation
    bool relu;       // applied by the operation
    bool relu_gated; // its backward is done by the pool behind it
    int norm_layer;  // folded in (inference), or -1
    bool pool;       // the max-pool behind it is done, too (inference, own kernels' alone)
};
static inline bool fm_fusion_adds(const struct fm_linear_fusion *fusion)
{
    return fusion->bias || fusion->norm_layer >= 0; // a folded norm brings a bias of its own
}

struct fm_op;

struct fm_op_class {
    const char *name;
    // By enum fm_op_pass; NULL where there is nothing to do. WEIGHTS runs only where a parameter of
    // the operation is trained, DATA only where the input's gradient is needed.
    enum fm_status (*run[FM_PASS_COUNT])(struct fm_op *op, const struct fm_pass *pass);
    // Called once it is known what trains, while no value has memory yet: makes primitives, asks
    // for buffers and scratch. May be NULL, like the next two.
    enum fm_status (*connect)(struct fm_op *op);
    // Called once values and scratch have their memory, for what keeps pointers to it.
    enum fm_status (*bind)(struct fm_op *op);
    void (*destroy)(struct fm_op *op);
    bool applies_norm; // takes an input whose batch norm and ReLU are pending
};

struct fm_op {
    const struct fm_op_class *class;
    struct fm_executor *executor;
    int layer; // the first that it computes; -1: the input
    char name[FM_NAME_MAX];
    struct fm_value *in, *out;      // in NULL for the input operation
    struct fm_linear_fusion fusion; // of a convolution or dense layer; not to be read of others
    bool trains;                    // has parameters that are trained
    bool input_gradient;            // the input's gradient is needed
    bool in_place;                  // the output is the input's memory
    bool gradient_in_place;         // the input's gradient may take the output's memory
    bool gradient_over_input;       // it may take the input's, whose last reader DATA is then
    unsigned reads_in;              // the backward passes that read the input's activation ...
    unsigned reads_out;             // ... and the output's, FM_IN_... of each
    struct fm_op *recomputes; // NULL, or one whose output is not kept and so computed again ...
    enum fm_op_pass recomputes_at; // ... before this pass
    size_t scratch_bytes[FM_PASS_COUNT];
    void *scratch[FM_PASS_COUNT]; // what a pass leaves there means nothing to the next
    size_t noted_bytes;           // of what the forward notes for DATA, besides its output ...
    void *noted;                  // ... and again where it is recomputed; NULL for none
    struct fm_op_time times[FM_PASS_COUNT];
    struct fm_op_time recomputing;    // what it recomputes
    double flops[FM_PASS_COUNT];      // of a call
    double bytes[FM_PASS_COUNT];      // of a call
    const char *plans[FM_PASS_COUNT]; // NULL: a small kernel of the project
};

struct fm_executor {
    struct fm_model *model;
    const struct fm_cpu_weights *weights; // the model's trained ones or averages
    struct fm_compile_options options;
    struct fm_value *values; // [op_count], values[i] is the output of ops[i]
    struct fm_op **ops;
    int op_count;
    int layer_op[FM_LAYERS_MAX];     // the operation that ends a layer, -1 where it is fused away
    struct fm_buffers buffers;       // kept from step to step, and all of one that may not share
    struct fm_workspace_share share; // activations, gradients and scratch of all others
    float *logit_gradient;           // in fp32, where the gradients are not
    double update_seconds, loss_seconds;
    uint64_t update_calls;
    struct fm_sums scores; // of inference, since they were last taken
    uint64_t *confusion;   // the same: [classes][classes]
};

static inline const struct fm_device *fm_op_device(const struct fm_op *op)
{
    return op->executor->model->device;
}
// The kernels on activations of the precision computed in; only the logits may be of another.
static inline const struct fm_element_kernels *fm_op_kernels(const struct fm_op *op)
{
    return fm_op_device(op)->kernels->on[op->executor->model->element];
}
// Not for the input operation, which has none.
static inline const struct fm_layer *fm_op_layer(const struct fm_op *op)
{
    return &op->executor->model->net.layers[op->layer];
}
// A parameter of the network as the executor computes with it, and its gradient.
static inline float *fm_op_param(const struct fm_op *op, int param)
{
    const struct fm_executor *e = op->executor;
    return e->weights->params + e->model->net.params[param].offset;
}
static inline float *fm_op_param_gradient(const struct fm_op *op, int param)
{
    const struct fm_model *m = op->executor->model;
    return m->grads + m->net.params[param].offset;
}
// Whether a convolution or dense layer does the backward of its fused ReLU itself.
static inline bool fm_op_gates(const struct fm_op *op)
{
    return op->fusion.relu && !op->fusion.relu_gated;
}
// The output's ReLU, which keeps NaN, after what has put it out.
static inline void fm_op_relu_in_place(struct fm_op *op)
{
    void *out = op->out->activation.data;
    fm_op_kernels(op)->relu_forward(fm_view_size(&op->out->view), out, out);
}
// Whether it puts out the logits: a dense layer, or its bias. A network that ends in features has
// none.
static inline bool fm_op_makes_logits(const struct fm_op *op)
{
    const struct fm_net *net = &op->executor->model->net;
    return net->classes > 0 && op->layer == net->layer_count - 1;
}
// Whether its weight, with that norm folded in (or -1), is soon another, so that what is made of it
// is not worth keeping: in training and, with batches that are worth making it for, in evaluations
// between.
static inline bool fm_op_weight_changes(const struct fm_op *op, int norm_layer)
{
    const struct fm_executor *e = op->executor;
    const struct fm_model *m = e->model;
    bool evaluates = m->is_trained && e->options.batch >= 16;
    return (e->options.mode == FM_MODE_TRAIN || evaluates) &&
           (norm_layer >= 0 || m->net.params[fm_op_layer(op)->weight].trainable);
}
// Whether the operation runs for the first time with the model's values as they are; notes their
// version in *seen, so that the next call says no. What is made of weights and kept pays from a
// second image on.
static inline bool fm_op_sees_first(const struct fm_op *op, uint64_t *seen)
{
    bool first = *seen != op->executor->model->version;
    *seen = op->executor->model->version;
    return first;
}
// Of the activation that the operation puts out.
static inline enum fm_element fm_op_element(const struct fm_op *op)
{
    return fm_op_makes_logits(op) ? FM_ELEMENT_F32 : op->executor->model->element;
}
// Whether a training step runs this backward pass of the operation.
static inline bool fm_op_runs(const struct fm_op *op, enum fm_op_pass pass)
{
    if (!op->class->run[pass])
        return false;
    return pass == FM_PASS_WEIGHTS ? op->trains
           : pass == FM_PASS_DATA  ? op->input_gradient
                                   : op->trains || op->input_gradient;
}
static inline bool fm_layer_trains(const struct fm_net *net, const struct fm_layer *layer)
{
    return (layer->weight >= 0 && net->params[layer->weight].trainable) ||
           (layer->bias >= 0 && net->params[layer->bias].trainable);
}
static inline bool fm_executor_trains(const struct fm_executor *e)
{
    return e->options.mode == FM_MODE_TRAIN;
}
static inline bool fm_executor_fuses(const struct fm_executor *e)
{
    return !e->options.unfused && !e->options.probe;
}

// ---- creation, called by lower.c in network order. Each fills the output's shape and md.

struct fm_op_place {
    struct fm_executor *executor;
    int layer;
    struct fm_value *in, *out;
};

// Whether the executor trains the layer that goes there.
static inline bool fm_op_place_trains(const struct fm_op_place *place)
{
    const struct fm_net *net = &place->executor->model->net;
    return fm_executor_trains(place->executor) && fm_layer_trains(net, &net->layers[place->layer]);
}

// Whether it is the network's first convolution, of 3x3, where own kernels of these may take it.
static inline bool fm_op_place_is_first(const struct fm_op_place *place)
{
    const struct fm_executor *e = place->executor;
    const struct fm_layer *layer = &e->model->net.layers[place->layer];
    return layer->kind == FM_LAYER_CONV && layer->kernel == 3 && place->in == &e->values[0] &&
           fm_executor_fuses(e) && e->model->rounding == FM_ROUNDING_NONE;
}

enum fm_status fm_op_input(const struct fm_op_place *place, struct fm_op **op);

enum fm_status fm_op_linear(
    const struct fm_op_place *place, const struct fm_linear_fusion *fusion, struct fm_op **op);
// The same by Winograd's minimal filtering, where that is faster.
bool fm_op_winograd_suits(const struct fm_op_place *place);
enum fm_status fm_op_winograd(
    const struct fm_op_place *place, const struct fm_linear_fusion *fusion, struct fm_op **op);
// The same by the processor's matrix unit, in bf16.
bool fm_op_amx_suits(const struct fm_op_place *place);
enum fm_status fm_op_amx(
    const struct fm_op_place *place, const struct fm_linear_fusion *fusion, struct fm_op **op);
// What it convolves: to an output in blocks of 16 channels, which all kernels have loops for.
struct fm_amx fm_op_amx_shape(const struct fm_op_place *place);
// The same, the network's first.
bool fm_op_amx_first_suits(const struct fm_op_place *place);
enum fm_status fm_op_amx_first(
    const struct fm_op_place *place, const struct fm_linear_fusion *fusion, struct fm_op **op);
// The same by definition with own kernels, forward: a network's first convolution, where it is not
// trained, in an executor that fuses.
bool fm_op_direct_suits(const struct fm_op_place *place);
enum fm_status fm_op_direct(
    const struct fm_op_place *place, const struct fm_linear_fusion *fusion, struct fm_op **op);
// A dense layer of a single image, forward, from the second on without the weights of inputs that
// are zero: inference at batch 1 in an executor that fuses.
bool fm_op_gathered_suits(const struct fm_op_place *place);
enum fm_status fm_op_gathered(
    const struct fm_op_place *place, const struct fm_linear_fusion *fusion, struct fm_op **op);
// A dense layer that is trained, in training, by products of plain matrices in fp32, where that is
// faster.
bool fm_op_dense_suits(const struct fm_op_place *place);
enum fm_status fm_op_dense(
    const struct fm_op_place *place, const struct fm_linear_fusion *fusion, struct fm_op **op);
// A dense layer in training behind one that is trained, by own products, in fp32 without AVX-512.
bool fm_op_matrix_suits(const struct fm_op_place *place);
enum fm_status fm_op_matrix(
    const struct fm_op_place *place, const struct fm_linear_fusion *fusion, struct fm_op **op);
enum fm_status fm_op_bias(const struct fm_op_place *place, struct fm_op **op);
// `deferred`: the reader applies it and the ReLU; the output stands for what is still the input.
enum fm_status fm_op_norm(
    const struct fm_op_place *place, bool relu, bool deferred, struct fm_op **op);
enum fm_status fm_op_relu(const struct fm_op_place *place, struct fm_op **op);
// `gated`: the operation in front is fused with a ReLU whose backward this one does.
enum fm_status fm_op_maxpool(const struct fm_op_place *place, bool gated, struct fm_op **op);
enum fm_status fm_op_meanpool(const struct fm_op_place *place, struct fm_op **op);
enum fm_status fm_op_dropout(const struct fm_op_place *place, struct fm_op **op);

// ---- helpers for the op_*.c files

// Allocates an operation of `size` bytes with its common fields set.
enum fm_status fm_op_new(const struct fm_op_place *place, const struct fm_op_class *class,
    size_t size, struct fm_op **op);
// The same for a convolution or dense layer; sets the output's shape, and notes what its backward
// reads and the work of all passes: the floating-point operations are those of its definition,
// whatever algorithm computes it.
enum fm_status fm_op_new_linear(const struct fm_op_place *place, const struct fm_op_class *class,
    size_t size, const struct fm_linear_fusion *fusion, struct fm_op **op);
// Its weight, with the norm that is folded in, as copies are made of it.
struct fm_copy_source fm_op_copy_source(const struct fm_op *op);
// A copy of the bias that it adds; NULL where it adds none.
enum fm_status fm_op_want_bias(const struct fm_op *op, struct fm_copy **bias);
// Its run[FM_PASS_PREPARE]: the gradient of a fused ReLU, in place, where no operation behind does
// it.
enum fm_status fm_op_linear_prepare(struct fm_op *op, const struct fm_pass *pass);
// The gradient of the bias that it adds, if it does, in FM_PASS_WEIGHTS; and its scratch.
void fm_op_bias_gradient(struct fm_op *op);
void fm_op_plan_bias_gradient(struct fm_op *op);
// The output has the input's layout, in the shape given.
enum fm_status fm_op_same_layout(struct fm_op *op, struct fm_shape shape);
// The channel block of that layout for `channels` channels: the view's, or all of them where they
// come last.
int fm_op_same_block(const struct fm_view *view, int channels);
// Makes a primitive of `pd`, which it destroys; fm_primitive_bind() gives it its scratchpad, of
// scratch_md's bytes.
enum fm_status fm_primitive_create(
    struct fm_primitive *p, dnnl_primitive_desc_t pd, const char *where);
enum fm_status fm_primitive_bind(
    struct fm_primitive *p, const struct fm_device *device, void *data);
enum fm_status fm_primitive_run(const struct fm_executor *e, const struct fm_primitive *p,
    dnnl_exec_arg_t *args, int count, const char *where);
void fm_primitive_free(struct fm_primitive *p);
// Memory that keeps what it has from pass to pass, zeroed, owned by the executor.
enum fm_status fm_op_buffer(struct fm_op *op, size_t bytes, void **data);
// What kernels add up image by image, a double a channel: bytes of scratch.
static inline size_t fm_op_image_sums(const struct fm_view *v)
{
    return (size_t)v->n * (size_t)v->c * sizeof(double);
}
// Asks for so much scratch in a pass, at least; or for parts of so many bytes, each of which is to
// begin at a line of the cache.
void fm_op_scratch(struct fm_op *op, enum fm_op_pass pass, size_t bytes);
void fm_op_scratch_parts(struct fm_op *op, enum fm_op_pass pass, const size_t *bytes, int count);
// Where those parts begin, once scratch has its memory; all NULL where there is none.
void fm_op_find_parts(
    const struct fm_op *op, enum fm_op_pass pass, const size_t *bytes, int count, void **parts);
// Notes the bytes that a pass moves, as so many passes over the input and over the output.
void fm_op_moves(struct fm_op *op, enum fm_op_pass pass, double inputs, double outputs);

#endif
