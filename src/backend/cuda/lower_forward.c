// The commands of a block's forward pass, and those that renew what inference computes with.
#include "backend/compile_options.h"
#include "backend/cuda/lower.h"

#include "dropout.h"

#include <string.h>

static int type_size(const struct fm_cuda_lowering *low)
{
    return (int)fm_cuda_size(low->type);
}

// A command that computes the block's output, in a new buffer, from its input.
static struct fm_cuda_command *emit_forward(
    struct fm_cuda_lowering *low, struct fm_cuda_block *block, enum fm_cuda_command_kind kind)
{
    struct fm_cuda_value *out = block->out;
    out->activation = fm_cuda_value_buffer(low, out, out->type);
    struct fm_cuda_command *c = fm_cuda_emit(low, kind, FM_CUDA_FORWARD, block->first);
    fm_cuda_use(c, FM_TENSOR_Y, out->activation);
    c->bytes = (double)fm_cuda_value_elements(low, out) * (double)fm_cuda_size(out->type);
    if (!block->in)
        return c;
    fm_cuda_use(c, FM_TENSOR_X, block->in->activation);
    c->bytes += (double)fm_cuda_value_elements(low, block->in) *
                (double)fm_cuda_size(block->in->type);
    return c;
}

// ---- input

static void features_forward(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    int features = low->net->input.features;
    struct fm_cuda_command *c = emit_forward(low, block, FM_COMMAND_FEATURES);
    c->of.features = (struct fm_cuda_features){.type = low->type,
        .samples = low->batch,
        .count = features,
        .mix = fm_compile_mix_ranges(low->source->compile, &low->net->input)};
    c->bytes += (double)low->batch * features * 4.0;
}

static void input_forward(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    const struct fm_input *input = &low->net->input;
    const struct fm_compile_options *compile = low->source->compile;
    struct fm_cuda_command *c = emit_forward(low, block, FM_COMMAND_INPUT);
    struct fm_cuda_input *work = &c->of.input;
    *work = (struct fm_cuda_input){.type = low->type,
        .images = low->batch,
        .height = input->shape.h,
        .width = input->shape.w,
        .channels = input->shape.c,
        .augment = fm_augment_any(&compile->augment),
        .mirror = compile->mirror};
    work->ranges = fm_compile_augment_ranges(compile, input);
    work->mix = fm_compile_mix_ranges(compile, input);
    for (int i = 0; i < input->shape.c; i++) {
        float deviation = input->standardise ? input->deviation[i] : 1.0f;
        float mean = input->standardise ? input->mean[i] : 0.0f;
        work->scale[i] = 1.0f / (255.0f * deviation);
        work->offset[i] = -mean / deviation;
    }
    c->bytes += (double)low->batch * input->rows * input->cols;
}

// ---- convolutions and dense layers

struct fm_cuda_graph_spec fm_cuda_conv_spec(
    const struct fm_cuda_lowering *low, const struct fm_layer *layer, enum fm_cuda_graph_kind kind)
{
    return (struct fm_cuda_graph_spec){.kind = kind,
        .type = low->type,
        .n = low->batch,
        .h = layer->in.h,
        .w = layer->in.w,
        .c = layer->in.c,
        .k = layer->out.c,
        .kernel = layer->kernel,
        .padding = layer->padding};
}

static double weight_bytes(const struct fm_cuda_lowering *low, const struct fm_layer *layer)
{
    return (double)low->source->params->places[layer->weight].count * type_size(low);
}

static void conv_forward(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    const struct fm_layer *layer = &low->net->layers[block->first];
    enum fm_cuda_graph_kind kind = block->relu   ? FM_GRAPH_CONV_BIAS_RELU
                                   : block->bias ? FM_GRAPH_CONV_BIAS
                                                 : FM_GRAPH_CONV;
    struct fm_cuda_command *c = emit_forward(low, block, FM_COMMAND_GRAPH);
    c->of.graph = fm_cuda_conv_spec(low, layer, kind);
    c->flops = 2.0 * (double)layer->macs * low->batch;
    c->bytes += weight_bytes(low, layer);
    if (block->norm_layer >= 0) { // folded copies, made by fold_norm()
        fm_cuda_use(c, FM_TENSOR_WEIGHT, block->folded_weight);
        fm_cuda_use(c, FM_TENSOR_BIAS, block->folded_bias);
        return;
    }
    c->at[FM_TENSOR_WEIGHT] = fm_cuda_working_ref(low, layer->weight);
    if (block->bias)
        c->at[FM_TENSOR_BIAS] = fm_cuda_working_ref(low, layer->bias);
}

// The head's bias is fp32, as its output is.
static struct fm_cuda_ref bias_ref(
    const struct fm_cuda_lowering *low, const struct fm_cuda_block *block, int param)
{
    return block->out->type == low->type ? fm_cuda_working_ref(low, param)
                                         : fm_cuda_master_ref(low, param);
}

