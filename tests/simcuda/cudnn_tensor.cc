// Tensors: what finalizing checks, and their values on the way from and to device memory.
#include "cudnn_internal.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cuda_fp16.h>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#define WIDE __attribute__((target("avx2,f16c")))
#endif

namespace simcudnn
{

size_t type_size(cudnnDataType_t type)
{
    switch (type) {
    case CUDNN_DATA_FLOAT:
        return 4;
    case CUDNN_DATA_HALF:
    case CUDNN_DATA_BFLOAT16:
        return 2;
    case CUDNN_DATA_INT8:
    case CUDNN_DATA_BOOLEAN: // a byte an element here; only masks use it
        return 1;
    default:
        return 0;
    }
}

const char *type_name(cudnnDataType_t type)
{
    switch (type) {
    case CUDNN_DATA_FLOAT:
        return "float";
    case CUDNN_DATA_HALF:
        return "half";
    case CUDNN_DATA_BFLOAT16:
        return "bf16";
    case CUDNN_DATA_INT8:
        return "int8";
    case CUDNN_DATA_BOOLEAN:
        return "boolean";
    default:
        return "a type that is not simulated";
    }
}

size_t tensor::bytes() const
{
    int64_t last = 0;
    for (int i = 0; i < 4; i++) {
        last += (dims[i] - 1) * strides[i];
    }
    return static_cast<size_t>(last + 1) * type_size(type);
}

bool tensor::overlaps() const
{
    int order[] = {0, 1, 2, 3};
    std::sort(order, order + 4, [this](int a, int b) { return strides[a] < strides[b]; });
    int64_t reach = 0; // of the dimensions with smaller strides
    for (int i : order) {
        if (dims[i] > 1 && strides[i] <= reach) {
            return true;
        }
        reach += (dims[i] - 1) * strides[i];
    }
    return false;
}

bool tensor::is_packed() const
{
    int64_t expected[] = {dims[1] * dims[2] * dims[3], 1, dims[1] * dims[3], dims[1]};
    for (int i = 0; i < 4; i++) {
        if (dims[i] > 1 && strides[i] != expected[i]) {
            return false;
        }
    }
    return true;
}

std::string tensor::name() const
{
    char text[120];
    snprintf(text, sizeof text, "tensor %lld (%s, %lldx%lldx%lldx%lld)",
        static_cast<long long>(uid), type_name(type), static_cast<long long>(dims[0]),
        static_cast<long long>(dims[1]), static_cast<long long>(dims[2]),
        static_cast<long long>(dims[3]));
    return text;
}

cudnnStatus_t finalize_tensor(object &o)
{
    tensor &t = o.as_tensor;
    std::vector<int64_t> dims = o.integers(CUDNN_ATTR_TENSOR_DIMENSIONS);
    std::vector<int64_t> strides = o.integers(CUDNN_ATTR_TENSOR_STRIDES);
    if (dims.size() != strides.size()) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "a tensor has %zu dimensions and %zu strides",
            dims.size(), strides.size());
    }
    if (dims.size() != 4) {
        return misuse(CUDNN_STATUS_NOT_SUPPORTED,
            "a tensor of %zu dimensions: only 4 (N, C, H, W) are simulated", dims.size());
    }
    std::copy(dims.begin(), dims.end(), t.dims);
    std::copy(strides.begin(), strides.end(), t.strides);
    t.type = o.get<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE);
    t.uid = o.get<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID);
    t.alignment = o.get<int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
    t.is_virtual = o.get<bool>(CUDNN_ATTR_TENSOR_IS_VIRTUAL, false);
    t.by_value = o.get<bool>(CUDNN_ATTR_TENSOR_IS_BY_VALUE, false);
    for (int i = 0; i < 4; i++) {
        if (t.dims[i] < 1 || t.strides[i] < 1) {
            return misuse(
                CUDNN_STATUS_BAD_PARAM, "%s has a dimension or a stride below 1", t.name().c_str());
        }
    }
    size_t size = type_size(t.type);
    if (!size) {
        return misuse(CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE, "data type %d is not simulated",
            static_cast<int>(t.type));
    }
    if (t.alignment < static_cast<int64_t>(size) || (t.alignment & (t.alignment - 1))) {
        return misuse(CUDNN_STATUS_BAD_PARAM,
            "%s is aligned to %lld bytes (the real library accepts that)", t.name().c_str(),
            static_cast<long long>(t.alignment));
    }
    if (t.by_value && (t.is_virtual || t.count() != 1)) {
        return misuse(CUDNN_STATUS_BAD_PARAM, "%s is by value but no scalar", t.name().c_str());
    }
    return CUDNN_STATUS_SUCCESS;
}

