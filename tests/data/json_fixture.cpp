#include "tests/data/json_fixture.h"

namespace tern {
namespace {

std::string utf8(std::uint32_t code) {
  if (code < 0x80) return std::string(1, char(code));
  return {char(0xc0 | code >> 6), char(0x80 | (code & 0x3f))};
}

// GPT-2's characters for bytes
std::string spelled(const std::string& bytes) {
  std::string out;
  for (const char c : bytes) {
    const auto byte = std::uint8_t(c);
    std::uint32_t others = 0;
    const auto plain = [](std::uint32_t b) {
      return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    };
    for (std::uint32_t b = 0; b < byte; ++b) others += !plain(b);
    out += utf8(plain(byte) ? byte : 256 + others);
  }
  return out;
}

void add(Json& all, const std::vector<AddedPiece>& pieces) {
  std::size_t next = all["model"]["vocab"].size();
  for (const auto& [content, flags] : pieces) {
    const auto has = [&](char flag) { return flags.find(flag) != flags.npos; };
    const Json& vocab = all["model"]["vocab"];
    all["added_tokens"].push_back({{"id", vocab.contains(content) ? vocab[content] : Json(next++)},
                                   {"content", content},
                                   {"single_word", has('w')},
                                   {"lstrip", has('l')},
                                   {"rstrip", has('r')},
                                   {"normalized", has('n')},
                                   {"special", has('s')}});
  }
}

Json model_json() {
  return {{"type", "BPE"},           {"dropout", nullptr},
          {"unk_token", nullptr},    {"continuing_subword_prefix", nullptr},
          {"fuse_unk", false},       {"end_of_word_suffix", nullptr},
          {"byte_fallback", false},  {"ignore_merges", false},
          {"vocab", Json::object()}, {"merges", Json::array()}};
}

}  // namespace

Json byte_level_json(const std::vector<AddedPiece>& added) {
  Json all = {
      {"version", "1.0"},
      {"added_tokens", Json::array()},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
      {"post_processor", nullptr},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model", model_json()}};
  Json& vocab = all["model"]["vocab"];
  for (int b = 0; b < 256; ++b) vocab[spelled(std::string(1, char(b)))] = b;
  const std::vector<std::pair<std::string, std::string>> merges = {
      {"t", "h"},   {"th", "e"}, {" ", "the"}, {" ", "t"}, {" t", "h"}, {" th", "e"}, {"a", "a"},
      {"aa", "aa"}, {"1", "2"},  {"12", "3"},  {"'", "s"}, {" ", " "},  {"  ", "  "}, {"\n", "\n"}};
  for (const auto& [left, right] : merges) {
    const std::string product = spelled(left + right);
    if (!vocab.contains(product)) vocab[product] = vocab.size();
    all["model"]["merges"].push_back({spelled(left), spelled(right)});
  }
  add(all, added);
  return all;
}

Json llama3_json() {
  Json all = byte_level_json({{"<|begin_of_text|>", "s"}});
  all["normalizer"] = {{"type", "NFC"}};
  all["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"},
         {"pattern", {{"Regex", kLlama3Pattern}}},
         {"behavior", "Isolated"},
         {"invert", false}},
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  all["model"]["ignore_merges"] = true;
  return all;
}

Json llama2_json(const std::vector<AddedPiece>& added) {
  Json all = {{"version", "1.0"},
              {"added_tokens", Json::array()},
              {"pre_tokenizer", nullptr},
              {"decoder", nullptr},
              {"model", model_json()}};
  all["normalizer"] = {
      {"type", "Sequence"},
      {"normalizers",
       {{{"type", "Prepend"}, {"prepend", "\u2581"}},
        {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}}}}};
  Json& model = all["model"];
  model["unk_token"] = "<unk>";
  model["fuse_unk"] = model["byte_fallback"] = true;
  Json& vocab = model["vocab"];
  const auto piece = [&](const std::string& text) {
    if (!vocab.contains(text)) vocab[text] = vocab.size();
  };
  for (const char* text : {"<unk>", "<s>", "</s>"}) piece(text);
  constexpr std::string_view digits = "0123456789ABCDEF";
  for (std::size_t b = 0; b < 256; ++b)
    piece(std::string("<0x") + digits[b / 16] + digits[b % 16] + '>');
  for (const char* text : {"\u2581", "a", "b", "t", "h", "e"}) piece(text);
  const std::vector<std::pair<std::string, std::string>> merges = {{"t", "h"},
                                                                   {"th", "e"},
                                                                   {"\u2581", "the"},
                                                                   {"\u2581", "a"},
                                                                   {"\u2581\u2581\u2581", "\u2581"},
                                                                   {"\u2581\u2581", "\u2581"},
                                                                   {"\u2581", "\u2581"},
                                                                   {"a", "a"}};
  for (const auto& [left, right] : merges) {
    for (const std::string& text : {left, right, left + right}) piece(text);
    model["merges"].push_back(left + ' ' + right);
  }
  std::vector<AddedPiece> all_added = {{"<unk>", "s"}, {"<s>", "s"}, {"</s>", "s"}};
  all_added.insert(all_added.end(), added.begin(), added.end());
  add(all, all_added);
  return all;
}

Json metaspace_json(const std::string& scheme, bool split, const std::vector<AddedPiece>& added) {
  Json all = llama2_json(added);
  all["normalizer"] = nullptr;
  all["pre_tokenizer"] = {{"type", "Metaspace"},
                          {"replacement", "\u2581"},
                          {"prepend_scheme", scheme},
                          {"split", split}};
  return all;
}

}  // namespace tern
