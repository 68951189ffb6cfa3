#include "apps/train/replica_hash.h"

#include <algorithm>

#include "core/backend.h"
#include "data/io/hash.h"

namespace tern {

std::string replica_hash(const ParameterPack& pack) {
  Hash hash;
  const auto add = [&](const Tensor& t) {
    if (!t) return;
    std::vector<std::byte> bytes(t.bytes());
    t.backend().download(bytes.data(), t);
    hash.update(bytes);
  };
  add(pack.codes());
  add(pack.scales());
  for (const Parameter* p : pack.parameters())
    if (!p->ternary) add(p->value);
  return hash.hex();
}

std::string ranks_that_differ(const std::vector<std::string>& hashes) {
  const auto votes = [&](const std::string& h) { return std::ranges::count(hashes, h); };
  const auto most = std::ranges::max_element(
      hashes, [&](const auto& a, const auto& b) { return votes(a) < votes(b); });
  std::string ranks;
  int odd = 0;
  for (std::size_t r = 0; r < hashes.size(); ++r)
    if (hashes[r] != *most) {
      ranks += (odd++ ? ", " : "") + std::to_string(r);
    }
  if (odd == 0) return {};
  return (odd > 1 ? "ranks " : "rank ") + ranks + (odd > 1 ? " hold" : " holds") +
         " copies of the model that differ from those of rank " +
         std::to_string(most - hashes.begin()) +
         ": memory or the network has changed bits; resume from a checkpoint";
}

}  // namespace tern
