// The emulated array (array/crossbar.py). Weights lie column by column for forward reads; where backward reads need
// them row by row, a second copy is kept.
#pragma once

#include <vector>

#include "description.hpp"
#include "generators.hpp"
#include "matrix.hpp"

namespace crosspoint {

// A line that fires in an update cycle.
struct FiredLine {
    std::int32_t line;
    std::uint32_t noise_word;
    std::uint64_t pulses;  // bit s: fires in slot s
    bool negative;
};

// The lines of one side that fire in a cycle, as arrays, so that loops over them vectorise.
struct FiredLines {
    std::vector<std::int32_t> line;
    std::vector<std::uint32_t> noise_word;
    std::vector<std::uint64_t> pulses;
    std::vector<std::uint8_t> negative;
    long count = 0;

    // One place more than lines, because add_if writes before it decides.
    explicit FiredLines(long lines) : line(lines + 1), noise_word(lines + 1), pulses(lines + 1), negative(lines + 1) {}

    void add(long which, std::uint64_t train, bool is_negative) {
        line[count] = std::int32_t(which);
        pulses[count] = train;
        negative[count] = is_negative;
        ++count;
    }

    // Without a branch: whether a line coincides is as good as random.
    void add_if(long which, std::uint64_t train, bool is_negative) {
        add(which, train, is_negative);
        count -= train == 0;
    }
};

class Crossbar {
public:
    Crossbar(const StageDescription& d, const Constants& constants, bool keeps_rows)
        : keeps_rows(keeps_rows),
          rows(d.physical_rows()),
          columns(d.physical_columns()),
          row_stride(round_up(rows, PANEL)),
          column_stride(round_up(columns, PANEL)),
          by_column(columns * row_stride),
          by_row(keeps_rows ? rows * column_stride : 0),
          parameters(rows * columns * d.device_parameters),
          low(rows * columns),
          high(rows * columns),
          feedback(d.taps, d.generator_width),
          row_noise(rows),
          column_noise(columns),
          d_(d),
          constants_(constants),
          factor_(columns),
          rounding_word_(columns),
          met_(columns) {}

    const bool keeps_rows;
    const long rows, columns;
    const long row_stride, column_stride;
    Buffer<double> by_column;  // weights, [column][row]
    Buffer<double> by_row;     // [row][column]
    Buffer<std::int32_t> parameters;
    Buffer<double> low, high;
    const Feedback feedback;
    Generators row_noise, column_noise;

    void set_weight(long row, long column, double weight) {
        by_column[column * row_stride + row] = weight;
        if (keeps_rows) by_row[row * column_stride + column] = weight;
    }
    double weight(long row, long column) const { return by_column[column * row_stride + row]; }

    // Add read noise to analog sums in place and convert them; returns how many outputs saturate.
    long sense(double* sums, Generators& noise, const ReadDescription& read) const {
        const double gain = double(read.noise_gain), limit = double(read.limit);
        const double scale = power_of_two(d_.adc_shift);
        auto* outputs = reinterpret_cast<F64Lanes*>(sums);
        U64Lanes* states = noise.lanes();
        I64Lanes saturated = {};
        const long vectors = noise.vectors(), last = vectors - 1;
        for (long v = 0; v < vectors; ++v) {
            F64Lanes value = outputs[v];
            if (read.noise_gain) {
                value += gain * gaussian(feedback.draw(states[v]));
            }
            const F64Lanes code = least(floor_of(least(magnitude(value) * scale + 0.5, limit + 1)), limit);
            I64Lanes full = code >= limit;
            if (v == last) full &= tail_mask(noise.lines);
            saturated -= full;
            outputs[v] = with_sign_of(code, value);
        }
        long count = 0;
        for (long k = 0; k < LANES; ++k) count += saturated[k];
        return count;
    }

    // The lines of one side that fire in an update cycle draw their noise words.
    void draw_cycle_noise(Generators& noise, FiredLines& fired) const {
        if (!d_.cycle_noise) return;
        for (long q = 0; q < fired.count; ++q)
            fired.noise_word[q] = std::uint32_t(feedback.draw(noise.state[fired.line[q]]));
    }