static void dense_forward(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    const struct fm_layer *layer = &low->net->layers[block->first];
    struct fm_cuda_command *c = emit_forward(low, block, FM_COMMAND_DENSE);
    c->of.dense = (struct fm_cuda_dense_spec){.kind = FM_DENSE_FORWARD,
        .epilogue = block->leaves_mask ? FM_EPILOGUE_BIAS_RELU_MASK
                    : block->relu      ? FM_EPILOGUE_BIAS_RELU
                    : block->bias      ? FM_EPILOGUE_BIAS
                                       : FM_EPILOGUE_NONE,
        .type = low->type,
        .y_type = block->out->type,
        .rows = low->batch,
        .inputs = (int)fm_shape_size(layer->in),
        .outputs = block->out->pitch};
    c->at[FM_TENSOR_WEIGHT] = fm_cuda_working_ref(low, layer->weight);
    c->flops = 2.0 * (double)layer->macs * low->batch;
    c->bytes += weight_bytes(low, layer);
    if (block->bias)
        c->at[FM_TENSOR_BIAS] = bias_ref(low, block, layer->bias);
    if (!block->leaves_mask)
        return;
    block->mask = fm_cuda_buffer(low, fm_cuda_dense_mask_bytes(low->batch, block->out->pitch));
    fm_cuda_use(c, FM_TENSOR_MASK, block->mask);
}

// In place on the output of the product in front.
static void bias_forward(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    const struct fm_layer *layer = &low->net->layers[block->first];
    block->out->activation = block->in->activation;
    struct fm_cuda_command *c = fm_cuda_emit(
        low, FM_COMMAND_BIAS_FORWARD, FM_CUDA_FORWARD, block->first);
    c->of.bias = (struct fm_cuda_bias){.type = block->out->type,
        .rows = (int)fm_cuda_value_rows(low, block->out),
        .channels = block->out->pitch,
        .bias_type = block->out->type};
    fm_cuda_use(c, FM_TENSOR_Y, block->out->activation);
    c->at[FM_TENSOR_BIAS] = bias_ref(low, block, layer->bias);
    c->bytes = 2.0 * (double)fm_cuda_value_elements(low, block->out) *
               (double)fm_cuda_size(block->out->type);
}

// ---- batch norm

struct fm_cuda_norm fm_cuda_norm_work(
    const struct fm_cuda_lowering *low, const struct fm_cuda_block *block)
{
    return (struct fm_cuda_norm){.type = low->type,
        .rows = (int)fm_cuda_value_rows(low, block->in),
        .channels = block->in->pitch,
        .relu = block->relu,
        .epsilon = FM_BATCHNORM_EPSILON};
}

struct fm_cuda_graph_spec fm_cuda_norm_spec(const struct fm_cuda_lowering *low,
    const struct fm_cuda_block *block, enum fm_cuda_graph_kind kind)
{
    return (struct fm_cuda_graph_spec){.kind = kind,
        .type = low->type,
        .n = low->batch,
        .h = block->in->shape.h,
        .w = block->in->shape.w,
        .c = block->in->shape.c};
}

bool fm_cuda_norm_by_cudnn(const struct fm_cuda_lowering *low, const struct fm_cuda_block *block)
{
    return low->cudnn_norm && block->in->shape.c % FM_CUDA_VECTOR == 0;
}

size_t fm_cuda_norm_scratch(const struct fm_cuda_norm *work)
{
    size_t chunks = (size_t)fm_cuda_column_chunks((size_t)work->rows);
    return 2 * chunks * (size_t)work->channels * sizeof(float);
}

static void use_scale(
    const struct fm_cuda_lowering *low, struct fm_cuda_command *c, const struct fm_layer *layer)
{
    c->at[FM_TENSOR_SCALE] = fm_cuda_master_ref(low, layer->weight);
    c->at[FM_TENSOR_SHIFT] = fm_cuda_master_ref(low, layer->bias);
}

