// The network (network/network.py), and the interface that machine.py calls through ctypes.

#include <memory>
#include <vector>

#include "layers.hpp"

namespace crosspoint {

class Network {
public:
    Network(const StageDescription* stages, long count, const Constants& constants) : constants_(constants) {
        for (long k = 0; k < count; ++k) layers.push_back(std::make_unique<Layer>(stages[k], constants_, k == 0));
        const auto& first = layers.front()->d;
        pixels_ = first.height * first.width;
        image_.resize(pixels_);
        long largest = layers.back()->d.rows;
        for (const auto& layer : layers)
            largest = std::max<long>({largest, layer->d.height * layer->d.width * layer->d.channels});
        errors_.resize(round_up(largest, LANES));
    }

    std::vector<std::unique_ptr<Layer>> layers;

    void infer(const std::uint8_t* image, std::int64_t* logits) {
        const long fraction = layers.front()->d.activation_fraction;
        for (long k = 0; k < pixels_; ++k) image_[k] = double(((long(image[k]) << (fraction + 1)) + 255) / 510);
        const double* volume = image_.data();
        for (const auto& layer : layers) {
            layer->forward(volume);
            volume = layer->output.data();
        }
        for (long k = 0; k < classes(); ++k) logits[k] = std::int64_t(layers.back()->y.row(0)[k]);
    }

    void train(const std::uint8_t* image, long label, std::int64_t* logits) {
        infer(image, logits);
        long fraction = softmax_errors(logits, label);
        for (std::size_t k = layers.size(); k-- > 0;) {
            layers[k]->take_errors(errors_.data(), fraction);
            if (k > 0) {
                std::fill_n(errors_.data(), errors_.size(), 0.0);
                fraction = layers[k]->backward(errors_.data());
            }
            layers[k]->update();
        }
    }

    // Trains like train(); returns the records of the image, which stay until the next call.
    const std::vector<std::int64_t>& trace(const std::uint8_t* image, long label, std::int64_t* logits) {
        records_.clear();
        std::vector<Recorder> recorders;
        for (std::size_t k = 0; k < layers.size(); ++k) recorders.emplace_back(records_, long(k));
        for (std::size_t k = 0; k < layers.size(); ++k) layers[k]->tile.recorder = &recorders[k];
        train(image, label, logits);
        for (const auto& layer : layers) layer->tile.recorder = nullptr;
        return records_;
    }

    long pixels() const { return pixels_; }
    long classes() const { return layers.back()->d.rows; }

private:
    // delta = onehot - softmax (periphery/softmax.py); returns the fraction bits.
    long softmax_errors(const std::int64_t* logits, long label) {
        const long fraction = layers.back()->d.adc_fraction, count = classes();
        const std::int64_t largest = *std::max_element(logits, logits + count);
        std::vector<std::int64_t> powers(count);
        std::int64_t total = 0, others = 0;
        std::fill_n(errors_.data(), errors_.size(), 0.0);
        for (long k = 0; k < count; ++k) {
            const std::int64_t distance = largest - logits[k];
            if (distance < constants_.exponential_range << fraction) {
                const std::int64_t fine = constants_.fine[distance & ((std::int64_t(1) << (fraction - 1)) - 1)];
                powers[k] = round_shift(constants_.coarse[distance >> (fraction - 1)] * fine,
                                        constants_.fine_fraction_bits);
            }
            total += powers[k];
        }
        for (long k = 0; k < count; ++k) {
            const std::int64_t probability = (powers[k] << constants_.softmax_fraction_bits) / total;
            errors_[k] = -double(probability);
            if (k != label) others += probability;
        }
        errors_[label] = double(others);
        return constants_.softmax_fraction_bits;
    }

    const Constants constants_;
    std::vector<std::int64_t> records_;
    long pixels_ = 0;
    Buffer<double> image_, errors_;
};

}  // namespace crosspoint

using crosspoint::Constants;
using crosspoint::Counters;
using crosspoint::Generators;
using crosspoint::Network;
using crosspoint::StageDescription;

// Arrays of one stage's state, as machine.py's State has them.
struct StageState {
    std::int32_t* weights;
    std::uint64_t *row_pulse, *column_pulse, *row_noise, *column_noise;
    Counters* counters;
};

extern "C" {

Network* crosspoint_create(const StageDescription* stages, std::int64_t count, const Constants* constants) {
    return new Network(stages, count, *constants);
}

void crosspoint_destroy(Network* network) { delete network; }

// parameters: int32 (rows, columns, device_parameters); bounds: float64 (rows, columns).
void crosspoint_set_devices(Network* network, std::int64_t stage, const std::int32_t* parameters, const double* low,
                            const double* high) {
    auto& crossbar = network->layers[stage]->tile.crossbar;
    std::copy_n(parameters, crossbar.parameters.size(), crossbar.parameters.data());
    std::copy_n(low, crossbar.low.size(), crossbar.low.data());
    std::copy_n(high, crossbar.high.size(), crossbar.high.data());
}

void crosspoint_load(Network* network, std::int64_t stage, const StageState* state) {
    auto& tile = network->layers[stage]->tile;
    auto& crossbar = tile.crossbar;
    for (long row = 0; row < crossbar.rows; ++row)
        for (long column = 0; column < crossbar.columns; ++column)
            crossbar.set_weight(row, column, state->weights[row * crossbar.columns + column]);
    const auto load = [](const std::uint64_t* from, Generators& to) { std::copy_n(from, to.lines, to.state.data()); };
    load(state->row_pulse, tile.row_pulse);
    load(state->column_pulse, tile.column_pulse);
    load(state->row_noise, crossbar.row_noise);
    load(state->column_noise, crossbar.column_noise);
    tile.counters = *state->counters;
}

void crosspoint_save(Network* network, std::int64_t stage, const StageState* state) {
    auto& tile = network->layers[stage]->tile;
    auto& crossbar = tile.crossbar;
    for (long row = 0; row < crossbar.rows; ++row)
        for (long column = 0; column < crossbar.columns; ++column)
            state->weights[row * crossbar.columns + column] =
                std::int32_t(crossbar.weight(row, column));
    const auto save = [](const Generators& from, std::uint64_t* to) { std::copy_n(from.state.data(), from.lines, to); };
    save(tile.row_pulse, state->row_pulse);
    save(tile.column_pulse, state->column_pulse);
    save(crossbar.row_noise, state->row_noise);
    save(crossbar.column_noise, state->column_noise);
    *state->counters = tile.counters;
}

void crosspoint_train(Network* network, const std::uint8_t* images, const std::uint8_t* labels, std::int64_t count,
                      std::int64_t* logits) {
    for (long k = 0; k < count; ++k)
        network->train(images + k * network->pixels(), labels[k], logits + k * network->classes());
}

// Trains one image; returns its records and their number of words. See Recorder for what a record is.
const std::int64_t* crosspoint_trace(Network* network, const std::uint8_t* image, std::int64_t label,
                                     std::int64_t* logits, std::int64_t* count) {
    const auto& records = network->trace(image, label, logits);
    *count = std::int64_t(records.size());
    return records.data();
}

void crosspoint_infer(Network* network, const std::uint8_t* images, std::int64_t count, std::int64_t* logits) {
    for (long k = 0; k < count; ++k)
        network->infer(images + k * network->pixels(), logits + k * network->classes());
}
}
