// One LFSR per line (periphery/lfsr.py), Gaussian words and device mixing (array/noise.py).
#pragma once

#include "arithmetic.hpp"

namespace crosspoint {

constexpr int WORD_BITS = 24;
constexpr std::uint64_t WORD_MASK = (1u << WORD_BITS) - 1;

struct Feedback {
    int shifts[4];  // tap - WORD_BITS
    std::uint64_t state_mask;

    Feedback(const std::int64_t* taps, long width) : state_mask(width == 64 ? ~0ull : (1ull << width) - 1) {
        for (int k = 0; k < 4; ++k) shifts[k] = int(taps[k]) - WORD_BITS;
    }

    // Draw: advances a state, or as many as there are lanes, and returns what it drew.
    template <class Word>
    Word draw(Word& state) const {
        const Word bits = (state >> shifts[0]) ^ (state >> shifts[1]) ^ (state >> shifts[2]) ^ (state >> shifts[3]);
        const Word word = bits & WORD_MASK;
        state = ((state << WORD_BITS) | word) & state_mask;
        return word;
    }
};

// The generators of one side of an array, padded to whole vectors; the padding draws too and is never looked at.
struct Generators {
    Buffer<std::uint64_t> state;
    long lines;

    explicit Generators(long lines) : state(round_up(lines, LANES)), lines(lines) {}
    long vectors() const { return state.size() / LANES; }
    U64Lanes* lanes() { return reinterpret_cast<U64Lanes*>(state.data()); }
};

// xi of drawn words: twice (256 (ones - 8) + fill) - 255.
inline F64Lanes gaussian(U64Lanes word) {
    const U64Lanes ones = ones_of_16(word >> 8);
    const U64Lanes fill = word & 0xFF;
    return to_double((ones << 9) + (fill << 1)) - (8 * 512 + 255.0);
}

inline int gaussian(std::uint32_t word) {
    return 2 * (256 * (std::popcount(word >> 8) - 8) + int(word & 0xFF)) - 255;
}

constexpr int MIX_ROUNDS = 5, ROUNDING_ROUNDS = 3;

// Feistel rounds on 12-bit halves. A half is kept twice, side by side, so that a rotation is one shift.
inline std::uint32_t mix(std::uint32_t word, int rounds = MIX_ROUNDS) {
    std::uint32_t left = word >> 12, right = word & 0xFFF;
    for (int round = 0; round < rounds; ++round) {
        const std::uint32_t twice = left | left << 12;
        const std::uint32_t next = (right ^ ((twice >> 11) & (twice >> 7)) ^ (twice >> 10)) & 0xFFF;
        right = left;
        left = next;
    }
    return left << 12 | right;
}

// The word that line k of `sharing` lines on one generator sees.
inline std::uint64_t shared_word(std::uint64_t word, long place, long sharing) {
    const int rotation = int(place * (WORD_BITS / sharing));
    return (word << rotation | word >> (WORD_BITS - rotation)) & WORD_MASK;
}

}  // namespace crosspoint