static void norm_training(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    const struct fm_layer *layer = &low->net->layers[block->first];
    uint64_t channels = (uint64_t)block->in->pitch * sizeof(float);
    bool cudnn = fm_cuda_norm_by_cudnn(low, block);
    block->mean = fm_cuda_buffer(low, channels);
    block->inverse = fm_cuda_buffer(low, channels);
    struct fm_cuda_command *c = emit_forward(
        low, block, cudnn ? FM_COMMAND_GRAPH : FM_COMMAND_NORM_TRAINING);
    c->bytes += (double)fm_cuda_value_elements(low, block->in) * type_size(low); // read twice
    use_scale(low, c, layer);
    fm_cuda_use(c, FM_TENSOR_MEAN, block->mean);
    fm_cuda_use(c, FM_TENSOR_INVERSE, block->inverse);
    c->at[FM_TENSOR_BATCH_MEAN] = fm_cuda_running_ref(low, FM_SPACE_BATCH, layer->running);
    c->at[FM_TENSOR_BATCH_VARIANCE] = fm_cuda_running_ref(low, FM_SPACE_BATCH, layer->running + 1);
    if (cudnn) {
        c->of.graph = fm_cuda_norm_spec(
            low, block, block->relu ? FM_GRAPH_NORM_RELU : FM_GRAPH_NORM);
        c->at[FM_TENSOR_RUNNING_MEAN].space = FM_SPACE_ZEROS;
        c->at[FM_TENSOR_RUNNING_VARIANCE].space = FM_SPACE_ZEROS;
        return;
    }
    struct fm_cuda_norm work = fm_cuda_norm_work(low, block);
    c->of.norm = work;
    fm_cuda_scratch(low, FM_TENSOR_COEFFICIENTS, 3 * channels);
    fm_cuda_scratch(low, FM_TENSOR_SCRATCH, fm_cuda_norm_scratch(&work));
}

static void norm_inference(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    const struct fm_layer *layer = &low->net->layers[block->first];
    struct fm_cuda_command *c = emit_forward(low, block, FM_COMMAND_NORM_INFERENCE);
    c->of.norm = fm_cuda_norm_work(low, block);
    use_scale(low, c, layer);
    c->at[FM_TENSOR_RUNNING_MEAN] = fm_cuda_running_ref(low, FM_SPACE_RUNNING, layer->running);
    c->at[FM_TENSOR_RUNNING_VARIANCE] = fm_cuda_running_ref(
        low, FM_SPACE_RUNNING, layer->running + 1);
    fm_cuda_scratch(low, FM_TENSOR_COEFFICIENTS, 3 * (uint64_t)block->in->pitch * sizeof(float));
}

// ---- the others

static void relu_forward(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    struct fm_cuda_command *c = emit_forward(low, block, FM_COMMAND_RELU_FORWARD);
    c->of.relu = (struct fm_cuda_relu){
        .type = low->type, .count = fm_cuda_value_elements(low, block->in)};
}

struct fm_cuda_maxpool fm_cuda_maxpool_work(
    const struct fm_cuda_lowering *low, const struct fm_cuda_block *block)
{
    return (struct fm_cuda_maxpool){.type = low->type,
        .images = low->batch,
        .height = block->in->shape.h,
        .width = block->in->shape.w,
        .channels = block->in->pitch};
}

static void maxpool_forward(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    struct fm_cuda_command *c = emit_forward(low, block, FM_COMMAND_MAXPOOL_FORWARD);
    c->of.maxpool = fm_cuda_maxpool_work(low, block);
    if (!block->input_gradient) // inference, or nothing in front is trained
        return;
    size_t outputs = fm_cuda_value_elements(low, block->out);
    c->bytes += (double)outputs;
    block->mask = fm_cuda_buffer(low, outputs);
    fm_cuda_use(c, FM_TENSOR_MASK, block->mask);
}

struct fm_cuda_meanpool fm_cuda_meanpool_work(
    const struct fm_cuda_lowering *low, const struct fm_cuda_block *block)
{
    return (struct fm_cuda_meanpool){.type = low->type,
        .images = low->batch,
        .pixels = block->in->shape.h * block->in->shape.w,
        .channels = block->in->pitch};
}

static void meanpool_forward(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    struct fm_cuda_command *c = emit_forward(low, block, FM_COMMAND_MEANPOOL_FORWARD);
    c->of.meanpool = fm_cuda_meanpool_work(low, block);
}

struct fm_cuda_dropout fm_cuda_dropout_work(
    const struct fm_cuda_lowering *low, const struct fm_cuda_block *block)
{
    const struct fm_layer *layer = &low->net->layers[block->first];
    return (struct fm_cuda_dropout){.type = low->type,
        .images = low->batch,
        .pixels = layer->in.h * layer->in.w,
        .channels = block->in->pitch,
        .stream = FM_STREAM_DROPOUT + layer->stream,
        .rate = layer->rate};
}

