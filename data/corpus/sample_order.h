// Which sample comes when: a function of the global sample index and the seed alone, so that the
// state of a run's data is one number, whatever the processes, micro-batches and interruptions.
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

  // The sources take turns in a fixed pattern of kBlock samples, each as evenly spread as can be,
  // with as many as its weight rounds to. Within a source one epoch follows the other: in file
  // order, or each in a permutation of its own, by (seed, content, epoch): where the data lies and
  // what it is called changes nothing. Sources of the same content also count their number among
  // those, so that they come in different orders. Fault::usage: a weight that is not positive or
  // rounds to no sample.
  static constexpr std::uint64_t kBlock = 4096;
  SampleOrder(std::vector<Source> sources, std::uint64_t seed, bool shuffled);

  Sample at(std::uint64_t global_index) const;
  std::uint64_t per_block(std::size_t source) const { return counts_[source]; }

 private:
  struct Turn {
    std::uint32_t source, rank;  // the how-manieth turn of the source in the block
  };

  std::vector<Source> sources_;
  std::vector<std::uint64_t> counts_;  // turns per block of each source
  std::vector<Turn> turns_;
  std::vector<std::uint64_t> streams_;  // of each source: what its permutations are drawn from
  std::uint64_t seed_;
  bool shuffled_;
};

}  // namespace tern
