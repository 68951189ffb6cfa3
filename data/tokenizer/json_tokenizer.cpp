#include "data/tokenizer/json_tokenizer.h"

#include <algorithm>

#include "core/check.h"
#include "data/io/files.h"
#include "data/io/json.h"
#include "data/text/utf8.h"
#include "data/tokenizer/pre_tokenizer.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

using json = nlohmann::json;
using Strings = std::vector<std::string>;

constexpr std::size_t kMaxMerges = 4 * kMaxPieces;
// The pattern of ByteLevel, from GPT-2.
constexpr const char* kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// A value with its place in the file, for messages.
struct Node {
  const json& value;
  std::string where;

  Node at(const char* key) const {
    static const json none;
    const auto found = value.is_object() ? value.find(key) : value.end();
    return {value.is_object() && found != value.end() ? *found : none,
            where + (where.ends_with(": ") ? "" : ".") + key};
  }
  Node at(std::size_t i) const { return {value[i], where + "[" + std::to_string(i) + "]"}; }

  [[noreturn]] void refuse(const std::string& expected) const {
    std::string got = value.is_null() ? "nothing" : value.dump(-1, ' ', true);
    if (got.size() > 80) got = got.substr(0, 80) + "...";
    fail(Fault::input, where, ": expected ", expected, ", got ", got);
  }
  void expect(bool holds, const std::string& expected) const {
    if (!holds) refuse(expected);
  }
  const std::string& text() const {
    expect(value.is_string(), "text");
    return value.get_ref<const std::string&>();
  }
  bool flag(bool otherwise) const {
    if (value.is_null()) return otherwise;
    expect(value.is_boolean(), "true or false");
    return value.get<bool>();
  }
  std::int32_t id() const {
    expect(value.is_number_unsigned() && value.get<std::uint64_t>() < kMaxPieces,
           "an id below " + std::to_string(kMaxPieces));
    return value.get<std::int32_t>();
  }
  std::string type() const {
    const Node type = at("type");
    expect(value.is_object() && type.value.is_string(), "an object with a type");
    return type.text();
  }
  // the members of a Sequence, of Sequences in it, or the one that this is; none for null
  std::vector<Node> steps(const char* list) const {
    if (value.is_null()) return {};
    if (type() != "Sequence") return {*this};
    std::vector<Node> all;
    const Node members = at(list);
    members.expect(members.value.is_array(), "a list");
    for (std::size_t i = 0; i < members.value.size(); ++i)
      for (Node& step : members.at(i).steps(list)) all.push_back(std::move(step));
    return all;
  }
};

void set_piece(BpeTokenizer& t, const std::string& text, std::int32_t id, bool in_model,
               const Node& node) {
  node.expect(!text.empty() && text.size() <= kMaxPieceBytes,
              "pieces of 1 to " + std::to_string(kMaxPieceBytes) + " B");
  const auto at = std::size_t(id);
  if (at >= t.pieces.size()) {
    t.pieces.resize(at + 1);
    t.kinds.resize(at + 1, PieceKind::unused);
    t.in_model.resize(at + 1);
  }
  if (!t.pieces[at].empty() && t.pieces[at] != text)
    fail(Fault::input, node.where, ": id ", id, " is there twice");
  t.pieces[at] = text;
  t.kinds[at] = PieceKind::normal;
  t.in_model[at] = t.in_model[at] || in_model;
}

// Reads one file into a BpeTokenizer.
class Reader {
 public:
  Reader(const json& root, const fs::path& path) : root_{root, path.string() + ": "} {
    require(root.is_object(), Fault::input, path.string(), ": expected a JSON object");
  }

  BpeTokenizer read() {
    read_model(root_.at("model"));
    read_normalizer();
    read_pre_tokenizer();
    read_decoder();
    read_added_tokens(root_.at("added_tokens"));
    finish();
    return std::move(t_);
  }

 private:
  void read_model(const Node& model) {
    model.expect(model.value.is_object(), "an object");
    const Node type = model.at("type");
    type.expect(type.value.is_null() ? model.value.contains("merges") : type.value == "BPE", "BPE");
    const Node dropout = model.at("dropout");
    dropout.expect(dropout.value.is_null() || dropout.value == 0.0, "no dropout");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
      model.at(key).expect(model.at(key).value.is_null() || model.at(key).value == "", "nothing");
    t_.byte_fallback = model.at("byte_fallback").flag(false);
    t_.ignore_merges = model.at("ignore_merges").flag(false);
    t_.fuse_unk = model.at("fuse_unk").flag(false);
    const Node vocab = model.at("vocab");
    vocab.expect(vocab.value.is_object() && !vocab.value.empty(), "an object of pieces");
    vocab.expect(vocab.value.size() <= kMaxPieces,
                 "at most " + std::to_string(kMaxPieces) + " pieces");
    for (const auto& [piece, value] : vocab.value.items()) {
      const std::int32_t id = Node{value, vocab.where}.id();
      set_piece(t_, piece, id, true, vocab);
      ids_.emplace(piece, id);
    }
    model_size_ = ids_.size();
    read_merges(model.at("merges"));
    const Node unk = model.at("unk_token");
    if (unk.value.is_null()) return;
    unk.expect(ids_.contains(unk.text()), "a piece of the vocabulary");
    t_.unk = ids_[unk.text()];
  }

