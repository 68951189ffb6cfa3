// A directory of .npy files with an index.json that says what each is. The index is written last:
// a directory that has one is complete.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "core/dtype.h"
#include "core/shape.h"

namespace tern {

class ArrayDirectory {
 public:
  // Makes the directory; Fault::usage when it has anything in it, Fault::disk when it cannot.
  explicit ArrayDirectory(const std::filesystem::path& path);

  // Writes NAME.npy. formula: how the array follows from others, in their names.
  void add(const std::string& name, const std::string& formula, DType dtype, const Shape& shape,
           std::span<const std::byte> bytes);
  // Writes index.json: `about`, and beside it the list of arrays.
  void finish(nlohmann::ordered_json about);

  std::size_t arrays() const { return index_.size(); }
  std::size_t bytes() const { return bytes_; }  // of all elements

 private:
  std::filesystem::path path_;
  nlohmann::ordered_json index_ = nlohmann::ordered_json::array();
  std::size_t bytes_ = 0;
};

}  // namespace tern
