// A file of token ids through all of tern prepare, and the corpus that it makes. The first
// character says how: b .bin, u --format u16, U .u32; v: a part is for validation.
#include "data/corpus/corpus.h"
#include "data/corpus/prepare.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/small_model.h"

namespace tern::fuzz {
namespace {

template <class Id>
std::vector<std::int32_t> ids_of(std::string_view bytes) {
  std::vector<Id> ids(bytes.size() / sizeof(Id));
  std::memcpy(ids.data(), bytes.data(), ids.size() * sizeof(Id));
  return {ids.begin(), ids.end()};
}

}  // namespace

void run(std::string_view input) {
  if (input.size() < 2) return;
  const char kind = input[0];
  const bool wide = kind == 'U';
  const std::string_view content = input.substr(2);
  const std::filesystem::path model = room() / "tokenizer.model",
                              path = room() / (wide ? "a.u32" : "a.bin"), out = room() / "corpus";
  static const bool written = (write(model, small_model()), true);
  expect(written, "a tokenizer");
  write(path, content);
  std::filesystem::remove_all(out);
  PrepareOptions options{.tokenizer = model, .out = out, .inputs = {path.string()}};
  if (kind == 'u') options.format = InputFormat::u16;
  if (input[1] == 'v') options.validation = 0.4;
  works({Fault::input}, [&] {
    prepare_corpus(options, [](const PrepareProgress&) {});
    std::vector<std::int32_t> ids;
    for (const Split split : kSplits) {
      if (split == Split::validation && options.validation == 0) continue;
      const Corpus corpus = Corpus::open(out, split);
      const std::size_t before = ids.size();
      ids.resize(before + corpus.token_count());
      corpus.read(0, std::span(ids).subspan(before));
      expect(corpus.document_count() == corpus.document_starts().size(), "documents are lost");
    }
    expect(ids == (wide ? ids_of<std::uint32_t>(content) : ids_of<std::uint16_t>(content)),
           "the ids of a corpus are not those of its file");
  });
}

}  // namespace tern::fuzz