  void read_merges(const Node& merges) {
    merges.expect(merges.value.is_array() && merges.value.size() <= kMaxMerges,
                  "a list of at most " + std::to_string(kMaxMerges) + " merges");
    std::string left, right;
    for (std::size_t i = 0; i < merges.value.size(); ++i) {
      const json& merge = merges.value[i];
      if (merge.is_string()) {
        const std::string& both = merge.get_ref<const std::string&>();
        const std::size_t space = both.find(' ');
        if (space == both.npos || both.find(' ', space + 1) != both.npos)
          merges.at(i).refuse("two pieces with a space between them");
        left = both.substr(0, space), right = both.substr(space + 1);
      } else {
        if (!merge.is_array() || merge.size() != 2 || !merge[0].is_string() ||
            !merge[1].is_string())
          merges.at(i).refuse("two pieces");
        left = merge[0].get<std::string>(), right = merge[1].get<std::string>();
      }
      const auto l = ids_.find(left), r = ids_.find(right), product = ids_.find(left + right);
      if (l == ids_.end() || r == ids_.end() || product == ids_.end())
        merges.at(i).refuse("pieces of the vocabulary that join to one");
      t_.merges.push_back({l->second, r->second, product->second});
    }
  }

  void read_normalizer() {
    bool prepends = false;
    const Node all = root_.at("normalizer");
    for (const Node& step : all.steps("normalizers")) {
      const std::string type = step.type();
      if (type == "NFC") {
        t_.nfc = true;
      } else if (type == "Prepend") {
        step.at("prepend").expect(step.at("prepend").value == kSpacePiece, "\u2581");
        step.expect(!prepends, "one Prepend");
        prepends = true;
      } else if (type == "Replace") {
        const Node pattern = step.at("pattern");
        pattern.expect(pattern.value == json{{"String", " "}}, "{\"String\": \" \"}");
        step.at("content").expect(step.at("content").value == kSpacePiece, "\u2581");
        t_.replaces_first = true;
      } else {
        step.at("type").refuse("NFC, or Prepend and Replace of \u2581");
      }
    }
    all.expect(!prepends || t_.replaces_first, "Replace with Prepend");
    all.expect(!t_.nfc || !t_.replaces_first, "NFC alone");
    if (prepends) t_.prefix = BpeTokenizer::Prefix::always;
  }

  void read_pre_tokenizer() {
    const Node all = root_.at("pre_tokenizer");
    const std::vector<Node> steps = all.steps("pretokenizers");
    for (const Node& step : steps) {
      const std::string type = step.type();
      const bool last = &step == &steps.back();
      if (type == "Split") {
        read_split(step);
      } else if (type == "Digits") {
        const bool each = step.at("individual_digits").flag(false);
        t_.patterns.push_back(each ? "\\p{N}" : "\\p{N}+");
      } else if (type == "ByteLevel") {
        all.expect(last, "ByteLevel at the end");
        t_.byte_level = true;
        if (step.at("add_prefix_space").flag(true)) t_.prefix = BpeTokenizer::Prefix::missing;
        step.at("add_prefix_space")
            .expect(t_.prefix == BpeTokenizer::Prefix::none || steps.size() == 1,
                    "false behind other pre-tokenizers");
        if (step.at("use_regex").flag(true)) t_.patterns.push_back(kByteLevelPattern);
      } else if (type == "Metaspace") {
        all.expect(steps.size() == 1, "Metaspace alone");
        read_metaspace(step);
      } else {
        step.at("type").refuse("Split, Digits, ByteLevel or Metaspace");
      }
    }
    all.expect(t_.byte_level || t_.replaces_first || metaspace_,
               "ByteLevel, or Metaspace, or a normalizer that replaces spaces by \u2581");
    all.expect(t_.byte_level || t_.patterns.empty(), "ByteLevel behind Split and Digits");
    all.expect(!t_.byte_level || !t_.replaces_first, "no ByteLevel where \u2581 replaces spaces");
    root_.at("normalizer").expect(!t_.nfc || t_.byte_level, "no NFC without ByteLevel");
    root_.at("model")
        .at("byte_fallback")
        .expect(!t_.byte_level || !t_.byte_fallback, "false with ByteLevel");
    PreTokenizer(t_.patterns, all.where);
  }

