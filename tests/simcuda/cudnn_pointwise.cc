// Pointwise operations with broadcasting, and reductions. They compute in fp32.
#include "cudnn_internal.h"

#include <algorithm>
#include <cmath>

namespace simcudnn
{

namespace
{

enum kind {
    UNARY,
    BINARY,
    BACKWARD,
    SELECT,
    UNKNOWN
};

kind kind_of(int mode)
{
    switch (mode) {
    case CUDNN_POINTWISE_IDENTITY:
    case CUDNN_POINTWISE_ABS:
    case CUDNN_POINTWISE_NEG:
    case CUDNN_POINTWISE_EXP:
    case CUDNN_POINTWISE_LOG:
    case CUDNN_POINTWISE_SQRT:
    case CUDNN_POINTWISE_RSQRT:
    case CUDNN_POINTWISE_RECIPROCAL:
    case CUDNN_POINTWISE_RELU_FWD:
        return UNARY;
    case CUDNN_POINTWISE_ADD:
    case CUDNN_POINTWISE_SUB:
    case CUDNN_POINTWISE_MUL:
    case CUDNN_POINTWISE_DIV:
    case CUDNN_POINTWISE_MAX:
    case CUDNN_POINTWISE_MIN:
    case CUDNN_POINTWISE_CMP_EQ:
    case CUDNN_POINTWISE_CMP_NEQ:
    case CUDNN_POINTWISE_CMP_GT:
    case CUDNN_POINTWISE_CMP_GE:
    case CUDNN_POINTWISE_CMP_LT:
    case CUDNN_POINTWISE_CMP_LE:
        return BINARY;
    case CUDNN_POINTWISE_RELU_BWD:
        return BACKWARD;
    case CUDNN_POINTWISE_BINARY_SELECT:
        return SELECT;
    default:
        return UNKNOWN;
    }
}

const int X = CUDNN_ATTR_OPERATION_POINTWISE_XDESC, B = CUDNN_ATTR_OPERATION_POINTWISE_BDESC;
const int T = CUDNN_ATTR_OPERATION_POINTWISE_TDESC, Y = CUDNN_ATTR_OPERATION_POINTWISE_YDESC;
const int DY = CUDNN_ATTR_OPERATION_POINTWISE_DYDESC, DX = CUDNN_ATTR_OPERATION_POINTWISE_DXDESC;

// The operands that each kind has, and no others.
std::vector<int> inputs_of(kind k)
{
    return k == UNARY    ? std::vector<int>{X}
           : k == BINARY ? std::vector<int>{X, B}
           : k == SELECT ? std::vector<int>{X, B, T}
                         : std::vector<int>{X, DY};
}

} // namespace

cudnnStatus_t finalize_pointwise_function(const object &o)
{
    int mode = o.get<int>(CUDNN_ATTR_POINTWISE_MODE);
    if (kind_of(mode) == UNKNOWN) {
        return misuse(CUDNN_STATUS_NOT_SUPPORTED, "pointwise mode %d is not simulated", mode);
    }
    if (o.get<cudnnDataType_t>(CUDNN_ATTR_POINTWISE_MATH_PREC) != CUDNN_DATA_FLOAT) {
        return misuse(CUDNN_STATUS_NOT_SUPPORTED,
            "a pointwise operation computes in another type than fp32: not simulated");
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finalize_pointwise(object &o)
{
    operation &op = o.as_operation;
    object_ptr function = o.child(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    op.mode = function->get<int>(CUDNN_ATTR_POINTWISE_MODE);
    op.propagate_nan = function->get<int>(2 /* POINTWISE_NAN_PROPAGATION */) == 1;
    op.lower_clip = function->real_number(CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, 0);
    op.slope = function->real_number(CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, 0);
    op.has_upper_clip = function->has(CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP);
    op.upper_clip = function->real_number(CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, 0);
    if (o.real_number(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, 1) != 1 ||
        o.real_number(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2, 1) != 1) {
        return misuse(
            CUDNN_STATUS_NOT_SUPPORTED, "a pointwise operation scales its operands: not simulated");
    }

    kind k = kind_of(op.mode);
    std::vector<int> inputs = inputs_of(k);
    int output = k == BACKWARD ? DX : Y;
    for (int role : {X, B, T, DY, Y, DX}) {
        bool expected = role == output ||
                        std::find(inputs.begin(), inputs.end(), role) != inputs.end();
        if (expected != o.has(role)) {
            return misuse(CUDNN_STATUS_BAD_PARAM, "pointwise mode %d %s attribute %d", op.mode,
                expected ? "needs" : "has no", role);
        }
        add_operand(o, role, role == output);
    }
    const tensor &whole = op.at(output);
    for (const operand &each : op.operands) {
        if (each.t.overlaps()) {
            return misuse(CUDNN_STATUS_BAD_PARAM, "pointwise: %s has overlapping strides",
                each.t.name().c_str());
        }
        if (!each.t.broadcasts_to(whole)) {
            return misuse(CUDNN_STATUS_BAD_PARAM,
                "pointwise: %s does not broadcast to %s (the real library may not notice)",
                each.t.name().c_str(), whole.name().c_str());
        }
    }
    return CUDNN_STATUS_SUCCESS;
}

// ---- execution ----

namespace
{

// An operand beside the output: where it is at an output's pixel, and its step from channel to
// channel.
struct beside {
    floats held;
    const tensor *t = nullptr;
    int64_t step = 0;

    const float *at(int64_t n, int64_t h, int64_t w) const
    {
        const int64_t *d = t->dims;
        n = d[0] > 1 ? n : 0;
        h = d[2] > 1 ? h : 0;
        w = d[3] > 1 ? w : 0;
        return held.get() + ((n * d[2] + h) * d[3] + w) * d[1];
    }
};

beside open(const tensor *t, values &v)
{
    beside b;
    if (t) {
        b.t = t;
        b.held = v.load(*t);
        b.step = t->dims[1] > 1;
    }
    return b;
}

// Calls f(x, second, third) for each element of the output.
template <class F>
void for_each_element(
    const tensor &y, float *out, const beside &a, const beside &b, const beside &c, const F &f)
{
    const float none = 0;
    int64_t channels = y.dims[1], height = y.dims[2], width = y.dims[3];
    in_parallel(y.dims[0] * height, static_cast<double>(y.count()) * 4, [&](int64_t row) {
        int64_t n = row / height, h = row % height;
        for (int64_t w = 0; w < width; w++) {
            float *to = out + (row * width + w) * channels;
            const float *p = a.at(n, h, w), *q = b.t ? b.at(n, h, w) : &none;
            const float *r = c.t ? c.at(n, h, w) : &none;
            if (a.step && b.step && !c.step) { // what matters for speed
                for (int64_t k = 0; k < channels; k++) {
                    to[k] = f(p[k], q[k], *r);
                }
            } else {
                for (int64_t k = 0; k < channels; k++) {
                    to[k] = f(p[k * a.step], q[k * b.step], r[k * c.step]);
                }
            }
        }
    });
}

} // namespace

void run_pointwise(const operation &op, values &v, const arithmetic &how)
{
    kind k = kind_of(op.mode);
    const tensor &y = op.at(k == BACKWARD ? DX : Y);
    beside a = open(op.find(X), v), b = open(op.find(k == BACKWARD ? DY : B), v);
    beside c = open(op.find(T), v);
    floats made = make_floats(y.count());
    float low = static_cast<float>(op.lower_clip), slope = static_cast<float>(op.slope);
    float high = op.has_upper_clip ? static_cast<float>(op.upper_clip) : INFINITY;
    bool keep_nan = op.propagate_nan || how.propagate_nan;
    auto run = [&](auto f) { for_each_element(y, made.get(), a, b, c, f); };
    switch (op.mode) {
    case CUDNN_POINTWISE_IDENTITY:
        run([=](float x, float, float) { return x; });
        break;
    case CUDNN_POINTWISE_ABS:
        run([=](float x, float, float) { return std::fabs(x); });
        break;
    case CUDNN_POINTWISE_NEG:
        run([=](float x, float, float) { return -x; });
        break;
    case CUDNN_POINTWISE_EXP:
        run([=](float x, float, float) { return std::exp(x); });
        break;
    case CUDNN_POINTWISE_LOG:
        run([=](float x, float, float) { return std::log(x); });
        break;
    case CUDNN_POINTWISE_SQRT:
        run([=](float x, float, float) { return std::sqrt(x); });
        break;
    case CUDNN_POINTWISE_RSQRT:
        run([=](float x, float, float) { return 1.0f / std::sqrt(x); });
        break;
    case CUDNN_POINTWISE_RECIPROCAL:
        run([=](float x, float, float) { return 1.0f / x; });
        break;
    case CUDNN_POINTWISE_RELU_FWD:
        // A NaN becomes the lower clip unless its propagation is asked for: so says the attribute.
        run([=](float x, float, float) {
            float clipped = x > low ? std::min(x, high) : low + slope * (x - low);
            return x != x ? (keep_nan ? x : low) : clipped;
        });
        break;
    case CUDNN_POINTWISE_RELU_BWD:
        run([=](float x, float dy, float) { return x > low && x <= high ? dy : slope * dy; });
        break;
    case CUDNN_POINTWISE_ADD:
        run([=](float x, float z, float) { return x + z; });
        break;
    case CUDNN_POINTWISE_SUB:
        run([=](float x, float z, float) { return x - z; });
        break;
    case CUDNN_POINTWISE_MUL:
        run([=](float x, float z, float) { return x * z; });
        break;
    case CUDNN_POINTWISE_DIV:
        run([=](float x, float z, float) { return x / z; });
        break;
    case CUDNN_POINTWISE_MAX:
        run([=](float x, float z, float) { return std::fmax(x, z); });
        break;
    case CUDNN_POINTWISE_MIN:
        run([=](float x, float z, float) { return std::fmin(x, z); });
        break;
    case CUDNN_POINTWISE_CMP_EQ:
        run([=](float x, float z, float) { return x == z ? 1.0f : 0.0f; });
        break;
    case CUDNN_POINTWISE_CMP_NEQ:
        run([=](float x, float z, float) { return x != z ? 1.0f : 0.0f; });
        break;
    case CUDNN_POINTWISE_CMP_GT:
        run([=](float x, float z, float) { return x > z ? 1.0f : 0.0f; });
        break;
    case CUDNN_POINTWISE_CMP_GE:
        run([=](float x, float z, float) { return x >= z ? 1.0f : 0.0f; });
        break;
    case CUDNN_POINTWISE_CMP_LT:
        run([=](float x, float z, float) { return x < z ? 1.0f : 0.0f; });
        break;
    case CUDNN_POINTWISE_CMP_LE:
        run([=](float x, float z, float) { return x <= z ? 1.0f : 0.0f; });
        break;
    default: // CUDNN_POINTWISE_BINARY_SELECT
        run([=](float x, float z, float t) { return t != 0 ? x : z; });
    }
    v.store(y, made);
}

// ---- reductions ----

cudnnStatus_t finalize_reduction_function(const object &o)
{
    int by = o.get<int>(CUDNN_ATTR_REDUCTION_OPERATOR);
    if (by < CUDNN_REDUCE_TENSOR_ADD || by > CUDNN_REDUCE_TENSOR_NORM2 ||
        by == CUDNN_REDUCE_TENSOR_MUL) {
        return misuse(CUDNN_STATUS_NOT_SUPPORTED, "reduction %d is not simulated", by);
    }
    if (o.get<cudnnDataType_t>(CUDNN_ATTR_REDUCTION_COMP_TYPE) != CUDNN_DATA_FLOAT) {
        return misuse(CUDNN_STATUS_NOT_SUPPORTED,
            "a reduction computes in another type than fp32: not simulated");
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finalize_reduction(object &o)
{
    operation &op = o.as_operation;
    op.mode = o.child(CUDNN_ATTR_OPERATION_REDUCTION_DESC)->get<int>(CUDNN_ATTR_REDUCTION_OPERATOR);
    add_operand(o, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, false);
    add_operand(o, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, true);
    const tensor &x = op.operands[0].t, &y = op.operands[1].t;
    if (!y.broadcasts_to(x) || y.same_shape(x) || x.overlaps() || y.overlaps()) {
        return misuse(CUDNN_STATUS_BAD_PARAM,
            "reduction: %s is not what %s can be reduced to, or strides overlap", y.name().c_str(),
            x.name().c_str());
    }
    return CUDNN_STATUS_SUCCESS;
}

namespace
{

// One step of a reduction, and what it begins with.
double reduced(int by, double so_far, double x)
{
    switch (by) {
    case CUDNN_REDUCE_TENSOR_MIN:
        return x != x || x < so_far ? x : so_far;
    case CUDNN_REDUCE_TENSOR_MAX:
        return x != x || x > so_far ? x : so_far;
    case CUDNN_REDUCE_TENSOR_AMAX:
        return x != x || std::fabs(x) > so_far ? std::fabs(x) : so_far;
    case CUDNN_REDUCE_TENSOR_NORM1:
        return so_far + std::fabs(x);
    case CUDNN_REDUCE_TENSOR_NORM2:
        return so_far + x * x;
    default:
        return so_far + x;
    }
}

double begun(int by)
{
    return by == CUDNN_REDUCE_TENSOR_MUL   ? 1
           : by == CUDNN_REDUCE_TENSOR_MIN ? static_cast<double>(INFINITY)
           : by == CUDNN_REDUCE_TENSOR_MAX ? -static_cast<double>(INFINITY)
                                           : 0;
}

} // namespace

void run_reduction(const operation &op, values &v)
{
    const tensor &x = op.at(CUDNN_ATTR_OPERATION_REDUCTION_XDESC);
    const tensor &y = op.at(CUDNN_ATTR_OPERATION_REDUCTION_YDESC);
    floats from = v.load(x), made = make_floats(y.count());
    std::vector<double> sums(static_cast<size_t>(y.count()), begun(op.mode));
    const int64_t *d = x.dims, *e = y.dims;
    const float *next = from.get();
    for (int64_t n = 0; n < d[0]; n++) {
        for (int64_t h = 0; h < d[2]; h++) {
            for (int64_t w = 0; w < d[3]; w++) {
                int64_t pixel = ((e[0] > 1 ? n : 0) * e[2] + (e[2] > 1 ? h : 0)) * e[3] +
                                (e[3] > 1 ? w : 0);
                double *to = sums.data() + pixel * e[1];
                if (op.mode == CUDNN_REDUCE_TENSOR_ADD && e[1] > 1) { // bias gradients: quick
                    for (int64_t c = 0; c < d[1]; c++) {
                        to[c] += static_cast<double>(next[c]);
                    }
                } else {
                    for (int64_t c = 0; c < d[1]; c++) {
                        double &sum = to[e[1] > 1 ? c : 0];
                        sum = reduced(op.mode, sum, static_cast<double>(next[c]));
                    }
                }
                next += d[1];
            }
        }
    }
    double each = static_cast<double>(x.count() / y.count());
    for (int64_t i = 0; i < y.count(); i++) {
        double sum = sums[static_cast<size_t>(i)];
        made[i] = static_cast<float>(op.mode == CUDNN_REDUCE_TENSOR_AVG     ? sum / each
                                     : op.mode == CUDNN_REDUCE_TENSOR_NORM2 ? std::sqrt(sum)
                                                                            : sum);
    }
    v.store(y, made);
}

} // namespace simcudnn
