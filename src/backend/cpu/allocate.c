// Memory of an executor: of its values, and of the scratch that its operations asked for.
// memory_plan.h lays it into one piece, by what lives when (lifetimes.h).
#include "backend/cpu/lifetimes.h"

#include <stdlib.h>

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
        if (fm_executor_trains(e) && i >= fm_cpu_first_gradient(e))
            FM_TRY(create_gradient(e, value));
    }
    return FM_OK;
}

// ---- memory

// Whether what a step leaves in memory means nothing to the next. A probe is read after its step,
// and padding channels hold the zeros that buffers come with.
static bool shares(const struct fm_executor *e)
{
    for (int i = 0; i < e->op_count; i++)
        if (e->values[i].view.c != e->values[i].shape.c)
            return false;
    return !e->options.probe;
}

// AddressSanitizer sees a write past an end of memory, not one into the next tensor.
static bool in_one_piece(const struct fm_executor *e)
{
#if defined(__SANITIZE_ADDRESS__)
    (void)e;
    return false;
#else
    return shares(e);
#endif
}

static enum fm_status take(struct fm_executor *e, size_t bytes, void **data)
{
    static const char what[] = "activations, gradients and scratch";
    return shares(e) ? fm_workspace_take(&e->model->workspace, &e->share, bytes, what, data)
                     : fm_buffers_add(&e->buffers, bytes, what, data);
}

static enum fm_status take_all(
    struct fm_executor *e, struct fm_lifetime *lives, int count, void **data)
{
    void *memory = NULL;
    bool one = in_one_piece(e);
    size_t bytes = one ? fm_plan_memory(lives, count, FM_CPU_LINE) : 0;
    if (one && bytes > 0)
        FM_TRY(take(e, bytes, &memory));
    for (int i = 0; i < count; i++) {
        if (lives[i].bytes == 0)
            continue;
        if (one)
            data[i] = (char *)memory + lives[i].offset;
        else
            FM_TRY(take(e, lives[i].bytes, &data[i]));
    }
    return FM_OK;
}

static enum fm_status hand_out(struct fm_executor *e, const struct fm_cpu_needs *n, void **data)
{
    for (int i = 0; i < e->op_count; i++) {
        struct fm_value *value = &e->values[i];
        FM_TRY(fm_tensor_mem_move(&value->activation, data[fm_cpu_activation_home(e, i)]));
        if (value->gradient.memory)
            FM_TRY(fm_tensor_mem_move(&value->gradient, data[fm_cpu_gradient_at(e, n, i)]));
        for (int pass = 0; pass < FM_PASS_COUNT; pass++)
            e->ops[i]->scratch[pass] = data[n->scratch + i * FM_PASS_COUNT + pass];
        e->ops[i]->noted = data[n->noted + i];
    }
    e->logit_gradient = data[n->logit_gradient];
    return FM_OK;
}

enum fm_status fm_cpu_allocate(struct fm_executor *e)
{
    const struct fm_cpu_needs n = fm_cpu_needs_of(e);
    struct fm_lifetime *lives = calloc((size_t)n.count, sizeof *lives);
    void **data = calloc((size_t)n.count, sizeof(*data)); // NULL of what needs none
    enum fm_status status = FM_OK;
    if (!lives || !data)
        status = fm_fail_memory("lifetimes", (size_t)n.count * sizeof *lives);
    if (status == FM_OK) {
        if (fm_executor_trains(e))
            fm_cpu_mark_recomputed(e);
        fm_cpu_lifetimes(e, &n, lives);
        status = take_all(e, lives, n.count, data);
    }
    if (status == FM_OK)
        status = hand_out(e, &n, data);
    free(lives);
    free(data);
    return status;
}