  void read_split(const Node& step) {
    const Node pattern = step.at("pattern");
    const bool regex = pattern.value.is_object() && pattern.value.contains("Regex");
    const bool string = pattern.value.is_object() && pattern.value.contains("String");
    pattern.expect(pattern.value.size() == 1 && (regex || string), "a Regex or a String");
    const std::string& text = pattern.at(regex ? "Regex" : "String").text();
    // no space is left in the text
    if (string && text == " " && t_.replaces_first) return;
    pattern.expect(!text.empty(), "a pattern that is not empty");
    step.at("behavior").expect(step.at("behavior").value == "Isolated", "Isolated");
    step.at("invert").expect(!step.at("invert").flag(false), "false");
    t_.patterns.push_back(regex ? text : escaped_pattern(text));
  }

  void read_metaspace(const Node& step) {
    using Prefix = BpeTokenizer::Prefix;
    root_.at("normalizer").expect(!t_.replaces_first && !t_.nfc, "none with Metaspace");
    step.at("replacement").expect(step.at("replacement").value == kSpacePiece, "\u2581");
    const Node scheme = step.at("prepend_scheme");
    const bool adds = step.at("add_prefix_space").flag(true);
    const std::string name = scheme.value.is_null() ? (adds ? "always" : "never") : scheme.text();
    scheme.expect(name == "always" || name == "first" || name == "never", "always, first or never");
    scheme.expect(adds || name == "never", "never, as add_prefix_space says");
    t_.prefix = name == "always" ? Prefix::missing : name == "first" ? Prefix::first : Prefix::none;
    t_.splits_at_spaces = step.at("split").flag(true);
    metaspace_ = true;
  }

  // Text is decoded by pieces alone; what would change it otherwise is refused.
  void read_decoder() {
    for (const Node& step : root_.at("decoder").steps("decoders")) {
      const std::string type = step.type();
      const Strings known = t_.byte_level
                                ? Strings{"ByteLevel"}
                                : Strings{"Metaspace", "Replace", "ByteFallback", "Fuse", "Strip"};
      if (std::find(known.begin(), known.end(), type) != known.end()) continue;
      step.at("type").refuse(t_.byte_level ? "ByteLevel"
                                           : "Metaspace, Replace, ByteFallback, Fuse or Strip");
    }
  }

  void read_added_tokens(const Node& list) {
    if (list.value.is_null()) return;
    list.expect(list.value.is_array() && list.value.size() <= kMaxPieces, "a list of tokens");
    std::int64_t newest = -1;  // the highest id of an added token, as the library counts
    for (std::size_t i = 0; i < list.value.size(); ++i) {
      const Node node = list.at(i);
      node.expect(node.value.is_object(), "an object");
      AddedToken token{.content = node.at("content").text(),
                       .id = node.at("id").id(),
                       .special = node.at("special").flag(false),
                       .single_word = node.at("single_word").flag(false),
                       .lstrip = node.at("lstrip").flag(false),
                       .rstrip = node.at("rstrip").flag(false),
                       .normalized = node.at("normalized").flag(true)};
      node.at("content").expect(
          !token.content.empty() && token.content.size() <= kMaxAddedTokenBytes,
          "1 to " + std::to_string(kMaxAddedTokenBytes) + " B");
      const auto known = ids_.find(token.content);
      const auto size = std::int64_t(model_size_);
      const std::int64_t id = known != ids_.end() ? known->second
                              : newest >= size    ? newest + 1
                                                  : size;
      node.at("id").expect(token.id == id,
                           std::to_string(id) + ", the id that `tokenizers` gives it");
      newest = std::max(newest, id);
      set_piece(t_, token.content, token.id, known != ids_.end() && t_.in_model[std::size_t(id)],
                node);
      ids_.emplace(token.content, token.id);
      t_.kinds[std::size_t(id)] = token.special ? PieceKind::control : PieceKind::user_defined;
      t_.added.push_back(std::move(token));
    }
  }

