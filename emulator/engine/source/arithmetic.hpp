// Integers held in doubles, exactly: every value on the path stays below 2^52 (the config's validation proves it).
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>

#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace crosspoint {

// Eight lanes: one AVX-512 register, or two of AVX2. GCC lowers them to whatever the machine has.
using U64x8 = std::uint64_t __attribute__((vector_size(64)));
using I64x8 = std::int64_t __attribute__((vector_size(64)));
using F64x8 = double __attribute__((vector_size(64)));
constexpr long LANES = 8;

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

// Conversions between doubles and unsigned integers below 2^52 through the bits of 2^52 + value: no machine needs a
// conversion instruction for them.
constexpr double TWO_52 = 4503599627370496.0;
constexpr std::uint64_t TWO_52_BITS = 0x4330000000000000;
inline U64x8 to_integer(F64x8 value) { return (U64x8)(value + TWO_52) & ((1ull << 52) - 1); }
inline F64x8 to_double(U64x8 value) { return (F64x8)(value | TWO_52_BITS) - TWO_52; }

// floor of values in 0 .. 2^51: round to nearest by adding 2^52, then correct.
inline F64x8 floor_of(F64x8 value) {
    const F64x8 nearest = (value + TWO_52) - TWO_52;
    const F64x8 one = F64x8{} + 1.0;
    return nearest - (F64x8)((I64x8)one & (nearest > value));
}

inline F64x8 magnitude(F64x8 value) { return (F64x8)((U64x8)value & ~(1ull << 63)); }
inline F64x8 with_sign_of(F64x8 value, F64x8 sign) { return (F64x8)((U64x8)value | ((U64x8)sign & (1ull << 63))); }
inline F64x8 least(F64x8 value, double limit) {
    const I64x8 inside = value < limit;
    return (F64x8)(((I64x8)value & inside) | ((I64x8)(F64x8{} + limit) & ~inside));
}

// The ones among the lowest 16 bits of each lane.
inline U64x8 ones_of_16(U64x8 value) {
#ifdef __AVX512VPOPCNTDQ__
    return (U64x8)_mm512_popcnt_epi64((__m512i)(value & 0xFFFF));
#else
    value &= 0xFFFF;
    value = value - ((value >> 1) & 0x5555);
    value = (value & 0x3333) + ((value >> 2) & 0x3333);
    value = (value + (value >> 4)) & 0x0F0F;
    return (value + (value >> 8)) & 0x1F;
#endif
}

// Bit k is set if lane k is not zero.
inline unsigned nonzero_lanes(U64x8 value) {
#ifdef __AVX512F__
    return _mm512_test_epi64_mask((__m512i)value, (__m512i)value);
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
    const auto* vectors = reinterpret_cast<const F64x8*>(values);
    F64x8 largest = {};
    for (long v = 0; v < count / LANES; ++v) {
        const F64x8 size = magnitude(vectors[v]);
        const I64x8 more = size > largest;
        largest = (F64x8)(((I64x8)size & more) | ((I64x8)largest & ~more));
    }
    double result = 0;
    for (long k = 0; k < LANES; ++k) result = std::max(result, largest[k]);
    return result;
}

}  // namespace crosspoint