// In place where operations are fused: no backward needs what was dropped
// (gates_by_what_is_left() in lower.c says why).
static void dropout_forward(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    size_t elements = fm_cuda_value_elements(low, block->in);
    struct fm_cuda_command *c;
    if (low->fuses) {
        block->out->activation = block->in->activation;
        c = fm_cuda_emit(low, FM_COMMAND_DROPOUT_FORWARD, FM_CUDA_FORWARD, block->first);
        fm_cuda_use(c, FM_TENSOR_X, block->in->activation);
        fm_cuda_use(c, FM_TENSOR_Y, block->in->activation);
        c->bytes = 2.0 * (double)elements * type_size(low);
    } else {
        c = emit_forward(low, block, FM_COMMAND_DROPOUT_FORWARD);
    }
    c->of.dropout = fm_cuda_dropout_work(low, block);
    if (block->backward_in_front) // no backward of its own reads the bits
        return;
    c->bytes += (double)elements / 8.0;
    block->mask = fm_cuda_buffer(low, (elements + 7) / 8);
    fm_cuda_use(c, FM_TENSOR_MASK, block->mask);
}

void fm_cuda_lower_forward(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    switch (block->kind) {
    case FM_BLOCK_INPUT:
        if (low->net->input.features > 0)
            features_forward(low, block);
        else
            input_forward(low, block);
        break;
    case FM_BLOCK_CONV:
        conv_forward(low, block);
        break;
    case FM_BLOCK_DENSE:
        dense_forward(low, block);
        break;
    case FM_BLOCK_BIAS:
        bias_forward(low, block);
        break;
    case FM_BLOCK_NORM:
        if (low->training)
            norm_training(low, block);
        else
            norm_inference(low, block);
        break;
    case FM_BLOCK_RELU:
        relu_forward(low, block);
        break;
    case FM_BLOCK_MAXPOOL:
        maxpool_forward(low, block);
        break;
    case FM_BLOCK_MEANPOOL:
        meanpool_forward(low, block);
        break;
    case FM_BLOCK_DROPOUT:
        dropout_forward(low, block);
        break;
    }
}

// ---- what inference computes with

static int kept_buffer(struct fm_cuda_lowering *low, uint64_t bytes)
{
    int buffer = fm_cuda_buffer(low, bytes);
    if (buffer >= 0)
        low->program->buffers[buffer].kept = true;
    return buffer;
}

// Working copies of the averages: the model has none, as training does not compute with them.
static void cast_averages(struct fm_cuda_lowering *low)
{
    const struct fm_cuda_params *p = low->source->params;
    low->weights = kept_buffer(low, p->elements * fm_cuda_size(low->type));
    struct fm_cuda_command *c = fm_cuda_emit(low, FM_COMMAND_CAST, FM_CUDA_FORWARD, -1);
    c->of.cast = (struct fm_cuda_cast){FM_CUDA_F32, low->type, p->elements, NULL, NULL};
    c->at[FM_TENSOR_X].space = FM_SPACE_MASTER;
    fm_cuda_use(c, FM_TENSOR_Y, low->weights);
    c->bytes = (double)p->elements * (4.0 + type_size(low));
}

static void fold_norm(struct fm_cuda_lowering *low, struct fm_cuda_block *block)
{
    const struct fm_layer *layer = &low->net->layers[block->first];
    const struct fm_layer *norm = &low->net->layers[block->norm_layer];
    uint64_t elements = low->source->params->places[layer->weight].count;
    block->folded_weight = kept_buffer(low, elements * fm_cuda_size(low->type));
    block->folded_bias = kept_buffer(low, (uint64_t)norm->in.c * fm_cuda_size(low->type));
    struct fm_cuda_command *c = fm_cuda_emit(low, FM_COMMAND_FOLD, FM_CUDA_FORWARD, block->first);
    c->of.fold = (struct fm_cuda_fold){.type = low->type,
        .bias_type = low->type,
        .outputs = norm->in.c,
        .each = elements / (uint64_t)norm->in.c,
        .epsilon = FM_BATCHNORM_EPSILON};
    c->at[FM_TENSOR_WEIGHT] = fm_cuda_master_ref(low, layer->weight);
    if (layer->bias >= 0)
        c->at[FM_TENSOR_BIAS] = fm_cuda_master_ref(low, layer->bias);
    use_scale(low, c, norm);
    c->at[FM_TENSOR_RUNNING_MEAN] = fm_cuda_running_ref(low, FM_SPACE_RUNNING, norm->running);
    c->at[FM_TENSOR_RUNNING_VARIANCE] = fm_cuda_running_ref(
        low, FM_SPACE_RUNNING, norm->running + 1);
    fm_cuda_use(c, FM_TENSOR_DWEIGHT, block->folded_weight); // what is made of them
    fm_cuda_use(c, FM_TENSOR_DBIAS, block->folded_bias);
    c->bytes = (double)elements * (4.0 + type_size(low));
}

void fm_cuda_lower_renew(struct fm_cuda_lowering *low)
{
    if (low->source->compile->average && low->type != FM_CUDA_F32)
        cast_averages(low);
    for (int i = 0; i < low->block_count; i++)
        if (low->blocks[i].norm_layer >= 0)
            fold_norm(low, &low->blocks[i]);
}
