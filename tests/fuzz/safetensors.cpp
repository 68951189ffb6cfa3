// A .safetensors file: its entries, and the same tensors written again.
#include "tests/fuzz/safetensors_bytes.h"

namespace tern::fuzz {

void run(std::string_view input) {
  const std::string bytes = safetensors_bytes(input);
  const std::filesystem::path path = room() / "a.safetensors", copy = room() / "b.safetensors";
  write(path, bytes);
  works({Fault::input}, [&] {
    const SafetensorsFile file = SafetensorsFile::open(path);
    check_entries(file, bytes.size());
    std::vector<SafetensorsTensor> tensors;
    for (const auto& [name, e] : file.entries()) tensors.push_back({name, e.type, e.shape});
    std::filesystem::remove(copy);
    File to = File::create(copy);
    SafetensorsWriter writer(to, tensors, file.metadata());
    for (const auto& [name, e] : file.entries()) {
      std::vector<std::byte> content(e.bytes);
      file.read(e, 0, content);
      writer.append(content);
    }
    writer.finish();
    const SafetensorsFile again = SafetensorsFile::open(copy);
    expect(again.metadata() == file.metadata(), "metadata differs when it is written again");
    expect(again.entries().size() == tensors.size(),
           "tensors are lost when they are written again");
    for (const auto& [name, e] : file.entries())
      expect(again.entry(name).shape == e.shape && again.entry(name).type == e.type,
             "a tensor differs when it is written again");
  });
}

}  // namespace tern::fuzz
