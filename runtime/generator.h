// Text from a model, token by token. A recurrent state has one size: memory and time per token do
// not grow with the text, and there is no window. A Transformer's cache and its time per token
// grow; it reads on past the context that it was trained with, where it is seldom any good.
#pragma once

#include "core/rng.h"
#include "data/corpus/manifest.h"
#include "layers/model.h"

namespace tern {

// Tokens of a prompt that are computed at once: enough for the products' full speed, and few enough
// that their activations are small beside the weights.
inline constexpr Index kPromptChunk = 256;

struct Sampling {
  double temperature = 1;  // 0: always the most likely token
  std::int64_t top_k = 0;  // only the k most likely; 0: all
  double top_p = 1;        // only the most likely whose probabilities sum to p; at least one
  std::uint64_t seed = 0;
};

// An index drawn from softmax(logits / temperature) after top_k and then top_p (Holtzman et al.
// 2020: the smallest set of the likeliest whose probabilities sum to p or more); uniform in (0, 1)
// is the random number. Of equal logits the lower index comes first, so the same inputs give the
// same token everywhere. Fault::diverged for a logit that is not finite.
std::int32_t sample_token(std::span<const double> logits, const Sampling& sampling, double uniform);

class Generator {
 public:
  // positions: ids of the prompt and of what will be drawn, as far as that is known
  Generator(Model& model, const Sampling& sampling, std::int64_t positions = 0);

  void read(
      std::span<const std::int32_t> ids);  // a prompt, or more of it; at least one id before next()
  std::int32_t next();                     // draws a token and reads it
  // Takes the memory that reading and drawing so many positions takes; what it reads are zeros.
  void rehearse();

 private:
  Model& model_;
  Sampling sampling_;
  Rng rng_;
  std::uint64_t drawn_ = 0;
  std::int64_t positions_;
  ModelState state_;
  std::vector<double> logits_;  // (V) after the last token read
};

// The prompt as documents of the training data begin: after bos if they have it. An empty prompt
// without bos begins after the eos of another document; without that it has no ids.
std::vector<std::int32_t> prompt_ids(const Tokenizer& tokenizer, const DocumentLayout& documents,
                                     const std::string& prompt);

// Reads the prompt and shows what follows it, in parts of whole characters, up to `tokens` tokens
// or the end of the document: eos, or bos where documents have no eos. The beginning of a character
// at the end of the prompt is shown with what follows. Fault::usage for a prompt without any token.
void continue_text(Generator& generator, const Tokenizer& tokenizer,
                   const DocumentLayout& documents, const std::string& prompt, std::int64_t tokens,
                   const std::function<void(const std::string&)>& show);

}  // namespace tern
