// manifest.json of a checkpoint: its tensors, and the bytes of the files that hold them. The
// manifest is written last, so a directory with one is complete. Format: docs/checkpoint_format.md.
#pragma once

#include "data/io/hdf5.h"
#include "data/io/json.h"
#include "data/io/stored_type.h"

namespace tern {

// Consecutive rows of a tensor in the dataset of the tensor's name in one file.
struct StoredRows {
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
  std::vector<StoredRows> pieces;  // in row order, without gaps

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
  nlohmann::json state;          // state of a run beside the tensors, needed to resume
  std::vector<StoredFile> files;
  std::vector<StoredTensor> tensors;
};

constexpr std::uint64_t kManifestFormat = 1;
// 1024 layers, the most a model may have, take 15 MB; rows divided among ranks take more
constexpr std::uint64_t kMaxManifestBytes = 64 << 20;

// The text, ending in a hash of itself. Fault::internal when it would be longer than a reader
// takes.
std::string to_text(const Manifest& manifest);

// Makes every check that needs no other file. Fault::input, naming where.
Manifest parse_manifest(std::string_view text, const std::string& where);

// Where several processes write one checkpoint, each makes a manifest of its own files and tensors.
// shard_text: that manifest as text, without a hash. add_shard: adds such a text to the manifest of
// the whole; Fault::input, naming where.
std::string shard_text(const Manifest& shard);
void add_shard(Manifest& to, std::string_view text, const std::string& where);

// The byte ranges of all pieces of a file.
std::vector<Extent> extents_of(const Manifest& manifest, const std::string& file);

// The HDF5 attribute "tern" of a file of this step.
std::string shard_label(std::uint64_t step);

}  // namespace tern
