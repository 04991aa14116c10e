// What lives when in an executor's step. Its times are the forward of each operation, the loss and
// the backward passes: an activation lives from the one that computes it to the last that reads it,
// a gradient likewise, scratch in its pass, what a forward notes to the end of its backward.
//
// In training some outputs are not kept for the backward, but computed again just before they are
// read: a first convolution's, of a picture's few channels, and a max-pool's, where its input is
// kept anyway. Both cost less than their memory is worth.
#include "backend/cpu/lifetimes.h"

// ---- times

enum {
    BACKWARD_PASSES = FM_PASS_COUNT - FM_PASS_PREPARE
};

static int loss_time(const struct fm_executor *e)
{
    return e->op_count; // the forward of operation i is time i
}

static int backward_time(const struct fm_executor *e, int op, enum fm_op_pass pass)
{
    return loss_time(e) + 1 + BACKWARD_PASSES * (e->op_count - 1 - op) +
           (int)(pass - FM_PASS_PREPARE);
}

// ---- which memory a value has

int fm_cpu_activation_home(const struct fm_executor *e, int i)
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

// The loss puts its own out, always.
int fm_cpu_first_gradient(const struct fm_executor *e)
{
    int first = first_of_backward(e);
    return first < e->op_count ? first : e->op_count - 1;
}

// ---- what is recomputed

// Whether pass `pass` of operation i reads the activation whose memory is that of value `home`.
static bool reads(const struct fm_executor *e, int i, enum fm_op_pass pass, int home)
{
    const struct fm_op *op = e->ops[i];
    if (!fm_op_runs(op, pass))
        return false;
    unsigned bit = 1u << pass;
    return ((op->reads_out & bit) && fm_cpu_activation_home(e, i) == home) ||
           ((op->reads_in & bit) && fm_cpu_activation_home(e, i - 1) == home);
}

// The last time of the backward that one reads it; -1 if none does.
static int last_reading(const struct fm_executor *e, int home)
{
    int last = -1;
    for (int k = 0; k < e->op_count; k++)
        for (int pass = FM_PASS_PREPARE; pass < FM_PASS_COUNT; pass++) {
            int time = backward_time(e, k, (enum fm_op_pass)pass);
            if (time > last && reads(e, k, (enum fm_op_pass)pass, home))
                last = time;
        }
    return last;
}

// The time from which value i is there again; -1 if it is not recomputed.
static int recomputed_at(const struct fm_executor *e, int i)
{
    for (int k = 0; k < e->op_count; k++)
        if (e->ops[k]->recomputes == e->ops[i])
            return backward_time(e, k, e->ops[k]->recomputes_at);
    return -1;
}

enum {
    FEW_CHANNELS = 4 // a picture's, at most
};

// A convolution of a picture, or a max-pool: little work for what they put out.
static bool is_cheap(const struct fm_executor *e, int i)
{
    const struct fm_layer *layer = fm_op_layer(e->ops[i]);
    bool first = layer->kind == FM_LAYER_CONV && e->ops[i]->in == &e->values[0] &&
                 layer->in.c <= FEW_CHANNELS;
    return first || layer->kind == FM_LAYER_MAXPOOL;
}

// What is done to its output in place would have to be done again; a pending norm does nothing.
static bool is_changed_behind(const struct fm_executor *e, int i)
{
    for (int k = i + 1; k < e->op_count && e->ops[k]->in_place; k++)
        if (!e->values[k].norm_pending)
            return true;
    return false;
}

// Whether the input of operation i is there at that time of the backward, for others: the network's
// own, or one that is read later.
static bool has_input(const struct fm_executor *e, int i, int time)
{
    if (e->ops[i]->in == &e->values[0])
        return true;
    int home = fm_cpu_activation_home(e, i - 1);
    return last_reading(e, home) > time && recomputed_at(e, home) < 0;
}

// Has operation i run again before the first pass that reads its output in the backward.
static void recompute(struct fm_executor *e, int i)
{
    for (int k = e->op_count - 1; k >= i; k--)
        for (int pass = FM_PASS_PREPARE; pass < FM_PASS_COUNT; pass++) {
            if (!reads(e, k, (enum fm_op_pass)pass, i))
                continue;
            if (has_input(e, i, backward_time(e, k, (enum fm_op_pass)pass))) {
                e->ops[k]->recomputes = e->ops[i];
                e->ops[k]->recomputes_at = (enum fm_op_pass)pass;
            }
            return;
        }
}

void fm_cpu_mark_recomputed(struct fm_executor *e)
{
    if (!fm_executor_fuses(e))
        return;
    for (int i = 1; i < e->op_count; i++)
        if (is_cheap(e, i) && !is_changed_behind(e, i))
            recompute(e, i);
}

// ---- which memory a gradient has

// Whether the operation behind value i writes its gradient over the value itself, which it is the
// last to read.
static bool is_over_activation(const struct fm_executor *e, int i)
{
    if (i + 1 == e->op_count || !e->ops[i + 1]->gradient_over_input || e->options.probe)
        return false;
    // What is computed again reads it before: it lies behind.
    return last_reading(e, fm_cpu_activation_home(e, i)) == backward_time(e, i + 1, FM_PASS_DATA);
}

