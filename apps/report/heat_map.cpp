#include "apps/report/heat_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "apps/report/axis.h"
#include "apps/report/html.h"

namespace tern {
namespace {

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t three = 0;
    for (std::size_t j = 0; j < 3; ++j)
      three = three << 8 | (i + j < bytes.size() ? std::uint8_t(bytes[i + j]) : 0);
    for (std::size_t j = 0; j < 4; ++j)
      out += i + j <= bytes.size() ? kDigits[three >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
}

// {kind, layer}: what comes after the first number between dots, and that number
std::pair<std::string, std::string> kind_and_layer(const std::string& name) {
  for (std::size_t begin = 0; begin < name.size();) {
    const std::size_t dot = std::min(name.find('.', begin), name.size());
    const std::string part = name.substr(begin, dot - begin);
    if (all_digits(part) && dot < name.size()) return {name.substr(dot + 1), part};
    begin = dot + 1;
  }
  return {name, ""};
}

// the last part of each kind, where no other kind has the same
void shorten(std::vector<MatrixGroup>& groups) {
  const auto last_part = [](const std::string& kind) { return kind.substr(kind.rfind('.') + 1); };
  std::map<std::string, int> count;
  for (const MatrixGroup& g : groups) ++count[last_part(g.kind)];
  for (MatrixGroup& g : groups)
    if (count[last_part(g.kind)] == 1) g.kind = last_part(g.kind);
}

std::vector<const DiagnosticsReport*> columns_of(const Records<DiagnosticsReport>& reports,
                                                 std::size_t most) {
  std::vector<const DiagnosticsReport*> columns;
  const std::size_t n = reports.size(), stride = (n + most - 1) / std::max<std::size_t>(most, 1);
  for (std::size_t i = 0; i < n; ++i)
    if ((n - 1 - i) % std::max<std::size_t>(stride, 1) == 0) columns.push_back(&reports[i].report);
  return columns;
}

using Column = std::map<std::string, double>;  // by matrix

std::string picture(const MatrixGroup& group, const std::vector<Column>& columns,
                    const ColourScale& scale) {
  std::vector<std::uint8_t> pixels;
  for (const std::string& name : group.names)
    for (const Column& column : columns) {
      const auto at = column.find(name);
      pixels.push_back(at == column.end() ? 0 : scale.index(at->second));
    }
  const bool missing = std::ranges::find(pixels, 0) != pixels.end();
  // tall enough for the label, and for each row of a small model to be seen
  const double row = std::clamp(100.0 / double(group.names.size()), 2.0, 14.0);
  std::string layers;
  for (const std::string& layer : group.layers) layers += (layers.empty() ? "" : " ") + layer;
  const std::string range =
      group.layers.front().empty() ? "" : group.layers.front() + " to " + group.layers.back();
  return fmt::format(
      "<div class=\"kind\"><b>{0}</b>{1}</div>"
      "<div class=\"cells{7}\"><img alt=\"{0}\" width=\"{2}\" height=\"{3}\" data-layers=\"{4}\" "
      "style=\"height:{5:.0f}px\" src=\"data:image/png;base64,{6}\"></div>\n",
      html_text(group.kind),
      range.empty() || group.names.size() < 2 ? "" : "<span>" + html_text(range) + "</span>",
      columns.size(), group.names.size(), html_text(layers),
      std::max(18.0, row * double(group.names.size())),
      base64(palette_png(columns.size(), group.names.size(), pixels)), missing ? " gaps" : "");
}

std::string step_marks(const std::vector<const DiagnosticsReport*>& columns) {
  const std::size_t n = columns.size(), marks = std::min<std::size_t>(n, 5);
  std::string html = "<div></div><div class=\"steps\">";
  for (std::size_t i = 0; i < marks; ++i) {
    const std::size_t column = marks == 1 ? 0 : i * (n - 1) / (marks - 1);
    html += fmt::format("<span style=\"left:{:.2f}%\">{}</span>",
                        (double(column) + 0.5) / double(n) * 100,
                        short_number(double(columns[column]->step), 4));
  }
  return html + "</div>";
}

std::string scale_html(const ColourScale& scale) {
  const std::string hex = palette_hex();
  std::string stops;
  for (std::size_t i = 0; i < 255; i += 127 / 4)
    stops += fmt::format(",#{}", hex.substr(6 * std::min<std::size_t>(i, 254), 6));
  const ChartAxis axis{scale.low, scale.high, scale.log};
  std::string marks;
  for (const AxisMark& m : axis.marks(4))
    marks +=
        fmt::format("<span style=\"left:{:.1f}%\">{}</span>", 100 * axis.share(m.value), m.label);
  return fmt::format(
      "<div class=\"scale\"><i style=\"background:linear-gradient(90deg{})\"></i>"
      "<div class=\"steps\">{}</div></div>",
      stops, marks);
}

}  // namespace

const std::array<DiagnosticsValue, 5> kDiagnosticsValues = {
    {{&LayerDiagnostics::flip_rate, "Flips", "share of weights that changed in the step"},
     {&LayerDiagnostics::zero_share, "Zeros", "share of weights"},
     {&LayerDiagnostics::scale, "Scale", "of the weights"},
     {&LayerDiagnostics::activation_absmax, "Largest activation", "before quantising"},
     {&LayerDiagnostics::fp8_underflow, "Underflow", "share of inputs lost to 8-bit floats"}}};

std::uint8_t ColourScale::index(double value) const {
  if (!std::isfinite(value)) return 0;
  if (log && !(value > low)) return 1;
  const double share = ChartAxis{low, high, log}.share(value);
  return std::uint8_t(1 + std::lround(254 * std::clamp(share, 0.0, 1.0)));
}

std::optional<ColourScale> colour_scale(std::span<const SavedRun> runs,
                                        const DiagnosticsValue& value) {
  double low = INFINITY, high = -INFINITY, positive = INFINITY;
  for (const SavedRun& run : runs)
    for (const auto& [report, time, seconds] : run.history.diagnostics)
      for (const LayerDiagnostics& layer : report.layers) {
        const double x = layer.*value.of;
        if (!std::isfinite(x)) continue;
        low = std::min(low, x);
        high = std::max(high, x);
        if (x > 0) positive = std::min(positive, x);
      }
  if (!(low <= high)) return std::nullopt;
  constexpr double kFarApart = 10, kMostDecades = 1e5;
  if (low >= 0 && high > kFarApart * positive)
    return ColourScale{std::max(positive, high / kMostDecades), high, true};
  if (low == high) high = low + std::max(1e-9, std::abs(low) * 1e-3);
  return ColourScale{low, high};
}

std::vector<MatrixGroup> matrix_groups(const Records<DiagnosticsReport>& reports) {
  std::vector<MatrixGroup> groups;
  std::map<std::string, std::size_t> group_of;  // by kind
  std::map<std::string, bool> seen;
  for (const auto& [report, time, seconds] : reports)
    for (const LayerDiagnostics& matrix : report.layers) {
      if (std::exchange(seen[matrix.name], true)) continue;
      const auto [kind, layer] = kind_and_layer(matrix.name);
      const auto [at, fresh] = group_of.try_emplace(kind, groups.size());
      if (fresh) groups.push_back({kind});
      groups[at->second].names.push_back(matrix.name);
      groups[at->second].layers.push_back(layer);
    }
  shorten(groups);
  return groups;
}

std::string heat_map_html(const Records<DiagnosticsReport>& reports, const DiagnosticsValue& value,
                          const ColourScale& scale, std::size_t most_columns) {
  const auto shown = columns_of(reports, most_columns);
  std::vector<Column> columns;
  std::string steps;
  for (const DiagnosticsReport* report : shown) {
    Column& column = columns.emplace_back();
    for (const LayerDiagnostics& matrix : report->layers) column[matrix.name] = matrix.*value.of;
    steps += fmt::format("{}{}", steps.empty() ? "" : " ", report->step);
  }
  std::string html = fmt::format(
      "<figure class=\"heat\" data-low=\"{:.6g}\" data-high=\"{:.6g}\" data-log=\"{}\" "
      "data-steps=\"{}\"><figcaption><b>{}</b> <span>{}</span></figcaption>"
      "<div class=\"map\">",
      scale.low, scale.high, int(scale.log), steps, value.title, value.unit);
  for (const MatrixGroup& group : matrix_groups(reports)) html += picture(group, columns, scale);
  return html + step_marks(shown) + "</div>" + scale_html(scale) + "</figure>\n";
}

}  // namespace tern