// ---- conversions ----

namespace
{

uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint16_t bf16_of(float value)
{
    uint32_t bits = bits_of(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return static_cast<uint16_t>((bits | 0x400000u) >> 16);
    }
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

#if defined(__x86_64__)
bool has_f16c()
{
    static const bool has = __builtin_cpu_supports("avx2"); // where that is, f16c is, too
    return has;
}

WIDE int64_t widen_halves(const uint16_t *from, float *to, int64_t count)
{
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m128i eight = _mm_loadu_si128(reinterpret_cast<const __m128i *>(from + i));
        _mm256_storeu_ps(to + i, _mm256_cvtph_ps(eight));
    }
    return i;
}

WIDE int64_t narrow_halves(const float *from, uint16_t *to, int64_t count)
{
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m128i eight = _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128(reinterpret_cast<__m128i *>(to + i), eight);
    }
    return i;
}
#endif

void widen(cudnnDataType_t type, const char *from, float *to, int64_t count)
{
    int64_t i = 0;
    switch (type) {
    case CUDNN_DATA_HALF:
#if defined(__x86_64__)
        if (has_f16c()) {
            i = widen_halves(reinterpret_cast<const uint16_t *>(from), to, count);
        }
#endif
        for (; i < count; i++) {
            to[i] = __half2float(reinterpret_cast<const __half *>(from)[i]);
        }
        break;
    case CUDNN_DATA_BFLOAT16:
        for (; i < count; i++) {
            to[i] = float_of(
                static_cast<uint32_t>(reinterpret_cast<const uint16_t *>(from)[i]) << 16);
        }
        break;
    case CUDNN_DATA_INT8:
        for (; i < count; i++) {
            to[i] = reinterpret_cast<const int8_t *>(from)[i];
        }
        break;
    case CUDNN_DATA_BOOLEAN:
        for (; i < count; i++) {
            to[i] = from[i] ? 1.0f : 0.0f;
        }
        break;
    default:
        memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
    }
}

void narrow(cudnnDataType_t type, const float *from, char *to, int64_t count)
{
    int64_t i = 0;
    switch (type) {
    case CUDNN_DATA_HALF:
#if defined(__x86_64__)
        if (has_f16c()) {
            i = narrow_halves(from, reinterpret_cast<uint16_t *>(to), count);
        }
#endif
        for (; i < count; i++) {
            reinterpret_cast<__half *>(to)[i] = __float2half_rn(from[i]);
        }
        break;
    case CUDNN_DATA_BFLOAT16:
        for (; i < count; i++) {
            reinterpret_cast<uint16_t *>(to)[i] = bf16_of(from[i]);
        }
        break;
    case CUDNN_DATA_INT8:
        for (; i < count; i++) {
            float rounded = std::nearbyint(std::min(std::max(from[i], -128.0f), 127.0f));
            reinterpret_cast<int8_t *>(to)[i] = static_cast<int8_t>(rounded);
        }
        break;
    case CUDNN_DATA_BOOLEAN:
        for (; i < count; i++) {
            to[i] = from[i] != 0.0f;
        }
        break;
    default:
        memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
    }
}

// Calls each(offset in memory, offset in packed order, elements) for runs of elements that are
// neighbours in both, over a part of the tensor's images.
template <class EACH> void each_run(const tensor &t, int64_t image, const EACH &each)
{
    int64_t c = t.dims[1], h = t.dims[2], w = t.dims[3];
    for (int64_t y = 0; y < h; y++) {
        for (int64_t x = 0; x < w; x++) {
            int64_t at = image * t.strides[0] + y * t.strides[2] + x * t.strides[3];
            int64_t packed = ((image * h + y) * w + x) * c;
            if (t.strides[1] == 1) {
                each(at, packed, c);
            } else {
                for (int64_t k = 0; k < c; k++) {
                    each(at + k * t.strides[1], packed + k, 1);
                }
            }
        }
    }
}

