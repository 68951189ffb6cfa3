// Points of a scaling law: what a trained model has cost and what loss it has reached.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tern {

struct ScalingPoint {
  double parameters = 0, tokens = 0;  // N, D
  double loss = 0;                    // nats per token

  double flop() const { return 6 * parameters * tokens; }
};

struct ScalingFamily {
  std::string name{};  // "" where the table has no column `family`
  std::vector<ScalingPoint> points{};
};

struct ScalingTable {
  std::vector<ScalingFamily> families{};  // in the order of their first points
};

// A CSV file (RFC 4180) with a line of names: parameters, tokens, loss and, optionally, family, in
// any order. Other columns are ignored, and so are empty lines and lines that begin with '#'.
// Fault::input, with file:line, column, expected and got.
ScalingTable read_table(const std::filesystem::path& path);

// where: the name of the text in messages
ScalingTable parse_table(std::string_view text, const std::string& where);

}  // namespace tern
