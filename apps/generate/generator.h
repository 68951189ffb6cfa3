// Text from a model, token by token. The state is recurrent: memory and time per token do not grow
// with the text, and there is no window.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/rng.h"
#include "data/tokenizer.h"
#include "layers/model.h"

namespace tern {

struct Sampling {
  double temperature = 1;  // 0: always the most likely token
  std::int64_t top_k = 0;  // only the k most likely; 0: all
  double top_p = 1;        // only the most likely whose probabilities sum to p
  std::uint64_t seed = 0;
};

// An index drawn from softmax(logits / temperature) after top_k and top_p; uniform in (0, 1) is the
// random number. Ties and order are fixed, so the same inputs give the same token everywhere.
std::int32_t sample_token(std::span<const double> logits, const Sampling& sampling, double uniform);

class Generator {
 public:
  Generator(Model& model, const Sampling& sampling);

  void read(
      std::span<const std::int32_t> ids);  // a prompt, or more of it; at least one id before next()
  std::int32_t next();                     // draws a token and reads it

 private:
  Model& model_;
  Sampling sampling_;
  Rng rng_;
  std::uint64_t drawn_ = 0;
  Tensor state_;                // (L, 1, D)
  std::vector<double> logits_;  // (V) after the last token read
};

// Reads the prompt (after bos, if the tokenizer has one) and shows what follows it, up to `tokens`
// tokens or eos, in parts of whole characters. Fault::usage for a prompt without any token.
void continue_text(Generator& generator, const Tokenizer& tokenizer, const std::string& prompt,
                   std::int64_t tokens, const std::function<void(const std::string&)>& show);

}  // namespace tern
