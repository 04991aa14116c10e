// Where an executor's tensors live. A step is a sequence of moments: the forward of each operation,
// the loss, the backward passes. An activation lives from the one that computes it to the last that
// reads it, a gradient likewise, scratch in its pass; memory_plan.h lays them into one piece of
// memory by that.
//
// The activation of a first convolution is not kept for the backward: from a channel or three it
// is computed again for less than the memory is worth, just before it is read.
#include "backend/cpu/executor.h"
#include "backend/memory_plan.h"

#include <stdlib.h>

// ---- moments

enum {
    BACKWARD_PASSES = FM_PASS_COUNT - FM_PASS_PREPARE
};

static int loss_moment(const struct fm_executor *e)
{
    return e->op_count; // the forward of operation i is moment i
}

static int backward_moment(const struct fm_executor *e, int op, enum fm_op_pass pass)
{
    return loss_moment(e) + 1 + BACKWARD_PASSES * (e->op_count - 1 - op) +
           (int)(pass - FM_PASS_PREPARE);
}

// ---- which memory a value has

// The value whose memory the activation of value i is.
static int home_of(const struct fm_executor *e, int i)
{
    while (e->ops[i]->in_place)
        i--;
    return i;
}

// The first operation of the backward; op_count if there is none.
static int first_of_backward(const struct fm_executor *e)
{
    for (int i = 0; i < e->op_count; i++)
        if (e->ops[i]->trains)
            return i;
    return e->op_count;
}

// The first value with a gradient; the loss puts its own out, always.
static int first_gradient(const struct fm_executor *e)
{
    int first = first_of_backward(e);
    return first < e->op_count ? first : e->op_count - 1;
}

// The value whose memory the gradient of value i is: where an operation can work in place, that of
// its output. A probe keeps each that is not in place forward, too.
static int gradient_home_of(const struct fm_executor *e, int i)
{
    for (; i + 1 < e->op_count; i++) {
        const struct fm_op *reader = e->ops[i + 1];
        if (!reader->in_place && (!reader->gradient_in_place || e->options.probe))
            break;
    }
    return i;
}

// ---- what is computed anew

// Whether pass `pass` of operation i reads the activation whose memory is that of value `home`.
static bool reads(const struct fm_executor *e, int i, enum fm_op_pass pass, int home)
{
    const struct fm_op *op = e->ops[i];
    if (!fm_op_runs(op, pass))
        return false;
    unsigned bit = 1u << pass;
    return ((op->reads_out & bit) && home_of(e, i) == home) ||
           ((op->reads_in & bit) && home_of(e, i - 1) == home);
}

enum {
    FEW_CHANNELS = 4
};

static bool is_cheap(const struct fm_executor *e, int i)
{
    const struct fm_op *op = e->ops[i];
    if (!fm_executor_fuses(e) || op->in != &e->values[0])
        return false;
    const struct fm_layer *layer = fm_op_layer(op);
    if (layer->kind != FM_LAYER_CONV || layer->in.c > FEW_CHANNELS)
        return false;
    // What is done to it in place would have to be done again.
    for (int k = i + 1; k < e->op_count && e->ops[k]->in_place; k++)
        if (!e->values[k].norm_pending)
            return false;
    return true;
}

// Has operation i run again before the first pass that reads its output in the backward.
static void renew(struct fm_executor *e, int i)
{
    for (int k = e->op_count - 1; k >= i; k--)
        for (int pass = FM_PASS_PREPARE; pass < FM_PASS_COUNT; pass++)
            if (reads(e, k, (enum fm_op_pass)pass, i)) {
                e->ops[k]->renews = e->ops[i];
                e->ops[k]->renews_at = (enum fm_op_pass)pass;
                return;
            }
}

static void mark_renewed(struct fm_executor *e)
{
    for (int i = 1; i < e->op_count; i++)
        if (is_cheap(e, i))
            renew(e, i);
}

// The moment from which value i, which `op` renews, is there again; -1 if it is not.
static int renewed_at(const struct fm_executor *e, int i)
{
    for (int k = 0; k < e->op_count; k++)
        if (e->ops[k]->renews == e->ops[i])
            return backward_moment(e, k, e->ops[k]->renews_at);
    return -1;
}

