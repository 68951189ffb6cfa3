#include "apps/sweep/sweep_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "apps/config/resolved.h"
#include "apps/config/schema.h"
#include "apps/config/toml_document.h"
#include "core/check.h"
#include "data/io/files.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostRuns = 10'000;

// A key of a run's configuration, and one value for it as --set takes it.
struct Setting {
  std::string key{}, value{};
  std::string shown{};  // the value for a folder's name
};
using Settings = std::vector<Setting>;

struct GridKey {
  std::string key{};
  std::vector<Setting> values{};
};

struct ListedRun {
  std::string name{};
  Settings settings{};
};

std::string toml_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return toml_string(text->get());
  if (const auto* real = node.as_floating_point()) return to_toml(ConfigValue(real->get()));
  std::ostringstream out;
  if (const auto* list = node.as_array())
    out << *list;
  else
    node.visit([&](const auto& value) { out << value; });
  return out.str();
}

// 15000000 as 15M, and every number as TOML has it otherwise
std::string for_a_name(const std::string& toml) {
  constexpr std::string_view kMillion = "000000";
  if (toml.size() > kMillion.size() && toml.ends_with(kMillion) &&
      toml.find_first_not_of("0123456789") == toml.npos)
    return toml.substr(0, toml.size() - kMillion.size()) + "M";
  std::string name;
  for (const char c : toml) {
    if (c == '"') continue;
    const bool fine = std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-';
    name += fine ? c : '-';
  }
  return name;
}

Setting setting(const std::string& key, const toml::node& node) {
  const std::string value = toml_of(node);
  return {key, value, for_a_name(value)};
}

class SweepReader {
 public:
  SweepReader(const std::string& text, const std::string& file)
      : file_(file), problems_(file), document_(parse_document(text, file, problems_)) {}

  Sweep read() {
    for (const auto& [name, node] : document_.root) {
      const toml::table* table = node.as_table();
      const std::string called(name.str());
      if (called == "run") {
        read_runs(node);
      } else if (called != "sweep" && called != "set" && called != "grid") {
        const std::string near = nearest(called, {"sweep", "set", "grid", "run"});
        wrong(node, fmt::format("[{}]: expected [sweep], [set], [grid] or [[run]]{}", called,
                                near.empty() ? "" : "; did you mean " + near + "?"));
      } else if (!table) {
        wrong(node, fmt::format("{}: expected a table, got {}", called, describe(node)));
      } else if (called == "sweep") {
        read_sweep(*table);
      } else if (called == "set") {
        for_each_value(*table, [&](const std::string& key, const toml::node& value) {
          set_.push_back(setting(key, value));
        });
      } else {
        for_each_value(*table, [&](const std::string& key, const toml::node& value) {
          read_grid_key(key, value);
        });
      }
    }
    if (sweep_.config.empty() && problems_.empty())
      problems_.add_anywhere("sweep.config: expected the configuration file of the runs, got none");
    if (!problems_.empty()) problems_.raise();
    combine();
    return std::move(sweep_);
  }

 private:
  using Take = std::function<void(const std::string& key, const toml::node& value)>;

  void wrong(const toml::node& at, const std::string& text) {
    problems_.add(origin_of(at.source()), text);
  }

  void read_sweep(const toml::table& table) {
    for (const auto& [name, node] : table) {
      const std::string key(name.str());
      const auto expect = [&](const char* what) {
        wrong(node, fmt::format("sweep.{}: expected {}, got {}", key, what, describe(node)));
      };
      if (key == "config" || key == "directory") {
        if (!node.is_string() || node.as_string()->get().empty())
          expect("a path");
        else
          (key == "config" ? sweep_.config : sweep_.directory) = node.as_string()->get();
      } else if (key == "share_trunk") {
        if (node.is_boolean())
          sweep_.share_trunk = node.as_boolean()->get();
        else
          expect("true or false");
      } else {
        const std::string near = nearest(key, {"config", "directory", "share_trunk"});
        wrong(node, fmt::format("sweep.{}: not known{}", key,
                                near.empty() ? "" : "; did you mean sweep." + near + "?"));
      }
    }
  }