    // Move the devices of all fired rows and columns; returns the number of coincidences.
    template <class Device>
    long pulse(FiredLines& fired_rows, FiredLines& fired_columns) {
        long coincidences = 0;
        for (long q = 0; q < fired_rows.count; ++q) {
            const FiredLine row{fired_rows.line[q], fired_rows.noise_word[q], fired_rows.pulses[q],
                                bool(fired_rows.negative[q])};
            const FiredLines& columns_met = d_.desired_bl == 1 ? fired_columns : select_coinciding(row, fired_columns);
            coincidences += find_factors(row, columns_met);
            if (d_.stochastic_rounding) {
                find_rounding_words(row, columns_met);
                move_row<Device>(row, columns_met, [&](long q) {
                    return StochasticRounding{move_scale_, double(rounding_word_[q]) * rounding_scale_};
                });
            } else {
                move_row<Device>(row, columns_met, [&](long) { return NearestRounding{move_scale_}; });
            }
        }
        return coincidences;
    }

private:
    static I64Lanes tail_mask(long lines) {
        I64Lanes mask = {};
        for (long k = 0; k < LANES; ++k) mask[k] = (lines - 1) % LANES >= k ? -1 : 0;
        return mask;
    }

    // The columns that fire in a slot of the row's; their pulses are then the coincidences.
    const FiredLines& select_coinciding(const FiredLine& row, const FiredLines& fired) {
        met_.count = 0;
        for (long q = 0; q < fired.count; ++q) {
            met_.noise_word[met_.count] = fired.noise_word[q];
            met_.add_if(fired.line[q], row.pulses & fired.pulses[q], fired.negative[q]);
        }
        return met_;
    }

    // cycle_factor of array/noise.py for every coinciding column; returns the coincidences.
    long find_factors(const FiredLine& row, const FiredLines& fired) {
        const long count = fired.count;
        const int fraction = int(constants_.cycle_fraction_bits), draw_fraction = int(constants_.draw_fraction_bits);
        const int half = 1 << (draw_fraction - 1);
        const std::uint32_t* words = fired.noise_word.data();
        const std::uint64_t* pulses = fired.pulses.data();
        const std::int64_t* gains = d_.cycle_gains;
        std::int32_t* factors = factor_.data();
        if (d_.desired_bl == 1) {
            const int gain = int(gains[1]);
            for (long q = 0; q < count; ++q) {
                const int noise = gaussian(mix(row.noise_word ^ words[q])) * gain;
                factors[q] = (1 << fraction) + ((noise + half - (noise < 0)) >> draw_fraction);
            }
            return count;
        }
        long total = 0;
        for (long q = 0; q < count; ++q) {
            const int coincidences = std::popcount(pulses[q]);
            const int noise = gaussian(mix(row.noise_word ^ words[q])) * int(gains[coincidences]);
            factors[q] = (coincidences << fraction) + ((noise + half - (noise < 0)) >> draw_fraction);
            total += coincidences;
        }
        return total;
    }

    // rounding_words of array/noise.py for every coinciding column, cut to the bits that count.
    void find_rounding_words(const FiredLine& row, const FiredLines& fired) {
        const std::uint32_t* words = fired.noise_word.data();
        std::uint32_t* rounding = rounding_word_.data();
        for (long q = 0; q < fired.count; ++q)
            rounding[q] = mix(mix(row.noise_word ^ words[q]), ROUNDING_ROUNDS) >> rounding_cut_;
    }

    // `rounding_of(q)` rounds the move of the q-th fired column.
    template <class Device, class RoundingOf>
    void move_row(const FiredLine& row, const FiredLines& fired, RoundingOf rounding_of) {
        const std::int32_t* const parameter = parameters.data() + long(row.line) * columns * Device::PARAMETERS;
        double* const weights = by_column.data() + row.line;
        double* const copy = keeps_rows ? by_row.data() + long(row.line) * column_stride : nullptr;
        const std::int32_t* const lines = fired.line.data();
        const std::uint8_t* const negative = fired.negative.data();
        const std::int32_t* const factors = factor_.data();
        const std::uint8_t row_negative = row.negative;
        for (long q = 0; q < fired.count; ++q) {
            const long column = lines[q];
            double& weight = weights[column * row_stride];
            weight = Device::move(weight, parameter + column * Device::PARAMETERS, double(factors[q]),
                                  row_negative == negative[q], rounding_of(q));
            if (copy) copy[column] = weight;
        }
    }

    const StageDescription& d_;
    const Constants& constants_;
    Buffer<std::int32_t> factor_;
    Buffer<std::uint32_t> rounding_word_;
    const double move_scale_ = power_of_two(d_.move_shift);
    // A word has WORD_BITS bits and stands for a part of 2^move_shift: the bits below are cut, those that lack are 0.
    const int rounding_cut_ = int(std::max(WORD_BITS - d_.move_shift, std::int64_t(0)));
    const double rounding_scale_ = power_of_two(std::min(WORD_BITS - d_.move_shift, std::int64_t(0)));
    FiredLines met_;
};

}  // namespace crosspoint
