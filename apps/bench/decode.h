// Decode as `tern bench decode` measures it: each token of a language model needs all its weights
// once, so its time is compared with that of reading so many bytes and doing nothing else.
#pragma once

#include "apps/bench/bench.h"
#include "runtime/generator.h"
#include "runtime/saved_model.h"

namespace tern {

struct DecodeSize {
  Index streams = 1;            // sequences that are continued together
  Index prompt = kPromptChunk;  // tokens of each that are read first
  Index tokens = 64;            // of each that are drawn then, over all rounds
};

// Bytes that a step of decode needs.
struct StepBytes {
  double weights = 0;  // all that products read: codes, or real matrices
  double rows = 0;     // of the embedding, one for each stream
  double state = 0;    // of all streams, read and written beside the weights
  double streamed() const { return weights + rows; }  // what the share of the roof counts
};
StepBytes step_bytes(const Model& model, const ModelState& state, Index streams);

struct DecodeBench {
  Samples step{};     // seconds from one token of every stream on the host to the next
  Samples prefill{};  // tokens/s over all streams
  Samples roof{};     // bytes/s: of a plain read on a CPU, of a copy, read and written, on a GPU
  Samples int8{};     // op/s of the int8 kernel; empty: not measured
  StepBytes bytes{};
  double body_weights = 0;         // weights that each token of a prompt is multiplied by
  std::size_t resident = 0;        // see resident_peak(); before the memory of the roof is taken
  std::size_t pool = 0;            // bytes of the backend's slabs ever touched
  std::optional<double> joules{};  // a token; nullopt: not reported
  bool too_short = false;          // the tokens, for a counter that is seldom updated

  double tokens_per_second(Index streams) const { return double(streams) / step.median(); }
  double streamed() const { return bytes.streamed() / step.median(); }  // bytes/s
  double share_of_roof() const { return streamed() / roof.median(); }
  // Of a prompt's products with the body, 2 op a weight, against the int8 kernel.
  double prefill_share() const { return 2 * body_weights * prefill.median() / int8.median(); }
};

// Joules since some moment.
struct EnergyCounter {
  std::function<std::optional<double>()> joules{};  // nullopt: not reported
  double between = 0;                               // two updates, seconds
};
// Of all processor packages, by RAPL.
EnergyCounter package_energy();

// A round: the roof, a prompt from its beginning, a part of the tokens (the likeliest each time),
// the int8 kernel; and the roof once more in the end. What disturbs the machine hits them all.
// prefill = false: the prompt is read but not measured. Energy is counted while tokens are drawn,
// and only reported if that took twenty times as long as is between two updates.
DecodeBench bench_decode(const LoadedModel& loaded, const DecodeSize& size, bool prefill = true,
                         const EnergyCounter& energy = package_energy());
// What it does, once: load_model's `use`.
void rehearse_decode(Model& model, const DecodeSize& size);

// A model of random weights, each matrix in memory of its own: ternary ones at two bits with legal
// codes, in ordinary pages as those of a mapped file are; the embedding in bf16; norms of ones. Of
// a dense one the same few MiB repeated. Latent weights of the whole model never exist. D, H and V
// are multiples of 16.
SavedModel random_model(const ModelConfig& config);

// Why the dense model of this shape cannot be measured beside it on this device; "": it can.
std::string no_dense_model(const ModelConfig& config, const Device& device);

// --- the roofs ---

// A buffer that no cache holds, read with the widest loads of the CPU, fetched ahead as the ternary
// kernels fetch their tiles. Each thread reads one part of it, all of the same size.
class PlainRead {
 public:
  explicit PlainRead(std::size_t bytes);
  double rate();  // bytes/s, once through the buffer
  std::size_t bytes() const { return buffer_.bytes(); }

 private:
  std::unique_ptr<Backend> memory_;
  Tensor buffer_;
};
// 1 GiB, or a quarter of the memory that is free
std::size_t plain_read_bytes();

// Multiplications and additions a second, on all threads, of the kernel that a prompt's ternary
// products run in, on operands that stay in the first cache: 8 x 256 codes by 32 x 256. nullopt:
// this CPU has none.
std::optional<double> int8_rate();

// The most memory that this process had in RAM so far (VmHWM): the program and its libraries,
// weights, states and activations, with those of loading. On a GPU also the host's copy of random
// weights. 0: the system does not say.
std::size_t resident_peak();

// Energy of all processor packages by RAPL, in joules since some moment; nullopt: the system does
// not report it. A counter may begin anew: then the difference of two is less than it was.
std::optional<double> package_joules();

}  // namespace tern
