// A folder of .safetensors files as Hugging Face writes it: model.safetensors alone, or shards that
// model.safetensors.index.json names. Each file is checked before anything is read.
#pragma once

#include "data/io/safetensors.h"

namespace tern {

inline constexpr const char* kSafetensorsName = "model.safetensors";
inline constexpr const char* kSafetensorsIndexName = "model.safetensors.index.json";
// "model-00002-of-00003.safetensors"
std::string shard_name(std::size_t index, std::size_t count);
// whether a name is one of the three
bool is_safetensors_name(const std::string& name);

class SafetensorsFolder {
 public:
  // Fault::input naming file and defect: neither model nor index, a shard that is missing or not in
  // the folder, a tensor that is not where the index says, or in two files.
  static SafetensorsFolder open(const std::filesystem::path& folder);

  struct Tensor {
    const SafetensorsFile* file;
    const SafetensorsFile::Entry* entry;
  };
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }

 private:
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, Tensor> tensors_;
};

// Writes tensors into a folder without any, in files of at most `most` bytes of tensors (a larger
// tensor has a file of its own), and the index beside them if there are several. write: gives the
// bytes of one of the tensors, in order, in parts of any size. Everything is synced. Fault::disk.
using AppendBytes = std::function<void(std::span<const std::byte>)>;
void write_safetensors(const std::filesystem::path& folder,
                       std::span<const SafetensorsTensor> tensors, std::uint64_t most,
                       const std::function<void(std::size_t tensor, const AppendBytes&)>& write);

}  // namespace tern
