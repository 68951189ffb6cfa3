#include "data/corpus/ngram_baselines.h"

#include <algorithm>
#include <functional>
#include <string_view>

#include "core/check.h"
#include "data/corpus/ngram.h"
#include "data/corpus/text_bytes.h"

namespace tern {
namespace {

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
