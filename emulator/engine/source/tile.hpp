// One array with its periphery (network/tile.py): forward, backward and update of all positions of an image.
#pragma once

#include "crossbar.hpp"
#include "devices.hpp"
#include "periphery.hpp"
#include "recorder.hpp"

namespace crosspoint {

// Vectors of an image, one a row, padded to whole panels with zeros.
struct Matrix {
    long rows, columns, stride;
    Buffer<double> data;

    Matrix(long rows, long columns)
        : rows(rows), columns(columns), stride(round_up(columns, PANEL)), data(rows * stride) {}
    double* row(long k) { return data.data() + k * stride; }
    const double* row(long k) const { return data.data() + k * stride; }
};

class Tile {
public:
    // Backward reads drive the rows; replicated rows are driven alike and read through the sum of their weights.
    Tile(const StageDescription& d, const Constants& constants, bool reads_backward)
        : crossbar(d, constants, reads_backward && !(d.replicate_rows && d.replication > 1)),
          row_pulse((d.physical_rows() + d.generator_sharing - 1) / d.generator_sharing),
          column_pulse((d.physical_columns() + d.generator_sharing - 1) / d.generator_sharing),
          counters{},
          d_(d),
          constants_(constants),
          x_codes_(d.positions, d.columns),
          delta_codes_(d.positions, d.rows),
          forward_sums_(d.positions, d.physical_rows()),
          backward_sums_(d.positions, d.physical_columns()),
          summed_weights_(d.replicate_rows ? d.rows * crossbar.column_stride : d.columns * crossbar.row_stride),
          packed_(PANEL * std::max(d.columns, d.rows)),
          scalings_(d.positions),
          row_trains_(round_up(d.physical_rows(), LANES)),
          column_trains_(round_up(d.physical_columns(), LANES)),
          thresholds_(round_up(std::max(d.physical_rows(), d.physical_columns()), PANEL)),
          fired_rows_(d.physical_rows()),
          fired_columns_(d.physical_columns()) {}

    Crossbar crossbar;
    Generators row_pulse, column_pulse;
    Counters counters;
    Recorder* recorder = nullptr;  // where an image is traced to, if it is

    // y = W x at the ADC's LSB, (positions, rows).
    void forward(const Matrix& x, Matrix& y) {
        const long fraction = read(
            {Operation::forward, d_.forward, counters.forward_reads, counters.forward_repeats,
             counters.forward_saturations, x, d_.activation_fraction, d_.activation_magnitude_bits, x_codes_,
             forward_sums_, !d_.replicate_rows, crossbar.by_column.data(), crossbar.row_stride, d_.columns,
             crossbar.row_noise, forward_repeats_},
            y);
        const double factor = power_of_two(fraction - d_.adc_fraction);
        if (factor == 1) return;
        for (long t = 0; t < y.rows; ++t)
            for (long i = 0; i < y.columns; ++i) y.row(t)[i] = round_by(y.row(t)[i], factor);
    }

    // z = W^T delta, (positions, columns); returns the fraction bits of z.
    long backward(const Matrix& delta, long exponent, Matrix& z) {
        return read({Operation::backward, d_.backward, counters.backward_reads, counters.backward_repeats,
                     counters.backward_saturations, delta, exponent, d_.error_magnitude_bits, delta_codes_,
                     backward_sums_, bool(d_.replicate_rows), crossbar.by_row.data(), crossbar.column_stride, d_.rows,
                     crossbar.column_noise, backward_repeats_},
                    z);
    }

    // W <- W + eta delta x^T.
    void update(const Matrix& x, const Matrix& delta, long exponent) {
        if (d_.exact_update)
            update_exactly(x, delta, exponent);
        else
            with_device_model(d_.device_model, [&](auto model) {
                for (long t = 0; t < d_.positions; ++t)
                    update_cycle<decltype(model)>(t, x.row(t), delta.row(t), exponent);
            });
        counters.update_cycles += d_.positions;
    }

private:
    // Sums of reads that are sure to be repeated, computed together, because one product of many rows is far faster than
    // many products of one.
    struct Repeat {
        Matrix codes, sums;
        std::vector<std::int32_t> place;  // of a position in the matrices; -1 where no repeat was foreseen

        Repeat(const Matrix& codes, const Matrix& sums)
            : codes(codes.rows, codes.columns), sums(sums.rows, sums.columns), place(codes.rows, -1) {}
    };

