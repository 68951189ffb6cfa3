// Text to token ids and back, over a SentencePiece model file or a tokenizer.json. With a tokenizer
// that keeps text as it is (see lossless) decode(encode(x)) == x for every byte string x, valid
// UTF-8 or not.
#pragma once

#include "data/text/input_files.h"
#include "data/tokenizer/segments.h"

namespace tern {

constexpr std::string_view kModelFileName = "tokenizer.model";
constexpr std::string_view kJsonFileName = "tokenizer.json";
constexpr std::string_view kTokenizerConfigName = "tokenizer_config.json";  // beside it

class Tokenizer {
 public:
  // Reads and checks a .model file, a tokenizer.json, or the one in a folder; Fault::input names
  // the defect. Of both in a folder, tokenizer.model if they are the same tokenizer, else
  // tokenizer.json, which Hugging Face's programs read. bos and eos of a tokenizer.json: those that
  // the files beside it name (see with_document_tokens). Copies share the tokenizer.
  static Tokenizer load(const std::filesystem::path& path);
  // the same from file(), or the bytes of a file alone; path is for messages
  static Tokenizer parse(std::string bytes, const std::filesystem::path& path);

  // The ids of one document, without bos and eos; any thread. For text without runs of more than
  // 64 KiB that a merge or a word could span these are the ids that SentencePiece, or for a
  // tokenizer.json the `tokenizers` library with encode_special_tokens, gives for the whole of it.
  // Bytes that are not UTF-8 become byte pieces; with a .model also NUL and a literal U+2581, which
  // a tokenizer.json in SentencePiece's style reads as a space.
  std::vector<std::int32_t> encode(std::string_view text) const;

  // The bytes that ids stand for: a control piece has none, an unknown piece is " \u2047 ".
  // Ids outside 0 to vocab_size - 1: Fault::input.
  std::string decode(std::span<const std::int32_t> ids) const;

  // The bytes of one id: none for a control piece, without the dummy space where a text begins.
  std::string_view spelling(std::int32_t id, bool text_begins) const;
  // whether a text begins after this id: after bos and eos; text_begins: it began with the id
  bool text_begins_after(std::int32_t id, bool text_begins) const;
  bool drops_prefix() const;  // decoding drops a dummy space where a text begins

  // Length of the beginning of a long document that encodes the same for any continuation; the rest
  // goes to Encoder::append with Part::continued. 0: more text is needed (up to 128 KiB).
  std::size_t complete_prefix(std::string_view text) const;

  std::int32_t vocab_size() const;
  std::int32_t bos_id() const;  // -1 where the model has none, as for the next two
  std::int32_t eos_id() const;
  std::int32_t unk_id() const;

  // Whether every text survives: no normalisation, no removed or added spaces, byte pieces for what
  // is unknown. Not where U+2581 is read as a space.
  bool lossless() const;

  // XXH3-128, in hex, of everything that decides ids and text: equal for a .model and the
  // tokenizer.json that says the same.
  const std::string& hash() const;
  // Whether a stored hash is this tokenizer's: hash(), or that of the bytes of a .model, which
  // earlier releases stored.
  bool is(std::string_view hash) const;

  // The bytes that parse takes: those of the .model, or those of the tokenizer.json with bos and
  // eos.
  const std::string& file() const;
  std::string_view file_name() const;  // kModelFileName or kJsonFileName

 private:
  friend class Encoder;
  struct State;
  explicit Tokenizer(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

// The encoder of one thread. It caches the ids of words, which makes it some twenty times faster
// than SentencePiece alone. The cache is bounded and changes no id.
class Encoder {
 public:
  explicit Encoder(Tokenizer tokenizer) : tokenizer_(std::move(tokenizer)) {}

  enum class Part { first, continued };  // of a document
  // Appends the ids. A part but the last of its document must end at a complete_prefix.
  void append(std::string_view text, Part part, std::vector<std::int32_t>& ids);

 private:
  void append_segment(std::string_view segment, std::vector<std::int32_t>& ids);

  Tokenizer tokenizer_;
  SegmentTable known_;
};

// Decodes token by token. The returned parts, joined, are Tokenizer::decode of all ids; each ends
// at the end of a character, as far as the tokens spell UTF-8.
class Decoder {
 public:
  // text_begins: the first token begins a document. held: the beginning of a character that the
  // first tokens complete.
  explicit Decoder(Tokenizer tokenizer, bool text_begins = true, std::string held = {})
      : tokenizer_(std::move(tokenizer)), held_(std::move(held)), text_begins_(text_begins) {}

  std::string push(std::int32_t id);
  std::string finish();  // bytes of an unfinished character; then a new text may begin

  // Of what was pushed: a decoder made with these goes on as this one would.
  const std::string& held() const { return held_; }
  bool text_begins() const { return text_begins_; }

 private:
  Tokenizer tokenizer_;
  std::string held_;
  bool text_begins_;  // here the dummy space of a model is dropped
};

// Trains a byte-pair tokenizer that keeps every text exactly: SentencePiece's own defaults destroy
// newlines and runs of spaces.
struct TokenizerTraining {
  std::int32_t vocab_size = 0;  // pieces in all: unk, bos, eos, 256 bytes, characters, merges
  // SentencePiece keeps its input in memory several times over; of more text a random, evenly
  // spread sample of this size is used, the same in every run.
  std::uint64_t max_bytes = std::uint64_t(64) << 20;
  std::uint64_t max_bad = 0;  // JSON lines that may be skipped
  DocumentRules rules{};      // of files
  // The share of the text whose characters get a piece, the most frequent first; bytes spell the
  // others. 0: 0.9995, or less if those characters would leave no pieces to merge.
  double character_coverage = 0;
  Notice notice{};  // takes a line about a coverage that was lowered
};

// next: the text in parts of any size, then nothing. Returns the bytes of a .model file: no dummy
// prefix, no normalisation, byte fallback. Fault::usage where vocab_size does not fit the text.
std::string train_tokenizer(const std::function<std::optional<std::string>()>& next,
                            const TokenizerTraining& options);

// the same with the text of files; Fault::input for what cannot be read
std::string train_tokenizer(const std::vector<InputFile>& sources,
                            const TokenizerTraining& options);

}  // namespace tern
