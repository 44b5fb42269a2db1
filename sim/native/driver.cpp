// A Verilated design driven by queues of words: what goes into its input streams, what comes out of its output streams,
// and the loop over clock cycles between them. sim/native.py is the other side of the functions at the end.
//
// `design.hpp` is written for each design by sim/native_build.py. It includes the Verilated harness as `Vharness` and lists
// the streams: FOR_EVERY_INPUT(DO), FOR_EVERY_OUTPUT(DO) and FOR_EVERY_STREAM(DO) apply DO(number, bits) to each, in the order
// of the numbers, which all streams share.
// Words are limbs of 64 bits, the least significant first, as many as the payload's bits need.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "design.hpp"
#include "verilated.h"
#ifdef WAVES
#include "verilated_vcd_c.h"
#endif

namespace {

using Limb = std::uint64_t;

static_assert(std::endian::native == std::endian::little, "Verilator's words of 32 bits are copied as limbs of 64");

constexpr int RESET_CYCLES = 3;
constexpr int LIMB_BITS = 64;

/// What a call of `run` ended with; sim/native.py has the same numbers.
enum Ending : int { REACHED = 0, LIMIT = 1, VALID_FELL = 2, WORD_CHANGED = 3 };

// --- payload pins, whose type depends on their width ---

template <class Pin>
void write_pin(Pin& pin, const Limb* word) {
    pin = static_cast<Pin>(*word);
}

template <std::size_t Words>
void write_pin(VlWide<Words>& pin, const Limb* word) {
    std::memcpy(pin.data(), word, Words * sizeof(EData));
}

/// Into limbs that are 0: an odd number of Verilator's words leaves half of the last limb.
template <class Pin>
void read_pin(const Pin& pin, Limb* word) {
    *word = pin;
}

template <std::size_t Words>
void read_pin(const VlWide<Words>& pin, Limb* word) {
    std::memcpy(word, pin.data(), Words * sizeof(EData));
}

// --- streams ---

/// Words first in, first out.
class Queue {
public:
    explicit Queue(std::size_t limbs) : limbs_(limbs) {}

    std::size_t size() const { return (store_.size() - first_) / limbs_; }
    bool empty() const { return first_ == store_.size(); }
    const Limb* front() const { return store_.data() + first_; }

    void append(const Limb* words, std::size_t count) {
        store_.insert(store_.end(), words, words + count * limbs_);
    }

    /// Room for one word more, of zeros, to be filled.
    Limb* append() {
        store_.resize(store_.size() + limbs_);
        return store_.data() + store_.size() - limbs_;
    }

    void pop(std::size_t count) {
        first_ += count * limbs_;
        if (2 * first_ >= store_.size()) {  // seldom enough that moving the rest costs little a word
            store_.erase(store_.begin(), store_.begin() + static_cast<std::ptrdiff_t>(first_));
            first_ = 0;
        }
    }

    void clear() {
        store_.clear();
        first_ = 0;
    }

    std::size_t limbs() const { return limbs_; }

private:
    std::size_t limbs_, first_ = 0;
    std::vector<Limb> store_;
};

/// Whether a side of a stream pauses in a cycle: with a probability of threshold / 2^64. Marsaglia's xorshift, 64 bits.
class Chance {
public:
    void set(std::uint64_t threshold, std::uint64_t state) {
        threshold_ = threshold;
        state_ = state;
    }

    bool ever() const { return threshold_ != 0; }
    bool pauses() { return ever() && draw() < threshold_; }

    std::uint64_t draw() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return state_;
    }

private:
    std::uint64_t threshold_ = 0, state_ = 1;
};

/// One side of a stream, and its queue. `waiting`: an input's word is on the pins and was not taken; an output's word was
/// seen while the stream paused, and must still be there.
struct Stream {
    explicit Stream(int bits) : bits(bits), queue((bits + LIMB_BITS - 1) / LIMB_BITS), word(queue.limbs()) {}

    int bits;
    Queue queue;
    Chance chance;
    bool waiting = false;
    std::vector<Limb> word;  // an output's waiting word, or what is on an input's pins between words
};

// --- the simulation ---

