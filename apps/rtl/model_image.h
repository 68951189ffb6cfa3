// Ternary models as files for the accelerator: its memory as it is (rtl/model/image.h), with
// configuration and tokenizer in it.
#pragma once

#include "rtl/model/image.h"
#include "runtime/saved_model.h"

namespace tern {

// Whether a file begins like an image.
bool is_model_image(const std::filesystem::path& path);

// Writes an image for a memory port of so many bits, or replaces an earlier one when the new one is
// whole. Returns its bytes. Fault::usage for a width that there is none of, a model that is no
// ternary MatMul-free one in f32, or another file in that place; Fault::input if its numbers do not
// fit; Fault::disk.
std::uint64_t export_image(const SavedModel& from, const std::filesystem::path& to,
                           std::uint32_t port_bits);

struct ModelImage {
  rtl::Image image{};
  ModelConfig config{};
  std::optional<Tokenizer> tokenizer{};
  DocumentLayout documents{};  // how those begin and end that it was trained on
};
// Reads and checks all of a file, every byte by its hash. Fault::input in one line for what is
// damaged, truncated, of others or of another version.
ModelImage open_image(const std::filesystem::path& path);

}  // namespace tern
