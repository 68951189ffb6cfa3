// A packed file of random weights in a size of configs/, to measure loading and memory.
//   write_random_model SIZE EMBEDDING OUT.safetensors [TOKENIZER]     for example 2.7b bf16
#include <cstdio>

#include "apps/bench/decode.h"
#include "runtime/packed_model.h"

namespace tern::test {
namespace {

// The dense model of the size has weights for a reader; they are packed as latent ones.
void write(const std::string& size, StoredType embedding, const std::string& to,
           const char* tokenizer) {
  ModelConfig config = named_model(size);
  config.quantize = Quantize::none;
  SavedModel saved = random_model(config);
  saved.config.model.quantize = Quantize::ternary;
  saved.config.batch.context = 2048;
  if (tokenizer) set_tokenizer(saved, Tokenizer::load(tokenizer));
  const std::uint64_t bytes = export_packed(saved, to, {.embedding = embedding, .version = "test"});
  std::printf("%s: %llu bytes\n", to.c_str(), static_cast<unsigned long long>(bytes));
}

}  // namespace
}  // namespace tern::test

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr,
                 "usage: write_random_model SIZE f32|bf16|i8 OUT.safetensors [TOKENIZER]\n");
    return 2;
  }
  try {
    const std::string embedding = argv[2];
    tern::test::write(argv[1],
                      embedding == "f32"    ? tern::StoredType::f32
                      : embedding == "bf16" ? tern::StoredType::bf16
                                            : tern::StoredType::i8,
                      argv[3], argc > 4 ? argv[4] : nullptr);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "write_random_model: %s\n", e.what());
    return 1;
  }
}
