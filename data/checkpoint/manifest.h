// manifest.json of a checkpoint: what was saved, and which bytes of which file hold it. It is
// written last, so a directory with a manifest is complete. docs/checkpoint_format.md has the
// format.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/io/hdf5.h"
#include "data/io/json.h"
#include "data/io/stored_type.h"

namespace tern {

// Consecutive rows of a tensor in the dataset of the tensor's name in one file.
struct Piece {
  std::string file;
  std::uint64_t offset = 0;  // of the first byte in the file
  std::uint64_t bytes = 0;
  std::uint64_t first_row = 0, rows = 0;  // of the whole tensor, along its first dimension
  std::string hash;                       // XXH3-128 of the bytes
};

struct StoredTensor {
  std::string name;
  StoredType type = StoredType::f32;
  std::vector<std::uint64_t> shape;
  std::vector<Piece> pieces;  // in row order, without gaps

  std::uint64_t rows() const { return shape.empty() ? 1 : shape[0]; }
  std::uint64_t bytes() const;
};

struct StoredFile {
  std::string name;
  std::uint64_t bytes = 0;
  std::string structure_hash;  // XXH3-128 of the bytes that belong to no piece
};

struct Manifest {
  std::string version;  // of the tern that wrote it
  std::uint64_t step = 0;
  std::uint64_t tokens = 0;      // seen in training so far
  std::uint64_t parameters = 0;  // of the model
  std::uint64_t world = 1;       // processes that wrote files
  nlohmann::json config;         // of the run
  nlohmann::json state;          // what a resumed run needs beside the tensors
  std::vector<StoredFile> files;
  std::vector<StoredTensor> tensors;
};

constexpr std::uint64_t kManifestFormat = 1;
// 15 MB are the 1024 layers that a model may have at most; rows shared out among ranks take more
constexpr std::uint64_t kMaxManifestBytes = 64 << 20;

// The text, ending in a hash of itself. Fault::internal when it would be longer than a reader
// takes.
std::string to_text(const Manifest& manifest);

// Checks everything that can be checked without the files. Fault::input, naming where.
Manifest parse_manifest(std::string_view text, const std::string& where);

// The files and tensors of a manifest that one of several processes has made of what it wrote, as a
// text without a hash; and such a text's content added to the manifest of the whole. Fault::input,
// naming where.
std::string shard_text(const Manifest& shard);
void add_shard(Manifest& to, std::string_view text, const std::string& where);

// where the pieces of a file lie in it
std::vector<Extent> extents_of(const Manifest& manifest, const std::string& file);

// What a file of this step says about itself in the HDF5 attribute "tern".
std::string shard_label(std::uint64_t step);

}  // namespace tern
