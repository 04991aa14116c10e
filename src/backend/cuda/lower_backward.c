// The commands of a block's backward pass: from its output's gradient to those of its parameters
// and of its input.
#include "backend/cuda/lower.h"

// Bytes of a value's gradient.
static double gradient_bytes(const struct fm_cuda_lowering *low, const struct fm_cuda_value *v)
{
    return (double)fm_cuda_value_elements(low, v) * (double)fm_cuda_size(v->gradient_type);
}

static double activation_bytes(const struct fm_cuda_lowering *low, const struct fm_cuda_value *v)
{
    return (double)fm_cuda_value_elements(low, v) * (double)fm_cuda_size(v->type);
}

// A command that reads the output's gradient.
static struct fm_cuda_command *emit_backward(struct fm_cuda_lowering *low,
    const struct fm_cuda_block *block, enum fm_cuda_command_kind kind, enum fm_cuda_pass pass)
{
    struct fm_cuda_command *c = fm_cuda_emit(low, kind, pass, block->first);
    fm_cuda_use(c, FM_TENSOR_DY, block->out->gradient);
    c->bytes = gradient_bytes(low, block->out);
    return c;
}

// The input's gradient in memory of its own, or in the output's where the operation allows it and
// nobody looks.
static void use_dx(struct fm_cuda_lowering *low, struct fm_cuda_block *block,
    struct fm_cuda_command *c, bool in_place)
{
    struct fm_cuda_value *in = block->in;
    in->gradient = in_place && !low->probes ? block->out->gradient
                                            : fm_cuda_value_buffer(low, in, in->gradient_type);
    fm_cuda_use(c, FM_TENSOR_DX, in->gradient);
    c->bytes += gradient_bytes(low, in);
}

// ---- convolutions and dense layers

// In place: from the gradient behind the block's own ReLU to the one in front of it.
static void use_gate(
    struct fm_cuda_lowering *low, struct fm_cuda_block *block, struct fm_cuda_command *c)
{
    fm_cuda_use(c, FM_TENSOR_GATE, block->out->activation);
    fm_cuda_use(c, FM_TENSOR_DX, block->out->gradient);
    c->bytes += gradient_bytes(low, block->out) + activation_bytes(low, block->out);
}

static void gate_gradient(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    struct fm_cuda_command *c = emit_backward(
        low, block, FM_COMMAND_RELU_BACKWARD, FM_CUDA_PREPARE);
    c->of.relu = (struct fm_cuda_relu){.type = low->type,
        .count = fm_cuda_value_elements(low, block->out),
        .dropout_rate = block->dropout_behind};
    use_gate(low, block, c);
}

// With `gates`, of what the block's own ReLU lets pass, and in the same pass over memory what
// gate_gradient() does.
static void bias_gradient(struct fm_cuda_lowering *low, struct fm_cuda_block *block, bool gates)
{
    const struct fm_layer *layer = &low->net->layers[block->first];
    struct fm_cuda_command *c = emit_backward(
        low, block, FM_COMMAND_BIAS_BACKWARD, gates ? FM_CUDA_PREPARE : FM_CUDA_WEIGHTS);
    size_t rows = fm_cuda_value_rows(low, block->out);
    c->of.bias = (struct fm_cuda_bias){.type = block->out->gradient_type,
        .rows = (int)rows,
        .channels = block->out->pitch,
        .bias_type = low->type};
    if (gates)
        use_gate(low, block, c);
    c->at[FM_TENSOR_DBIAS] = fm_cuda_gradient_ref(low, layer->bias);
    fm_cuda_scratch(low, FM_TENSOR_SCRATCH,
        (uint64_t)fm_cuda_column_chunks(rows) * (uint64_t)block->out->pitch * sizeof(float));
}

// The gradients in front of the block's own ReLU, and of its bias, where kernels make them.
static void prepare_gradient(
    struct fm_cuda_lowering *low, struct fm_cuda_block *block, bool gates, bool bias)
{
    if (bias)
        bias_gradient(low, block, gates);
    else if (gates)
        gate_gradient(low, block);
}

static void conv_weights(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    const struct fm_layer *layer = &low->net->layers[block->first];
    struct fm_cuda_command *c = emit_backward(low, block, FM_COMMAND_GRAPH, FM_CUDA_WEIGHTS);
    c->of.graph = fm_cuda_conv_spec(low, layer, FM_GRAPH_CONV_WEIGHTS);
    fm_cuda_use(c, FM_TENSOR_X, block->in->activation);
    c->at[FM_TENSOR_DWEIGHT] = fm_cuda_gradient_ref(low, layer->weight);
    c->flops = 2.0 * (double)layer->macs * low->batch;
    c->bytes += activation_bytes(low, block->in) +
                (double)low->source->params->places[layer->weight].count *
                    (double)fm_cuda_size(low->type);
}