class Simulation {
public:
    Simulation() {
#define ADD_STREAM(number, bits) streams_.emplace_back(bits);
        FOR_EVERY_STREAM(ADD_STREAM)
#undef ADD_STREAM
#ifdef WAVES
        context_.traceEverOn(true);
        model_ = std::make_unique<Vharness>(&context_);
        model_->trace(&waves_, 99);
#else
        model_ = std::make_unique<Vharness>(&context_);
#endif
        evaluate();  // an edge is a change from what a first evaluation has seen
        reset();
    }

    ~Simulation() {
        stop_waves();
        model_->final();
    }

    void reset() {
        for (Stream& stream : streams_) {
            stream.queue.clear();
            stream.waiting = false;
        }
#define CLEAR_INPUT(number, bits) model_->valid_##number = 0;
#define CLEAR_OUTPUT(number, bits) model_->ready_##number = 0;
        FOR_EVERY_INPUT(CLEAR_INPUT)
        FOR_EVERY_OUTPUT(CLEAR_OUTPUT)
#undef CLEAR_INPUT
#undef CLEAR_OUTPUT
        for (int cycle = 0; cycle < RESET_CYCLES; ++cycle) {
            model_->rst = 1;
            fall(true);
            rise();
        }
        model_->rst = 0;
        changed_ = true;
        cycles_ = 0;
    }

    /// Clock until every output queue holds as many words as `until` says of its stream, and with `drain` every input word
    /// has been taken; at most `limit` cycles.
    Ending run(const std::uint64_t* until, bool drain, std::uint64_t limit) {
        if (reached(until, drain)) return REACHED;
        for (std::uint64_t cycle = 0; cycle < limit; ++cycle) {
            const Ending ending = step();
            if (ending != REACHED) return ending;
            if (transferred_ && reached(until, drain)) return REACHED;
        }
        return LIMIT;
    }

    Stream& stream(std::size_t number) { return streams_[number]; }
    std::uint64_t cycles() const { return cycles_; }
    std::size_t broken() const { return broken_; }

    void start_waves(const char* path) {
#ifdef WAVES
        waves_.open(path);
#endif
    }

    void stop_waves() {
#ifdef WAVES
        if (waves_.isOpen()) waves_.close();
#endif
    }

private:
    bool reached(const std::uint64_t* until, bool drain) const {
#define NOT_DRAINED(number, bits) if (drain && !streams_[number].queue.empty()) return false;
#define NOT_REACHED(number, bits) if (streams_[number].queue.size() < until[number]) return false;
        FOR_EVERY_INPUT(NOT_DRAINED)
        FOR_EVERY_OUTPUT(NOT_REACHED)
#undef NOT_DRAINED
#undef NOT_REACHED
        return true;
    }

