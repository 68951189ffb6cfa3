// A text as token ids that can be read from any position: what corpora offer and batches are cut
// from.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace tern {

struct TokenSource {
  std::string name;   // for messages
  double weight = 1;  // its share of the samples is weight over the sum of the weights
  std::uint64_t token_count = 0;
  // fills ids with those at [first, first + ids.size()) < token_count; called from one thread
  std::function<void(std::uint64_t first, std::span<std::int32_t> ids)> read;
  std::string content{};  // hash of the tokens: keys the order of its samples
};

}  // namespace tern