static void conv_data(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    const struct fm_layer *layer = &low->net->layers[block->first];
    struct fm_cuda_command *c = emit_backward(low, block, FM_COMMAND_GRAPH, FM_CUDA_DATA);
    c->of.graph = fm_cuda_conv_spec(low, layer, FM_GRAPH_CONV_DATA);
    c->at[FM_TENSOR_WEIGHT] = fm_cuda_working_ref(low, layer->weight);
    use_dx(low, block, c, false);
    c->flops = 2.0 * (double)layer->macs * low->batch;
    c->bytes += (double)low->source->params->places[layer->weight].count *
                (double)fm_cuda_size(low->type);
}

static void conv_backward(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    const struct fm_layer *layer = &low->net->layers[block->first];
    prepare_gradient(low, block, block->relu && !block->relu_gated,
        block->bias && fm_cuda_param_trains(low, layer->bias));
    if (fm_cuda_param_trains(low, layer->weight))
        conv_weights(low, block);
    if (block->input_gradient)
        conv_data(low, block);
}

static struct fm_cuda_command *emit_dense(struct fm_cuda_lowering *low, struct fm_cuda_block *block,
    enum fm_cuda_dense_kind kind, enum fm_cuda_epilogue epilogue)
{
    const struct fm_layer *layer = &low->net->layers[block->first];
    enum fm_cuda_pass pass = kind == FM_DENSE_DATA ? FM_CUDA_DATA : FM_CUDA_WEIGHTS;
    struct fm_cuda_command *c = emit_backward(low, block, FM_COMMAND_DENSE, pass);
    c->of.dense = (struct fm_cuda_dense_spec){.kind = kind,
        .epilogue = epilogue,
        .type = low->type,
        .y_type = low->type,
        .rows = low->batch,
        .inputs = (int)fm_shape_size(layer->in),
        .outputs = block->out->pitch};
    c->flops = 2.0 * (double)layer->macs * low->batch;
    c->bytes += (double)low->source->params->places[layer->weight].count *
                (double)fm_cuda_size(low->type);
    return c;
}

static void dense_weights(struct fm_cuda_lowering *low, struct fm_cuda_block *block, bool bias)
{
    const struct fm_layer *layer = &low->net->layers[block->first];
    struct fm_cuda_command *c = emit_dense(
        low, block, FM_DENSE_WEIGHTS, bias ? FM_EPILOGUE_DBIAS : FM_EPILOGUE_NONE);
    fm_cuda_use(c, FM_TENSOR_X, block->in->activation);
    c->at[FM_TENSOR_DWEIGHT] = fm_cuda_gradient_ref(low, layer->weight);
    c->bytes += activation_bytes(low, block->in);
    if (bias)
        c->at[FM_TENSOR_DBIAS] = fm_cuda_gradient_ref(low, layer->bias);
    fm_cuda_scratch(low, FM_TENSOR_SCRATCH, fm_cuda_dense_scratch_bytes(&c->of.dense));
}

// Where the dense layer in front left a mask, this product ends in front of its ReLU.
static void dense_data(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    const struct fm_cuda_block *front = block - 1;
    const struct fm_layer *layer = &low->net->layers[block->first];
    const struct fm_layer *front_layer = &low->net->layers[front->first];
    bool gate = front->leaves_mask, bias = gate && fm_cuda_param_trains(low, front_layer->bias);
    struct fm_cuda_command *c = emit_dense(low, block, FM_DENSE_DATA,
        bias   ? FM_EPILOGUE_GATE_DBIAS
        : gate ? FM_EPILOGUE_GATE
               : FM_EPILOGUE_NONE);
    c->at[FM_TENSOR_WEIGHT] = fm_cuda_working_ref(low, layer->weight);
    use_dx(low, block, c, false);
    if (!gate)
        return;
    fm_cuda_use(c, FM_TENSOR_MASK, front->mask);
    fm_cuda_use(c, FM_TENSOR_GATE, front->out->activation);
    if (bias)
        c->at[FM_TENSOR_DBIAS] = fm_cuda_gradient_ref(low, front_layer->bias);
    fm_cuda_scratch(low, FM_TENSOR_SCRATCH, fm_cuda_dense_scratch_bytes(&c->of.dense));
}

static void dense_backward(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    const struct fm_layer *layer = &low->net->layers[block->first];
    // Where the layer behind used the mask, it has made the bias's gradient, too.
    bool bias = block->bias && !block->leaves_mask && fm_cuda_param_trains(low, layer->bias);
    bool weights = fm_cuda_param_trains(low, layer->weight);
    prepare_gradient(low, block, block->relu && !block->leaves_mask, bias && !weights);
    if (weights)
        dense_weights(low, block, bias);
    if (block->input_gradient)
        dense_data(low, block);
}

// The product in front has the same gradient.
static void bias_backward(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    block->in->gradient = block->out->gradient;
    const struct fm_layer *layer = &low->net->layers[block->first];
    if (fm_cuda_param_trains(low, layer->bias))
        bias_gradient(low, block, false);
}

// ---- batch norm

