#include "data/corpus/ngram.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "data/corpus/batches.h"

namespace tern {
namespace {

constexpr std::uint32_t kNone = ~std::uint32_t(0);
constexpr std::size_t kMaxNodes = std::size_t(1) << 31;

std::uint64_t key_of(std::uint32_t node, std::int32_t symbol) {
  return std::uint64_t(node) << 32 | std::uint32_t(symbol);
}

std::size_t slot_of(std::uint64_t key, std::size_t slots) {
  key = (key ^ key >> 32) * 0x9e3779b97f4a7c15u;
  return std::size_t(key >> 20) & (slots - 1);
}

using Ids = std::span<const std::int32_t>;

constexpr std::uint64_t kBlockTokens = std::uint64_t(1) << 20;

void for_each_block(const Corpus& corpus, std::uint64_t tokens,
                    const std::function<void(std::uint64_t first, Ids)>& use) {
  std::vector<std::int32_t> ids;
  for (std::uint64_t first = 0; first < tokens; first += ids.size()) {
    ids.resize(std::size_t(std::min(kBlockTokens, tokens - first)));
    corpus.read(first, ids);
    use(first, ids);
  }
}

// The text of the corpus, document after document, as symbols 0 to 255. Returns its bytes.
std::uint64_t for_each_text(const Corpus& corpus, std::uint64_t tokens,
                            const std::function<void(Ids)>& use) {
  Decoder decoder(corpus.tokenizer());
  std::vector<std::int32_t> symbols;
  const auto append = [&](std::string_view text) {
    for (const char byte : text) symbols.push_back(std::uint8_t(byte));
  };
  std::uint64_t bytes = 0;
  for_each_block(corpus, tokens, [&](std::uint64_t first, Ids ids) {
    symbols.clear();
    const std::vector<std::uint64_t> starts = corpus.document_starts(first, first + ids.size());
    auto next_start = starts.begin();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      for (; next_start != starts.end() && *next_start == first + i; ++next_start)
        append(decoder.finish());
      append(decoder.push(ids[i]));
    }
    if (first + ids.size() == tokens) append(decoder.finish());
    bytes += symbols.size();
    use(symbols);
  });
  return bytes;
}

void divide(std::vector<double>& bits, std::uint64_t bytes) {
  for (double& b : bits) b /= double(bytes);
}

}  // namespace

NgramModels::NgramModels(std::int64_t vocabulary, int highest, double discount)
    : vocabulary_(vocabulary),
      highest_(std::size_t(highest)),
      discount_(discount),
      nodes_(1),
      keys_(1 << 16),
      children_(1 << 16),
      training_{0},
      scored_{0} {
  check(vocabulary > 0 && highest > 0, "[ngram] expected a vocabulary and an order");
}

std::uint32_t NgramModels::find(std::uint32_t node, std::int32_t symbol) const {
  if (node == kNone) return kNone;
  const std::uint64_t key = key_of(node, symbol);
  for (std::size_t slot = slot_of(key, keys_.size());; slot = (slot + 1) & (keys_.size() - 1)) {
    if (children_[slot] == 0) return kNone;
    if (keys_[slot] == key) return children_[slot];
  }
}

std::uint32_t NgramModels::find_or_add(std::uint32_t node, std::int32_t symbol, bool& added) {
  const std::uint64_t key = key_of(node, symbol);
  std::size_t slot = slot_of(key, keys_.size());
  for (; children_[slot] != 0; slot = (slot + 1) & (keys_.size() - 1))
    if (keys_[slot] == key) return added = false, children_[slot];
  require(nodes_.size() < kMaxNodes, Fault::memory, "ngram: more than 2^31 n-grams: use less text");
  added = true;
  keys_[slot] = key;
  children_[slot] = std::uint32_t(nodes_.size());
  nodes_.emplace_back();
  if (nodes_.size() * 3 > keys_.size() * 2) grow();
  return std::uint32_t(nodes_.size() - 1);
}

void NgramModels::grow() {
  std::vector<std::uint64_t> keys(keys_.size() * 2);
  std::vector<std::uint32_t> children(keys.size());
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    if (children_[i] == 0) continue;
    std::size_t slot = slot_of(keys_[i], keys.size());
    while (children[slot] != 0) slot = (slot + 1) & (keys.size() - 1);
    keys[slot] = keys_[i];
    children[slot] = children_[i];
  }
  keys_ = std::move(keys);
  children_ = std::move(children);
}

