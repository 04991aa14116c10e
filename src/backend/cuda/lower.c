// Lowering: from the network's layers to blocks, deciding what is computed together.
//
//   training   a convolution with its bias and ReLU, batch norm with ReLU, a dense layer with its
//              bias and ReLU; a ReLU's backward goes into the max-pool behind it, or into the
//              product of the dense layer behind it; dropout works in place, and its backward
//              is done by a max-pool (behind a ReLU) or dense layer (with one) in front
//   inference  batch norm is folded into the convolution in front; dropout vanishes
//   unfused    one operation a layer, the bias on its own; probing is unfused, too, and there
//              nothing shares memory
#include "backend/cuda/lower.h"
#include "backend/compile_options.h"

#include <stdlib.h>
#include <string.h>

static bool is_kind(const struct fm_cuda_lowering *low, int layer, enum fm_layer_kind kind)
{
    return layer < low->net->layer_count && low->net->layers[layer].kind == kind;
}

// ---- layers to blocks

// A block of layers [first, last] behind the present one, with an output of its last layer's shape.
static struct fm_cuda_block *add_block(
    struct fm_cuda_lowering *low, enum fm_cuda_block_kind kind, int first, int last)
{
    int at = low->block_count++;
    struct fm_cuda_block *block = &low->blocks[at];
    struct fm_cuda_value *out = &low->values[at];
    *block = (struct fm_cuda_block){.kind = kind, .first = first, .last = last, .out = out};
    block->in = at > 0 ? &low->values[at - 1] : NULL;
    block->norm_layer = block->mask = block->mean = block->inverse = -1;
    *out = (struct fm_cuda_value){.activation = -1, .gradient = -1};
    out->shape = last < 0 ? low->net->input.shape : low->net->layers[last].out;
    bool head = low->net->classes > 0 && last == low->net->layer_count - 1;
    out->pitch = head ? low->source->params->pitch : out->shape.c;
    out->type = head ? FM_CUDA_F32 : low->type;
    out->gradient_type = low->type;
    return block;
}

static int group_linear(struct fm_cuda_lowering *low, int first)
{
    const struct fm_layer *layer = &low->net->layers[first];
    enum fm_cuda_block_kind kind = layer->kind == FM_LAYER_CONV ? FM_BLOCK_CONV : FM_BLOCK_DENSE;
    struct fm_cuda_block *block = add_block(low, kind, first, first);
    int last = first;
    if (!low->fuses) {
        if (layer->bias >= 0)
            add_block(low, FM_BLOCK_BIAS, first, first);
        return last;
    }
    block->bias = layer->bias >= 0;
    if (!low->training && kind == FM_BLOCK_CONV && is_kind(low, last + 1, FM_LAYER_BATCHNORM)) {
        block->norm_layer = ++last;
        block->bias = true;
    }
    // The product's ReLU comes with a bias.
    if (block->bias && is_kind(low, last + 1, FM_LAYER_RELU)) {
        block->relu = true;
        last++;
    }
    block->last = last;
    block->relu_gated = block->relu && kind == FM_BLOCK_CONV &&
                        is_kind(low, last + 1, FM_LAYER_MAXPOOL);
    block->leaves_mask = low->training && block->relu && kind == FM_BLOCK_DENSE &&
                         is_kind(low, last + 1, FM_LAYER_DENSE);
    return last;
}

static int group_norm(struct fm_cuda_lowering *low, int first)
{
    bool relu = low->fuses && is_kind(low, first + 1, FM_LAYER_RELU);
    struct fm_cuda_block *block = add_block(low, FM_BLOCK_NORM, first, first + (relu ? 1 : 0));
    block->relu = relu;
    return block->last;
}

static void group_layers(struct fm_cuda_lowering *low)
{
    static const enum fm_cuda_block_kind singles[] = {[FM_LAYER_RELU] = FM_BLOCK_RELU,
        [FM_LAYER_MAXPOOL] = FM_BLOCK_MAXPOOL,
        [FM_LAYER_MEANPOOL] = FM_BLOCK_MEANPOOL,
        [FM_LAYER_DROPOUT] = FM_BLOCK_DROPOUT};
    add_block(low, FM_BLOCK_INPUT, -1, -1);
    for (int i = 0; i < low->net->layer_count; i++) {
        enum fm_layer_kind kind = low->net->layers[i].kind;
        if (kind == FM_LAYER_CONV || kind == FM_LAYER_DENSE)
            i = group_linear(low, i);
        else if (kind == FM_LAYER_BATCHNORM)
            i = group_norm(low, i);
        else if (kind != FM_LAYER_DROPOUT || low->training)
            add_block(low, singles[kind], i, i);
        else
            low->blocks[low->block_count - 1].last = i; // its output is the dropout's, too
    }
}

