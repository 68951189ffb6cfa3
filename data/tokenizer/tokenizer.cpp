#include "data/tokenizer/tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/check.h"
#include "data/io/files.h"
#include "data/io/hash.h"
#include "data/text/utf8.h"

namespace tern {
namespace {

constexpr std::string_view kSpacePiece = "\u2581";

// "▁two▁" spells " two "
std::string with_spaces(std::string_view piece) {
  std::string text;
  while (!piece.empty()) {
    const bool space = piece.starts_with(kSpacePiece);
    text += space ? ' ' : piece[0];
    piece.remove_prefix(space ? kSpacePiece.size() : 1);
  }
  return text;
}

std::string spelling_of(const TokenPiece& piece) {
  switch (piece.kind) {
    case PieceKind::control:
      return "";
    case PieceKind::unknown:
      return " \u2047 ";  // as SentencePiece shows it
    case PieceKind::byte:
      return std::string(1, char(byte_of(piece.text)));
    default:
      return with_spaces(piece.text);
  }
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
  std::string model;
  std::string hash;
  std::vector<std::string> spelling;  // the bytes of each id; empty for control pieces
  std::vector<bool> is_control;
  std::array<std::int32_t, 256> byte_ids;  // of the byte pieces; -1 without
  bool lossless = false;
  bool encodes_prefix = false;  // the encoder adds the dummy space (else SentencePiece does)
  bool drops_prefix = false;    // the decoder drops a space where text begins
  bool spells_space = false;    // there is a piece for a space
  Segments segments = Segments::before_spaces();
  sentencepiece::SentencePieceProcessor processor;
  std::int32_t bos = -1, eos = -1, unk = -1;
};

Tokenizer Tokenizer::load(const std::filesystem::path& path) {
  return parse(read_file(path, kMaxTokenizerBytes, Links::follow), path);
}

Tokenizer Tokenizer::parse(std::string bytes, const std::filesystem::path& path) {
  const auto state = std::make_shared<State>();
  State& s = *state;
  require(bytes.size() <= kMaxTokenizerBytes, Fault::input, path.string(), ": expected at most ",
          kMaxTokenizerBytes, " B, got ", bytes.size(), " B");
  s.model = std::move(bytes);
  s.hash = hash_hex(std::as_bytes(std::span(s.model)));
  const SentencePieceModel model = read_sentencepiece_model(s.model, path);

  s.byte_ids.fill(-1);
  for (const TokenPiece& piece : model.pieces) {
    const auto id = std::int32_t(s.spelling.size());
    if (piece.kind == PieceKind::byte) s.byte_ids[std::size_t(byte_of(piece.text))] = id;
    if (piece.kind == PieceKind::unknown) s.unk = id;
    if (piece.text == kSpacePiece) s.spells_space = true;
    s.spelling.push_back(spelling_of(piece));
    s.is_control.push_back(piece.kind == PieceKind::control);
  }
  s.lossless = keeps_text(model, s.spells_space);
  s.drops_prefix = model.dummy_prefix || model.remove_extra_spaces;
  std::string given = s.model;
  if (s.lossless) {
    s.segments = Segments(model.pieces);
    s.encodes_prefix = s.drops_prefix = model.dummy_prefix && s.spells_space;
    // Segments after the first must not get a space: normalizer_spec { add_dummy_prefix: false },
    // appended, overrides the model's own setting.
    given += std::string("\x1a\x02\x18\x00", 4);
  }
  const auto status = s.processor.LoadFromSerializedProto(given);
  require(status.ok(), Fault::input, path.string(),
          ": SentencePiece refuses this model: ", status.message());
  s.bos = s.processor.bos_id();
  s.eos = s.processor.eos_id();
  return Tokenizer(state);
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
  const bool dummy = text_begins && s.drops_prefix && id != s.unk && id != s.byte_ids[' '];
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
const std::string& Tokenizer::model() const {
  return state_->model;
}

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
      for (const char byte : segment) ids.push_back(model.byte_ids[std::uint8_t(byte)]);
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
