// One forward pass with every intermediate written to files: a reference for the same arithmetic in
// hardware or in another language.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/dtype.h"
#include "core/shape.h"
#include "layers/model.h"

namespace tern {

// NumPy's .npy files, version 1.0: what numpy.load reads. Little-endian, row-major.

std::string_view numpy_name(DType dtype);  // "float64", "int8", ...

// A new file with one array; bytes are its elements. Fault::disk when the path exists.
void write_npy(const std::filesystem::path& path, DType dtype, const Shape& shape,
               std::span<const std::byte> bytes);

// A directory of .npy files with an index.json that describes each. The index is written last: a
// directory that has one is complete.
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

// Runs ids (B, T) through the model from a zero state. Into `out` go: the ids, every tensor that
// the pass shows its observer (codes, scales, ternary weights, products, states, bounds, logits),
// the exact int32 sum of every ternary product, gate and candidate of every recurrence, and the
// norm weights. The sums and gates are computed here on the host: no kernel keeps them.
void trace(Model& model, const Shape& shape, const std::vector<std::int32_t>& ids,
           ArrayDirectory& out);

// The same exact sums from codes q (N, I) and t (O, I): (N, O).
std::vector<std::int32_t> ternary_sums(std::span<const std::int8_t> q,
                                       std::span<const std::int8_t> t, Index I);

}  // namespace tern
