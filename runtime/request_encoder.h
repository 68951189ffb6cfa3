// Contexts and continuations as token ids, in the way of lm-evaluation-harness (HFLM).
#pragma once

#include "data/tokenizer/tokenizer.h"
#include "runtime/likelihood.h"

namespace tern {

// Of one thread.
class RequestEncoder {
 public:
  // bos: begin every request with it. Fault::usage if the tokenizer has none.
  RequestEncoder(const Tokenizer& tokenizer, bool bos);

  // White space at the end of the context moves to the continuation. The pieces are those of the
  // whole text; those beyond the number of the context's are the continuation's. An empty context
  // is bos, or eos where there is no bos. Either list may come out empty.
  LikelihoodRequest encode(const std::string& context, const std::string& continuation);

 private:
  std::vector<std::int32_t> ids_of(std::string_view text, bool bos);

  const Tokenizer tokenizer_;
  Encoder encoder_;
  const bool bos_;
};

// Why a request cannot be scored at this length; empty: it can.
std::string problem_of(const LikelihoodRequest& request, Index max_length);

// The last max_length + 1 ids of both, of which the last one is only predicted.
LikelihoodRequest truncated(LikelihoodRequest request, Index max_length);

}  // namespace tern
