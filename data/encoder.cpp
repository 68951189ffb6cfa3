#include <string>

#include "core/check.h"
#include "data/tokenizer_state.h"
#include "data/utf8.h"

namespace tern {
namespace {

constexpr std::size_t kMaxKnown = 1 << 19;  // segments
constexpr std::size_t kMaxKnownBytes = std::size_t(32) << 20;

}  // namespace

void Encoder::append_segment(std::string_view segment, std::vector<std::int32_t>& ids) {
  auto found = known_.find(segment);
  if (found == known_.end()) {
    if (known_.size() >= kMaxKnown || known_bytes_ + segment.size() > kMaxKnownBytes) {
      known_.clear();
      known_ids_.clear();
      known_bytes_ = 0;
    }
    std::vector<int> fresh;
    const auto status = tokenizer_.state_->processor.Encode(segment, &fresh);
    check(status.ok(), "[encode] SentencePiece: ", status.message());
    const Range range{std::uint32_t(known_ids_.size()), std::uint32_t(fresh.size())};
    known_ids_.insert(known_ids_.end(), fresh.begin(), fresh.end());
    known_bytes_ += segment.size();
    found = known_.emplace(std::string(segment), range).first;
  }
  const auto [begin, count] = found->second;
  ids.insert(ids.end(), known_ids_.begin() + begin, known_ids_.begin() + begin + count);
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
