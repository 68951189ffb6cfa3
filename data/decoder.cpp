#include <string>
#include <utility>

#include "core/check.h"
#include "data/tokenizer_state.h"
#include "data/utf8.h"

namespace tern {

std::string Decoder::push(std::int32_t id) {
  const Tokenizer::State& model = *tokenizer_.state_;
  require(id >= 0 && std::size_t(id) < model.spelling.size(), Fault::input,
          "[decode] expected a token id from 0 to ", model.spelling.size() - 1, ", got ", id);
  std::string_view text = model.spelling[std::size_t(id)];
  if (model.is_control[std::size_t(id)]) {
    text_begins_ = text_begins_ || id == model.bos || id == model.eos;
  } else {
    if (text_begins_ && model.drops_prefix && text.starts_with(' ') && id != model.unk &&
        id != model.byte_ids[' '])
      text.remove_prefix(1);
    text_begins_ = false;
  }
  held_ += text;
  const std::size_t whole = held_.size() - incomplete_suffix(held_);
  std::string out = held_.substr(0, whole);
  held_.erase(0, whole);
  return out;
}

std::string Decoder::finish() {
  text_begins_ = true;
  return std::exchange(held_, {});
}

}  // namespace tern
