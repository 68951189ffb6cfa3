#include "apps/run/run_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "apps/config/resolved.h"
#include "apps/console/terminal.h"
#include "apps/plan/plan.h"
#include "core/check.h"
#include "layers/family.h"
#include "runtime/quantities.h"

namespace tern {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// A column: its name for programs, its head for people, and the value of a row as text or number.
struct Column {
  const char *name, *head;
  std::function<std::string(const RunRow&)> text{};  // for people; of texts the value itself
  std::function<double(const RunRow&)> number{};     // empty: a text
};

std::string or_dash(double x, const char* form) {
  return std::isfinite(x) ? fmt::format(fmt::runtime(form), x) : "-";
}
std::string with_prefix_or_dash(double x) {
  return std::isfinite(x) ? with_prefix(x) : "-";
}

Column number_column(const char* name, const char* head, double RunRow::*of, const char* form) {
  return {name, head, [=](const RunRow& r) { return or_dash(r.*of, form); },
          [=](const RunRow& r) { return r.*of; }};
}
Column quantity_column(const char* name, const char* head, double RunRow::*of) {
  return {name, head, [=](const RunRow& r) { return with_prefix_or_dash(r.*of); },
          [=](const RunRow& r) { return r.*of; }};
}

const std::vector<Column>& columns() {
  static const std::vector<Column> all = {
      {"name", "run", [](const RunRow& r) { return r.name; }},
      {"state", "state", [](const RunRow& r) { return std::string(name_of(r.state)); }},
      {"step", "steps",
       [](const RunRow& r) {
         return r.steps > 0 ? fmt::format("{}/{}", r.step, r.steps) : std::to_string(r.step);
       },
       [](const RunRow& r) { return double(r.step); }},
      quantity_column("parameters", "params", &RunRow::parameters),
      quantity_column("gemm_parameters", "gemm", &RunRow::gemm_parameters),
      quantity_column("body", "body", &RunRow::body),
      {"tokens", "tokens", [](const RunRow& r) { return with_prefix(double(r.tokens)); },
       [](const RunRow& r) { return double(r.tokens); }},
      quantity_column("flop", "FLOP", &RunRow::flop),
      {"seconds", "time",
       [](const RunRow& r) {
         return std::isfinite(r.seconds) ? duration_text(r.seconds) : std::string("-");
       },
       [](const RunRow& r) { return r.seconds; }},
      quantity_column("tokens_per_second", "tok/s", &RunRow::tokens_per_second),
      number_column("train_loss", "train", &RunRow::train_loss, "{:.3f}"),
      number_column("val_loss", "val", &RunRow::val_loss, "{:.4f}"),
      number_column("best_val_loss", "best", &RunRow::best_val_loss, "{:.4f}"),
      number_column("bits_per_byte", "bit/byte", &RunRow::bits_per_byte, "{:.4f}")};
  return all;
}

std::string family_name(const ModelConfig& model) {
  std::string name = model.type + (model.quantize == Quantize::ternary ? " ternary" : " dense");
  if (model.attention == AttentionKind::ternary) name += ", ternary attention";
  if (!model.use_output_gate) name += ", no output gate";
  if (!model.use_lower_bound && family_of(model.type).lower_bounds) name += ", no lower bound";
  return name;
}

RunRow row_of(const SavedRun& run) {
  RunRow row{.name = run.name,
             .path = run.path,
             .state = run.state,
             .step = run.step(),
             .tokens = run.tokens(),
             .seconds = run.history.seconds(),
             .tokens_per_second = run.history.tokens_per_second()};
  if (!run.history.steps.empty()) row.train_loss = run.history.steps.back().report.loss_mean;
  for (const auto& line : run.history.validations)
    row.best_val_loss = std::fmin(row.best_val_loss, line.report.loss);
  if (!run.history.validations.empty()) {
    row.val_loss = run.history.validations.back().report.loss;
    row.bits_per_byte = run.history.validations.back().report.bits_per_byte;
  }
  if (!run.config) return row;
  row.steps = total_steps(*run.config);
  const ParameterCount count = count_parameters(run.config->model);
  row.parameters = double(count.total());
  row.gemm_parameters = double(count.matrices());
  row.body = double(count.body());
  row.family = family_name(run.config->model);
  row.flop = run.flop_per_token() * double(row.tokens);
  return row;
}

// Keys that say where and how a run was computed tell nothing about its result; paths of data do.
bool worth_a_column(const Difference& d) {
  const bool path = d.key.starts_with("data.source.") || d.key == "init_from.path";
  return d.key != "run.name" && d.key != "run.directory" && (d.decides != Decides::place || path);
}

void set_settings(std::vector<RunRow>& rows, const std::vector<std::optional<RunConfig>>& configs) {
  std::vector<const RunConfig*> known;
  for (const auto& config : configs)
    if (config) known.push_back(&*config);
  const DifferingKeys differing = differing_keys(known, worth_a_column);
  std::size_t at = 0;  // of the known ones
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!configs[i]) continue;
    for (std::size_t k = 0; k < differing.keys.size(); ++k)
      rows[i].settings[differing.keys[k]] = differing.values[at][k];
    ++at;
  }
}

std::vector<std::string> setting_names(const std::vector<RunRow>& rows) {
  std::set<std::string> names;
  for (const RunRow& row : rows)
    for (const auto& [key, value] : row.settings) names.insert(key);
  return {names.begin(), names.end()};
}

