#include <algorithm>
#include <cstring>
#include <map>

#include "core/check.h"
#include "data/checkpoint/checkpoint.h"
#include "data/io/hash.h"

namespace tern {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kBlock = 4 << 20;  // a multiple of every element size

struct NotFinite {
  std::uint64_t count = 0, first = 0;  // elements
};

// NaN and infinity are the floats with every bit of the exponent set.
template <class Bits>
void scan(Bits exponent, std::span<const std::byte> block, std::uint64_t done, NotFinite& found) {
  const auto bad = [&](std::size_t i) {
    Bits bits;
    std::memcpy(&bits, block.data() + i * sizeof bits, sizeof bits);
    return (bits & exponent) == exponent;
  };
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < block.size() / sizeof(Bits); ++i) count += bad(i);
  if (count > 0 && found.count == 0) {
    std::size_t i = 0;
    while (!bad(i)) ++i;
    found.first = done / sizeof(Bits) + i;
  }
  found.count += count;
}

void scan(StoredType type, std::span<const std::byte> block, std::uint64_t done, NotFinite& found) {
  switch (type) {
    case StoredType::f64:
      return scan(std::uint64_t(0x7ff0'0000'0000'0000), block, done, found);
    case StoredType::f32:
      return scan(std::uint32_t(0x7f80'0000), block, done, found);
    case StoredType::bf16:
      return scan(std::uint16_t(0x7f80), block, done, found);
    default:
      return;
  }
}

template <class... Parts>
void note(std::vector<std::string>& list, const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  list.push_back(text.str());
}

void verify_piece(const File& file, const StoredTensor& tensor, const Piece& piece,
                  std::vector<std::byte>& block, Findings& findings) {
  Hash hash;
  NotFinite bad;
  for (std::uint64_t done = 0; done < piece.bytes; done += kBlock) {
    const auto bytes = std::span(block).first(std::min<std::uint64_t>(kBlock, piece.bytes - done));
    file.pread_all(piece.offset + done, bytes);
    hash.update(bytes);
    scan(tensor.type, bytes, done, bad);
  }
  const std::string where = file.path().string() + ": tensor " + tensor.name;
  const std::uint64_t before = tensor.bytes() / std::max<std::uint64_t>(tensor.rows(), 1) *
                               piece.first_row / item_bytes(tensor.type);
  if (hash.hex() != piece.hash)
    note(findings.problems, where, " is damaged: expected XXH3-128 ", piece.hash, ", got ",
         hash.hex(), " of its ", piece.bytes, " B at offset ", piece.offset);
  else if (bad.count > 0)
    note(findings.problems, where, " holds ", bad.count,
         " NaN or infinite values, the first is element ", before + bad.first);
}

struct FilePiece {
  const StoredTensor* tensor;
  const Piece* piece;
};

// The manifest and HDF5 must agree about what is where: programs other than tern read through HDF5.
void verify_structure(const File& file, const std::vector<FilePiece>& pieces, Findings& findings) {
  std::map<std::string, Dataset> datasets;
  for (Dataset& d : read_structure(file).datasets) datasets.emplace(d.name, std::move(d));
  const std::string where = file.path().string();
  if (datasets.size() != pieces.size())
    note(findings.problems, where, ": expected ", pieces.size(), " datasets, got ",
         datasets.size());
  for (const auto& [tensor, piece] : pieces) {
    const auto found = datasets.find(tensor->name);
    std::vector<std::uint64_t> shape = tensor->shape;
    if (!shape.empty()) shape[0] = piece->rows;
    if (found == datasets.end() || found->second.type != tensor->type ||
        found->second.shape != shape || found->second.offset != piece->offset)
      note(findings.problems, where, ": tensor ", tensor->name,
           ": its dataset is not what the manifest says");
  }
}

void verify_file(const fs::path& path, const std::vector<FilePiece>& pieces,
                 std::vector<std::byte>& block, Findings& findings) {
  try {
    const File file = File::open(path);
    verify_structure(file, pieces, findings);
    for (const auto& [tensor, piece] : pieces) verify_piece(file, *tensor, *piece, block, findings);
  } catch (const Error& e) {
    findings.problems.push_back(e.what());
  }
}

}  // namespace

Findings Checkpoint::verify() const {
  std::map<std::string, std::vector<FilePiece>> pieces;
  for (const StoredFile& file : manifest_.files) pieces[file.name];
  for (const StoredTensor& tensor : manifest_.tensors)
    for (const Piece& piece : tensor.pieces) pieces[piece.file].push_back({&tensor, &piece});
  Findings findings;
  std::vector<std::byte> block(kBlock);
  for (const auto& [name, of_file] : pieces) verify_file(path_ / name, of_file, block, findings);
  std::error_code error;
  for (fs::directory_iterator entry(path_, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name != "manifest.json" && !pieces.contains(name))
      note(findings.warnings, entry->path().string(), ": not in the manifest, ignored");
  }
  if (error) note(findings.warnings, path_.string(), ": cannot be listed: ", error.message());
  return findings;
}

}  // namespace tern
