// What surrounds a tile (network/layers.py): patches, activation, pooling and the way back.
#pragma once

#include "tile.hpp"

namespace crosspoint {

class Layer {
public:
    Layer(const StageDescription& description, const Constants& constants, bool first)
        : d(description),
          tile(d, constants, !first),
          output((d.output_height >> d.pooled) * (d.output_width >> d.pooled) * d.rows),
          y(d.positions, d.rows),
          constants_(constants),
          x_(d.positions, d.columns),
          delta_(d.positions, d.rows),
          z_(d.positions, d.columns),
          activations_(d.positions * d.rows),
          where_(output.size()) {
        if (d.bias)
            for (long t = 0; t < d.positions; ++t) x_.row(t)[d.columns - 1] = one();
    }

    const StageDescription d;
    Tile tile;
    Buffer<double> output;  // activations after pooling, (height, width, rows)
    Matrix y;

    void forward(const double* volume) {
        gather(volume);
        tile.forward(x_, y);
        activate(d.pooled ? activations_.data() : output.data());
        if (d.pooled) pool();
        if (tile.recorder) record_forward();
    }

    // Sums standing for s * 2^-fraction, at this layer's output (zeros up to a whole vector), become errors of its array: shared exponent,
    // derivative, and back through the pooling.
    void take_errors(const double* sums, long fraction) {
        const long count = output.size();
        const double largest = largest_magnitude(sums, round_up(count, LANES));
        const long shift = bit_length(std::uint64_t(largest)) - d.error_magnitude_bits;
        exponent_ = std::min<long>(std::max<long>(fraction - shift, 0), constants_.largest_exponent);
        const double factor = power_of_two(fraction - exponent_);
        const double limit = std::ldexp(1.0, int(d.error_magnitude_bits)) - 1;
        const double unit = power_of_two(d.activation_fraction);
        if (d.pooled) std::fill_n(delta_.data.data(), delta_.data.size(), 0.0);
        for (long k = 0; k < count; ++k) {
            const double mantissa = std::copysign(std::min(std::fabs(round_by(sums[k], factor)), limit), sums[k]);
            const double a = output[k];
            const double slope = d.activation == TANH ? one() - round_by(a * a, unit) : one();
            const double delta = round_by(mantissa * slope, unit);
            delta_.row(position_of(k))[k % d.rows] = delta;
        }
        if (tile.recorder) record_errors(sums, fraction);
    }

    // Errors of the layer's input volume, added to zeros; returns their fraction bits.
    long backward(double* volume) {
        const long fraction = tile.backward(delta_, exponent_, z_);
        if (tile.recorder) record_backward();
        if (!d.convolutional) {
            std::copy_n(z_.row(0), d.height * d.width * d.channels, volume);
            return fraction;
        }
        const long run = d.kernel * d.channels;
        for (long t = 0; t < d.positions; ++t)
            for (long row = 0; row < d.kernel; ++row) {
                double* place = volume + corner(t) + row * d.width * d.channels;
                const double* part = z_.row(t) + row * run;
                for (long k = 0; k < run; ++k) place[k] += part[k];
            }
        return fraction;
    }

    void update() {
        tile.update(x_, delta_, exponent_);
        if (tile.recorder) record_update();
    }

private:
    double one() const { return std::ldexp(1.0, int(d.activation_fraction)); }

    // Where the patch of position t begins in the input volume.
    long corner(long t) const { return (t / d.output_width * d.width + t % d.output_width) * d.channels; }

    void gather(const double* volume) {
        if (!d.convolutional) {
            std::copy_n(volume, d.height * d.width * d.channels, x_.row(0));
            return;
        }
        const long run = d.kernel * d.channels;
        for (long t = 0; t < d.positions; ++t)
            for (long row = 0; row < d.kernel; ++row)
                std::copy_n(volume + corner(t) + row * d.width * d.channels, run, x_.row(t) + row * run);
    }

    void activate(double* values) const {
        const double limit = std::ldexp(1.0, int(d.activation_magnitude_bits)) - 1;
        const double factor = power_of_two(d.adc_fraction - d.activation_fraction);
        for (long t = 0; t < d.positions; ++t)
            for (long i = 0; i < d.rows; ++i) {
                const double v = y.row(t)[i];
                if (d.activation == TANH) {
                    const double address = std::min(std::fabs(v), double(d.tanh_entries - 1));
                    values[t * d.rows + i] = std::copysign(double(d.tanh_table[long(address)]), v);
                } else {
                    const double rounded = std::min(std::fabs(round_by(v, factor)), limit);
                    values[t * d.rows + i] = std::copysign(rounded, v);
                }
            }
    }

