// A packed file, as in the target safetensors, but filled with 'U': codes of 1, or 1.5e13. Where it
// has room for hashes they are made right, so that what comes behind them is read.
#include "runtime/packed_model.h"

#include "core/ternary_tiles.h"
#include "tests/fuzz/safetensors_bytes.h"

namespace tern::fuzz {
namespace {

// the hashes of the file, over what is at their place
void put_hashes(std::string& bytes, const SafetensorsFile& file) {
  if (!file.contains(kPackedHashes)) return;
  const SafetensorsFile::Entry& e = file.entry(kPackedHashes);
  const std::vector<HashBytes> hashes =
      packed_hashes(std::as_bytes(std::span(bytes)).first(e.offset), file.header_bytes());
  const auto put = std::as_bytes(std::span(hashes));
  if (put.size() <= e.bytes) std::memcpy(bytes.data() + e.offset, put.data(), put.size());
}

// All weights are there, and all of their bytes can be read.
void check_weights(const SavedModel& saved) {
  const Model model(saved.config.model, {});
  unsigned sum = 0;
  const auto read = [&](const void* data, Index bytes) {
    for (Index i = 0; i < bytes; ++i) sum += static_cast<const unsigned char*>(data)[i];
  };
  for (const Parameter* p : model.parameters()) {
    const MappedWeights::Weight& w = saved.mapped->weights.at(p->name);
    expect(p->ternary == (w.type == DType::t2), "a ternary matrix without codes");
    read(w.data, p->ternary ? tiles_of(p->shape[0], p->shape[1]) * Index(sizeof(TernaryTile))
                            : p->shape.elements() * bits(w.type) / 8);
    if (p->ternary) {
      expect(!find_wrong_code(static_cast<const TernaryTile*>(w.data), p->shape[0], p->shape[1]),
             "a code that is none");
      expect(*w.scale > 0, "a scale that is none");
    }
    if (w.type == DType::i8) read(w.scale, p->shape[0] * Index(sizeof(float)));
  }
  expect(sum > 0, "weights are nothing");
}

}  // namespace

void run(std::string_view input) {
  std::string bytes = safetensors_bytes(input);
  const std::filesystem::path path = room() / "a.safetensors";
  write(path, bytes);
  works({Fault::input}, [&] {
    const SafetensorsFile file = SafetensorsFile::open(path);
    std::fill(bytes.begin() + std::ptrdiff_t(file.header_bytes()), bytes.end(), 'U');
    put_hashes(bytes, file);
  });
  write(path, bytes);
  works({Fault::input}, [&] { check_weights(open_packed(path)); });
}

}  // namespace tern::fuzz
