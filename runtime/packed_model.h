// A ternary model in one .safetensors file: matrices as 2-bit codes in tiles, tokenizer and all. It
// is mapped, not read: processes that run it share its memory. The format: docs/packed_format.md.
#pragma once

#include "data/io/hash.h"
#include "data/io/safetensors.h"
#include "runtime/saved_model.h"

namespace tern {

inline constexpr std::string_view kPackedFormat = "tern-packed", kPackedVersion = "1";

// Whether a path of a model names a packed file: a regular file NAME.safetensors.
bool is_packed_model(const std::filesystem::path& path);

// Maps a file and checks all of it: its structure, every byte by its hash, shapes, codes, scales.
// Fault::input with the defect and what helps: damaged, truncated, of another program or version.
SavedModel open_packed(const std::filesystem::path& path);

struct PackedExport {
  StoredType embedding = StoredType::bf16;  // f32, bf16, or i8 with a scale for each row
  std::string version{};                    // of tern
};

// Writes NAME.safetensors, or replaces an earlier one when the new one is whole. One matrix is in
// memory at a time. Returns the file's bytes. Fault::usage for another name, another file in that
// place, a model without ternary matrices, or a family that a config.json cannot describe;
// Fault::input for a source that is damaged, not finite or packed; Fault::disk.
std::uint64_t export_packed(const SavedModel& from, const std::filesystem::path& to,
                            const PackedExport& options);

// The layout that reader and writer share.

inline constexpr const char* kPackedScale = "_scale";         // behind a tensor's name: f32
inline constexpr const char* kPackedTokenizer = "tokenizer";  // u8: Tokenizer::file()
inline constexpr const char* kPackedHashes = "hashes";        // u8, the last tensor

// The format that a safetensors file names in its metadata; "": none, or another kind of file.
std::string packed_format_of(const std::filesystem::path& path);

// Of a ternary matrix: (tiles along O, tiles along I, bytes of a tile).
std::vector<std::int64_t> packed_shape(const Shape& matrix);

// Of the hashes of so many bytes of other tensors.
std::vector<std::int64_t> packed_hashes_shape(std::uint64_t bytes);
// What they are: XXH3-128 of the header, the first bytes of the file, then of each 4 MiB that
// follow it, the last block shorter. bytes: the file up to the hashes. On all threads.
std::vector<HashBytes> packed_hashes(std::span<const std::byte> bytes, std::uint64_t header);

}  // namespace tern
