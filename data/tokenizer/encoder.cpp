#include <string>

#include "core/check.h"
#include "data/text/utf8.h"
#include "data/tokenizer/tokenizer_state.h"

namespace tern {

void Encoder::append_segment(std::string_view segment, std::vector<std::int32_t>& ids) {
  if (const auto known = known_.find(segment)) {
    ids.insert(ids.end(), known->begin(), known->end());
    return;
  }
  std::vector<int> fresh;
  const auto status = tokenizer_.state_->processor.Encode(segment, &fresh);
  check(status.ok(), "[encode] SentencePiece: ", status.message());
  known_.insert(segment, fresh);
  ids.insert(ids.end(), fresh.begin(), fresh.end());
}

void Encoder::append(std::string_view text, Part part, std::vector<std::int32_t>& ids) {
  const Tokenizer::State& model = *tokenizer_.state_;
  // What SentencePiece would not give back: it reads U+2581 as a space, turns bytes that are not
  // UTF-8 into U+FFFD, and spells a space that it has no piece for as U+2581.
  const auto only_bytes = [&](char32_t code) {
    return code == kInvalidCharacter || code == 0 || code == 0x2581 ||
           (code == ' ' && !model.spells_space);
  };
  bool prefix = model.encodes_prefix && part == Part::first;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = model.segments.end(text, at);
    const std::string_view segment = text.substr(at, end - at);
    const bool bytes = model.lossless && only_bytes(first_character(segment).code);
    if (prefix)
      append_segment(std::string(" ").append(bytes ? "" : segment), ids);
    else if (!bytes)
      append_segment(segment, ids);
    if (bytes)
      for (const char byte : segment) ids.push_back(model.byte_ids[std::uint8_t(byte)]);
    prefix = false;
    at = end;
  }
}

}  // namespace tern
