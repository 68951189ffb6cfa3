#include "data/tokenizer/tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/check.h"
#include "data/io/files.h"
#include "data/io/hash.h"
#include "data/tokenizer/bpe_encoder.h"
#include "data/tokenizer/json_tokenizer.h"

namespace tern {
namespace {

std::string spelling_of(std::string_view piece, PieceKind kind) {
  switch (kind) {
    case PieceKind::control:
      return "";
    case PieceKind::unknown:
      return " \u2047 ";  // as SentencePiece shows it
    case PieceKind::byte:
      return std::string(1, char(byte_of(piece)));
    default:
      return with_spaces(piece);
  }
}

// of a byte-level tokenizer
std::string byte_level_spelling(const std::string& piece, PieceKind kind) {
  if (kind == PieceKind::normal) return bytes_of_piece(piece).value_or(piece);
  return kind == PieceKind::user_defined ? piece : spelling_of("", kind);
}

bool is_json(std::string_view bytes) {
  constexpr const char* kBlank = " \t\r\n";
  const std::size_t open = bytes.find_first_not_of(kBlank);
  if (open == bytes.npos || bytes[open] != '{') return false;
  const std::size_t next = bytes.find_first_not_of(kBlank, open + 1);
  return next == bytes.npos || bytes[next] == '"' || bytes[next] == '}';
}

bool keeps_text(const SentencePieceModel& model, bool spells_space) {
  const auto has_space = [](const TokenPiece& p) {
    return p.text.find(kSpacePiece) != p.text.npos;
  };
  return model.normalization.empty() && model.denormalization.empty() &&
         !model.remove_extra_spaces && model.escape_spaces && !model.space_as_suffix &&
         model.byte_fallback && model.type <= SentencePieceModel::bpe &&
         (spells_space || std::none_of(model.pieces.begin(), model.pieces.end(), has_space));
}

}  // namespace

// A loaded tokenizer.
struct Tokenizer::State {
  std::string file;
  std::string hash;
  std::string file_hash;              // of a .model
  std::vector<std::string> spelling;  // the bytes of each id; empty for control pieces
  std::vector<bool> is_control;
  std::array<std::int32_t, 256> ids_of_bytes;  // of the byte pieces; -1 without
  bool lossless = false;
  bool encodes_prefix = false;  // the encoder adds the dummy space (else SentencePiece does)
  bool drops_prefix = false;    // the decoder drops a space where text begins
  bool spells_space = false;    // there is a piece for a space
  Segments segments = Segments::before_spaces();
  std::unique_ptr<const BpeEncoder> json;           // of a tokenizer.json
  sentencepiece::SentencePieceProcessor processor;  // of a .model
  std::int32_t bos = -1, eos = -1, unk = -1;

  void read_model(const std::filesystem::path& path);
  void read_json(const std::filesystem::path& path);
};

Tokenizer Tokenizer::load(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    const auto model = path / kModelFileName, json = path / kJsonFileName;
    const bool has_model = std::filesystem::exists(model, error);
    const bool has_json = std::filesystem::exists(json, error);
    require(has_model || has_json, Fault::input, path.string(), ": expected ", kModelFileName,
            " or ", kJsonFileName, " in this folder");
    if (!has_json) return load(model);
    Tokenizer tokenizer = load(json);
    if (!has_model) return tokenizer;
    Tokenizer other = load(model);
    return other.hash() == tokenizer.hash() ? other : tokenizer;
  }
  std::string bytes = read_file(path, kMaxTokenizerBytes, Links::follow);
  if (is_json(bytes)) bytes = with_document_tokens(bytes, path);
  return parse(std::move(bytes), path);
}

Tokenizer Tokenizer::parse(std::string bytes, const std::filesystem::path& path) {
  const auto state = std::make_shared<State>();
  require(bytes.size() <= kMaxTokenizerBytes, Fault::input, path.string(), ": expected at most ",
          kMaxTokenizerBytes, " B, got ", bytes.size(), " B");
  state->file = std::move(bytes);
  if (is_json(state->file))
    state->read_json(path);
  else
    state->read_model(path);
  return Tokenizer(state);
}

void Tokenizer::State::read_json(const std::filesystem::path& path) {
  json = std::make_unique<const BpeEncoder>(read_json_tokenizer(file, path));
  const BpeTokenizer& t = json->tokenizer();
  hash = content_hash(t);
  for (std::size_t id = 0; id < t.pieces.size(); ++id) {
    spelling.push_back(t.byte_level ? byte_level_spelling(t.pieces[id], t.kinds[id])
                                    : spelling_of(t.pieces[id], t.kinds[id]));
    is_control.push_back(t.kinds[id] == PieceKind::control);
  }
  ids_of_bytes = byte_ids(t);
  lossless = json->lossless();
  drops_prefix = !t.byte_level && t.prefix != BpeTokenizer::Prefix::none;
  bos = t.bos;
  eos = t.eos;
  unk = t.unk;
}