// Where an operation can work in place, that of its output. A probe keeps each that is not in place
// forward, too.
static int gradient_home(const struct fm_executor *e, int i)
{
    for (; i + 1 < e->op_count && !is_over_activation(e, i); i++) {
        const struct fm_op *reader = e->ops[i + 1];
        if (!reader->in_place && (!reader->gradient_in_place || e->options.probe))
            break;
    }
    return i;
}

int fm_cpu_gradient_at(const struct fm_executor *e, const struct fm_cpu_needs *n, int i)
{
    int home = gradient_home(e, i);
    return is_over_activation(e, home) ? fm_cpu_activation_home(e, home) : n->gradients + home;
}

// ---- lifetimes

static void lives_until(struct fm_lifetime *t, int time)
{
    t->last = time > t->last ? time : t->last;
}

// Until the last backward pass that reads value i; where it is recomputed, from then on.
static void lives_in_backward(
    const struct fm_executor *e, int i, struct fm_lifetime *t, int recomputed)
{
    int last = last_reading(e, i);
    if (recomputed < 0) {
        lives_until(t, last);
        return;
    }
    t->again_first = recomputed;
    t->again_last = last;
}

// A lifetime for each value, without bytes where the activation lies in another's memory.
static void activation_lifetimes(const struct fm_executor *e, struct fm_lifetime *lives)
{
    for (int i = 0; i < e->op_count; i++) {
        struct fm_lifetime *t = &lives[fm_cpu_activation_home(e, i)];
        if (fm_cpu_activation_home(e, i) == i)
            *t = fm_lifetime_once(fm_md_bytes(&e->values[i].md), i, i);
        lives_until(t, i + 1); // its reader, or, after the last, the loss or whoever asked for it
    }
    for (int i = 0; i < e->op_count; i++) {
        int recomputed = recomputed_at(e, i);
        lives_in_backward(e, i, &lives[i], recomputed);
        if (recomputed >= 0)
            lives_until(&lives[fm_cpu_activation_home(e, i - 1)], recomputed);
    }
}

// The same for gradients; those that are written over activations prolong these' lives.
static void gradient_lifetimes(
    const struct fm_executor *e, const struct fm_cpu_needs *n, struct fm_lifetime *lives)
{
    for (int i = e->op_count - 1; i >= fm_cpu_first_gradient(e); i--) {
        int at = fm_cpu_gradient_at(e, n, i), until = backward_time(e, i, FM_PASS_DATA);
        struct fm_lifetime *t = &lives[at];
        bool last = i + 1 == e->op_count;
        int first = last ? loss_time(e) : backward_time(e, i + 1, FM_PASS_DATA);
        if (at == n->gradients + i)
            *t = fm_lifetime_once(fm_md_bytes(&e->values[i].md), first, first);
        if (at < n->gradients && recomputed_at(e, at) >= 0)
            t->again_last = until; // later than all others: gradients go to the front
        else
            lives_until(t, until);
    }
}

static void scratch_lifetimes(const struct fm_executor *e, struct fm_lifetime *lives)
{
    for (int i = 0; i < e->op_count; i++)
        for (int pass = 0; pass < FM_PASS_COUNT; pass++) {
            bool forward = pass == FM_PASS_FORWARD;
            int time = forward ? i : backward_time(e, i, (enum fm_op_pass)pass);
            struct fm_lifetime *t = &lives[i * FM_PASS_COUNT + pass];
            *t = fm_lifetime_once(e->ops[i]->scratch_bytes[pass], time, time);
            if (forward && recomputed_at(e, i) >= 0)
                t->again_first = t->again_last = recomputed_at(e, i);
        }
}

// Of an operation that is recomputed, it is noted anew.
static void noted_lifetimes(const struct fm_executor *e, struct fm_lifetime *lives)
{
    for (int i = 0; i < e->op_count; i++) {
        int recomputed = recomputed_at(e, i), last = backward_time(e, i, FM_PASS_DATA);
        lives[i] = fm_lifetime_once(e->ops[i]->noted_bytes, i, recomputed < 0 ? last : i);
        if (recomputed >= 0) {
            lives[i].again_first = recomputed;
            lives[i].again_last = last;
        }
    }
}

struct fm_cpu_needs fm_cpu_needs_of(const struct fm_executor *e)
{
    struct fm_cpu_needs n = {.gradients = e->op_count, .scratch = 2 * e->op_count};
    n.noted = n.scratch + FM_PASS_COUNT * e->op_count;
    n.logit_gradient = n.noted + e->op_count;
    n.count = n.logit_gradient + 1;
    return n;
}

void fm_cpu_lifetimes(
    const struct fm_executor *e, const struct fm_cpu_needs *n, struct fm_lifetime *lives)
{
    activation_lifetimes(e, lives);
    scratch_lifetimes(e, lives + n->scratch);
    noted_lifetimes(e, lives + n->noted);
    if (!fm_executor_trains(e))
        return;
    gradient_lifetimes(e, n, lives);
    const struct fm_value *logits = &e->values[e->op_count - 1];
    if (logits->element != e->model->element)
        lives[n->logit_gradient] = fm_lifetime_once(
            fm_view_size(&logits->view) * sizeof(float), loss_time(e), loss_time(e));
}
