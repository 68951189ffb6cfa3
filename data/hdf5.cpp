#include "data/hdf5.h"

#include <algorithm>
#include <limits>

#include "core/check.h"

namespace tern {

std::uint64_t Dataset::items() const {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  std::uint64_t product = 1;
  for (const std::uint64_t length : shape) {
    // room for the widest element and an offset: every later sum of such sizes is safe
    require(length <= (std::uint64_t(1) << 58) / product, Fault::input, name,
            ": the product of its dimensions overflows");
    product *= length;
  }
  return product;
}

std::uint64_t Dataset::bytes() const {
  return items() * item_bytes(type);
}

std::vector<Extent> structure_extents(const Structure& structure) {
  std::vector<Extent> data;
  for (const Dataset& d : structure.datasets)
    if (d.bytes() > 0) data.push_back({d.offset, d.bytes()});
  std::sort(data.begin(), data.end(),
            [](const Extent& a, const Extent& b) { return a.offset < b.offset; });
  std::vector<Extent> gaps;
  std::uint64_t end = 0;
  data.push_back({structure.file_bytes, 0});
  for (const Extent& e : data) {
    if (e.offset > end) gaps.push_back({end, e.offset - end});
    end = e.offset + e.bytes;
  }
  return gaps;
}

}  // namespace tern
