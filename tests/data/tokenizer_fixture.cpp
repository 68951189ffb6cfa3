#include "tests/data/tokenizer_fixture.h"

#include <sentencepiece_trainer.h>

#include <bit>
#include <optional>
#include <utility>

#include "data/tokenizer/tokenizer.h"

namespace tern {
namespace {

std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 128; value >>= 7) out += char(value | 128);
  return out + char(value);
}

std::string number_field(int number, std::uint64_t value) {
  return varint(std::uint64_t(number) << 3) + varint(value);
}

std::string bytes_field(int number, const std::string& content) {
  return varint(std::uint64_t(number) << 3 | 2) + varint(content.size()) + content;
}

std::string float_field(int number, float value) {
  std::string out = varint(std::uint64_t(number) << 3 | 5);
  const auto bits = std::bit_cast<std::uint32_t>(value);
  for (int i = 0; i < 4; ++i) out += char(bits >> 8 * i);
  return out;
}

class OneText : public sentencepiece::SentenceIterator {
 public:
  bool done() const override { return done_; }
  void Next() override { done_ = true; }
  const std::string& value() const override { return text_; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  std::string text_ = english();
  bool done_ = false;
};

}  // namespace

std::string default_sentencepiece_model() {
  OneText text;
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(
      "--vocab_size=60 --max_sentence_length=99999 --minloglevel=3", &text, &model);
  if (!status.ok()) throw std::runtime_error(status.message());
  return model;
}

std::string ModelFile::bytes() const {
  std::string out;
  for (const Piece& p : pieces)
    out += bytes_field(1, bytes_field(1, p.text) + float_field(2, p.score) +
                              number_field(3, std::uint64_t(p.kind)));
  out += bytes_field(2, number_field(3, std::uint64_t(type)) + number_field(35, byte_fallback) +
                            number_field(41, std::uint64_t(bos_id)));
  std::string normalizer = number_field(3, dummy_prefix) + number_field(4, remove_extra_spaces);
  if (!rules.empty()) normalizer += bytes_field(2, rules);
  return out + bytes_field(3, normalizer);
}

ModelFile model_file(const std::vector<std::string>& pieces) {
  ModelFile file;
  file.pieces = {{"<unk>", 0, 2}, {"<s>", 0, 3}, {"</s>", 0, 3}};
  constexpr std::string_view digits = "0123456789ABCDEF";
  for (std::size_t b = 0; b < 256; ++b)
    file.pieces.push_back({std::string("<0x") + digits[b / 16] + digits[b % 16] + '>', 0, 6});
  for (const std::string& text : pieces)
    file.pieces.push_back({text, -float(file.pieces.size()), 1});
  return file;
}

std::string english() {
  const std::string page =
      "The wind had gone down before the morning, and the harbour lay grey and quiet.\n\n"
      "\"You are early,\" said the old woman;  \"the boats are not in yet.\"\n"
      "He did not answer at once. There were 12 boats, or 13, and the sea was calm...\n\n"
      "    for (int i = 0; i < n; ++i)\n        total += price[i];\n\n"
      "CHORUS:\nGo, say thy word; the king will hear the morning bell.\n\n";
  std::string text;
  for (int i = 0; i < 8; ++i) text += page;
  return text;
}

const Tokenizer& small_tokenizer() {
  static const Tokenizer tokenizer = [] {
    std::optional<std::string> text = english();
    const auto next = [&] { return std::exchange(text, std::nullopt); };
    return Tokenizer::parse(train_tokenizer(next, {.vocab_size = 400}), "small.model");
  }();
  return tokenizer;
}

std::string random_text(std::mt19937_64& random, std::size_t parts, bool broken) {
  static const std::vector<std::string> good = {" ",          "  ",     "     ",
                                                "\n",         "\n\n",   "\t",
                                                "\r\n",       "\u2581", "\u2581 ",
                                                "\u2585",     "the",    "The",
                                                "boats",      "12",     ".",
                                                "...",        "\"",     "\u00e9",
                                                "e\u0301",    "\u4f60", "a",
                                                "aaaa",       "<0x41>", "<s>",
                                                "</s>",       "<unk>",  "\x7f",
                                                "\x01",       "\u2047", "\ufeff",
                                                "\ufffd",     "\uffff", "\U0001f600",
                                                "\U0010ffff", "\u2028", "word",
                                                ";",          "(",      std::string(1, '\0')};
  static const std::vector<std::string> bad = {
      "\xff",     "\x80",     "\xc3",     "\xed\xa0\x80",
      "\xf0\x9f", "\xe2\x96", "\xc0\x80", "\xf4\x90\x80\x80"};
  std::string text;
  for (std::size_t i = 0; i < parts; ++i) {
    const std::vector<std::string>& from = broken && random() % 4 == 0 ? bad : good;
    text += from[random() % from.size()];
  }
  return text;
}

}  // namespace tern