std::string setting(const RunRow& row, const std::string& key) {
  const auto at = row.settings.find(key);
  return at == row.settings.end() ? "" : at->second;
}

std::string without_quotes(const std::string& toml) {
  return toml.size() >= 2 && toml.front() == '"' && toml.back() == '"'
             ? toml.substr(1, toml.size() - 2)
             : toml;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == text.npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

std::optional<double> as_number(const std::string& text) {
  char* end = nullptr;
  const double x = std::strtod(text.c_str(), &end);
  if (text.empty() || *end) return std::nullopt;
  return x;
}

}  // namespace

std::vector<RunRow> run_rows(const std::vector<fs::path>& runs) {
  std::vector<RunRow> rows;
  std::vector<std::optional<RunConfig>> configs;
  for (const fs::path& path : runs) {
    SavedRun run = read_run(path);
    rows.push_back(row_of(run));
    configs.push_back(std::move(run.config));
  }
  set_settings(rows, configs);
  return rows;
}

std::vector<std::string> run_columns() {
  std::vector<std::string> names;
  for (const Column& column : columns()) names.emplace_back(column.name);
  return names;
}

void sort_rows(std::vector<RunRow>& rows, const std::string& name, bool descending) {
  const auto column = std::ranges::find_if(
      columns(), [&](const Column& c) { return c.name == name || c.head == name; });
  std::vector<std::string> known = run_columns(), settings = setting_names(rows);
  known.insert(known.end(), settings.begin(), settings.end());
  const bool is_setting = std::ranges::find(settings, name) != settings.end();
  require(column != columns().end() || is_setting, Fault::usage, "--sort: expected one of ",
          fmt::format("{}", fmt::join(known, ", ")), "; got ", name);
  const auto number = [&](const RunRow& row) -> std::optional<double> {
    if (is_setting) return as_number(setting(row, name));
    if (!column->number) return std::nullopt;
    const double x = column->number(row);
    return std::isnan(x) ? std::nullopt : std::optional(x);
  };
  const auto text = [&](const RunRow& row) {
    return is_setting ? without_quotes(setting(row, name)) : column->text(row);
  };
  std::ranges::stable_sort(rows, [&](const RunRow& a, const RunRow& b) {
    const auto x = number(a), y = number(b);
    if (x.has_value() != y.has_value()) return x.has_value();
    if (x) return descending ? *x > *y : *x < *y;
    return descending ? text(a) > text(b) : text(a) < text(b);
  });
}

std::string rows_text(const std::vector<RunRow>& rows) {
  const std::vector<std::string> settings = setting_names(rows);
  std::vector<std::vector<std::string>> cells(1);
  std::vector<bool> right;
  const auto informs = [&](const Column& c) {  // a column of dashes says nothing
    return std::ranges::any_of(rows, [&](const RunRow& r) { return c.text(r) != "-"; });
  };
  std::vector<const Column*> shown;
  for (const Column& column : columns())
    if (informs(column)) {
      shown.push_back(&column);
      cells[0].emplace_back(column.head);
      right.push_back(bool(column.number));
    }
  for (const std::string& key : settings) {
    cells[0].push_back(key);
    right.push_back(false);
  }
  for (const RunRow& row : rows) {
    std::vector<std::string>& line = cells.emplace_back();
    for (const Column* column : shown) line.push_back(printable(column->text(row)));
    for (const std::string& key : settings)
      line.push_back(printable(without_quotes(setting(row, key))));
  }
  std::vector<std::size_t> widths(cells[0].size(), 0);
  for (const auto& line : cells)
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  std::string out;
  for (const auto& line : cells) {
    std::string text;
    for (std::size_t i = 0; i < line.size(); ++i)
      text += fmt::format(fmt::runtime(right[i] ? "{:>{}}  " : "{:<{}}  "), line[i], widths[i]);
    text.erase(text.find_last_not_of(' ') + 1);
    out += text += '\n';
  }
  return out;
}

std::string rows_csv(const std::vector<RunRow>& rows) {
  const std::vector<std::string> settings = setting_names(rows);
  std::string out;
  for (const Column& column : columns()) out += fmt::format("{},", column.name);
  out += "steps,path";
  for (const std::string& key : settings) out += fmt::format(",{}", csv_field(key));
  out += "\n";
  for (const RunRow& row : rows) {
    for (const Column& column : columns()) {
      if (!column.number)
        out += csv_field(column.text(row));
      else if (const double x = column.number(row); std::isfinite(x))
        out += fmt::format("{}", x);
      out += ",";
    }
    out += fmt::format("{},{}", row.steps, csv_field(row.path.string()));
    for (const std::string& key : settings)
      out += fmt::format(",{}", csv_field(without_quotes(setting(row, key))));
    out += "\n";
  }
  return out;
}

std::string rows_json(const std::vector<RunRow>& rows) {
  Json all = Json::array();
  for (const RunRow& row : rows) {
    Json object;
    for (const Column& column : columns())
      if (!column.number)
        object[column.name] = column.text(row);
      else if (const double x = column.number(row); std::isfinite(x))
        object[column.name] = x;
      else
        object[column.name] = nullptr;
    object["steps"] = row.steps;
    object["path"] = row.path.string();
    object["settings"] = Json::object();
    for (const auto& [key, value] : row.settings) object["settings"][key] = without_quotes(value);
    all.push_back(std::move(object));
  }
  return all.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace tern
