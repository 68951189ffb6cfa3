#include "data/corpus/batch_encoder.h"

#include <cstring>

#include "core/check.h"
#include "data/text/json_lines.h"

namespace tern {

EncodedBatch BatchEncoder::encode(const TextBatch& batch) {
  EncodedBatch encoded{.runs = {}, .problems = {}, .next = batch.next, .consumed = batch.consumed};
  for (const TextItem& item : batch.items) {
    TokenRun& run = encoded.runs[std::size_t(item.split)];
    const SourceFile& source = (*sources_)[std::size_t(item.source)];
    if (source.format == SourceFormat::text) {
      append_text(batch.of(item), item, run);
    } else if (source.format != SourceFormat::json_lines) {
      append_tokens(batch.of(item), item, run);
    } else {
      const JsonLine line = read_json_line(batch.of(item), json_field_);
      if (!line.problem.empty())
        encoded.problems.push_back(source.path.string() + ':' + std::to_string(item.line) + ": " +
                                   line.problem);
      else if (!line.text.empty())
        append_text(line.text, item, run);
    }
  }
  return encoded;
}

void BatchEncoder::append_text(std::string_view text, const TextItem& item, TokenRun& run) {
  if (item.first) run.starts.push_back(run.ids.size());
  if (item.first && layout_.bos) run.ids.push_back(tokenizer_.bos_id());
  encoder_.append(text, item.first ? Encoder::Part::first : Encoder::Part::continued, run.ids);
  if (item.last && layout_.eos) run.ids.push_back(tokenizer_.eos_id());
  run.text_bytes += text.size();
  // a tokenizer that removes spaces may leave nothing: no tokens, no document
  if (item.first && item.last && run.starts.back() == run.ids.size()) run.starts.pop_back();
}

void BatchEncoder::append_tokens(std::string_view bytes, const TextItem& item, TokenRun& run) {
  const SourceFile& source = (*sources_)[std::size_t(item.source)];
  const std::size_t width = source.format == SourceFormat::u16 ? 2 : 4;
  if (item.first) run.starts.push_back(run.ids.size());
  bool begins = item.first;  // a text
  for (std::size_t at = 0; at < bytes.size(); at += width) {
    std::uint32_t id = 0;
    std::memcpy(&id, bytes.data() + at, width);
    require(id < std::uint32_t(tokenizer_.vocab_size()), Fault::input, source.path.string(),
            ": byte ", item.offset + at, ": expected a token id below ", tokenizer_.vocab_size(),
            ", got ", id);
    run.ids.push_back(std::int32_t(id));
    run.text_bytes += tokenizer_.spelling(std::int32_t(id), begins).size();
    begins = tokenizer_.text_begins_after(std::int32_t(id), begins);
  }
}

}  // namespace tern
