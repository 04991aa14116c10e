// Convolutions: each image is unrolled, some rows of the output at a time, into a matrix with a row
// for each output pixel and a column for each tap (filter row, filter column, input channel); then
// all three passes are products of it:
//
//     forward   y  [pixels, K]  =  taps [pixels, RSC] * w^T [RSC, K]
//     data      taps            =  dy [pixels, K] * w [K, RSC], added back into dx
//     filter    dw^T [RSC, K]   =  taps^T * dy, summed over images
#include "cudnn_gemm.h"
#include "cudnn_internal.h"

#include <algorithm>
#include <numeric>

namespace simcudnn
{

namespace
{

struct roles {
    cudnnBackendDescriptorType_t type;
    const char *name;
    int window, x, w, y, alpha, beta;
};

const roles all_roles[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, "convolution forward",
        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, "convolution data gradient",
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, "convolution filter gradient",
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

const roles &roles_of(cudnnBackendDescriptorType_t type)
{
    for (const roles &r : all_roles) {
        if (r.type == type) {
            return r;
        }
    }
    return all_roles[0];
}

// Pixels of the output along one axis, 0 if the filter does not fit.
int64_t output_size(const operation &op, int axis, int64_t input, int64_t filter)
{
    int64_t padded = input + op.before[axis] + op.after[axis];
    int64_t reach = (filter - 1) * op.dilation[axis] + 1;
    return padded < reach ? 0 : (padded - reach) / op.stride[axis] + 1;
}

} // namespace

cudnnStatus_t finalize_window(const object &o)
{
    if (o.get<int64_t>(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS) != 2) {
        return misuse(
            CUDNN_STATUS_NOT_SUPPORTED, "only convolutions of two dimensions are simulated");
    }
    if (o.get<cudnnDataType_t>(CUDNN_ATTR_CONVOLUTION_COMP_TYPE) != CUDNN_DATA_FLOAT) {
        return misuse(CUDNN_STATUS_NOT_SUPPORTED,
            "a convolution computes in another type than fp32: not simulated");
    }
    for (int i = 0; i < 2; i++) {
        if (o.integers(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES)[i] < 1 ||
            o.integers(CUDNN_ATTR_CONVOLUTION_DILATIONS)[i] < 1 ||
            o.integers(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS)[i] < 0 ||
            o.integers(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS)[i] < 0) {
            return misuse(CUDNN_STATUS_BAD_PARAM,
                "a convolution's stride or dilation is below 1 or its padding below 0");
        }
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t finalize_convolution(object &o)
{
    const roles &r = roles_of(o.type);
    operation &op = o.as_operation;
    object_ptr window = o.child(r.window);
    for (int i = 0; i < 2; i++) {
        op.before[i] = window->integers(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS)[i];
        op.after[i] = window->integers(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS)[i];
        op.stride[i] = window->integers(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES)[i];
        op.dilation[i] = window->integers(CUDNN_ATTR_CONVOLUTION_DILATIONS)[i];
    }
    if (window->get<int>(CUDNN_ATTR_CONVOLUTION_CONV_MODE) != CUDNN_CROSS_CORRELATION ||
        o.real_number(r.alpha, 1) != 1 || o.real_number(r.beta, 0) != 0) {
        return misuse(CUDNN_STATUS_NOT_SUPPORTED,
            "%s: only cross-correlation, with alpha 1 and beta 0, is simulated", r.name);
    }
    add_operand(o, r.x, o.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR);
    add_operand(o, r.w, o.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR);
    add_operand(o, r.y, o.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);

    const tensor &x = op.at(r.x), &w = op.at(r.w), &y = op.at(r.y);
    if (x.dims[0] != y.dims[0] || w.dims[0] != y.dims[1] || w.dims[1] != x.dims[1]) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "%s: %s, %s and %s disagree on N, C or K", r.name,
            x.name().c_str(), w.name().c_str(), y.name().c_str());
    }
    for (int i = 0; i < 2; i++) {
        int64_t size = output_size(op, i, x.dims[2 + i], w.dims[2 + i]);
        if (size != y.dims[2 + i]) {
            return misuse(CUDNN_STATUS_BAD_PARAM, "%s: %s makes %lld %s of %s, not %s", r.name,
                w.name().c_str(), static_cast<long long>(size), i ? "columns" : "rows",
                x.name().c_str(), y.name().c_str());
        }
    }
    for (const operand &each : op.operands) {
        if (each.t.overlaps()) {
            return misuse(CUDNN_STATUS_BAD_PARAM, "%s: %s has overlapping strides", r.name,
                each.t.name().c_str());
        }
    }
    return CUDNN_STATUS_SUCCESS;
}

// ---- execution ----

namespace
{

struct convolution {
    const operation *op;
    tensor x, w, y;
    int64_t channels, filters, taps, width; // width: of the output
    double flops;

