// A folder of .safetensors files: index (empty: none), then files a, b, c, d as in the target
// safetensors; without an index the first one is model.safetensors.
#include "data/io/safetensors_folder.h"

#include "data/io/json.h"
#include "tests/fuzz/safetensors_bytes.h"

namespace tern::fuzz {

void run(std::string_view input) {
  const auto parts = parts_of(input);
  const std::filesystem::path folder = empty_room("folder");
  if (!parts[0].empty()) write(folder / kSafetensorsIndexName, parts[0]);
  std::map<std::string, std::size_t> sizes;
  for (std::size_t i = 1; i < std::min<std::size_t>(parts.size(), 5); ++i) {
    const std::string name = parts[0].empty() && i == 1
                                 ? std::string(kSafetensorsName)
                                 : std::string(1, char('a' + i - 1)) + ".safetensors";
    const std::string bytes = safetensors_bytes(parts[i]);
    sizes[name] = bytes.size();
    write(folder / name, bytes);
  }
  works({Fault::input}, [&] {
    const SafetensorsFolder opened = SafetensorsFolder::open(folder);
    nlohmann::json listed;
    if (!sizes.contains(kSafetensorsName)) listed = parse_json(parts[0], "index")["weight_map"];
    for (const auto& [name, file] : listed.items())
      expect(opened.tensors().at(name).file->path().filename() == file.get<std::string>(),
             "a tensor is not in the file that the index names");
    for (const auto& [name, tensor] : opened.tensors()) {
      expect(tensor.file->contains(name), "a tensor is not in its file");
      check_entries(*tensor.file, sizes.at(tensor.file->path().filename()));
    }
  });
}

}  // namespace tern::fuzz
