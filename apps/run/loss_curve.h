// The losses of a run, read back from its metrics.jsonl. Tolerates whatever a crash, an editor or a
// newer release left there: lines that are not understood are counted, never fatal.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tern {

struct LossPoint {
  std::int64_t step = 0;
  double tokens = 0, loss = 0;
};

struct LossCurve {
  std::vector<LossPoint> train{}, validation{};  // by step; finite losses only
  std::int64_t unreadable = 0;                   // lines
};

// After a rewind the lines of the second attempt replace those of the first.
LossCurve parse_losses(std::string_view metrics);

// of a run directory or of a metrics file; Fault::input when there is none
LossCurve read_losses(const std::filesystem::path& run);

}  // namespace tern
