#include "data/io/hdf5.h"

#include <algorithm>

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

std::vector<Extent> uncovered(std::vector<Extent> extents, std::uint64_t file_bytes) {
  std::sort(extents.begin(), extents.end(),
            [](const Extent& a, const Extent& b) { return a.offset < b.offset; });
  extents.push_back({file_bytes, 0});
  std::vector<Extent> gaps;
  std::uint64_t end = 0;
  for (const Extent& e : extents) {
    if (e.offset > end) gaps.push_back({end, e.offset - end});
    end = std::max(end, e.offset + e.bytes);
  }
  return gaps;
}

std::string read_structure_bytes(const File& file, const std::vector<Extent>& extents) {
  const std::vector<Extent> gaps = uncovered(extents, file.size());
  std::uint64_t total = 0;
  for (const Extent& gap : gaps) total += gap.bytes;
  const std::uint64_t most = (1 << 20) + extents.size() * (32 << 10);
  require(total <= most, Fault::input, file.path().string(), ": expected at most ", most,
          " B outside the datasets, got ", total);
  std::string bytes(total, '\0');
  auto rest = std::as_writable_bytes(std::span(bytes));
  for (const Extent& gap : gaps) {
    file.pread_all(gap.offset, rest.first(gap.bytes));
    rest = rest.subspan(gap.bytes);
  }
  return bytes;
}

}  // namespace tern