    // 2 x 2 maxima; remembers the position in the array's output that each came from.
    void pool() {
        const long height = d.output_height / 2, width = d.output_width / 2;
        for (long row = 0; row < height; ++row)
            for (long column = 0; column < width; ++column)
                for (long i = 0; i < d.rows; ++i) {
                    const long first = 2 * row * d.output_width + 2 * column;
                    const long candidates[4] = {first, first + 1, first + d.output_width, first + d.output_width + 1};
                    long best = candidates[0];
                    for (long k = 1; k < 4; ++k)
                        if (activations_[candidates[k] * d.rows + i] > activations_[best * d.rows + i])
                            best = candidates[k];
                    const long k = (row * width + column) * d.rows + i;
                    output[k] = activations_[best * d.rows + i];
                    where_[k] = std::int32_t(best);
                }
    }

    long position_of(long k) const { return d.pooled ? where_[k] : k / d.rows; }

    void record_forward() const {
        record_matrix(Operation::forward, Item::x, x_);
        record_matrix(Operation::forward, Item::y, y);
        record_volume(Operation::forward, Item::activation, d.pooled ? activations_ : output);
        if (d.pooled) {
            record_volume(Operation::forward, Item::pooled, output);
            record_volume(Operation::forward, Item::argmax, places_in_windows());
        }
        if (d.activation == SOFTMAX) tile.recorder->add(Operation::forward, Item::logits, y.row(0), d.rows);
        record_generators(Operation::forward);
    }

    void record_errors(const double* sums, long fraction) const {
        const Item item = d.activation == SOFTMAX ? Item::softmax : Item::sums;
        for (long p = 0; p < output.size() / d.rows; ++p)
            tile.recorder->add(Operation::error, item, sums + p * d.rows, d.rows, p);
        tile.recorder->add(Operation::error, Item::fraction, &fraction, 1);
        tile.recorder->add(Operation::error, Item::exponent, &exponent_, 1);
        record_matrix(Operation::error, Item::delta, delta_);
    }

    void record_backward() const {
        record_matrix(Operation::backward, Item::delta, delta_);
        record_matrix(Operation::backward, Item::z, z_);
        record_generators(Operation::backward);
    }

    void record_update() const {
        record_matrix(Operation::update, Item::x, x_);
        record_matrix(Operation::update, Item::delta, delta_);
        std::vector<double> weights;
        for (long row = 0; row < tile.crossbar.rows; ++row)
            for (long column = 0; column < tile.crossbar.columns; ++column)
                weights.push_back(tile.crossbar.weight(row, column));
        tile.recorder->add(Operation::update, Item::weights, weights.data(), long(weights.size()));
        record_generators(Operation::update);
    }

    void record_matrix(Operation operation, Item item, const Matrix& vectors) const {
        for (long t = 0; t < vectors.rows; ++t) tile.recorder->add(operation, item, vectors.row(t), vectors.columns, t);
    }

    template <class Value>
    void record_volume(Operation operation, Item item, const Buffer<Value>& volume) const {
        for (long p = 0; p < volume.size() / d.rows; ++p)
            tile.recorder->add(operation, item, volume.data() + p * d.rows, d.rows, p);
    }

    void record_generators(Operation operation) const {
        const auto record = [&](Item item, const Generators& generators) {
            tile.recorder->add(operation, item, generators.state.data(), generators.lines);
        };
        record(Item::row_pulse, tile.row_pulse);
        record(Item::column_pulse, tile.column_pulse);
        record(Item::row_noise, tile.crossbar.row_noise);
        record(Item::column_noise, tile.crossbar.column_noise);
    }

    // Of every maximum, its number 0 .. 3 in the window of pooling.
    Buffer<std::int32_t> places_in_windows() const {
        Buffer<std::int32_t> places(where_.size());
        for (long k = 0; k < where_.size(); ++k) {
            const long row = where_[k] / d.output_width, column = where_[k] % d.output_width;
            places[k] = std::int32_t(2 * (row % 2) + column % 2);
        }
        return places;
    }

    const Constants& constants_;
    Matrix x_, delta_, z_;
    Buffer<double> activations_;
    Buffer<std::int32_t> where_;
    long exponent_ = 0;
};

}  // namespace crosspoint
