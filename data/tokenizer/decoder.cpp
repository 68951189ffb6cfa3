#include <string>
#include <utility>

#include "data/text/utf8.h"
#include "data/tokenizer/tokenizer.h"

namespace tern {

std::string Decoder::push(std::int32_t id) {
  held_ += tokenizer_.spelling(id, text_begins_);
  text_begins_ = tokenizer_.text_begins_after(id, text_begins_);
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
