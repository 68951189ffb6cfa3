// manifest.json of a corpus, as text and in a directory without shards; after "---" sources.jsonl.
#include "data/corpus/corpus.h"
#include "tests/fuzz/fuzz.h"

namespace tern::fuzz {

void run(std::string_view input) {
  const auto parts = parts_of(input);
  static const std::filesystem::path directory = empty_room("corpus");
  CorpusManifest manifest;
  if (works({Fault::input}, [&] { manifest = parse_corpus_manifest(parts[0], "m"); })) {
    std::string again;
    if (works({Fault::usage}, [&] { again = to_text(manifest); }))
      expect(to_text(parse_corpus_manifest(again, "again")) == again,
             "a manifest differs when read again");
    expect(manifest.vocab_size > 0, "an empty vocabulary");
    for (const Split split : kSplits)
      for (const CorpusShard& shard : manifest.of(split))
        expect(is_plain_name(shard.file) && shard.tokens > 0, "a shard without name or tokens");
    write(directory / kCorpusManifestName, parts[0]);
    works({Fault::input}, [&] { Corpus::open(directory, Split::train); });
    works({Fault::input}, [&] { Corpus::open_held_out(directory); });
    works({Fault::input}, [&] { verify_corpus(directory, true, [](auto, auto) {}); });
  }
  if (parts.size() == 1) return;
  write(directory / kCorpusSourcesName, parts[1]);
  const std::vector<InputFile> sources = {{"a.txt", InputFormat::text, Codec::none, 5},
                                          {"/b.jsonl", InputFormat::json_lines, Codec::gzip, 7}};
  works({Fault::input}, [&] { source_difference(directory, sources); });
}

}  // namespace tern::fuzz