// Whether a dropout's backward can be that of the block in front, where this is gated by what the
// dropout has left in place of its output: nothing where it dropped; and where a ReLU was shut, or
// what it let through was rounded to 0, no gradient is wanted anyway. A dense bias's gradient that
// is summed along the way would be a sum of what is not yet rounded, so it must come from the
// product with the weights' gradient.
static bool gates_by_what_is_left(
    const struct fm_cuda_lowering *low, const struct fm_cuda_block *front)
{
    if (front->kind == FM_BLOCK_MAXPOOL)
        return (front - 1)->relu;
    return front->kind == FM_BLOCK_DENSE && front->relu &&
           fm_cuda_param_trains(low, low->net->layers[front->first].weight);
}

// Marks what the backward has to compute, nothing in front of the first trained parameter; and
// which dropouts leave theirs to the block in front.
static void mark_backward(struct fm_cuda_lowering *low)
{
    bool trained_before = false;
    for (int i = 1; i < low->block_count; i++) {
        struct fm_cuda_block *block = &low->blocks[i];
        const struct fm_layer *layer = &low->net->layers[block->first];
        block->input_gradient = trained_before;
        block->trains = fm_cuda_param_trains(low, layer->weight) ||
                        fm_cuda_param_trains(low, layer->bias);
        trained_before = trained_before || block->trains;
        if (block->kind == FM_BLOCK_DROPOUT && gates_by_what_is_left(low, block - 1)) {
            block->backward_in_front = true;
            (block - 1)->dropout_behind = layer->rate;
        }
    }
}

// ---- the ends of a program

static const struct fm_cuda_value *logits_of(const struct fm_cuda_lowering *low)
{
    return &low->values[low->block_count - 1];
}

static void lower_loss(struct fm_cuda_lowering *low)
{
    struct fm_cuda_value *logits = &low->values[low->block_count - 1];
    logits->gradient = fm_cuda_value_buffer(low, logits, logits->gradient_type);
    struct fm_cuda_command *c = fm_cuda_emit(low, FM_COMMAND_CROSS_ENTROPY, FM_CUDA_LOSS, -1);
    c->of.cross_entropy = (struct fm_cuda_cross_entropy){.rows = low->batch,
        .classes = low->net->classes,
        .pitch = logits->pitch,
        .type = logits->type,
        .smoothing = low->source->compile->label_smoothing,
        .mix = fm_compile_mix_ranges(low->source->compile, &low->net->input),
        .soft_share = low->source->compile->soft_share,
        .gradient_type = logits->gradient_type};
    fm_cuda_use(c, FM_TENSOR_X, logits->activation);
    fm_cuda_use(c, FM_TENSOR_DX, logits->gradient);
    c->bytes = (double)fm_cuda_value_elements(low, logits) *
               (double)(fm_cuda_size(logits->type) + fm_cuda_size(logits->gradient_type));
}

static void lower_finite(struct fm_cuda_lowering *low, enum fm_cuda_space space,
    enum fm_cuda_type type, uint64_t elements)
{
    if (elements == 0)
        return;
    struct fm_cuda_command *c = fm_cuda_emit(low, FM_COMMAND_FINITE, FM_CUDA_UPDATE, -1);
    c->of.finite = (struct fm_cuda_finite){.type = type, .count = elements};
    c->at[FM_TENSOR_X].space = space;
    c->bytes = (double)elements * (double)fm_cuda_size(type);
}

// One finite flag over all gradients, then the one decision, then what it decides about.
static void lower_update(struct fm_cuda_lowering *low)
{
    const struct fm_cuda_params *p = low->source->params;
    lower_finite(low, FM_SPACE_GRADIENT_LOW, p->type, p->low_elements);
    lower_finite(low, FM_SPACE_GRADIENT_F32, FM_CUDA_F32, p->f32_elements);
    fm_cuda_emit(low, FM_COMMAND_STEP, FM_CUDA_UPDATE, -1);
    struct fm_cuda_command *update = fm_cuda_emit(low, FM_COMMAND_UPDATE, FM_CUDA_UPDATE, -1);
    // Masters and moments are read and written, gradients read, working copies written, averages
    // read and written.
    const struct fm_model_options *options = low->source->model;
    double each = options->optimiser.kind == FM_OPTIMISER_SGD ? 16.0 : 24.0;
    each += (options->ema ? 8.0 : 0.0) + (p->type == FM_CUDA_F32 ? 0.0 : 2.0);
    update->bytes = each * (double)p->elements +
                    (double)fm_cuda_size(p->type) * (double)p->low_elements +
                    4.0 * (double)p->f32_elements;
    if (p->running_elements == 0)
        return;
    struct fm_cuda_command *commit = fm_cuda_emit(low, FM_COMMAND_COMMIT, FM_CUDA_UPDATE, -1);
    commit->bytes = (options->ema ? 20.0 : 12.0) * (double)p->running_elements;
}

