#include "runtime/request_encoder.h"

#include "data/text/utf8.h"

namespace tern {

RequestEncoder::RequestEncoder(const Tokenizer& tokenizer, bool bos)
    : tokenizer_(tokenizer), encoder_(tokenizer), bos_(bos) {
  require(!bos || tokenizer.bos_id() >= 0, Fault::usage,
          "--bos on: this tokenizer has no bos: expected --bos off");
}

std::vector<std::int32_t> RequestEncoder::ids_of(std::string_view text, bool bos) {
  std::vector<std::int32_t> ids;
  if (bos) ids.push_back(tokenizer_.bos_id());
  encoder_.append(text, Encoder::Part::first, ids);
  return ids;
}

LikelihoodRequest RequestEncoder::encode(const std::string& context,
                                         const std::string& continuation) {
  if (context.empty()) {
    const std::int32_t bos = tokenizer_.bos_id(), prefix = bos >= 0 ? bos : tokenizer_.eos_id();
    LikelihoodRequest request{.continuation = ids_of(continuation, false)};
    if (prefix >= 0) request.context.push_back(prefix);
    return request;
  }
  const std::string_view kept =
      std::string_view(context).substr(0, context.size() - trailing_white_space(context));
  LikelihoodRequest request{.context = ids_of(kept, bos_)};
  const std::vector<std::int32_t> whole = ids_of(context + continuation, bos_);
  if (whole.size() > request.context.size())
    request.continuation.assign(whole.begin() + std::ptrdiff_t(request.context.size()),
                                whole.end());
  return request;
}

std::string problem_of(const LikelihoodRequest& request, Index max_length) {
  if (request.context.empty()) return "its context has no token";
  if (request.continuation.empty()) return "no token of its continuation is left";
  if (Index(request.continuation.size()) > max_length)
    return "its continuation has " + std::to_string(request.continuation.size()) +
           " tokens: expected at most --max-length, " + std::to_string(max_length);
  return "";
}

LikelihoodRequest truncated(LikelihoodRequest request, Index max_length) {
  auto& context = request.context;
  const Index room = max_length + 1 - Index(request.continuation.size());
  if (Index(context.size()) > room)
    context.erase(context.begin(), context.end() - std::ptrdiff_t(room));
  return request;
}

}  // namespace tern
