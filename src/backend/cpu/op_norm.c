// Batch norm, with the ReLU behind it fused, and both left to the operation behind where that can
// do them as it reads (Ioffe and Szegedy 2015, arXiv:1502.03167).
//
// With xhat = (x - mean) * inv, inv = 1 / sqrt(var + eps), M = N H W:
//   y  = gamma * xhat + beta
//   dx = gamma * inv * (dy - sum(dy) / M - xhat * sum(dy * xhat) / M)
// which the kernels apply as dx = a dy + b x + k, one multiply-add pair an element.
#include "backend/cpu/op.h"

#include <math.h>

struct norm {
    struct fm_op op;
    bool relu, deferred;
    // all [c] with zeros for padding channels
    float *mean, *variance, *inverse, *scale, *shift, *dgamma, *dbeta, *a, *b, *k;
};

static float *running_at(const struct norm *n, float *range, int which)
{
    const struct fm_net *net = &n->op.executor->model->net;
    return range + net->running[fm_op_layer(&n->op)->running + which].offset;
}

// The batch's statistics, and what the model's running ones will take from them if the step counts.
static void batch_statistics(struct norm *n)
{
    const struct fm_view *v = &n->op.in->view;
    float *range = n->op.executor->model->batch_running;
    fm_op_kernels(&n->op)->norm_statistics(
        v, n->op.in->activation.data, n->op.scratch[FM_PASS_FORWARD], n->mean, n->variance);
    float count = (float)v->n * (float)(v->h * v->w);
    float unbiased = count > 1.0f ? count / (count - 1.0f) : 1.0f;
    for (int c = 0; c < fm_op_layer(&n->op)->in.c; c++) {
        running_at(n, range, 0)[c] = n->mean[c];
        running_at(n, range, 1)[c] = n->variance[c] * unbiased;
    }
}

static void running_statistics(struct norm *n)
{
    float *range = n->op.executor->weights->running;
    for (int c = 0; c < fm_op_layer(&n->op)->in.c; c++) {
        n->mean[c] = running_at(n, range, 0)[c];
        n->variance[c] = running_at(n, range, 1)[c];
    }
}

static enum fm_status norm_forward(struct fm_op *op, const struct fm_pass *pass)
{
    struct norm *n = (struct norm *)op;
    if (pass->training)
        batch_statistics(n);
    else
        running_statistics(n);
    const float *gamma = fm_op_param(op, fm_op_layer(op)->weight);
    const float *beta = fm_op_param(op, fm_op_layer(op)->bias);
    for (int c = 0; c < fm_op_layer(&n->op)->in.c; c++) {
        n->inverse[c] = 1.0f / sqrtf(n->variance[c] + FM_BATCHNORM_EPSILON);
        n->scale[c] = gamma[c] * n->inverse[c];
        n->shift[c] = beta[c] - n->mean[c] * n->scale[c];
    }
    if (n->deferred)
        return FM_OK;
    fm_op_kernels(&n->op)->norm_apply(&op->in->view, op->in->activation.data, n->scale, n->shift,
        n->relu, op->out->activation.data);
    return FM_OK;
}

// What a gradient passes backward: the ReLU's gate, if there is one.
static struct fm_norm_relu gate_of(const struct norm *n)
{
    return n->relu ? (struct fm_norm_relu){n->scale, n->shift} : (struct fm_norm_relu){0};
}

static enum fm_status norm_prepare(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct norm *n = (struct norm *)op;
    fm_op_kernels(&n->op)->norm_backward_sums(&op->in->view, op->in->activation.data,
        op->out->gradient.data, gate_of(n), n->mean, n->inverse, op->scratch[FM_PASS_PREPARE],
        n->dgamma, n->dbeta);
    return FM_OK;
}

static enum fm_status norm_weights(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct norm *n = (struct norm *)op;
    float *dgamma = fm_op_param_gradient(op, fm_op_layer(op)->weight);
    float *dbeta = fm_op_param_gradient(op, fm_op_layer(op)->bias);
    for (int c = 0; c < fm_op_layer(&n->op)->in.c; c++) {
        dgamma[c] = n->dgamma[c];
        dbeta[c] = n->dbeta[c];
    }
    return FM_OK;
}

static enum fm_status norm_data(struct fm_op *op, const struct fm_pass *pass)
{
    (void)pass;
    struct norm *n = (struct norm *)op;
    const struct fm_view *v = &op->in->view;
    float count = (float)v->n * (float)(v->h * v->w);
    for (int c = 0; c < fm_op_layer(&n->op)->in.c; c++) {
        // scale is gamma * inv here.
        float mean_dy = n->dbeta[c] / count, mean_dy_xhat = n->dgamma[c] / count;
        n->a[c] = n->scale[c];
        n->b[c] = -n->scale[c] * mean_dy_xhat * n->inverse[c];
        n->k[c] = -n->scale[c] * mean_dy - n->b[c] * n->mean[c];
    }
    fm_op_kernels(&n->op)->norm_backward_apply(v, op->in->activation.data, op->out->gradient.data,
        gate_of(n), n->a, n->b, n->k, op->in->gradient.data);
    return FM_OK;
}

static enum fm_status norm_connect(struct fm_op *op)
{
    struct norm *n = (struct norm *)op;
    const struct fm_view *v = &op->in->view;
    void *data = NULL;
    if (fm_executor_trains(op->executor)) {
        fm_op_scratch(op, FM_PASS_FORWARD, 2 * fm_op_image_sums(v));
        fm_op_scratch(op, FM_PASS_PREPARE, 2 * fm_op_image_sums(v));
    }
    float **vectors[] = {&n->mean, &n->variance, &n->inverse, &n->scale, &n->shift, &n->dgamma,
        &n->dbeta, &n->a, &n->b, &n->k};
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        FM_TRY(fm_op_buffer(op, (size_t)v->c * sizeof(float), &data));
        *vectors[i] = data;
    }
    if (n->deferred)
        op->out->pending = gate_of(n);
    return FM_OK;
}

static const struct fm_op_class norm_class = {
    .name = "batchnorm",
    .run = {norm_forward, norm_prepare, norm_weights, norm_data},
    .connect = norm_connect,
};

enum fm_status fm_op_norm(
    const struct fm_op_place *place, bool relu, bool deferred, struct fm_op **op)
{
    FM_TRY(fm_op_new(place, &norm_class, sizeof(struct norm), op));
    ((struct norm *)*op)->relu = relu;
    ((struct norm *)*op)->deferred = deferred;
    (*op)->in_place = deferred;
    (*op)->gradient_in_place = true;
    (*op)->gradient_over_input = true;
    (*op)->reads_in = FM_IN_PREPARE | FM_IN_DATA;
    place->out->norm_pending = deferred;
    fm_op_moves(*op, FM_PASS_FORWARD, deferred ? 1 : 2, deferred ? 0 : 1);
    fm_op_moves(*op, FM_PASS_PREPARE, 1, 1);
    fm_op_moves(*op, FM_PASS_DATA, 2, 1);
    return fm_op_same_layout(*op, place->in->shape);
}
