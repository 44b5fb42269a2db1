// The functions of arithmetic.hpp on arrays, for test_arithmetic.py.

#include "arithmetic.hpp"

using namespace crosspoint;

extern "C" {

long lanes() { return LANES; }

void apply_round_shift(const std::int64_t* values, long count, long shift, std::int64_t* results) {
    for (long k = 0; k < count; ++k) results[k] = round_shift(values[k], shift);
}

void apply_round_scaled(const double* values, long count, long shift, double* results) {
    for (long k = 0; k < count; ++k) results[k] = round_scaled(values[k], int(shift));
}

void apply_round_by(const double* values, long count, long shift, double* results) {
    for (long k = 0; k < count; ++k) results[k] = round_by(values[k], power_of_two(shift));
}

void apply_move_to_nearest(const double* products, long count, long shift, double* results) {
    for (long k = 0; k < count; ++k) results[k] = NearestRounding{power_of_two(shift)}(products[k]);
}

void apply_stochastic_move(const double* products, const double* offsets, long count, long shift, double* results) {
    for (long k = 0; k < count; ++k) results[k] = StochasticRounding{power_of_two(shift), offsets[k]}(products[k]);
}

// What DAC, ADC and probabilities do with a vector: round magnitudes, limit them, and give the signs back.
void apply_lanes(const double* values, long count, long shift, double limit, double* results) {
    const auto* vectors = reinterpret_cast<const F64Lanes*>(values);
    for (long v = 0; v < count / LANES; ++v) {
        const F64Lanes size = floor_of(least(magnitude(vectors[v]) * power_of_two(shift) + 0.5, limit));
        reinterpret_cast<F64Lanes*>(results)[v] = with_sign_of(size, vectors[v]);
    }
}

void apply_integers(const double* values, long count, std::uint64_t* integers, double* back) {
    for (long v = 0; v < count / LANES; ++v) {
        const U64Lanes converted = to_integer(reinterpret_cast<const F64Lanes*>(values)[v]);
        reinterpret_cast<U64Lanes*>(integers)[v] = converted;
        reinterpret_cast<F64Lanes*>(back)[v] = to_double(converted);
    }
}

void apply_ones(const std::uint64_t* words, long count, std::uint64_t* ones, std::uint64_t* lanes_set) {
    for (long v = 0; v < count / LANES; ++v) {
        const U64Lanes word = reinterpret_cast<const U64Lanes*>(words)[v];
        reinterpret_cast<U64Lanes*>(ones)[v] = ones_of_16(word);
        lanes_set[v] = nonzero_lanes(word);
    }
}

void apply_scalars(const std::int64_t* values, long count, std::int64_t* lengths, std::int64_t* roots) {
    for (long k = 0; k < count; ++k) {
        lengths[k] = bit_length(std::uint64_t(values[k]));
        roots[k] = square_root(values[k]);
    }
}

double largest(const double* values, long count) { return largest_magnitude(values, count); }
}
