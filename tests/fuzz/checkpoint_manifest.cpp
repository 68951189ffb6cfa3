// manifest.json of a checkpoint, and manifests of single ranks that are added to it. The hash at
// the end is computed here: the part before the first "---" lacks it and the last brace.
#include "data/checkpoint/manifest.h"
#include "data/io/hash.h"
#include "tests/fuzz/fuzz.h"

namespace tern::fuzz {
namespace {

void check_extents(const Manifest& manifest) {
  for (const StoredFile& file : manifest.files) {
    const std::vector<Extent> extents = extents_of(manifest, file.name);
    for (const Extent& e : extents)
      expect(e.offset <= file.bytes && e.bytes <= file.bytes - e.offset,
             "rows lie outside of their file");
    for (const Extent& e : uncovered(extents, file.bytes))
      expect(e.offset <= file.bytes && e.bytes <= file.bytes - e.offset,
             "bytes around the rows lie outside of their file");
  }
}

}  // namespace

void run(std::string_view input) {
  const auto parts = parts_of(input);
  std::string text(parts[0]);
  works({Fault::input}, [&] { parse_manifest(text, "m"); });
  text += ",\n \"hash\": \"" + hash_hex(std::as_bytes(std::span(parts[0]))) + "\"\n}\n";
  Manifest manifest;
  if (works({Fault::input}, [&] { manifest = parse_manifest(text, "m"); })) {
    check_extents(manifest);
    const std::string again = to_text(manifest);
    expect(to_text(parse_manifest(again, "again")) == again, "a manifest differs when read again");
  }
  for (std::size_t i = 1; i < parts.size(); ++i)
    if (!works({Fault::input}, [&] { add_shard(manifest, parts[i], "shard"); })) return;
  if (parts.size() == 1) return;
  Manifest sum;
  add_shard(sum, shard_text(manifest), "sum");  // what was read can be read again
  works({Fault::input}, [&] { check_extents(parse_manifest(to_text(manifest), "whole")); });
}

}  // namespace tern::fuzz