static void lower_metrics(struct fm_cuda_lowering *low)
{
    const struct fm_cuda_value *logits = logits_of(low);
    low->program->compact = fm_cuda_buffer(
        low, (uint64_t)low->batch * (uint64_t)low->net->classes * sizeof(float));
    struct fm_cuda_command *c = fm_cuda_emit(low, FM_COMMAND_METRICS, FM_CUDA_LOSS, -1);
    c->of.metrics = (struct fm_cuda_metrics){.rows = low->batch,
        .classes = low->net->classes,
        .pitch = logits->pitch,
        .type = logits->type};
    fm_cuda_use(c, FM_TENSOR_X, logits->activation);
    fm_cuda_use(c, FM_TENSOR_Y, low->program->compact);
    c->bytes = 2.0 * (double)fm_cuda_value_elements(low, logits) * 4.0;
}

// What a network that ends in features predicts: fp32, in the order C, H, W.
static void lower_features(struct fm_cuda_lowering *low)
{
    const struct fm_cuda_value *out = &low->values[low->block_count - 1];
    int pixels = out->shape.h * out->shape.w, last = low->net->layer_count - 1;
    size_t elements = fm_cuda_value_elements(low, out);
    low->program->compact = fm_cuda_buffer(low, elements * sizeof(float));
    struct fm_cuda_command *c;
    if (pixels == 1) {
        c = fm_cuda_emit(low, FM_COMMAND_CAST, FM_CUDA_FORWARD, last);
        c->of.cast = (struct fm_cuda_cast){
            .from_type = out->type, .to_type = FM_CUDA_F32, .count = elements};
    } else {
        c = fm_cuda_emit(low, FM_COMMAND_LAYOUT, FM_CUDA_FORWARD, last);
        c->of.layout = (struct fm_cuda_layout){.from_type = out->type,
            .to_type = FM_CUDA_F32,
            .outer = low->batch,
            .outer_to = low->batch,
            .rows = pixels,
            .columns = out->pitch};
    }
    fm_cuda_use(c, FM_TENSOR_X, out->activation);
    fm_cuda_use(c, FM_TENSOR_Y, low->program->compact);
    c->bytes = (double)elements * (4.0 + (double)fm_cuda_size(out->type));
}

// ---- the whole

static void note_probed(struct fm_cuda_lowering *low)
{
    struct fm_cuda_program *program = low->program;
    for (int i = 0; i <= FM_LAYERS_MAX; i++)
        program->probed[i].activation = program->probed[i].gradient = -1;
    for (int i = 0; i < low->block_count; i++) {
        const struct fm_cuda_value *v = &low->values[i];
        // In inference a dropout's output is that of the layer in front.
        for (int layer = low->blocks[i].last; layer >= low->blocks[i].first; layer--)
            program->probed[layer + 1] = (struct fm_cuda_probed){
                v->activation, v->gradient, v->type, v->gradient_type, v->pitch};
    }
}

static void emit_all(struct fm_cuda_lowering *low)
{
    fm_cuda_lower_renew(low);
    low->program->renew = low->program->count;
    for (int i = 0; i < low->block_count; i++)
        fm_cuda_lower_forward(low, &low->blocks[i]);
    if (low->net->classes == 0) {
        lower_features(low);
    } else if (!low->training) {
        lower_metrics(low);
    } else {
        lower_loss(low);
        for (int i = low->block_count - 1; i > 0; i--)
            if (low->blocks[i].trains || low->blocks[i].input_gradient)
                fm_cuda_lower_backward(low, &low->blocks[i]);
        lower_update(low);
    }
    note_probed(low);
}

enum fm_status fm_cuda_lower(const struct fm_cuda_source *source, struct fm_cuda_program *program)
{
    const struct fm_compile_options *compile = source->compile;
    *program = (struct fm_cuda_program){.compact = -1};
    struct fm_cuda_lowering low = {.source = source,
        .program = program,
        .net = source->net,
        .type = source->params->type,
        .batch = compile->batch,
        .training = compile->mode == FM_MODE_TRAIN,
        .fuses = !compile->unfused && !compile->probe,
        .probes = compile->probe,
        .weights = -1};
    // cuDNN's engines for it want 16-bit types and compute capability 8.0; in fp32 they round.
    const struct fm_cuda_caps *caps = source->caps;
    low.cudnn_norm = low.type != FM_CUDA_F32 && caps->major >= 8 && !caps->own_norm;
    // A layer becomes at most two blocks (its own and its bias), and the input one.
    size_t most = 2 * (size_t)source->net->layer_count + 1;
    low.blocks = calloc(most, sizeof *low.blocks);
    low.values = calloc(most, sizeof *low.values);
    enum fm_status status = FM_OK;
    if (low.blocks && low.values) {
        group_layers(&low);
        if (low.training)
            mark_backward(&low);
        emit_all(&low);
        status = fm_cuda_emit_status(&low);
    } else {
        status = fm_fail_memory("the network's blocks", most * sizeof *low.blocks);
    }
    free(low.values);
    free(low.blocks);
    return status;
}
