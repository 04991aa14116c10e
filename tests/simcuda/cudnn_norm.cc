// Batch norm over N, H and W: training and inference forward, and backward.
//
// "Inverse variance" is cuDNN's name for 1 / sqrt(variance + epsilon). The running variance takes
// in the unbiased batch variance, as the legacy API documents; the new one's documentation does not
// say.
#include "cudnn_internal.h"

#include <cmath>

namespace simcudnn
{

namespace
{

#define FWD(name) CUDNN_ATTR_OPERATION_NORM_FWD_##name
#define BWD(name) CUDNN_ATTR_OPERATION_NORM_BWD_##name

cudnnStatus_t check_operands(const operation &op, const tensor &x, const std::vector<int> &images)
{
    for (const operand &each : op.operands) {
        bool is_image = false;
        for (int role : images) {
            is_image = is_image || each.role == role;
        }
        bool fits = is_image          ? each.t.same_shape(x)
                    : each.t.by_value ? true
                                      : each.t.is_per_channel(x.dims[1]);
        if (!fits) {
            return misuse(CUDNN_STATUS_BAD_PARAM,
                "norm: %s is neither shaped like %s nor has a value for each of its channels (the "
                "real library accepts that of parameters and statistics)",
                each.t.name().c_str(), x.name().c_str());
        }
        if (each.t.overlaps()) {
            return misuse(
                CUDNN_STATUS_BAD_PARAM, "norm: %s has overlapping strides", each.t.name().c_str());
        }
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t check_scalar(const operation &op, int role, const char *what)
{
    const tensor *t = op.find(role);
    if (!t || !t->by_value || t->type != CUDNN_DATA_FLOAT) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "norm: %s is missing or no fp32 by value", what);
    }
    return CUDNN_STATUS_SUCCESS;
}

} // namespace

cudnnStatus_t finalize_norm_forward(object &o)
{
    operation &op = o.as_operation;
    if (o.get<int>(FWD(MODE)) != CUDNN_BATCH_NORM) {
        return misuse(CUDNN_STATUS_NOT_SUPPORTED, "only batch norm is simulated");
    }
    op.mode = o.get<int>(FWD(PHASE));
    bool training = op.mode == CUDNN_NORM_FWD_TRAINING;
    const int running[] = {FWD(EXP_AVG_FACTOR_DESC), FWD(INPUT_RUNNING_MEAN_DESC),
        FWD(INPUT_RUNNING_VAR_DESC), FWD(OUTPUT_RUNNING_MEAN_DESC), FWD(OUTPUT_RUNNING_VAR_DESC)};
    int given = 0;
    for (int role : running) {
        given += o.has(role);
    }
    if (given != 0 && (given != 5 || !training)) {
        return misuse(CUDNN_STATUS_BAD_PARAM,
            "norm forward: running statistics need five tensors, and training");
    }
    for (int role : {FWD(XDESC), FWD(SCALE_DESC), FWD(BIAS_DESC), FWD(EPSILON_DESC),
             FWD(EXP_AVG_FACTOR_DESC), FWD(INPUT_RUNNING_MEAN_DESC), FWD(INPUT_RUNNING_VAR_DESC)}) {
        add_operand(o, role, false);
    }
    add_operand(o, FWD(MEAN_DESC), training);
    add_operand(o, FWD(INV_VARIANCE_DESC), training);
    for (int role : {FWD(YDESC), FWD(OUTPUT_RUNNING_MEAN_DESC), FWD(OUTPUT_RUNNING_VAR_DESC)}) {
        add_operand(o, role, true);
    }
    cudnnStatus_t status = check_operands(op, op.at(FWD(XDESC)), {FWD(XDESC), FWD(YDESC)});
    if (status == CUDNN_STATUS_SUCCESS && training) {
        status = check_scalar(op, FWD(EPSILON_DESC), "epsilon");
    }
    if (status == CUDNN_STATUS_SUCCESS && given) {
        status = check_scalar(op, FWD(EXP_AVG_FACTOR_DESC), "the averaging factor");
    }
    return status;
}

cudnnStatus_t finalize_norm_backward(object &o)
{
    operation &op = o.as_operation;
    if (o.get<int>(BWD(MODE)) != CUDNN_BATCH_NORM) {
        return misuse(CUDNN_STATUS_NOT_SUPPORTED, "only batch norm is simulated");
    }
    for (int role : {BWD(XDESC), BWD(MEAN_DESC), BWD(INV_VARIANCE_DESC), BWD(DYDESC),
             BWD(SCALE_DESC), BWD(EPSILON_DESC)}) {
        add_operand(o, role, false);
    }
    for (int role : {BWD(DSCALE_DESC), BWD(DBIAS_DESC), BWD(DXDESC)}) {
        add_operand(o, role, true);
    }
    return check_operands(op, op.at(BWD(XDESC)), {BWD(XDESC), BWD(DYDESC), BWD(DXDESC)});
}

// ---- execution ----

namespace
{

// Sums of f(value's index, channel) over all pixels, by channel; in parts whose number does not
// depend on the machine, so that neither do the bits.
template <class F> std::vector<double> sums_by_channel(const tensor &x, const F &f)
{
    const int64_t parts = 8;
    int64_t channels = x.dims[1], pixels = x.count() / channels;
    std::vector<std::vector<double>> partial(parts);
    in_parallel(parts, static_cast<double>(x.count()) * 4, [&](int64_t part) {
        std::vector<double> sums(static_cast<size_t>(channels), 0.0);
        for (int64_t p = pixels * part / parts; p < pixels * (part + 1) / parts; p++) {
            for (int64_t c = 0; c < channels; c++) {
                sums[static_cast<size_t>(c)] += f(p * channels + c, c);
            }
        }
        partial[static_cast<size_t>(part)] = sums;
    });
    for (size_t part = 1; part < parts; part++) {
        for (size_t c = 0; c < partial[0].size(); c++) {
            partial[0][c] += partial[part][c];
        }
    }
    return partial[0];
}

template <class F> floats by_element(const tensor &x, const F &f)
{
    int64_t channels = x.dims[1], rows = x.dims[0] * x.dims[2], width = x.dims[3];
    floats made = make_floats(x.count());
    in_parallel(rows, static_cast<double>(x.count()) * 8, [&](int64_t row) {
        for (int64_t p = row * width; p < (row + 1) * width; p++) {
            for (int64_t c = 0; c < channels; c++) {
                made[p * channels + c] = f(p * channels + c, c);
            }
        }
    });
    return made;
}

void normalise(
    const operation &op, values &v, const float *x, const float *mean, const float *inverse)
{
    floats scale = v.load(op.at(FWD(SCALE_DESC))), bias = v.load(op.at(FWD(BIAS_DESC)));
    const float *s = scale.get(), *b = bias.get();
    v.store(op.at(FWD(YDESC)), by_element(op.at(FWD(XDESC)), [=](int64_t i, int64_t c) {
        return (x[i] - mean[c]) * inverse[c] * s[c] + b[c];
    }));
}

void commit_running(const operation &op, values &v, const std::vector<double> &mean,
    const std::vector<double> &unbiased)
{
    double factor = static_cast<double>(v.scalar(op.at(FWD(EXP_AVG_FACTOR_DESC))));
    const int pairs[2][2] = {{FWD(INPUT_RUNNING_MEAN_DESC), FWD(OUTPUT_RUNNING_MEAN_DESC)},
        {FWD(INPUT_RUNNING_VAR_DESC), FWD(OUTPUT_RUNNING_VAR_DESC)}};
    for (int i = 0; i < 2; i++) {
        const std::vector<double> &batch = i ? unbiased : mean;
        floats before = v.load(op.at(pairs[i][0]));
        floats after = make_floats(static_cast<int64_t>(batch.size()));
        for (size_t c = 0; c < batch.size(); c++) {
            // With a factor of 1 nothing of what was there may count, be it NaN.
            double kept = factor == 1 ? 0 : (1 - factor) * static_cast<double>(before[c]);
            after[c] = static_cast<float>(kept + factor * batch[c]);
        }
        v.store(op.at(pairs[i][1]), after);
    }
}

void train(const operation &op, values &v)
{
    const tensor &t = op.at(FWD(XDESC));
    size_t channels = static_cast<size_t>(t.dims[1]);
    double pixels = static_cast<double>(t.count() / t.dims[1]);
    double epsilon = static_cast<double>(v.scalar(op.at(FWD(EPSILON_DESC))));
    floats held = v.load(t);
    const float *x = held.get();
    std::vector<double> mean = sums_by_channel(
        t, [=](int64_t i, int64_t) { return static_cast<double>(x[i]); });
    for (double &m : mean) {
        m /= pixels;
    }
    std::vector<double> squares = sums_by_channel(t, [&mean, x](int64_t i, int64_t c) {
        double off = static_cast<double>(x[i]) - mean[static_cast<size_t>(c)];
        return off * off;
    });
    floats means = make_floats(t.dims[1]), inverses = make_floats(t.dims[1]);
    std::vector<double> unbiased(channels);
    for (size_t c = 0; c < channels; c++) {
        means[c] = static_cast<float>(mean[c]);
        inverses[c] = static_cast<float>(1 / std::sqrt(squares[c] / pixels + epsilon));
        unbiased[c] = squares[c] / std::max(pixels - 1, 1.0);
    }
    normalise(op, v, x, means.get(), inverses.get());
    if (op.find(FWD(EXP_AVG_FACTOR_DESC))) {
        commit_running(op, v, mean, unbiased);
    }
    v.store(op.at(FWD(MEAN_DESC)), means);
    v.store(op.at(FWD(INV_VARIANCE_DESC)), inverses);
}

} // namespace

void run_norm_forward(const operation &op, values &v)
{
    if (op.mode == CUDNN_NORM_FWD_TRAINING) {
        train(op, v);
        return;
    }
    floats x = v.load(op.at(FWD(XDESC))), mean = v.load(op.at(FWD(MEAN_DESC)));
    floats inverse = v.load(op.at(FWD(INV_VARIANCE_DESC)));
    normalise(op, v, x.get(), mean.get(), inverse.get());
}

// dx = scale * inverse / M * (M dy - sum(dy) - xhat * sum(dy * xhat)), xhat = (x - mean) * inverse
void run_norm_backward(const operation &op, values &v)
{
    const tensor &t = op.at(BWD(XDESC));
    double pixels = static_cast<double>(t.count() / t.dims[1]);
    floats held[] = {v.load(t), v.load(op.at(BWD(DYDESC))), v.load(op.at(BWD(MEAN_DESC))),
        v.load(op.at(BWD(INV_VARIANCE_DESC))), v.load(op.at(BWD(SCALE_DESC)))};
    const float *x = held[0].get(), *dy = held[1].get(), *mean = held[2].get();
    const float *inverse = held[3].get(), *scale = held[4].get();
    std::vector<double> dbias = sums_by_channel(
        t, [=](int64_t i, int64_t) { return static_cast<double>(dy[i]); });
    std::vector<double> dscale = sums_by_channel(t, [=](int64_t i, int64_t c) {
        return static_cast<double>(dy[i]) * static_cast<double>((x[i] - mean[c]) * inverse[c]);
    });
    floats dscales = make_floats(t.dims[1]), dbiases = make_floats(t.dims[1]);
    floats by_bias = make_floats(t.dims[1]), by_scale = make_floats(t.dims[1]);
    for (size_t c = 0; c < dbias.size(); c++) {
        dscales[c] = static_cast<float>(dscale[c]);
        dbiases[c] = static_cast<float>(dbias[c]);
        by_bias[c] = static_cast<float>(dbias[c] / pixels);
        by_scale[c] = static_cast<float>(dscale[c] / pixels);
    }
    const float *shift = by_bias.get(), *slope = by_scale.get();
    floats dx = by_element(t, [=](int64_t i, int64_t c) {
        float normal = (x[i] - mean[c]) * inverse[c];
        return scale[c] * inverse[c] * (dy[i] - shift[c] - normal * slope[c]);
    });
    v.store(op.at(BWD(DSCALE_DESC)), dscales);
    v.store(op.at(BWD(DBIAS_DESC)), dbiases);
    v.store(op.at(BWD(DXDESC)), dx);
}

} // namespace simcudnn