void NgramModels::add(std::span<const std::int32_t> symbols) {
  std::vector<std::uint32_t> ended;  // n-grams that end at the symbol, by length
  for (const std::int32_t symbol : symbols) {
    check(symbol >= 0 && symbol < vocabulary_, "[ngram] symbol ", symbol, " of ", vocabulary_);
    ended.assign(1, 0);
    for (const std::uint32_t context : training_) {
      bool added = false;
      const std::uint32_t node = find_or_add(context, symbol, added);
      ++nodes_[node].count;
      ++nodes_[context].followed;
      nodes_[context].followers += added;
      if (added && ended.size() > 1) {  // a new symbol before the n-gram that is one shorter
        const std::uint32_t suffix = ended.back(), before = training_[ended.size() - 2];
        nodes_[before].preceded_followers += nodes_[suffix].preceded == 0;
        ++nodes_[suffix].preceded;
        ++nodes_[before].preceded_sum;
      }
      ended.push_back(node);
    }
    if (ended.size() > highest_) ended.pop_back();
    training_.swap(ended);
  }
}

void NgramModels::score(std::span<const std::int32_t> symbols, std::vector<double>& bits) {
  bits.resize(highest_);
  std::vector<std::uint32_t> ended;
  for (const std::int32_t symbol : symbols) {
    check(symbol >= 0 && symbol < vocabulary_, "[ngram] symbol ", symbol, " of ", vocabulary_);
    const double uniform = 1.0 / double(vocabulary_);
    double lower = uniform, p = uniform;  // of the next shorter context; of the model
    ended.assign(1, 0);
    for (std::size_t n = 0; n < highest_; ++n) {  // n: length of the context
      const std::uint32_t context = n < scored_.size() ? scored_[n] : kNone;
      const std::uint32_t node = find(context, symbol);
      const auto interpolated = [&](double count, double sum, double kinds) {
        return sum == 0 ? lower
                        : (std::max(count - discount_, 0.0) + discount_ * kinds * lower) / sum;
      };
      p = lower;
      if (context != kNone) {
        const Node& at = nodes_[context];
        const Node seen = node == kNone ? Node{} : nodes_[node];
        p = interpolated(seen.count, at.followed, at.followers);
        lower = interpolated(seen.preceded, at.preceded_sum, at.preceded_followers);
      }
      bits[n] -= std::log2(p);
      ended.push_back(node);
    }
    if (ended.size() > highest_) ended.pop_back();
    scored_.swap(ended);
  }
}

NgramBaselines ngram_baselines(const Corpus& train, const Corpus& validation, int highest,
                               std::uint64_t max_tokens) {
  NgramBaselines result;
  result.training_tokens = std::min(train.token_count(), max_tokens);
  result.scored_tokens = validation.token_count();
  const TextBytes text_bytes(validation);
  {
    NgramModels models(train.vocab_size(), highest);
    for_each_block(train, result.training_tokens, [&](auto, Ids ids) { models.add(ids); });
    std::vector<std::int32_t> inputs;  // the token before each target
    for_each_block(validation, result.scored_tokens, [&](std::uint64_t first, Ids ids) {
      std::vector<double> given;  // the first token is not predicted
      if (first == 0) models.score(ids.first(1), given);
      const Ids targets = first == 0 ? ids.subspan(1) : ids;
      models.score(targets, result.token_models);
      inputs.insert(inputs.end(), ids.begin(), ids.end());
      const Ids before = Ids(inputs).first(targets.size());
      result.scored_bytes += text_bytes.of(first - (first == 0 ? 0 : 1), before, targets);
      inputs.assign(1, ids.back());
    });
  }
  require(result.scored_bytes > 0, Fault::input, "ngram: the validation split holds no text");
  NgramModels models(256, highest);
  result.training_bytes =
      for_each_text(train, result.training_tokens, [&](Ids text) { models.add(text); });
  const std::uint64_t bytes = for_each_text(
      validation, result.scored_tokens, [&](Ids text) { models.score(text, result.byte_models); });
  divide(result.token_models, result.scored_bytes);
  divide(result.byte_models, bytes);
  return result;
}

}  // namespace tern
