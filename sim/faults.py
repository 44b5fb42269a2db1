"""The faults of the mutation run (sim/mutation.py): small ones, such as one makes, spread over all blocks."""

from __future__ import annotations

from sim.mutation import Fault


def _in(block: str, *faults: tuple[str, str, str], folder: str = "hdl/periphery") -> list[Fault]:
    return [Fault(f"{folder}/{block}.py", old, new, description) for description, old, new in faults]


FAULTS: list[Fault] = [
    *_in(
        "max_search",
        ("the mask is ignored", "Mux(self.i.payload.mask[lane], magnitude(self.i.payload.elements[lane]), 0)", "magnitude(self.i.payload.elements[lane])"),
        ("the maximum is kept for the next vector", "Mux(last, 0, maximum)", "maximum"),
        ("a result per beat: last is ignored", "self.o.valid.eq(valid & last)", "self.o.valid.eq(valid)"),
        ("the smaller of two", "Mux(left > right, left, right)", "Mux(left < right, left, right)"),
    ),
    *_in(
        "divider",
        ("equal does not fit", "(shifted >= denominator)", "(shifted > denominator)"),
        ("a denominator of 0 fits", " & (denominator != 0)", ""),
        ("a step too few", "left.eq(self.steps),", "left.eq(self.steps - 1),"),
        ("takes operands while the result waits", "(left == 0) & ~self.o.valid", "left == 0"),
    ),
    *_in(
        "square_root",
        ("the trial's lowest digit is 0", "Cat(Const(1, 2), next_root)", "Cat(Const(0, 2), next_root)"),
        ("the root's digit is inverted", "Cat(fits, next_root)", "Cat(~fits, next_root)"),
        ("the rest is not cleared", "value.eq(self.i.payload.value), rest.eq(0), root", "value.eq(self.i.payload.value), root"),
    ),
    *_in(
        "lfsr",
        ("a tap is missing", "for tap in TAPS[width])", "for tap in TAPS[width][1:])"),
        ("taps a bit off", "state[tap - WORD_BITS : tap]", "state[tap - WORD_BITS - 1 : tap - 1]"),
        ("the register loads in a stall", "with m.If(advance):", "with m.If(advance | self.i.valid):"),
    ),
    *_in(
        "pulse_generator",
        ("fires at equality too", "- p.probability_bits :] < beat_in_draw", "- p.probability_bits :] <= beat_in_draw"),
        ("slots in reverse", "Mux(slot == place, fires,", "Mux(slot == p.desired_bl - 1 - place, fires,"),
        ("words are not rotated", "rotate_left(lane % sharing * (WORD_BITS // sharing))", "rotate_left(0)"),
        ("a state of 0 is stored", "state[0] | ~state.any()", "state[0]"),
        ("a slot too few", "slot == beat_in_draw.desired_bl - 1", "slot == beat_in_draw.desired_bl - 2"),
        ("every array's states at the start of the memory", "Mux(between, self.i.payload.base, following)", "Mux(between, 0, following)"),
        ("slots of the train before are left", "train[place] & (slot != 0)", "train[place]"),
    ),
    *_in(
        "scaler",
        ("no rounding", "rounded(Cat(word, Const(0, 1)))", "Cat(word, Const(0, 1))[1:]"),
        ("lost high bits do not saturate", "beyond = beyond | lost", "beyond = beyond"),
        ("the sign is swapped", "with_sign(negative, word", "with_sign(~negative, word"),
        ("the lowest shift is off by one", "return (shift - low)[", "return (shift - low + 1)["),
    ),
    *_in(
        "noise_management",
        ("the shift without guard bits", "length + RECIPROCAL_GUARD_BITS,", "length,"),
        ("a scale of 1 for a maximum of 0", "Mux(length == 0, 0, power_of_two(length))", "power_of_two(length)"),
        ("a maximum is taken while another is at work", "self.i.ready.eq(~busy)", "self.i.ready.eq(1)"),
        ("the constant with the wrong sign", "work.fraction - (exponent + parameters.dac_fraction)", "work.fraction + exponent - parameters.dac_fraction"),
    ),
    *_in(
        "bound_management",
        ("a repeat too many", "halvings < self.i.payload.limit", "halvings <= self.i.payload.limit"),
        ("halvings are not cleared", "Mux(repeat, more, 0)", "more"),
        ("a stalled word is overwritten", "with m.If(advance & self.i.valid):", "with m.If(self.i.valid):"),
    ),
    *_in(
        "update_management",
        ("the odd bit of the exponent is ignored", "Mux(odd, power[1:], power)", "power"),
        ("shifts of both sides exchanged", "- parameters.probability_bits) + halves", "- parameters.probability_bits) - halves"),
        ("the delta side divides by x", "Mux(x_taken, delta_aligned, x_aligned)", "x_aligned"),
        ("the root is taken before it has settled", "left.eq(self.preparation)]", "left.eq(self.preparation - 2)]"),
    ),
    *_in(
        "block_exponent",
        ("the largest exponent is off by one", "m.Elif(ideal_exponent > LARGEST_EXPONENT)", "m.Elif(ideal_exponent > LARGEST_EXPONENT + 1)"),
        ("the exponent may be negative", "with m.If(ideal_exponent < 0):", "with m.If(ideal_exponent < -1):"),
        ("the shift at the upper bound", "result.shift.eq(least_shift)", "result.shift.eq(ideal_shift)"),
    ),
    *_in(
        "replicate",
        ("a copy too few", "copy == copies[half] - 1 if", "copy == copies[half] - 2 if"),
        ("a vector is taken into the half that is sent", "self.i.ready.eq(~full.bit_select(write_half, 1))", "self.i.ready.eq(1)"),
        ("last on every copy", "self.o.payload.last.eq(fetched_last),", ""),
        ("the memory is read in a stall", "read.en.eq(advance)", "read.en.eq(1)"),
    ),
    *_in(
        "average",
        ("the first copy is added to old sums", "Mux(first, 0, before[lane])", "before[lane]"),
        ("every copy is given out", "valid[-1] & complete[-1]", "valid[-1]"),
        ("the reciprocal is not rounded", "((2 << AVERAGE_BITS) + replication)", "((2 << AVERAGE_BITS) - replication)"),
        ("guard bits are those of one device", "AVERAGE_BITS - total.guard_bits", "AVERAGE_BITS"),
        ("short vectors find the sums of the beat before", "before.eq(kept)", "before.eq(total)"),
    ),
    *_in(
        "activation",
        ("the table is read in a stall", "port.en.eq(advance)", "port.en.eq(1)"),
        ("tanh is even", "with_sign(negative, result)", "with_sign(Const(0), result)"),
        ("the address is not limited to the table", "limited(size, len(table) - 1)", "size"),
        ("the square is cut, not rounded", "rounded(square[q - 1 :])", "square[q:]"),
    ),
    *_in(
        "pooling",
        ("the second of equal neighbours wins", "elements[lane] > kept.data[lane]", "elements[lane] >= kept.data[lane]"),
        ("the lower of equal pairs wins", "lower_pair[lane].value > upper_pair", "lower_pair[lane].value >= upper_pair"),
        ("an odd last column takes part", "& (self.column < 2 * p.pooled_width)", ""),
        ("errors go to every place of a window", "inside & (chosen[lane].where == places)", "inside"),
    ),
    *_in(
        "im2col",
        ("the bias line is missing its value", "result.elements[0].eq(p.one)", "result.elements[0].eq(0)"),
        ("patches a line too far", "line_step=Const(p.width * p.beats)", "line_step=Const((p.width + 1) * p.beats)"),
        ("a sum just written is missed", "Mux(late, written, read.data)", "read.data"),
        ("old sums are not dropped", "Mux(first, 0, Mux(near", "Mux(0, 0, Mux(near"),
    ),
    *_in(
        "softmax",
        ("the label counts among the others", "with m.If(work.number != work.label):", "with m.If(work.number != p.classes):"),
        ("the maximum starts from the vector before", "(work.number == 0) | (elements[0] > work.largest)", "elements[0] > work.largest"),
        ("the exponential is cut, not rounded", "rounded(product[FINE_FRACTION_BITS - 1 :])", "product[FINE_FRACTION_BITS:]"),
        ("far classes are not 0", "Mux(inside_late, rounded", "Mux(1, rounded"),
    ),
    *_in(
        "tile",
        ("halvings are not taken back", "restore.i.payload.shift.eq(-delivery.halvings)", "restore.i.payload.shift.eq(0)"),
        ("halvings of the read before stay", "            going.halvings.eq(0),\n", ""),
        ("a saturated read is delivered", "keep.eq(~repeat)", "keep.eq(1)"),
        ("lines that are not there count as saturated", "self.sense.payload.saturated & self.sense.payload.mask", "self.sense.payload.saturated"),
        ("guard bits of the mean are left in", "going.scaling.fraction + settings.guard_bits", "going.scaling.fraction"),
        ("both sides have the gain of x", "Mux(going.rows_sent, going.gains.delta_shift, going.gains.x_shift)", "going.gains.x_shift"),
        ("the maximum of x is that of delta", "update.i.payload.x_maximum.eq(x_maximum)", "update.i.payload.x_maximum.eq(found.payload.maximum)"),
        ("settings are taken at any time", "self.settings.ready.eq(idle)", "self.settings.ready.eq(1)"),
        ("settings are taken while a read is given out", " & ~going.delivering\n", "\n"),
        ("a read begins before the pulses are sent", "~updating & ~going.pulses_on_their_way)", "~updating)"),
        ("a report is lost behind another", "free = ~(end & going.reporting)", "free = ~(end & 0)"),
        ("the bound of the other direction", "Mux(backward, going.settings.backward_bound, going.settings.forward_bound)", "Mux(backward, going.settings.forward_bound, going.settings.backward_bound)"),
        folder="hdl/network",
    ),
    *_in(
        "crossbar",
        ("sums of the block before are lost", "Mux(sequencer.first_block, 0, Array(sums)[places[-2]])", "Const(0)"),
        ("the noise gain of the other direction", "Mux(backward, settings.backward_noise_gain, settings.forward_noise_gain)", "settings.forward_noise_gain"),
        ("a device without coincidences is written", "update & live[COLUMN_DELAY + MOVE_LATENCY - 1] & lane.fires", "update & live[COLUMN_DELAY + MOVE_LATENCY - 1]"),
        ("coincidences are not cleared", "m.d.sync += counted.eq(0)", "m.d.sync += counted.eq(counted)"),
        ("device words of the first array", "settings.column_base * p.lanes + column", "column"),
        ("the converter runs ahead of the sums", "converter.summed.eq(complete)", "converter.summed.eq(converter.beats)"),
        folder="hdl/array",
    ),
    *_in(
        "device",
        ("the bound of the sign, not of the move", "rises = up ^ (a.o < 0)", "rises = up"),
        ("halves of a directed step towards zero", "exact = round_half_up(self.product, RATIO_FRACTION_BITS, Cat(steps[1], Const(0, 1)))", "exact = (self.product >> RATIO_FRACTION_BITS) + steps[1]"),
        ("steps drawn negative stay", "size = Mux(b.o < 0, 0, b.o)", "size = b.o.as_unsigned()"),
        ("a bound beyond the word", "limited = Mux(a.o > p.weight_limit, p.weight_limit, a.o)", "limited = a.o"),
        ("the ratio's sign is that of the other direction", "Mux(up, ratio, -ratio)", "Mux(up, -ratio, ratio)"),
        ("falling weights stop at the upper bound", "Mux(rising, limit, -limit)", "limit"),
        folder="hdl/array",
    ),
    *_in(
        "noise",
        ("a round of mixing too few", "MIX_ROUNDS = 5", "MIX_ROUNDS = 4"),
        ("halves are not exchanged", "left, right = half, left", "left, right = half, right"),
        ("the mean is off by an LSB", "Const(1, 1), word[:GAUSSIAN_FILL_BITS]", "Const(0, 1), word[:GAUSSIAN_FILL_BITS]"),
        folder="hdl/array",
    ),
]  # fmt: skip
