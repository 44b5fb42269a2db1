// What a traced image leaves: records of emulator/trace.py, one after another, as integers that records.py reads.
#pragma once

#include <cstdint>
#include <vector>

namespace crosspoint {

// The same names, in the same order, as OPERATIONS and ITEMS of records.py.
enum class Operation : std::int64_t { forward, error, backward, update };
enum class Item : std::int64_t {
    x, scale, dac, adc, saturated, y, activation, pooled, argmax, logits,
    fraction, softmax, sums, exponent, delta, z,
    column_probability, row_probability, column_pulses, column_negative, row_pulses, row_negative,
    device, coincidences, weight, weights, row_pulse, column_pulse, row_noise, column_noise
};

constexpr long WHOLE = -1;  // the position of what belongs to an operation as a whole

// Records of one layer. Layers and tiles that are not traced have none.
class Recorder {
public:
    Recorder(std::vector<std::int64_t>& words, long layer) : words_(words), layer_(layer) {}

    // copies: how often the values follow each other.
    template <class Value>
    void add(Operation operation, Item item, const Value* values, long count, long position = WHOLE, long attempt = 0,
             long copies = 1) {
        words_.insert(words_.end(), {layer_, std::int64_t(operation), std::int64_t(item), position, attempt,
                                     count * copies});
        for (long copy = 0; copy < copies; ++copy)
            for (long k = 0; k < count; ++k) words_.push_back(std::int64_t(values[k]));
    }

private:
    std::vector<std::int64_t>& words_;
    const std::int64_t layer_;
};

}  // namespace crosspoint
