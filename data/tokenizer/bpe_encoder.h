// Text to ids for a tokenizer.json: added tokens, normalisation, words, merges.
#pragma once

#include "data/tokenizer/bpe_tokenizer.h"
#include "data/tokenizer/pre_tokenizer.h"
#include "data/tokenizer/segments.h"

namespace tern {

class BpeEncoder {
 public:
  explicit BpeEncoder(BpeTokenizer tokenizer);

  // Appends the ids of a part of a document. known: the words that this thread has met.
  void append(std::string_view text, bool document_begins, SegmentTable& known,
              std::vector<std::int32_t>& ids) const;

  // As Tokenizer::complete_prefix.
  std::size_t complete_prefix(std::string_view text) const;

  const BpeTokenizer& tokenizer() const { return tokenizer_; }
  bool lossless() const;

 private:
  // What a text consists of, in order. end: the place in the text behind it, where the text may be
  // divided there; else 0.
  struct Visitor {
    bool wants_ends = false;
    std::function<void(std::string_view word, std::size_t end)> word;
    std::function<void(std::int32_t id, std::size_t end)> token;
    std::function<void(std::string_view bytes, std::size_t end)> broken;  // not UTF-8
  };
  struct Section;
  struct Item {
    std::uint64_t hash;  // of a word, a token or bytes
    std::size_t end;
  };
  // final: the text ends here; else what may depend on its continuation is left out
  void visit(std::string_view text, bool document_begins, bool final, const Visitor& to) const;
  void visit_valid(const Section& run, const Visitor& to) const;
  void visit_normalized(const Section& section, const Visitor& to) const;
  void visit_words(Section section, const Visitor& to) const;
  // the sections between the matches of a text, by visit_section, and the matches
  template <class Visit>
  void visit_between(const AddedTokenMatcher& matcher, const Section& section, const Visitor& to,
                     const Visit& visit_section) const;
  std::vector<Item> items(std::string_view text, bool document_begins, bool final) const;
  bool divides(std::string_view text, std::size_t at) const;
  bool same_alone(std::string_view text, const std::vector<Item>& items, std::size_t last,
                  bool document_begins) const;
  void append_word(std::string_view word, std::vector<std::int32_t>& ids) const;

  BpeTokenizer tokenizer_;
  Bpe bpe_;
  PreTokenizer pre_tokenizer_;
  Segments segments_;
  AddedTokenMatcher raw_, normalized_;
  std::array<std::int32_t, 256> byte_ids_;
  std::unordered_map<std::string, std::int32_t> words_;  // as text spells them
};

}  // namespace tern