  // "optimizer.lr" is one key, whether it is quoted, dotted, or in a table [grid.optimizer]. In the
  // order of the file, which toml++ does not keep.
  void for_each_value(const toml::table& table, const Take& take) {
    std::vector<std::pair<std::string, const toml::node*>> values;
    collect(table, "", values);
    std::ranges::stable_sort(values, [](const auto& a, const auto& b) {
      const toml::source_position x = a.second->source().begin, y = b.second->source().begin;
      return std::pair(x.line, x.column) < std::pair(y.line, y.column);
    });
    for (const auto& [key, value] : values) take(key, *value);
  }

  void collect(const toml::table& table, const std::string& before,
               std::vector<std::pair<std::string, const toml::node*>>& values) {
    for (const auto& [name, node] : table) {
      const std::string own(name.str()), key = before.empty() ? own : before + "." + own;
      if (own == "name" && &table == named_) continue;
      if (const toml::table* inner = node.as_table())
        collect(*inner, key, values);
      else if (key == "run.name" || key == "run.directory")
        wrong(node, key + ": the sweep sets it: give [[run]] a name, or sweep.directory");
      else if (key.find('.') == key.npos)
        wrong(node, fmt::format("{}: expected a key of a run's configuration with its table, as "
                                "optimizer.lr",
                                key));
      else
        values.emplace_back(key, &node);
    }
  }

  void read_grid_key(const std::string& key, const toml::node& node) {
    const toml::array* values = node.as_array();
    if (!values || values->empty())
      return wrong(node, fmt::format("grid.{}: expected a list of values, got {}", key,
                                     values ? "an empty one" : describe(node)));
    GridKey& found = grid_.emplace_back(GridKey{key, {}});
    for (const toml::node& value : *values) {
      if (value.is_table()) {
        wrong(value, fmt::format("grid.{}: expected a value, got a table", key));
        continue;
      }
      found.values.push_back(setting(key, value));
    }
  }

  void read_runs(const toml::node& node) {
    const toml::array* list = node.as_array();
    if (!list) return wrong(node, "run: expected [[run]], got [run]");
    for (const toml::node& element : *list) {
      const toml::table* table = element.as_table();
      if (!table) {
        wrong(element, "run: expected [[run]], got " + describe(element));
        continue;
      }
      ListedRun& run = runs_.emplace_back();
      named_ = table;
      for (const auto& [name, value] : *table) {
        if (name.str() != "name") continue;
        if (value.is_string() && !value.as_string()->get().empty())
          run.name = value.as_string()->get();
        else
          wrong(value, "run.name: expected a name, got " + describe(value));
      }
      for_each_value(*table, [&](const std::string& key, const toml::node& value) {
        run.settings.push_back(setting(key, value));
      });
    }
  }

  // Each listed run with each combination of the grid; the last key of the grid varies first.
  void combine() {
    if (sweep_.directory.empty()) sweep_.directory = fs::path("runs") / fs::path(file_).stem();
    if (runs_.empty()) runs_.emplace_back();
    double combinations = double(runs_.size());
    for (const GridKey& key : grid_) combinations *= double(key.values.size());
    require(combinations <= double(kMostRuns), Fault::usage, file_, ": expected at most ",
            kMostRuns, " runs, got ", combinations);
    for (const ListedRun& listed : runs_) {
      std::vector<std::size_t> at(grid_.size(), 0);
      for (bool more = true; more;) {
        add(listed, at);
        more = false;
        for (std::size_t k = at.size(); k-- > 0 && !more;) {
          more = ++at[k] < grid_[k].values.size();
          if (!more) at[k] = 0;
        }
      }
    }
    require_different_names();
  }

  std::string short_key(const std::string& key) const {
    const std::string last = key.substr(key.rfind('.') + 1);
    const auto same = std::ranges::count_if(
        grid_, [&](const GridKey& g) { return g.key.substr(g.key.rfind('.') + 1) == last; });
    return same > 1 ? key : last;
  }

