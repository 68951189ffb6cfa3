// A Hugging Face folder for tests, from the parameters of a golden file.
#pragma once

#include "data/io/safetensors.h"

namespace tern::test {

// config.json and weights in F32, in files of at most so many bytes; no tokenizer. The folder must
// not be there.
void write_golden_folder(const SafetensorsFile& golden, const std::filesystem::path& folder,
                         std::uint64_t shard_bytes = std::uint64_t(1) << 30);

}  // namespace tern::test
