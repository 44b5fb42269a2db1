// What Python tells the engine about a stage. The same fields, in the same order, as machine.py's StageDescription.
#pragma once

#include <cstdint>

namespace crosspoint {

enum Management : std::int64_t { NONE, EXACT, POWER_OF_TWO, CONSTANT };
enum Activation : std::int64_t { TANH, IDENTITY, SOFTMAX };

struct ReadDescription {
    std::int64_t noise_gain, limit, noise_management, constant_exponent, bound_management;
};

struct Gain {
    std::int64_t mantissa, shift;
};

struct StageDescription {
    std::int64_t height, width, channels, kernel, convolutional, pooled, bias, activation;
    std::int64_t rows, columns, replication, replicate_rows, positions, output_height, output_width;
    std::int64_t activation_fraction, activation_magnitude_bits, error_magnitude_bits;
    std::int64_t dac_fraction, adc_fraction, adc_shift, average_reciprocal, average_guard_bits;
    ReadDescription forward, backward;
    std::int64_t exact_update, desired_bl, update_management, probability_bits, generator_sharing;
    Gain pulse_gain, pulse_power, rate_gain;
    std::int64_t cycle_noise, weight_fraction, move_shift, stochastic_rounding;
    std::int64_t device_model, device_parameters;
    std::int64_t generator_width, taps[4];
    const std::int64_t* cycle_gains;
    const std::int64_t* tanh_table;
    std::int64_t tanh_entries;

    long physical_rows() const { return replicate_rows ? rows * replication : rows; }
    long physical_columns() const { return replicate_rows ? columns : columns * replication; }
};

// Constants of emulator/fixed.py and of the softmax block.
struct Constants {
    std::int64_t gain_bits, reciprocal_guard_bits, average_bits, cycle_fraction_bits, draw_fraction_bits;
    std::int64_t softmax_fraction_bits, largest_exponent, exponential_range, fine_fraction_bits;
    const std::int64_t* coarse;
    const std::int64_t* fine;
};

// The order of machine.py's COUNTERS.
struct Counters {
    std::int64_t forward_reads, forward_repeats, forward_saturations;
    std::int64_t backward_reads, backward_repeats, backward_saturations;
    std::int64_t update_cycles, row_pulses, column_pulses, coincidences;
};

}  // namespace crosspoint