// The same of the whole tensor, in parallel; a packed one in long pieces.
template <class EACH> void in_runs(const tensor &t, const EACH &each)
{
    const int64_t piece = 1 << 16;
    int64_t count = t.count();
    double work = static_cast<double>(count) * 2;
    if (t.is_packed()) {
        in_parallel((count + piece - 1) / piece, work,
            [&](int64_t i) { each(i * piece, i * piece, std::min(piece, count - i * piece)); });
    } else {
        in_parallel(t.dims[0], work, [&](int64_t image) { each_run(t, image, each); });
    }
}

} // namespace

void narrow_to_half(float *v, int64_t count)
{
    uint16_t halves[256];
    for (int64_t i = 0; i < count; i += 256) {
        int64_t some = std::min<int64_t>(256, count - i);
        narrow(CUDNN_DATA_HALF, v + i, reinterpret_cast<char *>(halves), some);
        widen(CUDNN_DATA_HALF, reinterpret_cast<const char *>(halves), v + i, some);
    }
}

void narrow_to_tf32(float *v, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = bits_of(v[i]);
        bool finite = (bits & 0x7f800000u) != 0x7f800000u;
        v[i] = finite ? float_of((bits + 0x1000u) & ~0x1fffu) : v[i]; // 10 bits of mantissa
    }
}

// ---- values ----

floats make_floats(int64_t count)
{
    return floats(new float[static_cast<size_t>(count)]);
}

void values::set_scalar(int64_t uid, float value)
{
    floats one = make_floats(1);
    one[0] = value;
    known[uid] = one;
}

floats values::load(const tensor &t)
{
    floats &read = known[t.uid];
    if (!read) {
        read = make_floats(t.count());
        float *to = read.get();
        const char *base = static_cast<const char *>(pointers.at(t.uid));
        in_runs(t, [&](int64_t at, int64_t packed, int64_t count) {
            widen(t.type, base + at * static_cast<int64_t>(type_size(t.type)), to + packed, count);
        });
    }
    return read;
}

void values::store(const tensor &t, floats made)
{
    int64_t size = static_cast<int64_t>(type_size(t.type));
    char *base = t.is_virtual ? nullptr : static_cast<char *>(pointers.at(t.uid));
    float *v = made.get();
    if (base) {
        in_runs(t, [&](int64_t at, int64_t packed, int64_t count) {
            narrow(t.type, v + packed, base + at * size, count);
        });
        known.erase(t.uid); // whoever needs it reads what was rounded
    } else {
        if (t.type != CUDNN_DATA_FLOAT) {
            std::vector<char> piece(256 * static_cast<size_t>(size));
            for (int64_t i = 0; i < t.count(); i += 256) {
                int64_t some = std::min<int64_t>(256, t.count() - i);
                narrow(t.type, v + i, piece.data(), some);
                widen(t.type, piece.data(), v + i, some);
            }
        }
        known[t.uid] = made;
    }
}

void in_parallel(int64_t count, double work, const std::function<void(int64_t)> &task)
{
    static const int64_t processors = std::min<int64_t>(
        8, std::max(1u, std::thread::hardware_concurrency()));
    // A thread costs some 30 microseconds to start; threads are not kept, so that a fork finds
    // none.
    int64_t wanted = std::min({count, processors, static_cast<int64_t>(work / 2e6) + 1});
    std::atomic<int64_t> next{0};
    auto serve = [&] {
        for (int64_t i = next++; i < count; i = next++) {
            task(i);
        }
    };
    std::vector<std::thread> others;
    for (int64_t i = 1; i < wanted; i++) {
        others.emplace_back(serve);
    }
    serve();
    for (std::thread &other : others) {
        other.join();
    }
}

} // namespace simcudnn
