#include <algorithm>
#include <cstring>
#include <vector>

#include "core/check.h"
#include "data/tokenizer/sentencepiece_model.h"

namespace tern {
namespace {

// SentencePiece's own rules (nmt_nfkc_cf) take 0.3 MB; the walk below is bounded by this.
constexpr std::size_t kMaxRuleBytes = std::size_t(1) << 20;
// SentencePiece keeps the nested matches at one place in an array of this length.
constexpr std::uint8_t kMaxNestedMatches = 32;

// A unit of Darts-clone's double array (Yata, Darts-clone 0.32).
struct Unit {
  std::uint32_t bits;
  bool has_value() const { return (bits >> 8 & 1) != 0; }
  std::uint32_t value() const { return bits & 0x7fffffffu; }
  std::uint32_t label() const { return bits & 0x800000ffu; }
  std::uint32_t offset() const { return (bits >> 10) << ((bits & 0x200u) >> 6); }
};

}  // namespace

void check_normalization(std::string_view rules, const std::filesystem::path& path) {
  const auto expect = [&](bool holds, const char* what) {
    require(holds, Fault::input, path.string(), ": broken normalisation rules: ", what);
  };
  expect(rules.size() > 4 && rules.size() <= kMaxRuleBytes, "expected 4 B to 1 MiB of them");
  std::uint32_t trie_bytes;
  std::memcpy(&trie_bytes, rules.data(), 4);
  expect(trie_bytes >= 4 && trie_bytes % 4 == 0 && trie_bytes < rules.size() - 4,
         "the trie does not fit");
  std::vector<Unit> units(trie_bytes / 4);
  std::memcpy(units.data(), rules.data() + 4, trie_bytes);
  const std::string_view replacements = rules.substr(4 + trie_bytes);
  expect(replacements.back() == '\0', "a replacement has no end");

  // Every unit reachable by some text, with the most values met on a way to it. A node has its
  // children at base ^ byte, and its value at base.
  struct Node {
    std::uint32_t base;
    std::uint8_t matches;
  };
  std::vector<std::uint8_t> most(units.size(), 0);  // matches + 1; 0: not reached yet
  std::vector<Node> open{{units[0].offset(), 0}};
  while (!open.empty()) {
    const Node node = open.back();
    open.pop_back();
    expect((node.base | 255u) < units.size(), "the trie leads outside of itself");
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t at = node.base ^ byte;
      const Unit unit = units[at];
      if (unit.label() != byte) continue;
      const auto matches = std::uint8_t(node.matches + unit.has_value());
      if (most[at] > matches) continue;
      most[at] = std::uint8_t(matches + 1);
      const std::uint32_t base = at ^ unit.offset();
      expect(matches <= kMaxNestedMatches, "too many rules for one place");
      expect(base < units.size(), "the trie leads outside of itself");
      expect(!unit.has_value() || units[base].value() < replacements.size(),
             "a replacement lies outside of the file");
      open.push_back({base, matches});
    }
  }
}

}  // namespace tern
