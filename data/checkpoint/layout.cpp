#include "data/checkpoint/layout.h"

#include <algorithm>
#include <cstdio>

namespace tern {
namespace {

// Upper bounds of what HDF5 stores beside the elements: metadata, headers and padding.
constexpr std::uint64_t kFileOverhead = 192 << 10, kDatasetOverhead = 2 * 4096;

class Planner {
 public:
  explicit Planner(std::uint64_t part_bytes)
      : room_(part_bytes > kFileOverhead ? part_bytes - kFileOverhead : 0) {}

  void add(std::size_t tensor, std::uint64_t rows, std::uint64_t bytes) {
    if (!parts_.empty() && bytes + kDatasetOverhead > left() && bytes + kDatasetOverhead <= room_)
      open_part();
    const std::uint64_t row_bytes = rows ? bytes / rows : 0;
    std::uint64_t first = 0;
    do {
      if (parts_.empty()) open_part();
      const std::uint64_t count = rows_that_fit(rows - first, row_bytes);
      if (count > 0 || rows == 0) put({tensor, first, count}, count * row_bytes);
      first += count;
      if (first < rows) open_part();
    } while (first < rows);
  }

  std::vector<Part> take() { return std::move(parts_); }

 private:
  std::uint64_t left() const { return used_ < room_ ? room_ - used_ : 0; }

  // At least one in an empty part: a row larger than a part gets a larger part.
  std::uint64_t rows_that_fit(std::uint64_t rows, std::uint64_t row_bytes) const {
    if (row_bytes == 0) return rows;
    const std::uint64_t data = left() > kDatasetOverhead ? left() - kDatasetOverhead : 0;
    return std::min(rows, std::max<std::uint64_t>(data / row_bytes, parts_.back().empty()));
  }

  void open_part() {
    if (!parts_.empty() && parts_.back().empty()) return;
    parts_.emplace_back();
    used_ = 0;
  }

  void put(const Rows& rows, std::uint64_t bytes) {
    parts_.back().push_back(rows);
    used_ += bytes + kDatasetOverhead;
  }

  std::vector<Part> parts_;
  std::uint64_t room_, used_ = 0;  // bytes per part
};

}  // namespace

std::uint64_t TensorBytes::row_bytes() const {
  std::uint64_t product = item_bytes(type);
  for (std::size_t i = 1; i < shape.size(); ++i) product *= shape[i];
  return product;
}

std::uint64_t TensorBytes::rows() const {
  if (shape.empty()) return 1;
  return row_bytes() ? size() / row_bytes() : shape[0];
}

std::vector<Part> plan_parts(std::span<const TensorBytes> tensors, std::uint64_t part_bytes) {
  Planner planner(part_bytes);
  for (std::size_t i = 0; i < tensors.size(); ++i)
    planner.add(i, tensors[i].rows(), tensors[i].size());
  return planner.take();
}

std::string part_name(int rank, std::size_t part) {
  char name[48];
  std::snprintf(name, sizeof name, "rank-%03d-part-%02zu.h5", rank, part);
  return name;
}

}  // namespace tern
