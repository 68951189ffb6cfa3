#include "apps/run/loss_curve.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "data/io/files.h"

namespace tern {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLongestLine = 1 << 20;  // bytes; ours have a few hundred
constexpr std::uint64_t kLongestFile = 4ull << 30;

bool has_number(const Json& line, const char* name) {
  return line.contains(name) && line[name].is_number();
}

// false if the line is not understood
bool take(std::string_view text, LossCurve& curve) {
  if (text.size() > kLongestLine) return false;
  const Json line = Json::parse(text, nullptr, false);
  if (!line.is_object() || !line.contains("t") || !line["t"].is_string()) return false;
  const bool train = line["t"] == "train";
  if (!train && line["t"] != "val") return true;
  if (!line.contains("step") || !line["step"].is_number_integer() || !has_number(line, "tokens"))
    return false;
  const LossPoint point{.step = line["step"].get<std::int64_t>(),
                        .tokens = line["tokens"].get<double>(),
                        .loss = has_number(line, "loss") ? line["loss"].get<double>() : NAN};
  std::vector<LossPoint>& points = train ? curve.train : curve.validation;
  while (!points.empty() && points.back().step >= point.step) points.pop_back();
  if (std::isfinite(point.loss) && std::isfinite(point.tokens)) points.push_back(point);
  return true;
}

}  // namespace

LossCurve parse_losses(std::string_view metrics) {
  LossCurve curve;
  while (!metrics.empty()) {
    const std::size_t end = std::min(metrics.find('\n'), metrics.size());
    if (end > 0 && !take(metrics.substr(0, end), curve)) ++curve.unreadable;
    metrics.remove_prefix(std::min(end + 1, metrics.size()));
  }
  return curve;
}

LossCurve read_losses(const std::filesystem::path& run) {
  std::error_code error;
  const bool directory = std::filesystem::is_directory(run, error);
  return parse_losses(read_file(directory ? run / "metrics.jsonl" : run, kLongestFile));
}

}  // namespace tern
