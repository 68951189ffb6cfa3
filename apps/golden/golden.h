// Compares this implementation with a golden file: a small model whose logits, loss, gradients and
// training trajectory were computed in float64 elsewhere.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "runtime/device.h"

namespace tern {

// The worst disagreement of one kind: largest |ours - theirs| over the largest |theirs|.
struct GoldenResult {
  std::string kind;                                   // "logits", "gradients", ...
  double worst = 0;                                   // relative error
  double tolerance = 0;                               // of tests/golden/README.md
  std::string where{};                                // the tensor or step that was worst
  bool passed() const { return worst <= tolerance; }  // NaN does not
};

struct GoldenReport {
  std::vector<GoldenResult> results;
  // f32 only: rounding decisions that differ from the float64 run when nothing is replayed
  std::int64_t differing_decisions = 0, decisions = 0;
  bool passed() const;
};

// f64: compared as it is. f32: with the rounding decisions of a float64 run replayed, since a
// decision that flips changes everything after it. Fault::input for a file that lacks something.
// The float64 run is always the CPU's.
GoldenReport check_golden(const std::filesystem::path& file, DType dtype,
                          const Device& device = Device("cpu"));

}  // namespace tern