// Gradients of scale and shift are made in any case: that of the input needs the same sums.
static void norm_backward(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    const struct fm_layer *layer = &low->net->layers[block->first];
    bool cudnn = fm_cuda_norm_by_cudnn(low, block);
    struct fm_cuda_command *c = emit_backward(
        low, block, cudnn ? FM_COMMAND_GRAPH : FM_COMMAND_NORM_BACKWARD, FM_CUDA_DATA);
    fm_cuda_use(c, FM_TENSOR_X, block->in->activation);
    fm_cuda_use(c, FM_TENSOR_MEAN, block->mean);
    fm_cuda_use(c, FM_TENSOR_INVERSE, block->inverse);
    c->at[FM_TENSOR_SCALE] = fm_cuda_master_ref(low, layer->weight);
    c->at[FM_TENSOR_DSCALE] = fm_cuda_gradient_ref(low, layer->weight);
    c->at[FM_TENSOR_DSHIFT] = fm_cuda_gradient_ref(low, layer->bias);
    // x and dy are read twice.
    c->bytes += gradient_bytes(low, block->out) + 2.0 * activation_bytes(low, block->in);
    use_dx(low, block, c, !cudnn);
    if (cudnn) {
        c->at[FM_TENSOR_SHIFT] = fm_cuda_master_ref(low, layer->bias);
        c->of.graph = fm_cuda_norm_spec(
            low, block, block->relu ? FM_GRAPH_NORM_RELU_BACKWARD : FM_GRAPH_NORM_BACKWARD);
        return;
    }
    struct fm_cuda_norm work = fm_cuda_norm_work(low, block);
    c->of.norm = work;
    if (block->relu) {
        fm_cuda_use(c, FM_TENSOR_Y, block->out->activation);
        c->bytes += 2.0 * activation_bytes(low, block->out);
    }
    fm_cuda_scratch(low, FM_TENSOR_COEFFICIENTS, 3 * (uint64_t)work.channels * sizeof(float));
    fm_cuda_scratch(low, FM_TENSOR_SCRATCH, fm_cuda_norm_scratch(&work));
}

// ---- those without parameters

static void relu_backward(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    struct fm_cuda_command *c = emit_backward(low, block, FM_COMMAND_RELU_BACKWARD, FM_CUDA_DATA);
    c->of.relu = (struct fm_cuda_relu){
        .type = low->type, .count = fm_cuda_value_elements(low, block->in)};
    fm_cuda_use(c, FM_TENSOR_GATE, block->out->activation);
    c->bytes += activation_bytes(low, block->out);
    use_dx(low, block, c, true);
}

static void maxpool_backward(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    struct fm_cuda_command *c = emit_backward(
        low, block, FM_COMMAND_MAXPOOL_BACKWARD, FM_CUDA_DATA);
    c->of.maxpool = fm_cuda_maxpool_work(low, block);
    fm_cuda_use(c, FM_TENSOR_MASK, block->mask);
    c->bytes += (double)fm_cuda_value_elements(low, block->out);
    use_dx(low, block, c, false);
    c->of.maxpool.dropout_rate = block->dropout_behind;
    if (!(block - 1)->relu_gated && block->dropout_behind == 0.0f)
        return;
    fm_cuda_use(c, FM_TENSOR_GATE, block->out->activation);
    c->bytes += activation_bytes(low, block->out);
}

static void meanpool_backward(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    struct fm_cuda_command *c = emit_backward(
        low, block, FM_COMMAND_MEANPOOL_BACKWARD, FM_CUDA_DATA);
    c->of.meanpool = fm_cuda_meanpool_work(low, block);
    use_dx(low, block, c, false);
}

static void dropout_backward(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    if (block->backward_in_front) {
        block->in->gradient = block->out->gradient; // the block in front scales it
        return;
    }
    struct fm_cuda_command *c = emit_backward(
        low, block, FM_COMMAND_DROPOUT_BACKWARD, FM_CUDA_DATA);
    c->of.dropout = fm_cuda_dropout_work(low, block);
    fm_cuda_use(c, FM_TENSOR_MASK, block->mask);
    c->bytes += (double)fm_cuda_value_elements(low, block->in) / 8.0;
    use_dx(low, block, c, true);
}

void fm_cuda_lower_backward(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    switch (block->kind) {
    case FM_BLOCK_INPUT:
        break;
    case FM_BLOCK_CONV:
        conv_backward(low, block);
        break;
    case FM_BLOCK_DENSE:
        dense_backward(low, block);
        break;
    case FM_BLOCK_BIAS:
        bias_backward(low, block);
        break;
    case FM_BLOCK_NORM:
        norm_backward(low, block);
        break;
    case FM_BLOCK_RELU:
        relu_backward(low, block);
        break;
    case FM_BLOCK_MAXPOOL:
        maxpool_backward(low, block);
        break;
    case FM_BLOCK_MEANPOOL:
        meanpool_backward(low, block);
        break;
    case FM_BLOCK_DROPOUT:
        dropout_backward(low, block);
        break;
    }
}