    struct Reading {
        Operation operation;
        const ReadDescription& read;
        std::int64_t &reads, &repeats, &saturations;
        const Matrix& vectors;
        long fraction, magnitude_bits;
        Matrix& codes;
        Matrix& sums;
        bool drive_replicated;
        const double* weights;  // [driven line][sensed line]
        long stride, driven;    // stride of weights; logical driven lines
        Generators& noise;
        std::vector<Repeat>& foreseen;  // one per halving, filled by foresee_repeats
    };

    long read(Reading r, Matrix& outputs) {
        if (r.drive_replicated && d_.replication > 1) r.weights = d_.replicate_rows ? sum_rows() : sum_columns();
        for (long t = 0; t < d_.positions; ++t) {
            const double* vector = r.vectors.row(t);
            const bool needs_maximum = r.read.noise_management == EXACT || r.read.noise_management == POWER_OF_TWO;
            const auto maximum = needs_maximum ? std::int64_t(largest_magnitude(vector, r.vectors.stride)) : 0;
            scalings_[t] = noise_management(r.read, maximum, r.fraction, r.magnitude_bits, d_.dac_fraction,
                                            constants_.reciprocal_guard_bits);
            if (recorder) recorder->add(r.operation, Item::scale, &scalings_[t].scale, 1, t);
            drive(vector, scalings_[t].gain, r.codes.row(t), r.codes.stride);
        }
        product(r.codes.row(0), r.codes.stride, r.weights, r.stride, r.sums.row(0), r.sums.stride, d_.positions,
                r.sums.columns, r.driven, packed_.data());
        foresee_repeats(r);
        for (long t = 0; t < d_.positions; ++t) read_until_bounded(r, t, outputs.row(t));
        return d_.adc_fraction + d_.average_guard_bits + scalings_[0].fraction;
    }

    // DAC codes: round(v * gain), saturated to full range.
    void drive(const double* vector, double gain, double* codes, long count) const {
        const double full_range = std::ldexp(1.0, int(d_.dac_fraction));
        const auto* values = reinterpret_cast<const F64Lanes*>(vector);
        auto* driven = reinterpret_cast<F64Lanes*>(codes);
        for (long v = 0; v < count / LANES; ++v) {
            const F64Lanes size = least(magnitude(values[v]) * gain + 0.5, full_range + 0.5);
            driven[v] = with_sign_of(floor_of(size), values[v]);
        }
    }

    // The products of all repeats that the sums saturate into even without noise, halving by halving.
    void foresee_repeats(Reading& r) {
        const double scale = power_of_two(d_.adc_shift);
        const auto saturates = [&](const double* sums) {
            return largest_magnitude(sums, r.sums.stride) * scale + 0.5 >= double(r.read.limit);
        };
        for (auto& repeat : r.foreseen) std::fill(repeat.place.begin(), repeat.place.end(), -1);
        for (long halvings = 1; halvings <= r.read.bound_management; ++halvings) {
            if (long(r.foreseen.size()) < halvings) r.foreseen.emplace_back(r.codes, r.sums);
            Repeat& repeat = r.foreseen[halvings - 1];
            long count = 0;
            for (long t = 0; t < d_.positions; ++t) {
                double* sums = foreseen_sums(r, t, halvings - 1);
                if (!sums || !saturates(sums)) continue;
                drive(r.vectors.row(t), scalings_[t].gain * power_of_two(halvings), repeat.codes.row(count), r.codes.stride);
                repeat.place[t] = std::int32_t(count++);
            }
            if (count == 0) return;
            product(repeat.codes.row(0), r.codes.stride, r.weights, r.stride, repeat.sums.row(0), r.sums.stride, count,
                    r.sums.columns, r.driven, packed_.data());
        }
    }

    // The sums of position t at that many halvings, or nullptr.
    double* foreseen_sums(Reading& r, long t, long halvings) const {
        if (halvings == 0) return r.sums.row(t);
        if (halvings > long(r.foreseen.size())) return nullptr;
        Repeat& repeat = r.foreseen[halvings - 1];
        return repeat.place[t] < 0 ? nullptr : repeat.sums.row(repeat.place[t]);
    }

