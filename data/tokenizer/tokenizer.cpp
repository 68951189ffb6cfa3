#include "data/tokenizer/tokenizer.h"

#include <algorithm>

#include "core/check.h"
#include "data/io/files.h"
#include "data/io/hash.h"
#include "data/tokenizer/tokenizer_state.h"

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

}  // namespace tern
