// A prompt cache of a small model, as in the target safetensors. The tensor "hash" is made right
// where it is there, so that what comes behind it is read.
#include "runtime/state_file.h"

#include "data/io/hash.h"
#include "tests/fuzz/safetensors_bytes.h"

namespace tern::fuzz {
namespace {

void put_hash(std::string& bytes, const SafetensorsFile& file) {
  if (!file.contains("hash")) return;
  const SafetensorsFile::Entry& e = file.entry("hash");
  const HashBytes hash = hash_bytes(std::as_bytes(std::span(bytes)).first(e.offset));
  if (e.bytes == sizeof hash) std::memcpy(bytes.data() + e.offset, hash.data(), sizeof hash);
}

ModelConfig small_model(const char* type) {
  ModelConfig config;
  config.type = type;
  config.vocab_size = 8;
  config.width = 4;
  config.layers = 2;
  config.explicit_heads = 1;
  return config;
}

}  // namespace

void run(std::string_view input) {
  std::string bytes = safetensors_bytes(input);
  const std::filesystem::path path = room() / "state";
  write(path, bytes);
  works({Fault::input}, [&] { put_hash(bytes, SafetensorsFile::open(path)); });
  write(path, bytes);
  const StateOwner owner{.path = "model", .fingerprint = "m", .tokenizer = "t"};
  for (const char* type : {"matmulfree", "transformer"})
    works({Fault::input}, [&] {
      const StateFile state = StateFile::open(path, owner, small_model(type));
      expect(state.positions() >= 0, "a negative position");
    });
}

}  // namespace tern::fuzz
