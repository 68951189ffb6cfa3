#include "apps/trace/array_directory.h"

#include "data/io/files.h"
#include "data/io/npy.h"

namespace tern {

namespace fs = std::filesystem;

ArrayDirectory::ArrayDirectory(const fs::path& path) : path_(path) {
  std::error_code error;
  const bool there = fs::exists(path, error);
  require(!there || (fs::is_directory(path, error) && fs::is_empty(path, error)), Fault::usage,
          path.string(), ": expected a new or an empty directory");
  fs::create_directories(path, error);
  require(!error, Fault::disk, path.string(), ": cannot create the directory: ", error.message());
}

void ArrayDirectory::add(const std::string& name, const std::string& formula, DType dtype,
                         const Shape& shape, std::span<const std::byte> bytes) {
  const std::string file = name + ".npy";
  write_npy(path_ / file, dtype, shape, bytes);
  std::vector<Index> dimensions;
  for (int i = 0; i < shape.rank(); ++i) dimensions.push_back(shape[i]);
  index_.push_back({{"name", name},
                    {"file", file},
                    {"shape", dimensions},
                    {"dtype", numpy_name(dtype)},
                    {"formula", formula}});
  bytes_ += bytes.size();
}

void ArrayDirectory::finish(nlohmann::ordered_json about) {
  about["arrays"] = index_;
  write_file_atomically(path_ / "index.json", about.dump(1) + "\n");
}

}  // namespace tern
