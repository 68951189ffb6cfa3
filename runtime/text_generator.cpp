#include "runtime/text_generator.h"

#include "data/text/utf8.h"
#include "runtime/stop_texts.h"

namespace tern {

std::vector<std::int32_t> prompt_ids(const Tokenizer& tokenizer, const DocumentLayout& documents,
                                     const std::string& prompt) {
  std::vector<std::int32_t> ids = tokenizer.encode(prompt);
  if (documents.bos && tokenizer.bos_id() >= 0)
    ids.insert(ids.begin(), tokenizer.bos_id());
  else if (ids.empty() && documents.eos && tokenizer.eos_id() >= 0)
    ids.push_back(tokenizer.eos_id());
  return ids;
}

TextGenerator::TextGenerator(Generator& generator, const Tokenizer& tokenizer,
                             const DocumentLayout& documents)
    : generator_(generator),
      tokenizer_(tokenizer),
      documents_(documents),
      end_(documents.eos ? tokenizer.eos_id() : tokenizer.bos_id()),
      decoder_(tokenizer) {}

void TextGenerator::read(const std::string& text, const ShowText& show) {
  const std::int32_t last = generator_.last();
  const bool begins = last < 0 || last == end_;
  std::vector<std::int32_t> ids;
  if (begins)
    ids = prompt_ids(tokenizer_, documents_, text);
  else
    Encoder(tokenizer_).append(text, Encoder::Part::continued, ids);
  if (last >= 0 && !ids.empty() && begins && ids[0] == last) ids.erase(ids.begin());
  require(
      last >= 0 || !ids.empty(), Fault::usage,
      "prompt: expected text: documents of the training data begin without a token of their own");
  const std::string all = decoder_.held() + text;
  const std::size_t whole = all.size() - incomplete_suffix(all);
  if (show) show(all.substr(0, whole));
  if (begins || !text.empty()) decoder_ = Decoder(tokenizer_, text.empty(), all.substr(whole));
  generator_.read(ids);
}

void TextGenerator::write(const Limits& limits, const ShowText& show) {
  StopTexts stops(limits.stops);
  for (std::int64_t i = 0; i < limits.tokens && !stops.found(); ++i) {
    if (limits.interrupted && limits.interrupted()) break;
    const std::int32_t id = generator_.next();
    if (id == end_) break;
    show(stops.push(decoder_.push(id)));
  }
  show(stops.finish());
  if (stops.found()) take_held();  // it is behind the stop
}

std::string TextGenerator::take_held() {
  const std::string held = decoder_.held();
  decoder_ = Decoder(tokenizer_, decoder_.text_begins());
  return held;
}

TextState TextGenerator::state() const {
  return {.generator = generator_.state(),
          .held = decoder_.held(),
          .text_begins = decoder_.text_begins()};
}

void TextGenerator::set_state(TextState state) {
  generator_.set_state(std::move(state.generator));
  decoder_ = Decoder(tokenizer_, state.text_begins, std::move(state.held));
}

void continue_text(Generator& generator, const Tokenizer& tokenizer,
                   const DocumentLayout& documents, const std::string& prompt, std::int64_t tokens,
                   const ShowText& show) {
  TextGenerator text(generator, tokenizer, documents);
  text.read(prompt);
  text.write({.tokens = tokens}, show);
  show(text.take_held());
}

}  // namespace tern