  void add(const ListedRun& listed, const std::vector<std::size_t>& at) {
    SweepRun run{.name = listed.name};
    const auto extend = [&](const std::string& part) {
      run.name += (run.name.empty() ? "" : "_") + part;
    };
    const auto set = [&](const Setting& s) { run.overrides.push_back(s.key + "=" + s.value); };
    for (const Setting& s : set_) set(s);
    for (const Setting& s : listed.settings) {
      set(s);
      if (listed.name.empty()) extend(s.key.substr(s.key.rfind('.') + 1) + "-" + s.shown);
    }
    for (std::size_t k = 0; k < at.size(); ++k) {
      const Setting& s = grid_[k].values[at[k]];
      set(s);
      if (grid_[k].values.size() > 1) extend(short_key(s.key) + "-" + s.shown);
    }
    if (run.name.empty()) run.name = fs::path(file_).stem();
    run.overrides.push_back("run.name=" + toml_string(run.name));
    run.overrides.push_back("run.directory=" + toml_string(sweep_.directory.string()));
    try {
      run.config = load_config(sweep_.config, run.overrides).config;
    } catch (const Error& e) {
      throw Error(e.fault, fmt::format("{}: run {}: {}", file_, run.name, e.what()));
    }
    sweep_.runs.push_back(std::move(run));
  }

  void require_different_names() const {
    std::map<std::string, std::size_t> seen;
    for (std::size_t i = 0; i < sweep_.runs.size(); ++i) {
      const auto [other, first] = seen.emplace(sweep_.runs[i].name, i);
      require(first, Fault::usage, file_, ": runs ", other->second + 1, " and ", i + 1,
              " are both called ", sweep_.runs[i].name, ": give each [[run]] a name of its own");
    }
  }

  std::string file_;
  ConfigProblems problems_;
  TomlDocument document_;
  Sweep sweep_{};
  const toml::table* named_ = nullptr;  // a [[run]] whose key `name` is no setting
  Settings set_{};
  std::vector<GridKey> grid_{};
  std::vector<ListedRun> runs_{};
};

// Everything of a run that its first steps depend on, but not its length.
std::string trunk_of(const RunConfig& config) {
  RunConfig same = config;
  same.run.name.clear();
  same.run.steps = same.run.tokens = 0;
  same.checkpoint.before_decay = false;
  std::string text = values_without_paths(same);
  for (const DataSource& source : config.data.sources)
    text += source.path + "\n" + source.validation + "\n";
  return text + config.init_from.path;
}

}  // namespace

Sweep parse_sweep(const std::string& text, const std::string& file) {
  return SweepReader(text, file).read();
}

Sweep load_sweep(const fs::path& path) {
  return parse_sweep(read_file(path, kMaxConfigBytes), path.string());
}

std::vector<std::optional<TrunkLink>> trunk_links(const Sweep& sweep) {
  std::vector<std::optional<TrunkLink>> links(sweep.runs.size());
  if (!sweep.share_trunk) return links;
  std::map<std::string, std::vector<std::size_t>> trunks;
  for (std::size_t i = 0; i < sweep.runs.size(); ++i)
    trunks[trunk_of(sweep.runs[i].config)].push_back(i);
  for (auto& [signature, runs] : trunks) {
    std::ranges::stable_sort(runs, {},
                             [&](std::size_t i) { return total_steps(sweep.runs[i].config); });
    for (std::size_t k = 1; k < runs.size(); ++k) {
      const SweepRun &before = sweep.runs[runs[k - 1]], &run = sweep.runs[runs[k]];
      const auto refuse = [&](const std::string& why) {
        fail(Fault::usage, "sweep.share_trunk: ", before.name, " and ", run.name, ": ", why);
      };
      const ScheduleSection& schedule = run.config.schedule;
      if (schedule.preset != SchedulePreset::wsd)
        refuse("expected schedule.preset = \"wsd\", whose beginning does not depend on the length");
      if (run.config.weight_decay_schedule.preset != DecayPreset::constant)
        refuse("expected a constant weight decay");
      const std::int64_t n = total_steps(before.config), m = total_steps(run.config);
      const std::int64_t branch = decay_begin(before.config);
      if (schedule.warmup.steps(n) != schedule.warmup.steps(m))
        refuse(
            fmt::format("expected warm-ups of one length, got {} and {} steps; give "
                        "schedule.warmup in steps",
                        schedule.warmup.steps(n), schedule.warmup.steps(m)));
      if (branch < std::max<std::int64_t>(1, schedule.warmup.steps(n)) ||
          branch > decay_begin(run.config))
        refuse("expected the decay to begin after the warm-up, and later in the longer run");
      if (n == m) refuse("expected different lengths");
      links[runs[k]] = {runs[k - 1], branch};
    }
  }
  return links;
}

}  // namespace tern