    explicit convolution(const operation &of) : op(&of)
    {
        const roles &r = roles_of(of.type);
        x = of.at(r.x);
        w = of.at(r.w);
        y = of.at(r.y);
        channels = x.dims[1];
        filters = y.dims[1];
        taps = w.dims[2] * w.dims[3] * channels;
        width = y.dims[3];
        flops = 2.0 * static_cast<double>(y.count()) * static_cast<double>(taps);
    }

    // Rows of the output, of one image or of several, that are unrolled together: enough of them
    // for a filter to be used often once it is in the first cache, few enough for their taps to fit
    // the second.
    int64_t rows_together() const
    {
        int64_t pixels = std::max<int64_t>(128, (1 << 17) / taps);
        return std::max<int64_t>(1, std::min(y.dims[0] * y.dims[2], pixels / width));
    }

    // Calls each(tap's place in the matrix, pixel of x or -1 outside) over rows of the output,
    // counted through all images.
    template <class EACH> void unroll(int64_t first, int64_t rows, const EACH &each) const
    {
        int64_t place = 0;
        for (int64_t row = first; row < first + rows; row++) {
            int64_t image = row / y.dims[2], p = row % y.dims[2];
            for (int64_t q = 0; q < width; q++) {
                for (int64_t r = 0; r < w.dims[2]; r++) {
                    int64_t i = p * op->stride[0] + r * op->dilation[0] - op->before[0];
                    for (int64_t s = 0; s < w.dims[3]; s++) {
                        int64_t j = q * op->stride[1] + s * op->dilation[1] - op->before[1];
                        bool inside = i >= 0 && i < x.dims[2] && j >= 0 && j < x.dims[3];
                        each(place, inside ? (image * x.dims[2] + i) * x.dims[3] + j : -1);
                        place += channels;
                    }
                }
            }
        }
    }

    void gather(const float *images, float *matrix, int64_t first, int64_t rows) const
    {
        unroll(first, rows, [&](int64_t place, int64_t pixel) {
            if (pixel < 0) {
                std::fill(matrix + place, matrix + place + channels, 0.0f);
            } else {
                const float *from = images + pixel * channels;
                std::copy(from, from + channels, matrix + place);
            }
        });
    }

