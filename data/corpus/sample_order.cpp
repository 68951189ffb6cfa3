#include "data/corpus/sample_order.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <numeric>

#include "core/check.h"
#include "core/rng.h"

namespace tern {
namespace {

void require_sound(const std::vector<SampleOrder::Source>& sources) {
  require(!sources.empty(), Fault::usage, "data: expected at least one source");
  for (const auto& s : sources) {
    require(std::isfinite(s.weight) && s.weight > 0, Fault::usage, "data: source ", s.name,
            ": expected a positive weight, got ", s.weight);
    check(s.samples > 0, "[sample_order] source ", s.name, " has no samples");
  }
}

// Integers with sum kBlock next to the shares of the weights: largest remainders are rounded up.
std::vector<std::uint64_t> share_out(const std::vector<SampleOrder::Source>& sources) {
  double sum = 0;
  for (const auto& s : sources) sum += s.weight;
  std::vector<std::uint64_t> counts;
  std::vector<double> remainders;
  for (const auto& s : sources) {
    const double share = s.weight / sum * double(SampleOrder::kBlock);
    counts.push_back(std::uint64_t(share));
    remainders.push_back(share - double(counts.back()));
  }
  std::uint64_t left =
      SampleOrder::kBlock - std::accumulate(counts.begin(), counts.end(), std::uint64_t(0));
  for (; left > 0; --left) {
    const auto largest = std::max_element(remainders.begin(), remainders.end());
    ++counts[std::size_t(largest - remainders.begin())];
    *largest = -1;
  }
  return counts;
}

}  // namespace

Permutation::Permutation(std::uint64_t n, std::uint64_t key) : n_(n), key_(key) {
  check(n > 0 && n <= std::uint64_t(1) << 62, "[permutation] expected 1 to 2^62 items, got ", n);
  if (n > 1) half_bits_ = (std::bit_width(n - 1) + 1) / 2;
}

std::uint64_t Permutation::operator()(std::uint64_t i) const {
  check(i < n_, "[permutation] expected an index below ", n_, ", got ", i);
  do i = encrypt(i);
  while (i >= n_);
  return i;
}

std::uint64_t Permutation::encrypt(std::uint64_t x) const {
  constexpr std::uint32_t kRounds = 6;
  const std::uint64_t mask = (std::uint64_t(1) << half_bits_) - 1;
  std::uint64_t left = x >> half_bits_, right = x & mask;
  for (std::uint32_t round = 0; round < kRounds; ++round) {
    const auto random = philox({std::uint32_t(right), round, 0, 0},
                               {std::uint32_t(key_), std::uint32_t(key_ >> 32)});
    const std::uint64_t next = left ^ (random[0] & mask);
    left = right;
    right = next;
  }
  return left << half_bits_ | right;
}

SampleOrder::SampleOrder(std::vector<Source> sources, std::uint64_t seed, bool shuffled)
    : sources_(std::move(sources)), seed_(seed), shuffled_(shuffled) {
  require_sound(sources_);
  counts_ = share_out(sources_);
  for (std::size_t s = 0; s < counts_.size(); ++s)
    require(counts_[s] > 0, Fault::usage, "data: source ", sources_[s].name, ": its weight ",
            sources_[s].weight, " is less than 1/", kBlock, " of all: raise it or drop the source");
  std::map<std::string, int> seen;  // how many sources of this content so far
  for (const Source& s : sources_)
    streams_.push_back(stream_of(s.content + ' ' + std::to_string(seen[s.content]++)));
  // each slot goes to the source that is furthest behind its share
  std::vector<std::uint32_t> filled(counts_.size(), 0);  // slots of each source so far
  for (std::uint64_t n = 1; n <= kBlock; ++n) {
    const auto behind = [&](std::size_t s) {
      return filled[s] < counts_[s]
                 ? std::int64_t(counts_[s] * n) - std::int64_t(filled[s] * kBlock)
                 : std::numeric_limits<std::int64_t>::min();
    };
    std::uint32_t next = 0;
    for (std::uint32_t s = 1; s < counts_.size(); ++s)
      if (behind(s) > behind(next)) next = s;
    slots_.push_back({next, filled[next]++});
  }
}

Sample SampleOrder::at(std::uint64_t global_index) const {
  const Slot slot = slots_[global_index % kBlock];
  const Source& source = sources_[slot.source];
  const std::uint64_t nth = global_index / kBlock * counts_[slot.source] + slot.earlier;
  const std::uint64_t epoch = nth / source.samples, within = nth % source.samples;
  if (!shuffled_) return {slot.source, within};
  const std::uint64_t key = Rng(seed_, streams_[slot.source]).bits(epoch);
  return {slot.source, Permutation(source.samples, key)(within)};
}

}  // namespace tern
