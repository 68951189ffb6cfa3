// The order of training samples: a function of the seed and the global sample index alone. So the
// state of a run's data is one number, and processes, micro-batches and interruptions do not change
// the order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tern {

// A pseudorandom permutation of 0..n-1 that is computed, not stored: a Feistel network on Philox,
// walked along its cycle until it lands below n (Black and Rogaway 2002).
class Permutation {
 public:
  Permutation(std::uint64_t n, std::uint64_t key);
  std::uint64_t operator()(std::uint64_t i) const;  // i < n

 private:
  std::uint64_t encrypt(std::uint64_t x) const;

  std::uint64_t n_, key_;
  int half_bits_ = 1;  // the network permutes 0 .. 4^half_bits - 1, less than 4 n
};

// Sample `index` of a source: the tokens [index T, index T + T], the last one only as a target.
struct Sample {
  std::uint32_t source = 0;
  std::uint64_t index = 0;
  bool operator==(const Sample&) const = default;
};

class SampleOrder {
 public:
  struct Source {
    std::string name;  // for messages
    double weight;
    std::uint64_t samples;  // in one epoch, at least 1
    std::string content{};  // hash of its tokens
  };

  // The order repeats one pattern of kBlock slots. A source has as many slots as its share of the
  // weights rounds to, spread evenly. It fills them epoch after epoch: in file order, or each epoch
  // in a permutation keyed by (seed, content, epoch). Path and name of the data do not matter.
  // Sources of equal content are also keyed by their number, so their orders differ. Fault::usage:
  // a weight that is not positive or rounds to no slot.
  static constexpr std::uint64_t kBlock = 4096;
  SampleOrder(std::vector<Source> sources, std::uint64_t seed, bool shuffled);

  Sample at(std::uint64_t global_index) const;
  std::uint64_t per_block(std::size_t source) const { return counts_[source]; }

 private:
  struct Slot {
    std::uint32_t source;
    std::uint32_t earlier;  // slots of the same source before it in the block
  };

  std::vector<Source> sources_;
  std::vector<std::uint64_t> counts_;  // slots per block of each source
  std::vector<Slot> slots_;
  std::vector<std::uint64_t> streams_;  // of each source: key of its permutations
  std::uint64_t seed_;
  bool shuffled_;
};

}  // namespace tern