    // Sense position t; while an output saturates and the limit allows, halve the input and read again.
    void read_until_bounded(Reading& r, long t, double* outputs) {
        double* sums = r.sums.row(t);
        for (long halvings = 0;; ++halvings) {
            const long saturated = crossbar.sense(sums, r.noise, r.read);
            ++r.reads;
            if (recorder) record_read(r, t, halvings, sums);
            if (saturated == 0 || halvings == r.read.bound_management) {
                r.saturations += saturated;
                collect(r, sums, scalings_[t].scale, std::ldexp(1.0, int(halvings)), outputs);
                return;
            }
            ++r.repeats;
            sums = foreseen_sums(r, t, halvings + 1);
            if (sums) continue;
            // Noise alone made it saturate.
            sums = r.sums.row(t);
            drive(r.vectors.row(t), scalings_[t].gain * power_of_two(halvings + 1), r.codes.row(t), r.codes.stride);
            product(r.codes.row(t), r.codes.stride, r.weights, r.stride, sums, r.sums.stride, 1, r.sums.columns, r.driven,
                    packed_.data());
        }
    }

    // Mean over replicas, and the scale of the input taken back.
    void collect(const Reading& r, const double* codes, double scale, double rescale, double* outputs) const {
        if (d_.replication == 1) {
            const double factor = scale * rescale;
            for (long i = 0; i < r.sums.columns; ++i) outputs[i] = codes[i] * factor;
            return;
        }
        const long copies = r.drive_replicated ? 1 : d_.replication;
        const long lines = r.sums.columns / copies;
        const double reciprocal = double(d_.average_reciprocal) * rescale;
        const double factor = power_of_two(constants_.average_bits - d_.average_guard_bits);
        for (long i = 0; i < lines; ++i) {
            double total = 0;
            for (long copy = 0; copy < copies; ++copy) total += codes[copy * lines + i];
            outputs[i] = round_by(total * reciprocal, factor) * scale;
        }
    }

    // Driving all replicas of a line with one code reads the sum of their weights: [row][physical column].
    const double* sum_rows() {
        for (long column = 0; column < d_.columns; ++column) {
            const double* weights = crossbar.by_column.data() + column * crossbar.row_stride;
            for (long row = 0; row < d_.rows; ++row) {
                double sum = 0;
                for (long copy = 0; copy < d_.replication; ++copy) sum += weights[copy * d_.rows + row];
                summed_weights_[row * crossbar.column_stride + column] = sum;
            }
        }
        return summed_weights_.data();
    }

    // The same for replicated columns: [column][physical row].
    const double* sum_columns() {
        const long count = d_.columns * crossbar.row_stride;
        std::copy_n(crossbar.by_column.data(), count, summed_weights_.data());
        for (long copy = 1; copy < d_.replication; ++copy)
            for (long k = 0; k < count; ++k) summed_weights_[k] += crossbar.by_column[copy * count + k];
        return summed_weights_.data();
    }

    template <class Device>
    void update_cycle(long t, const double* x, const double* delta, long exponent) {
        const auto x_max = std::int64_t(largest_magnitude(x, round_up(d_.columns, PANEL)));
        const auto delta_max = std::int64_t(largest_magnitude(delta, round_up(d_.rows, PANEL)));
        const PulseGains gains = update_management(d_, x_max, delta_max, exponent, constants_.gain_bits);
        const long row_copies = d_.replicate_rows ? d_.replication : 1;
        const long column_copies = d_.replicate_rows ? 1 : d_.replication;
        const long row_pulses = fire(delta, d_.rows, row_copies, gains.delta, row_pulse, row_trains_);
        if (recorder) record_side(ROW_ITEMS, t, delta, d_.rows, row_copies, row_trains_);
        const long column_pulses = fire(x, d_.columns, column_copies, gains.x, column_pulse, column_trains_);
        if (recorder) record_side(COLUMN_ITEMS, t, x, d_.columns, column_copies, column_trains_);
        counters.row_pulses += row_pulses;
        counters.column_pulses += column_pulses;
        if (row_pulses > 0) {
            list_fired(delta, d_.rows, row_copies, row_trains_, fired_rows_);
            crossbar.draw_cycle_noise(crossbar.row_noise, fired_rows_);
        }
        if (column_pulses > 0) {
            list_fired(x, d_.columns, column_copies, column_trains_, fired_columns_);
            crossbar.draw_cycle_noise(crossbar.column_noise, fired_columns_);
        }
        if (row_pulses > 0 && column_pulses > 0)
            counters.coincidences += crossbar.pulse<Device>(fired_rows_, fired_columns_);
        if (recorder) record_moves(t);
    }