  void finish() {
    const Node vocab = root_.at("model").at("vocab");
    if (t_.pieces.size() > 2 * ids_.size() + 1024)
      fail(Fault::input, vocab.where, ": expected ids without large gaps, got ", ids_.size(),
           " pieces with ids up to ", t_.pieces.size() - 1);
    if (t_.byte_fallback) {
      for (std::size_t id = 0; id < t_.pieces.size(); ++id)
        if (t_.in_model[id] && t_.kinds[id] == PieceKind::normal && byte_of(t_.pieces[id]) >= 0)
          t_.kinds[id] = PieceKind::byte;
      const auto bytes = byte_ids(t_);
      if (std::find(bytes.begin(), bytes.end(), -1) != bytes.end())
        fail(Fault::input, vocab.where, ": byte fallback is on: expected 256 byte pieces, got ",
             256 - std::count(bytes.begin(), bytes.end(), -1));
    }
    t_.bos = document_token("bos_token", {"<s>", "<|begin_of_text|>", "<bos>", "<|endoftext|>"});
    t_.eos = document_token("eos_token", {"</s>", "<|end_of_text|>", "<|endoftext|>", "<eos>"});
    if (t_.unk >= 0) t_.kinds[std::size_t(t_.unk)] = PieceKind::unknown;
    for (const std::int32_t id : {t_.bos, t_.eos})
      if (id >= 0) t_.kinds[std::size_t(id)] = PieceKind::control;
  }

  std::int32_t document_token(const char* key, const Strings& names) const {
    const Node named = root_.at(key);
    if (root_.value.contains(key)) {
      if (named.value.is_null()) return -1;
      const auto found = ids_.find(named.text());
      named.expect(found != ids_.end(), "a token of this file");
      return found->second;
    }
    for (const std::string& name : names)
      for (const AddedToken& token : t_.added)
        if (token.special && token.content == name) return token.id;
    return -1;
  }

  Node root_;
  BpeTokenizer t_;
  std::unordered_map<std::string, std::int32_t> ids_;
  std::size_t model_size_ = 0;
  bool metaspace_ = false;
};

// "<s>", or {"content": "<s>", ...}
json token_text(const json& value, const std::string& where) {
  if (value.is_null() || value.is_string()) return value;
  require(value.is_object() && value.contains("content") && value["content"].is_string(),
          Fault::input, where, ": expected text, an object with content, or null");
  return value["content"];
}

// The token that one of the files beside a tokenizer.json names. Empty: none of them has the key.
std::optional<json> named_beside(const fs::path& path, const char* key) {
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    const fs::path file = path.parent_path() / name;
    std::error_code error;
    if (!fs::exists(file, error)) continue;
    const json all = parse_json(read_file(file, kMaxTokenizerBytes, Links::follow), file.string());
    if (all.is_object() && all.contains(key))
      return token_text(all[key], file.string() + ": " + key);
  }
  return std::nullopt;
}

std::string document_keys(const std::string& bos, const std::string& eos) {
  return "{\"bos_token\": " + bos + ", \"eos_token\": " + eos + ',';
}

}  // namespace

BpeTokenizer read_json_tokenizer(std::string_view bytes, const fs::path& path) {
  require(bytes.size() <= kMaxTokenizerBytes, Fault::input, path.string(), ": expected at most ",
          kMaxTokenizerBytes, " B, got ", bytes.size());
  const json root = parse_json(bytes, path.string());
  return Reader(root, path).read();
}

std::string with_document_tokens(std::string_view bytes, const fs::path& path) {
  const json root = parse_json(bytes, path.string());
  const std::size_t open = bytes.find('{');
  if (!root.is_object() || root.empty() ||
      (root.contains("bos_token") && root.contains("eos_token")))
    return std::string(bytes);
  require(!root.contains("bos_token") && !root.contains("eos_token"), Fault::input, path.string(),
          ": expected bos_token and eos_token, or neither");
  const BpeTokenizer plain = Reader(root, path).read();
  const auto token = [&](const char* key, std::int32_t id) -> json {
    if (const std::optional<json> named = named_beside(path, key)) return *named;
    return id < 0 ? json() : json(plain.pieces[std::size_t(id)]);
  };
  return document_keys(token("bos_token", plain.bos).dump(), token("eos_token", plain.eos).dump()) +
         std::string(bytes.substr(open + 1));
}

std::string without_document_tokens(std::string_view bytes) {
  nlohmann::ordered_json root = nlohmann::ordered_json::parse(bytes);
  if (!root.contains("bos_token") || !root.contains("eos_token")) return std::string(bytes);
  const std::string keys = document_keys(root["bos_token"].dump(), root["eos_token"].dump());
  if (bytes.starts_with(keys)) return '{' + std::string(bytes.substr(keys.size()));
  root.erase("bos_token");
  root.erase("eos_token");
  return root.dump();
}

}  // namespace tern
