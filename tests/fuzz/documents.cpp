// Input files of tern prepare. The first characters say what they are: t text, j JSON lines, u or U
// ids of 16 or 32 bits; n not compressed, g gzip, z zstd, x xz; v: a part is for validation; s: the
// separator is "##". The rest is the file.
#include "data/text/documents.h"

#include "data/text/utf8.h"
#include "tests/fuzz/fuzz.h"

namespace tern::fuzz {

void run(std::string_view input) {
  if (input.size() < 4) return;
  const auto one_of = [&](std::size_t at, std::string_view letters) {
    const std::size_t found = letters.find(input[at]);
    return found == letters.npos ? std::size_t(0) : found;
  };
  const auto format = InputFormat(one_of(0, "tjuU"));
  const auto codec = Codec(one_of(1, "ngzx"));
  const double fraction = input[2] == 'v' ? 0.3 : 0;
  const std::string separator = input[3] == 's' ? "##" : "";
  const std::string_view content = input.substr(4);
  const std::filesystem::path path = room() / "a";
  write(path, content);
  const auto sources = std::make_shared<const std::vector<InputFile>>(
      2, InputFile{path, format, codec, content.size()});
  works({Fault::input}, [&] {
    const SplitRule rule(fraction, *sources, !separator.empty());
    const auto cut = [](std::string_view text) { return text.size() - incomplete_suffix(text); };
    DocumentReader reader(sources, rule, cut, {},
                          {.separator = separator, .max_document_bytes = 1 << 20});
    std::string whole;
    std::uint64_t documents = 0;
    while (const std::optional<TextBatch> batch = reader.next()) {
      for (const TextItem& item : batch->items) {
        expect(item.begin <= batch->bytes.size() && item.size <= batch->bytes.size() - item.begin,
               "a document lies outside of its batch");
        documents += item.first;
        if (format == InputFormat::json_lines) read_json_line(batch->of(item));
        if (format == InputFormat::u16) expect(item.size % 2 == 0, "half an id");
        if (format == InputFormat::u32) expect(item.size % 4 == 0, "a part of an id");
        whole += batch->of(item);
      }
      expect(batch->next.document == documents, "documents are counted wrongly");
      expect(!DocumentReader(sources, rule, cut, {.source = 2}).next(), "a text after the last");
    }
    if (codec != Codec::none || format == InputFormat::json_lines || !separator.empty()) return;
    std::string_view expected = content;
    if (format == InputFormat::text && expected.starts_with("\ufeff")) expected.remove_prefix(3);
    expect(whole == std::string(expected) + std::string(expected), "bytes of a text are lost");
  });
}

}  // namespace tern::fuzz
