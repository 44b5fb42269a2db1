"""Faults of the compiled engine, for the mutation run (sim/mutation.py): roundings, ends of ranges, draws, counters."""

from __future__ import annotations

from sim.mutation import Fault

ENGINE_FAULTS: list[Fault] = [
    Fault("emulator/engine/source/arithmetic.hpp", "return std::copysign(std::floor(std::fabs(value) * factor + 0.5), value);", "return std::floor(value * factor + 0.5);", "rounding of doubles: halves upwards", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/arithmetic.hpp", "return nearest - (F64Lanes)((I64Lanes)one & (nearest > value));", "return nearest - 0 * one;", "vectors round to nearest where they should floor", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/arithmetic.hpp", "- (value < 0)) >> shift", "- 0) >> shift", "rounding of integers: halves upwards", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/arithmetic.hpp", "    if (shift > 62) return 0;\n", "", "shifts wider than the word", "tests/engine/test_ends.py"),
    Fault("emulator/engine/source/crossbar.hpp", "magnitude(value) * scale + 0.5", "magnitude(value) * scale + 0.4999", "the ADC rounds halves towards 0", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/crossbar.hpp", "I64Lanes full = code >= limit;", "I64Lanes full = code > limit;", "a code at the limit does not saturate", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/crossbar.hpp", "            if (v == last) full &= tail_mask(noise.lines);\n", "", "padding lanes saturate", "tests/engine/test_ends.py"),
    Fault("emulator/engine/source/crossbar.hpp", "(lines - 1) % LANES >= k ? -1 : 0", "(lines - 1) % LANES > k ? -1 : 0", "the last line never saturates", "tests/engine/test_ends.py"),
    Fault("emulator/engine/source/crossbar.hpp", "        if (keeps_rows) by_row[row * column_stride + column] = weight;\n", "", "the row copy misses loads and exact updates", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/crossbar.hpp", "factors[q] = (1 << fraction) + ((noise + half - (noise < 0)) >> draw_fraction);", "factors[q] = (1 << fraction) + ((noise + half) >> draw_fraction);", "cycle noise at BL = 1: halves upwards", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/crossbar.hpp", "factors[q] = (coincidences << fraction) + ((noise + half - (noise < 0)) >> draw_fraction);", "factors[q] = (coincidences << fraction) + ((noise + half) >> draw_fraction);", "cycle noise: halves upwards", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/generators.hpp", "(1ull << width) - 1)", "(1ull << (width - 1)) - 1)", "a state lacks its highest bit", "tests/engine/test_ends.py"),
    Fault("emulator/engine/source/generators.hpp", "const int rotation = int(place * (WORD_BITS / sharing));", "const int rotation = WORD_BITS - int(place * (WORD_BITS / sharing));", "shared words rotate the other way", "tests/engine/test_ends.py"),
    Fault("emulator/engine/source/periphery.hpp", "x_fraction) >> 1;", "x_fraction) / 2;", "half an odd negative ratio rounds towards 0", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/tile.hpp", "magnitude(values[v]) * gain + 0.5, full_range + 0.5)", "magnitude(values[v]) * gain + 0.4999, full_range + 0.5)", "the DAC rounds halves towards 0", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/tile.hpp", "halvings == r.read.bound_management)", "halvings + 1 >= r.read.bound_management)", "a repeat too few", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/tile.hpp", "constants_.average_bits - d_.average_guard_bits)", "constants_.average_bits - d_.average_guard_bits + 1)", "the mean over replicas has a guard bit less", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/tile.hpp", "round_by(total * reciprocal, factor) * scale", "std::floor(total * reciprocal * factor + 0.5) * scale", "the mean over replicas: halves upwards", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/tile.hpp", "y.row(t)[i] = round_by(y.row(t)[i], factor);", "y.row(t)[i] = std::floor(y.row(t)[i] * factor + 0.5);", "a pre-activation's halves upwards", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/tile.hpp", "magnitude(values[v]) * gain + 0.5, one)", "magnitude(values[v]) * gain + 0.4999, one)", "probabilities: halves downwards", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/tile.hpp", "(word < thresholds[k])", "(word <= thresholds[k])", "fires at equality too", "tests/engine/test_ends.py"),
    Fault("emulator/engine/source/tile.hpp", "states[k] = state[k], pulses[k] = train[k];", "pulses[k] = train[k];", "a generator is not stored back", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/tile.hpp", "double(round_shift(sum * d_.rate_gain.mantissa, shift));", "std::floor(double(sum * d_.rate_gain.mantissa) * power_of_two(shift) + 0.5);", "exact updates: halves upwards", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/tile.hpp", "counters.row_pulses += row_pulses;", "counters.row_pulses = std::int32_t(counters.row_pulses + row_pulses);", "counters of pulses wrap at 32 bits", "tests/engine/test_ends.py"),
    Fault("emulator/engine/source/layers.hpp", "std::fabs(round_by(sums[k], factor))", "std::ceil(std::fabs(sums[k]) * factor - 0.5)", "mantissas: halves towards 0", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/layers.hpp", "round_by(mantissa * slope, unit)", "std::floor(mantissa * slope * unit + 0.5)", "errors times derivative: halves upwards", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/layers.hpp", "std::min(std::fabs(round_by(v, factor)), limit)", "std::min(std::ceil(std::fabs(v) * factor - 0.5), limit)", "activations: halves towards 0", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/layers.hpp", "activations_[candidates[k] * d.rows + i] > activations_", "activations_[candidates[k] * d.rows + i] >= activations_", "of equal maxima the last", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/layers.hpp", "const long first = 2 * row * d.output_width + 2 * column;", "const long first = (2 * row + d.output_height % 2) * d.output_width + 2 * column;", "windows of pooling end at the odd row", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/network.cpp", "constants_.coarse[distance >> (fraction - 1)] * fine,", "constants_.coarse[distance >> (fraction - 1)] * fine - 1,", "the exponential: halves downwards", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/network.cpp", "(powers[k] << constants_.softmax_fraction_bits) / total", "((powers[k] << constants_.softmax_fraction_bits) + total / 2) / total", "the quotient of softmax rounds", "tests/engine/test_ties.py"),
    Fault("emulator/engine/source/crossbar.hpp", "                find_rounding_words(row, columns_met);\n", "", "moves are rounded by the words of the row before", "tests/engine/test_equality.py::test_golden_equals_fast_with_every_device_model"),
    Fault("emulator/engine/source/arithmetic.hpp", "return round_by(product, factor); }", "return std::floor(product * factor + 0.5); }", "a move to nearest: halves upwards", "tests/engine/test_arithmetic.py"),
    Fault("emulator/engine/source/crossbar.hpp", ", ROUNDING_ROUNDS) >> rounding_cut_", ", ROUNDING_ROUNDS - 1) >> rounding_cut_", "a rounding word is one round of mixing short", "tests/engine/test_equality.py::test_golden_equals_fast_with_every_device_model"),
    Fault("emulator/engine/source/tile.hpp", "        if (row_pulses > 0) {\n", "        if (column_pulses > 0) {\n", "rows draw where columns fire", "tests/engine/test_ends.py"),
]  # fmt: skip
