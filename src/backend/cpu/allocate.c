// Where an executor's tensors live: what the backward needs is kept, what only the next operation
// needs shares two buffers, and what is in front of the first trained parameter has no backward.
#include "backend/cpu/executor.h"

// Whether what a step leaves in memory means nothing to the next. A probe is read after its step,
// and padding channels hold the zeros that buffers come with.
static bool shares(const struct fm_executor *e)
{
    for (int i = 0; i < e->op_count; i++)
        if (e->values[i].view.c != e->values[i].shape.c)
            return false;
    return !e->options.probe;
}

static enum fm_status allocate(struct fm_executor *e, size_t bytes, const char *what, void **data)
{
    if (!shares(e))
        return fm_buffers_add(&e->buffers, bytes, what, data);
    return fm_workspace_take(&e->model->workspace, &e->share, bytes, what, data);
}

// Two buffers that values take in turn, each as large as the largest of values [first, end).
struct pair {
    const char *what;
    size_t bytes;
    void *data[2]; // allocated when first taken
    int side;
};

static struct pair pair_of(const struct fm_executor *e, const char *what, int first, int end)
{
    struct pair pair = {.what = what};
    for (int i = first; i < end; i++) {
        size_t bytes = fm_md_bytes(&e->values[i].md);
        pair.bytes = bytes > pair.bytes ? bytes : pair.bytes;
    }
    return pair;
}

static enum fm_status take(struct fm_executor *e, struct pair *pair, void **data)
{
    pair->side ^= 1;
    if (!pair->data[pair->side])
        FM_TRY(allocate(e, pair->bytes, pair->what, &pair->data[pair->side]));
    *data = pair->data[pair->side];
    return FM_OK;
}

// The first operation of the backward; op_count if there is none.
static int first_of_backward(const struct fm_executor *e)
{
    for (int i = 0; i < e->op_count; i++)
        if (e->ops[i]->trains)
            return i;
    return e->op_count;
}

// The first value that stays until the step's end: the backward needs every activation from the
// input of its first operation on, a probe all of them, inference none.
static int first_kept(const struct fm_executor *e)
{
    if (e->options.probe)
        return 0;
    return fm_executor_trains(e) ? first_of_backward(e) - 1 : e->op_count;
}

static enum fm_status allocate_activations(struct fm_executor *e)
{
    int kept = first_kept(e);
    struct pair pair = pair_of(e, "activations", 0, kept);
    for (int i = 0; i < e->op_count; i++) {
        struct fm_value *value = &e->values[i];
        void *data = NULL;
        if (e->ops[i]->in_place)
            data = e->ops[i]->in->activation.data;
        else if (i >= kept)
            FM_TRY(allocate(e, fm_md_bytes(&value->md), "activations", &data));
        else
            FM_TRY(take(e, &pair, &data));
        FM_TRY(fm_tensor_mem_create(&value->activation, e->model->device, &value->md, data));
    }
    return FM_OK;
}

// A gradient has its activation's layout, but the logits' is not in fp32 where the others are not.
static enum fm_status gradient_md(
    const struct fm_executor *e, const struct fm_value *value, struct fm_md *md)
{
    if (value->element == e->model->element)
        return fm_md_copy(md, &value->md);
    int dims[2] = {e->options.batch, value->shape.c};
    return fm_md_create(md, 2, dims, fm_element_type(e->model->element), dnnl_ab);
}

static enum fm_status create_gradient(struct fm_executor *e, struct fm_value *value, void *data)
{
    struct fm_md md = {0};
    enum fm_status status = gradient_md(e, value, &md);
    if (status == FM_OK)
        status = fm_tensor_mem_create(&value->gradient, e->model->device, &md, data);
    fm_md_free(&md);
    return status;
}

static enum fm_status allocate_logit_gradient(struct fm_executor *e)
{
    const struct fm_value *logits = &e->values[e->op_count - 1];
    if (logits->element == e->model->element)
        return FM_OK;
    void *data = NULL;
    FM_TRY(allocate(e, fm_view_size(&logits->view) * sizeof(float), "gradients", &data));
    e->logit_gradient = data;
    return FM_OK;
}

// Gradients flow through two buffers, or one where an operation can work in place; a probe keeps
// each. None flows to what is in front of the first operation of the backward.
static enum fm_status allocate_gradients(struct fm_executor *e)
{
    int first = first_of_backward(e);
    first = first < e->op_count ? first : e->op_count - 1; // the loss puts its own out, always
    struct pair pair = pair_of(e, "gradients", first, e->op_count);
    for (int i = e->op_count - 1; i >= first; i--) {
        struct fm_value *value = &e->values[i];
        const struct fm_op *reader = i + 1 < e->op_count ? e->ops[i + 1] : NULL;
        void *data = NULL;
        if (reader && (reader->in_place || (reader->class->gradient_in_place && !e->options.probe)))
            data = reader->out->gradient.data;
        else if (e->options.probe)
            FM_TRY(allocate(e, fm_md_bytes(&value->md), "gradients", &data));
        else
            FM_TRY(take(e, &pair, &data));
        FM_TRY(create_gradient(e, value, data));
    }
    return FM_OK;
}

enum fm_status fm_cpu_allocate_values(struct fm_executor *e)
{
    FM_TRY(allocate_activations(e));
    if (!fm_executor_trains(e))
        return FM_OK;
    FM_TRY(allocate_gradients(e));
    return allocate_logit_gradient(e);
}

// Passes run one after another, so one scratchpad of the largest size serves them all.
enum fm_status fm_cpu_allocate_scratchpad(struct fm_executor *e)
{
    for (int i = 0; i < e->primitive_count; i++) {
        size_t bytes = fm_md_bytes(&e->primitives[i]->scratch_md);
        e->scratch_bytes = bytes > e->scratch_bytes ? bytes : e->scratch_bytes;
    }
    if (e->scratch_bytes == 0)
        return FM_OK;
    FM_TRY(allocate(e, e->scratch_bytes, "scratchpad", &e->scratch));
    for (int i = 0; i < e->primitive_count; i++) {
        struct fm_primitive *p = e->primitives[i];
        if (fm_md_bytes(&p->scratch_md) > 0)
            FM_TRY(fm_memory_create(
                &p->scratchpad, &p->scratch_md, e->model->device->engine, e->scratch));
    }
    return FM_OK;
}