    // The pulse generators of one side in one update cycle; returns the number of pulses.
    long fire(const double* vector, long lines, long copies, double gain, Generators& generators,
              Buffer<std::uint64_t>& trains) {
        find_thresholds(vector, lines, copies, gain);
        if (d_.generator_sharing == 1)
            fire_own(generators, trains);
        else
            fire_shared(generators, trains, lines * copies);
        long pulses = 0;
        for (long line = 0; line < lines * copies; ++line) pulses += std::popcount(trains[line]);
        return pulses;
    }

    static void list_fired(const double* vector, long lines, long copies, const Buffer<std::uint64_t>& trains,
                           FiredLines& fired) {
        const auto* vectors = reinterpret_cast<const U64Lanes*>(trains.data());
        fired.count = 0;
        for (long first = 0; first < lines * copies; first += LANES)
            for (unsigned lanes = nonzero_lanes(vectors[first / LANES]); lanes; lanes &= lanes - 1) {
                const long line = first + std::countr_zero(lanes);
                if (line < lines * copies) fired.add(line, trains[line], vector[copies == 1 ? line : line % lines] < 0);
            }
    }

    // Probability words brought to the width of drawn words: a line fires when the drawn word is below.
    void find_thresholds(const double* vector, long lines, long copies, double gain) {
        const double one = std::ldexp(1.0, int(d_.probability_bits));
        const int places = int(WORD_BITS - d_.probability_bits);
        const auto* values = reinterpret_cast<const F64Lanes*>(vector);
        auto* thresholds = reinterpret_cast<U64Lanes*>(thresholds_.data());
        for (long v = 0; v < (lines + LANES - 1) / LANES; ++v)
            thresholds[v] = to_integer(floor_of(least(magnitude(values[v]) * gain + 0.5, one))) << places;
        for (long copy = 1; copy < copies; ++copy)
            std::copy_n(thresholds_.data(), lines, thresholds_.data() + copy * lines);
    }

    void fire_own(Generators& generators, Buffer<std::uint64_t>& trains) const {
        const auto* thresholds = reinterpret_cast<const U64Lanes*>(thresholds_.data());
        auto* pulses = reinterpret_cast<U64Lanes*>(trains.data());
        U64Lanes* states = generators.lanes();
        long v = 0;
        for (; v + 4 <= generators.vectors(); v += 4) fire_vectors<4>(states + v, thresholds + v, pulses + v);
        for (; v + 2 <= generators.vectors(); v += 2) fire_vectors<2>(states + v, thresholds + v, pulses + v);
        for (; v < generators.vectors(); ++v) fire_vectors<1>(states + v, thresholds + v, pulses + v);
    }

    // COUNT vectors side by side, because each draw of a generator waits for its last.
    template <int COUNT>
    void fire_vectors(U64Lanes* states, const U64Lanes* thresholds, U64Lanes* pulses) const {
        U64Lanes state[COUNT], train[COUNT] = {};
        for (int k = 0; k < COUNT; ++k) state[k] = states[k];
        for (long slot = 0; slot < d_.desired_bl; ++slot)
            for (int k = 0; k < COUNT; ++k) {
                const U64Lanes word = crossbar.feedback.draw(state[k]);
                train[k] |= (U64Lanes)(word < thresholds[k]) & (1ull << slot);
            }
        for (int k = 0; k < COUNT; ++k) states[k] = state[k], pulses[k] = train[k];
    }

    void fire_shared(Generators& generators, Buffer<std::uint64_t>& trains, long lines) const {
        U64Lanes* states = generators.lanes();
        std::fill_n(trains.data(), lines, 0);
        for (long slot = 0; slot < d_.desired_bl; ++slot) {
            for (long v = 0; v < generators.vectors(); ++v) crossbar.feedback.draw(states[v]);
            for (long line = 0; line < lines; ++line) {
                const std::uint64_t own = generators.state[line / d_.generator_sharing] & WORD_MASK;
                const std::uint64_t word = shared_word(own, line % d_.generator_sharing, d_.generator_sharing);
                trains[line] |= std::uint64_t(word < thresholds_[line]) << slot;
            }
        }
    }

