// The gains of noise and update management, found once per vector (periphery/noise_management.py, update_management.py).
#pragma once

#include "description.hpp"
#include "arithmetic.hpp"

namespace crosspoint {

// DAC code = round(v * gain); output = ADC code * scale with `fraction` further fraction bits.
struct InputScaling {
    double gain, scale;
    long fraction;
};

inline InputScaling noise_management(const ReadDescription& read, std::int64_t maximum, long fraction,
                                     long magnitude_bits, long dac_fraction, long guard_bits) {
    const long length = bit_length(std::uint64_t(maximum));
    switch (read.noise_management) {
        case POWER_OF_TWO:
            return {power_of_two(length - dac_fraction), maximum > 0 ? std::ldexp(1.0, int(length)) : 0.0, fraction};
        case EXACT: {
            const long leading_zeros = magnitude_bits - length;
            const std::int64_t numerator = std::int64_t(1) << (magnitude_bits + dac_fraction + guard_bits);
            const std::int64_t reciprocal = maximum > 0 ? numerator / (maximum << leading_zeros) : 0;
            const long shift = magnitude_bits + guard_bits - leading_zeros;
            return {double(reciprocal) * power_of_two(shift), double(maximum), fraction};
        }
        default:
            return {power_of_two(fraction - dac_fraction - read.constant_exponent), 1.0, read.constant_exponent};
    }
}

// Probability word = round(|v| * gain), at most 1.0.
struct PulseGains {
    double x, delta;
};

inline double gain_of_side(std::int64_t maximum, std::int64_t root, long root_exponent, long gain_bits,
                           long probability_bits) {
    if (maximum == 0) return 0;
    const long places = gain_bits - bit_length(std::uint64_t(maximum));
    const std::int64_t multiplier = (root << gain_bits) / (maximum << places);
    return double(multiplier) * power_of_two(root_exponent + gain_bits - places - probability_bits);
}

inline PulseGains update_management(const StageDescription& d, std::int64_t x_max, std::int64_t delta_max,
                                    long delta_fraction, long gain_bits) {
    const long x_fraction = d.activation_fraction;
    if (d.update_management != EXACT) {
        long halves = 0;
        if (d.update_management == POWER_OF_TWO)
            halves = (bit_length(std::uint64_t(delta_max)) - delta_fraction - bit_length(std::uint64_t(x_max)) +
                      x_fraction) >> 1;
        const double mantissa = double(d.pulse_gain.mantissa);
        return {mantissa * power_of_two(x_fraction + d.pulse_gain.shift - d.probability_bits - halves),
                mantissa * power_of_two(delta_fraction + d.pulse_gain.shift - d.probability_bits + halves)};
    }
    const std::int64_t product = x_max * delta_max * d.pulse_power.mantissa;
    if (product == 0) return {0, 0};
    const long exponent = x_fraction + delta_fraction + d.pulse_power.shift;
    long places = 2 * gain_bits - bit_length(std::uint64_t(product));
    places -= (exponent + places) & 1;
    const std::int64_t root = square_root(places >= 0 ? product << places : product >> -places);
    const long root_exponent = (exponent + places) >> 1;
    return {gain_of_side(x_max, root, root_exponent, gain_bits, d.probability_bits),
            gain_of_side(delta_max, root, root_exponent, gain_bits, d.probability_bits)};
}

}  // namespace crosspoint
