// Ternary diagnostics of a run as heat maps: a row for each matrix, a column for each report.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "apps/run/run_history.h"

namespace tern {

// One of the values that are known of each matrix.
struct DiagnosticsValue {
  double LayerDiagnostics::*of;
  const char *title, *unit;
};
extern const std::array<DiagnosticsValue, 5> kDiagnosticsValues;

// From the lowest to the highest value of all runs; logarithmic where they lie far apart.
struct ColourScale {
  double low = 0, high = 1;
  bool log = false;

  // 1 (lowest) to 255 (highest) in the palette; 0: not finite
  std::uint8_t index(double value) const;
};

// of all runs that have diagnostics, so that a colour means the same in each; nothing: no values
std::optional<ColourScale> colour_scale(std::span<const SavedRun> runs,
                                        const DiagnosticsValue& value);

// Matrices of one kind, such as "q_proj", by layer.
struct MatrixGroup {
  std::string kind{};
  std::vector<std::string> names{};   // of the matrices
  std::vector<std::string> layers{};  // their numbers; "" where the name has none
};

// In the order of the model; "model.layers.3.mlp.up_proj" is layer 3 of "up_proj".
std::vector<MatrixGroup> matrix_groups(const Records<DiagnosticsReport>& reports);

// <figure> with one picture for each group; at most `most_columns` reports, the last among them
std::string heat_map_html(const Records<DiagnosticsReport>& reports, const DiagnosticsValue& value,
                          const ColourScale& scale, std::size_t most_columns);

// A PNG with a palette: 0 is transparent, 1 to 255 run from dark to light.
std::string palette_png(std::size_t width, std::size_t height,
                        std::span<const std::uint8_t> pixels);
// the colours 1 to 255 as "rrggbb" strings, one after the other
std::string palette_hex();

}  // namespace tern