// ---- lifetimes

static void lives_until(struct fm_lifetime *t, int moment)
{
    t->last = moment > t->last ? moment : t->last;
}

// A lifetime for each value, empty where the activation lies in another's memory.
static void activation_lifetimes(const struct fm_executor *e, struct fm_lifetime *lives)
{
    for (int i = 0; i < e->op_count; i++) {
        struct fm_lifetime *t = &lives[home_of(e, i)];
        if (home_of(e, i) == i)
            *t = (struct fm_lifetime){
                .bytes = fm_md_bytes(&e->values[i].md), .first = i, .last = i, .again_last = -1};
        lives_until(t, i + 1); // its reader, or, after the last, the loss or whoever asked for it
    }
    for (int i = 0; i < e->op_count; i++) {
        struct fm_lifetime *t = &lives[i];
        int again = renewed_at(e, i);
        if (again >= 0) {
            t->again_first = t->again_last = again;
            lives_until(&lives[home_of(e, i - 1)], again);
        }
        for (int k = 0; k < e->op_count; k++)
            for (int pass = FM_PASS_PREPARE; pass < FM_PASS_COUNT; pass++) {
                if (!reads(e, k, (enum fm_op_pass)pass, i))
                    continue;
                int moment = backward_moment(e, k, (enum fm_op_pass)pass);
                int *last = again >= 0 ? &t->again_last : &t->last;
                *last = moment > *last ? moment : *last;
            }
    }
}

// The same for gradients.
static void gradient_lifetimes(const struct fm_executor *e, struct fm_lifetime *lives)
{
    for (int i = e->op_count - 1; i >= first_gradient(e); i--) {
        struct fm_lifetime *t = &lives[gradient_home_of(e, i)];
        bool last = i + 1 == e->op_count;
        if (gradient_home_of(e, i) == i)
            *t = (struct fm_lifetime){
                .bytes = fm_md_bytes(&e->values[i].md),
                .first = last ? loss_moment(e) : backward_moment(e, i + 1, FM_PASS_DATA),
                .again_last = -1,
            };
        lives_until(t, backward_moment(e, i, FM_PASS_DATA));
    }
}

static void scratch_lifetimes(const struct fm_executor *e, struct fm_lifetime *lives)
{
    for (int i = 0; i < e->op_count; i++)
        for (int pass = 0; pass < FM_PASS_COUNT; pass++) {
            bool forward = pass == FM_PASS_FORWARD;
            int moment = forward ? i : backward_moment(e, i, (enum fm_op_pass)pass);
            int again = forward ? renewed_at(e, i) : -1;
            lives[i * FM_PASS_COUNT + pass] = (struct fm_lifetime){
                .bytes = e->ops[i]->scratch_bytes[pass],
                .first = moment,
                .last = moment,
                .again_first = again >= 0 ? again : 0,
                .again_last = again,
            };
        }
}

// ---- values

// A gradient has its activation's layout, but the logits' is not in fp32 where the others are not.
static enum fm_status gradient_md(
    const struct fm_executor *e, const struct fm_value *value, struct fm_md *md)
{
    if (value->element == e->model->element)
        return fm_md_copy(md, &value->md);
    int dims[2] = {e->options.batch, value->shape.c};
    return fm_md_create(md, 2, dims, fm_element_type(e->model->element), dnnl_ab);
}

static enum fm_status create_gradient(struct fm_executor *e, struct fm_value *value)
{
    struct fm_md md = {0};
    enum fm_status status = gradient_md(e, value, &md);
    if (status == FM_OK)
        status = fm_tensor_mem_create(&value->gradient, e->model->device, &md, NULL);
    fm_md_free(&md);
    return status;
}

enum fm_status fm_cpu_create_values(struct fm_executor *e)
{
    for (int i = 0; i < e->op_count; i++) {
        struct fm_value *value = &e->values[i];
        FM_TRY(fm_tensor_mem_create(&value->activation, e->model->device, &value->md, NULL));
        if (fm_executor_trains(e) && i >= first_gradient(e))
            FM_TRY(create_gradient(e, value));
    }
    return FM_OK;
}

// ---- memory

