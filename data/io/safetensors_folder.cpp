#include "data/io/safetensors_folder.h"

#include <algorithm>
#include <cstdio>

#include "data/io/json.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kMaxIndexBytes = std::uint64_t(16) << 20;
constexpr std::size_t kMaxShards = 4096;

// shard -> the tensors that the index puts there
using ShardTensors = std::map<std::string, std::vector<std::string>>;

ShardTensors read_index(const fs::path& path) {
  const std::string where = path.string();
  const nlohmann::json index = parse_json(read_file(path, kMaxIndexBytes, Links::follow), where);
  require(index.is_object() && index.contains("weight_map") && index["weight_map"].is_object(),
          Fault::input, where, ": expected an object with \"weight_map\"");
  ShardTensors shards;
  for (const auto& [tensor, value] : index["weight_map"].items()) {
    const std::string name = value.is_string() ? value.get<std::string>() : value.dump();
    require(is_plain_name(name) && name.ends_with(".safetensors"), Fault::input, where, ": ",
            nlohmann::json(tensor).dump(),
            ": expected the name of a .safetensors file in this "
            "folder, got ",
            nlohmann::json(name).dump());
    shards[name].push_back(tensor);
    require(shards.size() <= kMaxShards, Fault::input, where, ": expected at most ", kMaxShards,
            " files");
  }
  require(!shards.empty(), Fault::input, where, ": weight_map: expected tensors, got none");
  return shards;
}

}  // namespace

std::string shard_name(std::size_t index, std::size_t count) {
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return name;
}

bool is_safetensors_name(const std::string& name) {
  return name == kSafetensorsName || name == kSafetensorsIndexName ||
         (name.starts_with("model-") && name.ends_with(".safetensors"));
}

SafetensorsFolder SafetensorsFolder::open(const fs::path& folder) {
  SafetensorsFolder out;
  const fs::path index = folder / kSafetensorsIndexName;
  ShardTensors shards;
  const bool single = path_exists(folder / kSafetensorsName);
  if (single) {
    shards[kSafetensorsName];
  } else {
    require(path_exists(index), Fault::input, folder.string(), ": expected ", kSafetensorsName,
            " or ", kSafetensorsIndexName,
            " in it (pickled weights, .bin and .pt, are never read: convert them first)");
    shards = read_index(index);
  }
  for (const auto& [name, listed] : shards) {
    out.files_.push_back(std::make_unique<SafetensorsFile>(SafetensorsFile::open(folder / name)));
    const SafetensorsFile& file = *out.files_.back();
    for (const auto& [tensor, entry] : file.entries()) {
      const auto [at, added] = out.tensors_.try_emplace(tensor, Tensor{&file, &entry});
      require(added, Fault::input, file.path().string(), ": tensor '", tensor, "' is in ",
              at->second.file->path().filename().string(), " too");
    }
    for (const std::string& tensor : listed)
      require(file.contains(tensor), Fault::input, index.string(), ": tensor '", tensor,
              "': it is not in ", name);
  }
  return out;
}

void write_safetensors(const fs::path& folder, std::span<const SafetensorsTensor> tensors,
                       std::uint64_t most,
                       const std::function<void(std::size_t, const AppendBytes&)>& write) {
  std::vector<std::size_t> begins;  // of each file's tensors
  std::uint64_t in_file = 0, total = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::uint64_t bytes = tensors[i].bytes();
    if (begins.empty() || (in_file > 0 && bytes > 0 && in_file + bytes > most)) {
      begins.push_back(i);
      in_file = 0;
    }
    in_file += bytes;
    total += bytes;
  }
  const std::size_t files = begins.size();
  begins.push_back(tensors.size());
  nlohmann::json map = nlohmann::json::object();
  for (std::size_t f = 0; f < files; ++f) {
    const std::string name = files == 1 ? kSafetensorsName : shard_name(f, files);
    File file = File::create(folder / name);
    SafetensorsWriter writer(file, tensors.subspan(begins[f], begins[f + 1] - begins[f]));
    for (std::size_t i = begins[f]; i < begins[f + 1]; ++i) {
      map[tensors[i].name] = name;
      write(i, [&](std::span<const std::byte> bytes) { writer.append(bytes); });
    }
    writer.finish();
    file.sync();
    file.close();
  }
  if (files > 1)
    write_new_file(
        folder / kSafetensorsIndexName,
        nlohmann::json{{"metadata", {{"total_size", total}}}, {"weight_map", map}}.dump(2) + '\n');
}

}  // namespace tern