    /// One cycle. Pins change at the falling edge, and what passes is looked at when they have settled.
    Ending step() {
        bool changed = changed_;
        changed_ = transferred_ = false;
#define OFFER(number, bits) changed |= offer(streams_[number], model_->valid_##number, model_->payload_##number);
#define ACCEPT(number, bits) changed |= accept(streams_[number], model_->ready_##number);
        FOR_EVERY_INPUT(OFFER)
        FOR_EVERY_OUTPUT(ACCEPT)
#undef OFFER
#undef ACCEPT
        fall(changed);
        Ending ending = REACHED;
#define SENT(number, bits) sent(streams_[number], model_->ready_##number);
#define RECEIVED(number, bits)                                                                                         \
    if (const Ending seen =                                                                                            \
            received(streams_[number], model_->valid_##number, model_->ready_##number, model_->payload_##number);      \
        seen != REACHED) {                                                                                             \
        ending = seen;                                                                                                 \
        broken_ = number;                                                                                              \
    }
        FOR_EVERY_INPUT(SENT)
        FOR_EVERY_OUTPUT(RECEIVED)
#undef SENT
#undef RECEIVED
        rise();
        ++cycles_;
        return ending;
    }

    /// Put the next word on the pins of an input if none is; whether a pin changed.
    template <class Pin>
    bool offer(Stream& stream, CData& valid, Pin& payload) {
        if (stream.waiting) return false;
        if (!stream.queue.empty() && !stream.chance.pauses()) {
            write_pin(payload, stream.queue.front());
            stream.waiting = valid = 1;
            return true;
        }
        if (!valid) return false;
        valid = 0;
        if (stream.chance.ever()) {  // a design must not look at a payload that is not valid
            draw_word(stream);
            write_pin(payload, stream.word.data());
        }
        return true;
    }

    /// Whether the ready pin of an output changed.
    static bool accept(Stream& stream, CData& ready) {
        const CData before = ready;
        ready = !stream.chance.pauses();
        return ready != before;
    }

    void sent(Stream& stream, CData ready) {
        if (!stream.waiting || !ready) return;
        stream.queue.pop(1);
        stream.waiting = false;
        transferred_ = true;
    }

    /// Take the word of an output, which is held to the contract: an offered word stays until it is taken.
    template <class Pin>
    Ending received(Stream& stream, CData valid, CData ready, const Pin& payload) {
        if (!valid) return stream.waiting ? VALID_FELL : REACHED;
        if (ready && !stream.waiting) {
            read_pin(payload, stream.queue.append());
            transferred_ = true;
            return REACHED;
        }
        return received_late(stream, ready, payload);
    }

    template <class Pin>
    Ending received_late(Stream& stream, CData ready, const Pin& payload) {
        std::vector<Limb> word(stream.queue.limbs());
        read_pin(payload, word.data());
        if (stream.waiting && word != stream.word) return WORD_CHANGED;
        stream.word = word;
        stream.waiting = !ready;
        if (ready) {
            stream.queue.append(word.data(), 1);
            transferred_ = true;
        }
        return REACHED;
    }

    static void draw_word(Stream& stream) {
        for (Limb& limb : stream.word) limb = stream.chance.draw();
        const int spare = static_cast<int>(stream.word.size()) * LIMB_BITS - stream.bits;
        stream.word.back() &= ~Limb{0} >> spare;  // Verilator supposes that bits above a pin's width are 0
    }

    /// The falling edge; with `changed` the design sees the pins as they are now.
    void fall(bool changed) {
        model_->clk = 0;
        model_->strobe = changed;
        evaluate();
    }

    void rise() {
        model_->clk = 1;
        model_->strobe = 0;
        evaluate();
    }

    void evaluate() {
        model_->eval();
#ifdef WAVES
        ++time_;
        if (waves_.isOpen()) waves_.dump(time_);
#endif
    }

    VerilatedContext context_;
#ifdef WAVES
    VerilatedVcdC waves_;
    std::uint64_t time_ = 0;
#endif
    std::unique_ptr<Vharness> model_;
    std::vector<Stream> streams_;
    bool changed_ = false, transferred_ = false;
    std::uint64_t cycles_ = 0;
    std::size_t broken_ = 0;
};

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT Simulation* simulation_new() { return new Simulation; }
EXPORT void simulation_delete(Simulation* simulation) { delete simulation; }
EXPORT void simulation_reset(Simulation* simulation) { simulation->reset(); }
EXPORT std::uint64_t simulation_cycles(const Simulation* simulation) { return simulation->cycles(); }

EXPORT void simulation_stall(Simulation* simulation, std::size_t stream, std::uint64_t threshold, std::uint64_t state) {
    simulation->stream(stream).chance.set(threshold, state);
}

EXPORT void simulation_feed(Simulation* simulation, std::size_t stream, const Limb* words, std::size_t count) {
    simulation->stream(stream).queue.append(words, count);
}

EXPORT std::size_t simulation_queued(Simulation* simulation, std::size_t stream) {
    return simulation->stream(stream).queue.size();
}

/// The first `count` words of a queue that holds as many.
EXPORT void simulation_take(Simulation* simulation, std::size_t stream, Limb* words, std::size_t count) {
    Queue& queue = simulation->stream(stream).queue;
    std::memcpy(words, queue.front(), count * queue.limbs() * sizeof(Limb));
    queue.pop(count);
}

EXPORT int simulation_run(Simulation* simulation, const std::uint64_t* until, bool drain, std::uint64_t limit) {
    return simulation->run(until, drain, limit);
}

/// The stream that broke the contract when `run` said so.
EXPORT std::size_t simulation_broken(const Simulation* simulation) { return simulation->broken(); }

EXPORT void simulation_start_waves(Simulation* simulation, const char* path) { simulation->start_waves(path); }
EXPORT void simulation_stop_waves(Simulation* simulation) { simulation->stop_waves(); }