// All that an executor needs memory for.
struct needs {
    struct fm_lifetime *lives; // activations, gradients, scratch, the logits' gradient in fp32
    void **data;               // their memory, NULL where they need none
    int gradients, scratch, wide, count;
};

static void collect(struct fm_executor *e, struct needs *n)
{
    activation_lifetimes(e, n->lives);
    scratch_lifetimes(e, n->lives + n->scratch);
    if (!fm_executor_trains(e))
        return;
    gradient_lifetimes(e, n->lives + n->gradients);
    const struct fm_value *logits = &e->values[e->op_count - 1];
    if (logits->element != e->model->element)
        n->lives[n->wide] = (struct fm_lifetime){
            .bytes = fm_view_size(&logits->view) * sizeof(float),
            .first = loss_moment(e),
            .last = loss_moment(e),
            .again_last = -1,
        };
}

// Whether what a step leaves in memory means nothing to the next. A probe is read after its step,
// and padding channels hold the zeros that buffers come with.
static bool shares(const struct fm_executor *e)
{
    for (int i = 0; i < e->op_count; i++)
        if (e->values[i].view.c != e->values[i].shape.c)
            return false;
    return !e->options.probe;
}

static const char *const what = "activations, gradients and scratch";

static enum fm_status take_one_piece(struct fm_executor *e, struct needs *n)
{
    void *memory = NULL;
    size_t bytes = fm_plan_memory(n->lives, n->count, FM_CPU_LINE);
    FM_TRY(fm_workspace_take(&e->model->workspace, &e->share, bytes, what, &memory));
    for (int i = 0; i < n->count; i++)
        if (n->lives[i].bytes > 0)
            n->data[i] = (char *)memory + n->lives[i].offset;
    return FM_OK;
}

static enum fm_status take_each(struct fm_executor *e, struct needs *n)
{
    bool own = !shares(e);
    for (int i = 0; i < n->count; i++) {
        size_t bytes = n->lives[i].bytes;
        if (bytes > 0 && own)
            FM_TRY(fm_buffers_add(&e->buffers, bytes, what, &n->data[i]));
        else if (bytes > 0)
            FM_TRY(fm_workspace_take(&e->model->workspace, &e->share, bytes, what, &n->data[i]));
    }
    return FM_OK;
}

// One piece of memory for all; where AddressSanitizer watches, or nothing may be shared, one each.
static enum fm_status take(struct fm_executor *e, struct needs *n)
{
#if !defined(__SANITIZE_ADDRESS__)
    if (shares(e))
        return take_one_piece(e, n);
#endif
    return take_each(e, n);
}

static enum fm_status hand_out(struct fm_executor *e, const struct needs *n)
{
    for (int i = 0; i < e->op_count; i++) {
        struct fm_value *value = &e->values[i];
        FM_TRY(fm_tensor_mem_move(&value->activation, n->data[home_of(e, i)]));
        if (value->gradient.memory)
            FM_TRY(fm_tensor_mem_move(
                &value->gradient, n->data[n->gradients + gradient_home_of(e, i)]));
        for (int pass = 0; pass < FM_PASS_COUNT; pass++)
            e->ops[i]->scratch[pass] = n->data[n->scratch + i * FM_PASS_COUNT + pass];
    }
    e->logit_gradient = n->data[n->wide];
    return FM_OK;
}

enum fm_status fm_cpu_allocate(struct fm_executor *e)
{
    struct needs n = {.gradients = e->op_count, .scratch = 2 * e->op_count};
    n.wide = n.scratch + FM_PASS_COUNT * e->op_count;
    n.count = n.wide + 1;
    n.lives = calloc((size_t)n.count, sizeof *n.lives);
    n.data = calloc((size_t)n.count, sizeof(*n.data));
    enum fm_status status = FM_OK;
    if (!n.lives || !n.data)
        status = fm_fail_memory("lifetimes", (size_t)n.count * sizeof *n.lives);
    if (status == FM_OK) {
        if (fm_executor_trains(e))
            mark_renewed(e);
        collect(e, &n);
        status = take(e, &n);
    }
    if (status == FM_OK)
        status = hand_out(e, &n);
    free(n.lives);
    free(n.data);
    return status;
}