    // FP-baseline: the sum of outer products over all positions, times eta, rounded and clipped once.
    void update_exactly(const Matrix& x, const Matrix& delta, long exponent) {
        Matrix rows(d_.rows, d_.positions), sums(d_.rows, d_.columns);
        Buffer<double> packed(PANEL * d_.positions);
        for (long t = 0; t < d_.positions; ++t)
            for (long i = 0; i < d_.rows; ++i) rows.row(i)[t] = delta.row(t)[i];
        product(rows.row(0), rows.stride, x.row(0), x.stride, sums.row(0), sums.stride, d_.rows, d_.columns,
                d_.positions, packed.data());
        const long shift = exponent + d_.activation_fraction + d_.rate_gain.shift - d_.weight_fraction;
        for (long row = 0; row < crossbar.rows; ++row)
            for (long column = 0; column < crossbar.columns; ++column) {
                const auto sum = std::int64_t(sums.row(row % d_.rows)[column % d_.columns]);
                const double moved = crossbar.weight(row, column) +
                                     double(round_shift(sum * d_.rate_gain.mantissa, shift));
                const long device = row * crossbar.columns + column;
                crossbar.set_weight(row, column,
                                    std::min(std::max(moved, crossbar.low[device]), crossbar.high[device]));
            }
    }

    // A read as it passed the array's port: all copies of the driven lines, and what all sensed lines answered.
    void record_read(const Reading& r, long t, long attempt, const double* converted) const {
        const Repeat* repeat = attempt > 0 && attempt <= long(r.foreseen.size()) ? &r.foreseen[attempt - 1] : nullptr;
        const bool foreseen = repeat && repeat->place[t] >= 0;
        const double* codes = foreseen ? repeat->codes.row(repeat->place[t]) : r.codes.row(t);
        std::vector<std::int64_t> saturated(r.sums.columns);
        for (long k = 0; k < r.sums.columns; ++k) saturated[k] = std::fabs(converted[k]) == double(r.read.limit);
        recorder->add(r.operation, Item::dac, codes, r.driven, t, attempt, r.drive_replicated ? d_.replication : 1);
        recorder->add(r.operation, Item::adc, converted, r.sums.columns, t, attempt);
        recorder->add(r.operation, Item::saturated, saturated.data(), r.sums.columns, t, attempt);
    }

    struct SideItems {
        Item probability, pulses, negative;
    };
    static constexpr SideItems ROW_ITEMS{Item::row_probability, Item::row_pulses, Item::row_negative};
    static constexpr SideItems COLUMN_ITEMS{Item::column_probability, Item::column_pulses, Item::column_negative};

    // One side of an update cycle, while its thresholds are still there.
    void record_side(const SideItems& items, long t, const double* vector, long lines, long copies,
                     const Buffer<std::uint64_t>& trains) const {
        std::vector<std::int64_t> probabilities(lines), negative(lines);
        for (long line = 0; line < lines; ++line) {
            probabilities[line] = std::int64_t(thresholds_[line] >> (WORD_BITS - d_.probability_bits));
            negative[line] = vector[line] < 0;
        }
        recorder->add(Operation::update, items.probability, probabilities.data(), lines, t);
        recorder->add(Operation::update, items.pulses, trains.data(), lines * copies, t);
        recorder->add(Operation::update, items.negative, negative.data(), lines, t, 0, copies);
    }

    // Devices with coincidences in an update cycle, found once more from the trains, and their weights after it.
    void record_moves(long t) const {
        std::vector<std::int64_t> devices, coincidences, weights;
        for (long row = 0; row < crossbar.rows; ++row)
            for (long column = 0; column < crossbar.columns; ++column) {
                const int count = std::popcount(row_trains_[row] & column_trains_[column]);
                if (count == 0) continue;
                devices.push_back(row * crossbar.columns + column);
                coincidences.push_back(count);
                weights.push_back(std::int64_t(crossbar.weight(row, column)));
            }
        recorder->add(Operation::update, Item::device, devices.data(), long(devices.size()), t);
        recorder->add(Operation::update, Item::coincidences, coincidences.data(), long(coincidences.size()), t);
        recorder->add(Operation::update, Item::weight, weights.data(), long(weights.size()), t);
    }

    const StageDescription& d_;
    const Constants& constants_;
    Matrix x_codes_, delta_codes_, forward_sums_, backward_sums_;
    Buffer<double> summed_weights_, packed_;
    std::vector<Repeat> forward_repeats_, backward_repeats_;
    std::vector<InputScaling> scalings_;
    Buffer<std::uint64_t> row_trains_, column_trains_, thresholds_;
    FiredLines fired_rows_, fired_columns_;
};

}  // namespace crosspoint
