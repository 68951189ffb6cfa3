#include "tests/apps/huggingface_folder.h"

#include "apps/golden/golden.h"
#include "data/io/safetensors_folder.h"
#include "runtime/huggingface.h"
#include "tests/support/temporary_directory.h"

namespace tern::test {

void write_golden_folder(const SafetensorsFile& golden, const std::filesystem::path& folder,
                         std::uint64_t shard_bytes) {
  std::filesystem::create_directory(folder);
  const ModelConfig config = golden_config(golden);
  write_text(folder / "config.json", huggingface_config(config, {}).dump());
  const Model model(config, {});
  std::vector<SafetensorsTensor> tensors;
  for (const Parameter* p : model.parameters())
    tensors.push_back({p->name, StoredType::f32, golden.entry("param." + p->name).shape});
  write_safetensors(folder, tensors, shard_bytes, [&](std::size_t i, const AppendBytes& append) {
    const std::vector<double> real = golden.read_real("param." + tensors[i].name);
    const std::vector<float> single(real.begin(), real.end());
    append(std::as_bytes(std::span(single)));
  });
}

}  // namespace tern::test
