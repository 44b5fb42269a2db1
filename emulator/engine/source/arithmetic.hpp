// Integers held in doubles, exactly: every value on the path stays below 2^52 (the config's validation proves it).
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>

#ifdef __AVX__
#include <immintrin.h>
#endif

namespace crosspoint {

// As many lanes as a register of the machine has: GCC takes wider vectors apart lane by lane, through memory.
#if defined(__AVX512F__)
constexpr long LANES = 8;
#elif defined(__AVX__)
constexpr long LANES = 4;
#else
constexpr long LANES = 2;
#endif
using U64Lanes = std::uint64_t __attribute__((vector_size(8 * LANES)));
using I64Lanes = std::int64_t __attribute__((vector_size(8 * LANES)));
using F64Lanes = double __attribute__((vector_size(8 * LANES)));

inline long round_up(long value, long multiple) { return (value + multiple - 1) / multiple * multiple; }

// A zeroed buffer aligned for the vectors above.
template <class T>
class Buffer {
public:
    explicit Buffer(long count = 0) { resize(count); }
    void resize(long count) {
        count_ = count;
        const std::size_t bytes = std::size_t(round_up(std::max<long>(count, 1) * long(sizeof(T)), 64));
        data_.reset(static_cast<T*>(std::aligned_alloc(64, bytes)));
        std::fill_n(reinterpret_cast<char*>(data_.get()), bytes, char(0));
    }
    T* data() { return data_.get(); }
    const T* data() const { return data_.get(); }
    T& operator[](long k) { return data_.get()[k]; }
    const T& operator[](long k) const { return data_.get()[k]; }
    long size() const { return count_; }

private:
    struct Free {
        void operator()(T* p) const { std::free(p); }
    };
    std::unique_ptr<T[], Free> data_;
    long count_ = 0;
};

// 2^-shift
inline double power_of_two(long shift) { return std::ldexp(1.0, int(-shift)); }

// round_shift of emulator/fixed.py, with the shift given as a factor: nearest, halves away from zero.
inline double round_by(double value, double factor) {
    return std::copysign(std::floor(std::fabs(value) * factor + 0.5), value);
}

inline double round_scaled(double value, int shift) { return round_by(value, 1.0 / double(std::int64_t(1) << shift)); }

// The same for the product of a step and a factor, as Device::move takes it.
struct NearestRounding {
    double factor;
    double operator()(double product) const { return round_by(product, factor); }
};

// round_stochastically of emulator/fixed.py: `offset` is the random word, below 1 / factor.
struct StochasticRounding {
    double factor, offset;
    double operator()(double product) const { return std::floor((product + offset) * factor); }
};

// Conversions between doubles and unsigned integers below 2^52 through the bits of 2^52 + value: no machine needs a
// conversion instruction for them.
constexpr double TWO_52 = 4503599627370496.0;
constexpr std::uint64_t TWO_52_BITS = 0x4330000000000000;
inline U64Lanes to_integer(F64Lanes value) { return (U64Lanes)(value + TWO_52) & ((1ull << 52) - 1); }
inline F64Lanes to_double(U64Lanes value) { return (F64Lanes)(value | TWO_52_BITS) - TWO_52; }

// floor of values in 0 .. 2^51: round to nearest by adding 2^52, then correct.
inline F64Lanes floor_of(F64Lanes value) {
    const F64Lanes nearest = (value + TWO_52) - TWO_52;
    const F64Lanes one = F64Lanes{} + 1.0;
    return nearest - (F64Lanes)((I64Lanes)one & (nearest > value));
}

inline F64Lanes magnitude(F64Lanes value) { return (F64Lanes)((U64Lanes)value & ~(1ull << 63)); }
inline F64Lanes with_sign_of(F64Lanes value, F64Lanes sign) {
    return (F64Lanes)((U64Lanes)value | ((U64Lanes)sign & (1ull << 63)));
}
inline F64Lanes least(F64Lanes value, double limit) {
    const I64Lanes inside = value < limit;
    return (F64Lanes)(((I64Lanes)value & inside) | ((I64Lanes)(F64Lanes{} + limit) & ~inside));
}

// The ones among the lowest 16 bits of each lane.
inline U64Lanes ones_of_16(U64Lanes value) {
#ifdef __AVX512VPOPCNTDQ__
    return (U64Lanes)_mm512_popcnt_epi64((__m512i)(value & 0xFFFF));
#else
    value &= 0xFFFF;
    value = value - ((value >> 1) & 0x5555);
    value = (value & 0x3333) + ((value >> 2) & 0x3333);
    value = (value + (value >> 4)) & 0x0F0F;
    return (value + (value >> 8)) & 0x1F;
#endif
}

// Bit k is set if lane k is not zero.
inline unsigned nonzero_lanes(U64Lanes value) {
#ifdef __AVX512F__
    return _mm512_test_epi64_mask((__m512i)value, (__m512i)value);
#elif defined(__AVX__)
    return ~unsigned(_mm256_movemask_pd((__m256d)(value == 0))) & 0xF;
#else
    unsigned lanes = 0;
    for (long k = 0; k < LANES; ++k) lanes |= unsigned(value[k] != 0) << k;
    return lanes;
#endif
}

// round_shift on 64-bit integers, for the few products wider than a double.
inline std::int64_t round_shift(std::int64_t value, long shift) {
    if (shift <= 0) return std::int64_t(std::uint64_t(value) << -shift);
    if (shift > 62) return 0;
    return (value + (std::int64_t(1) << (shift - 1)) - (value < 0)) >> shift;
}

inline long bit_length(std::uint64_t value) { return 64 - std::countl_zero(value); }

// floor(sqrt(value)) for value < 2^52.
inline std::int64_t square_root(std::int64_t value) {
    auto root = std::int64_t(std::sqrt(double(value)));
    while (root * root > value) --root;
    while ((root + 1) * (root + 1) <= value) ++root;
    return root;
}

// max |v|; `count` is a multiple of LANES.
inline double largest_magnitude(const double* values, long count) {
    const auto* vectors = reinterpret_cast<const F64Lanes*>(values);
    F64Lanes largest = {};
    for (long v = 0; v < count / LANES; ++v) {
        const F64Lanes size = magnitude(vectors[v]);
        const I64Lanes more = size > largest;
        largest = (F64Lanes)(((I64Lanes)size & more) | ((I64Lanes)largest & ~more));
    }
    double result = 0;
    for (long k = 0; k < LANES; ++k) result = std::max(result, largest[k]);
    return result;
}

}  // namespace crosspoint