    void scatter_add(const float *matrix, float *images, int64_t first, int64_t rows) const
    {
        unroll(first, rows, [&](int64_t place, int64_t pixel) {
            float *to = images + std::max<int64_t>(pixel, 0) * channels;
            for (int64_t k = 0; pixel >= 0 && k < channels; k++) {
                to[k] += matrix[place + k];
            }
        });
    }
};

floats forward(const convolution &c, const float *x, const float *w, const arithmetic &how)
{
    floats y = make_floats(c.y.count());
    panels by_filter(w, c.taps, c.filters, 1, c.taps);
    int64_t all = c.y.dims[0] * c.y.dims[2], together = c.rows_together();
    in_parallel((all + together - 1) / together, c.flops, [&](int64_t task) {
        int64_t row = task * together, rows = std::min(together, all - row);
        std::unique_ptr<float[]> matrix(new float[static_cast<size_t>(rows * c.width * c.taps)]);
        c.gather(x, matrix.get(), row, rows);
        multiply(rows * c.width, matrix.get(), c.taps, 1, by_filter,
            y.get() + row * c.width * c.filters, false, how.narrow_sums);
    });
    return y;
}

floats data_gradient(const convolution &c, const float *w, const float *dy, const arithmetic &how)
{
    floats dx = make_floats(c.x.count());
    panels by_tap(w, c.filters, c.taps, c.taps, 1);
    int64_t images = c.x.dims[0], height = c.y.dims[2], together = c.rows_together();
    int64_t each = std::max<int64_t>(1, together / height), size = c.x.count() / images;
    in_parallel((images + each - 1) / each, c.flops, [&](int64_t task) {
        int64_t row = task * each * height, end = std::min(images, (task + 1) * each) * height;
        std::fill(dx.get() + row / height * size, dx.get() + end / height * size, 0.0f);
        std::unique_ptr<float[]> matrix(
            new float[static_cast<size_t>(together * c.width * c.taps)]);
        for (; row < end; row += together) {
            int64_t rows = std::min(together, end - row);
            multiply(rows * c.width, dy + row * c.width * c.filters, c.filters, 1, by_tap,
                matrix.get(), false, how.narrow_sums);
            c.scatter_add(matrix.get(), dx.get(), row, rows);
        }
    });
    return dx;
}

// The sum over images is cut into a few parts, fewer of large filters, whatever the number of
// threads, and these are added in order: the same bits on every machine of a kind. An engine that
// says it is not deterministic adds them in any order.
floats filter_gradient(const convolution &c, const float *x, const float *dy, const arithmetic &how)
{
    int64_t images = c.x.dims[0], height = c.y.dims[2];
    int64_t size = c.taps * c.filters, together = c.rows_together();
    int64_t count = std::min<int64_t>(images, size > 1 << 19 ? 2 : 8);
    std::vector<floats> parts(static_cast<size_t>(count));
    in_parallel(count, c.flops, [&](int64_t part) {
        floats sum = make_floats(size);
        std::fill(sum.get(), sum.get() + size, 0.0f);
        std::unique_ptr<float[]> matrix(
            new float[static_cast<size_t>(together * c.width * c.taps)]);
        panels gradients(together * c.width, c.filters);
        int64_t end = images * (part + 1) / count * height;
        for (int64_t row = images * part / count * height; row < end; row += together) {
            int64_t rows = std::min(together, end - row);
            c.gather(x, matrix.get(), row, rows);
            gradients.fill(dy + row * c.width * c.filters, rows * c.width, c.filters, 1);
            multiply(c.taps, matrix.get(), 1, c.taps, gradients, sum.get(), true, how.narrow_sums);
        }
        parts[static_cast<size_t>(part)] = sum;
    });
    for (int64_t i = count - 1; how.any_order && i > 0; i--) {
        std::swap(parts[static_cast<size_t>(i)],
            parts[static_cast<size_t>(sim_random() % static_cast<uint64_t>(i + 1))]);
    }
    for (int64_t part = 1; part < count; part++) {
        for (int64_t i = 0; i < size; i++) {
            parts[0][i] += parts[static_cast<size_t>(part)][i];
        }
    }
    floats dw = make_floats(size);
    for (int64_t k = 0; k < c.filters; k++) {
        for (int64_t i = 0; i < c.taps; i++) {
            dw[k * c.taps + i] = parts[0][i * c.filters + k];
        }
    }
    return dw;
}

// The inputs as the engine's tensor cores see them.
floats as_seen(const floats &from, int64_t count, const arithmetic &how)
{
    if (!how.tf32 && !how.narrow_inputs) {
        return from;
    }
    floats seen = make_floats(count);
    std::copy(from.get(), from.get() + count, seen.get());
    if (how.narrow_inputs) {
        narrow_to_half(seen.get(), count);
    } else {
        narrow_to_tf32(seen.get(), count);
    }
    return seen;
}

} // namespace

void run_convolution(const operation &op, values &v, const arithmetic &how)
{
    convolution c(op);
    bool to_y = op.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
    bool to_x = op.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR;
    const tensor &target = to_y ? c.y : to_x ? c.x : c.w;
    floats x = to_x ? nullptr : as_seen(v.load(c.x), c.x.count(), how);
    floats y = to_y ? nullptr : as_seen(v.load(c.y), c.y.count(), how);
    floats w = to_x || to_y ? as_seen(v.load(c.w), c.w.count(), how) : nullptr;
    floats made = to_y   ? forward(c, x.get(), w.get(), how)
                  : to_x ? data_gradient(c, w.get(), y.get(), how)
                         : filter_gradient(c, x.get(), y.get(), how);
    tensor stored = target;
    if (how.stored_between && target.is_virtual) {
        stored.type = c.x.type;
    }
    v.store(stored, made);
}

} // namespace simcudnn