void Tokenizer::State::read_model(const std::filesystem::path& path) {
  file_hash = hash_hex(std::as_bytes(std::span(file)));
  const SentencePieceModel model = read_sentencepiece_model(file, path);
  ids_of_bytes.fill(-1);
  for (const TokenPiece& piece : model.pieces) {
    const auto id = std::int32_t(spelling.size());
    if (piece.kind == PieceKind::byte) ids_of_bytes[std::size_t(byte_of(piece.text))] = id;
    if (piece.kind == PieceKind::unknown) unk = id;
    if (piece.text == kSpacePiece) spells_space = true;
    spelling.push_back(spelling_of(piece.text, piece.kind));
    is_control.push_back(piece.kind == PieceKind::control);
  }
  lossless = keeps_text(model, spells_space);
  drops_prefix = model.dummy_prefix || model.remove_extra_spaces;
  std::string given = file;
  if (lossless) {
    segments = Segments(model.pieces);
    encodes_prefix = drops_prefix = model.dummy_prefix && spells_space;
    // Segments after the first must not get a space: normalizer_spec { add_dummy_prefix: false },
    // appended, overrides the model's own setting.
    given += std::string("\x1a\x02\x18\x00", 4);
  }
  const auto status = processor.LoadFromSerializedProto(given);
  require(status.ok(), Fault::input, path.string(),
          ": SentencePiece refuses this model: ", status.message());
  bos = processor.bos_id();
  eos = processor.eos_id();
  const std::optional<BpeTokenizer> merges = as_merges(model, bos, eos);
  hash = merges ? content_hash(*merges) : content_hash(model, bos, eos);
}

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<std::int32_t> ids;
  Encoder(*this).append(text, Encoder::Part::first, ids);
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids) const {
  Decoder decoder(*this);
  std::string text;
  for (const std::int32_t id : ids) text += decoder.push(id);
  return text + decoder.finish();
}

std::string_view Tokenizer::spelling(std::int32_t id, bool text_begins) const {
  const State& s = *state_;
  require(id >= 0 && std::size_t(id) < s.spelling.size(), Fault::input,
          "[decode] expected a token id from 0 to ", s.spelling.size() - 1, ", got ", id);
  std::string_view text = s.spelling[std::size_t(id)];
  const bool dummy = text_begins && s.drops_prefix && id != s.unk && id != s.ids_of_bytes[' '];
  if (dummy && text.starts_with(' ')) text.remove_prefix(1);
  return text;
}

bool Tokenizer::text_begins_after(std::int32_t id, bool text_begins) const {
  return state_->is_control.at(std::size_t(id)) &&
         (text_begins || id == state_->bos || id == state_->eos);
}

bool Tokenizer::drops_prefix() const {
  return state_->drops_prefix;
}

std::size_t Tokenizer::complete_prefix(std::string_view text) const {
  if (state_->json) return state_->json->complete_prefix(text);
  return state_->segments.complete_prefix(text);
}

std::int32_t Tokenizer::vocab_size() const {
  return std::int32_t(state_->spelling.size());
}
std::int32_t Tokenizer::bos_id() const {
  return state_->bos;
}
std::int32_t Tokenizer::eos_id() const {
  return state_->eos;
}
std::int32_t Tokenizer::unk_id() const {
  return state_->unk;
}
bool Tokenizer::lossless() const {
  return state_->lossless;
}
const std::string& Tokenizer::hash() const {
  return state_->hash;
}
bool Tokenizer::is(std::string_view hash) const {
  return hash == state_->hash || (!hash.empty() && hash == state_->file_hash);
}
const std::string& Tokenizer::file() const {
  return state_->file;
}
std::string_view Tokenizer::file_name() const {
  return state_->json ? kJsonFileName : kModelFileName;
}

void Encoder::append_segment(std::string_view segment, std::vector<std::int32_t>& ids) {
  if (const auto known = known_.find(segment)) {
    ids.insert(ids.end(), known->begin(), known->end());
    return;
  }
  std::vector<int> fresh;
  const auto status = tokenizer_.state_->processor.Encode(segment, &fresh);
  // normalisation rules and pieces that do not fit together: a property of the model
  require(status.ok(), Fault::input,
          "SentencePiece cannot encode a text with this model: ", status.message());
  known_.insert(segment, fresh);
  ids.insert(ids.end(), fresh.begin(), fresh.end());
}

void Encoder::append(std::string_view text, Part part, std::vector<std::int32_t>& ids) {
  const Tokenizer::State& model = *tokenizer_.state_;
  if (model.json) return model.json->append(text, part == Part::first, known_, ids);
  // Characters that SentencePiece would change: it reads U+2581 as a space, turns bytes that are
  // not UTF-8 into U+FFFD, and spells a space without a piece as U+2581.
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
      for (const char byte : segment) ids.push_back(model.ids_of_bytes[std::uint8_t(byte)]);
    prefix = false;
    at = end;
  }
}

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
