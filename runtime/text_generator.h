// Texts in, text out, over a Generator: documents as those of the training data begin and end,
// whole characters, texts that end an answer.
#pragma once

#include "data/corpus/manifest.h"
#include "runtime/generator.h"

namespace tern {

using ShowText = std::function<void(const std::string&)>;

// The prompt as documents of the training data begin: after bos if they have it. An empty prompt
// without bos begins after the eos of another document; without that it has no ids.
std::vector<std::int32_t> prompt_ids(const Tokenizer& tokenizer, const DocumentLayout& documents,
                                     const std::string& prompt);

// Where a TextGenerator stands: all that it needs to go on.
struct TextState {
  GeneratorState generator{};
  std::string held{};       // the beginning of a character, not shown yet
  bool text_begins = true;  // as in Decoder
};

class TextGenerator {
 public:
  TextGenerator(Generator& generator, const Tokenizer& tokenizer, const DocumentLayout& documents);

  // Reads a text: the beginning of a document, or more of it. After the end of a document it is the
  // beginning of another. Shows it before it is read, without the beginning of a character at its
  // end, which is shown with what follows. Fault::usage where there is nothing to begin with.
  void read(const std::string& text, const ShowText& show = {});

  struct Limits {
    std::int64_t tokens = 0;                 // at most
    std::vector<std::string> stops{};        // texts that end it, and are not shown: see StopTexts
    std::function<bool()> interrupted = {};  // asked before each token
  };
  // Shows what follows, in parts of whole characters, up to a limit or the end of the document:
  // eos, or bos where documents have no eos.
  void write(const Limits& limits, const ShowText& show);

  // The beginning of a character that is held back until it is complete; none any more.
  std::string take_held();

  Generator& generator() const { return generator_; }
  TextState state() const;
  void set_state(TextState state);

 private:
  Generator& generator_;
  Tokenizer tokenizer_;
  DocumentLayout documents_;
  std::int32_t end_;  // of a document; -1: none
  Decoder decoder_;
};

// Reads the prompt and shows what follows it, in parts of whole characters, up to `tokens` tokens
// or the end of the document. The beginning of a character at the end of the prompt is shown with
// what follows. Fault::usage for a prompt without any token.
void continue_text(Generator& generator, const Tokenizer& tokenizer,
                   const DocumentLayout& documents, const std::string& prompt, std::int64_t tokens,
                   const ShowText& show);

}  // namespace tern
