// Reads checkpoints. Every byte is covered by a hash, and every error is a Fault::input that names
// the file, and the tensor if there is one.
#pragma once

#include <limits>
#include <optional>

#include "data/checkpoint/manifest.h"

namespace tern {

struct Findings {
  std::vector<std::string> problems;  // none: the checkpoint is good
  std::vector<std::string> warnings;
};

class Checkpoint {
 public:
  // path: a directory step-N, or a file `latest` or `best` that names one. Reads and checks the
  // manifest, the sizes of the files and the metadata of HDF5 in them, not yet the tensors.
  static Checkpoint open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const Manifest& manifest() const { return manifest_; }
  const StoredTensor* find(const std::string& name) const;  // nullptr: there is none

  // The whole tensor, row-major, its hashes checked; to.size() must be its size.
  void read(const std::string& name, std::span<std::byte> to) const;

  // Rows [first, first + count), in order, in blocks of a few MiB and whole elements. `take`
  // receives each block and its byte offset in those rows. The hash of a piece is checked after its
  // last block: when this throws, `take` may have received damaged bytes.
  void read_rows(
      const std::string& name, std::uint64_t first, std::uint64_t count,
      const std::function<void(std::uint64_t offset, std::span<const std::byte>)>& take) const;

  // Reads and checks everything: hashes, the structure that HDF5 reads, NaN and infinity in float
  // tensors. Files that the manifest does not list are warnings.
  Findings verify() const;

 private:
  std::filesystem::path path_;
  Manifest manifest_;
};

// The newest checkpoint of a run that verifies, up to step `most`, and the problems of newer ones.
// Fault::input if the directory cannot be read.
struct NewestGood {
  std::optional<std::filesystem::path> path;
  std::vector<std::string> passed_over;
};
NewestGood newest_good(const std::filesystem::path& directory,
                       std::uint64_t most = std::numeric_limits<std::uint64_t>::max());

}  // namespace tern
