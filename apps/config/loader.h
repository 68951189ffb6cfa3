// The steps behind load_config. Each adds what it finds to the same list of problems, so that one
// pass shows all of them.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "apps/config/key.h"
#include "apps/config/load.h"
#include "apps/config/toml_document.h"

namespace tern {

class ConfigLoader {
 public:
  explicit ConfigLoader(const std::string& file);

  void read(const std::string& text);
  void apply(const std::string& override_text);  // "optimizer.lr=1e-3"
  LoadedConfig finish();                         // Fault::usage with all problems, if there are any

 private:
  // one table of the file that holds keys: [section] or the index-th [[section]]
  struct Table {
    const ConfigSection* section = nullptr;  // none: the document itself
    std::size_t index = 0;
  };

  void read_members(const toml::table& members, Table table);
  void read_section(const toml::node& node, const ConfigSection& section);
  void assign(const toml::node& node, Table table, const ConfigKey& key, const ValueOrigin& at);
  void report_unknown(const toml::node& node, const ConfigSection* parent, const toml::key& name);
  void report_unknown_table(const ValueOrigin& at, std::string_view called);
  void report_unknown_key(const ValueOrigin& at, std::string_view called,
                          const ConfigSection* parent, std::string_view key);

  std::optional<Table> find_table(std::string_view name, const ValueOrigin& at);

  void spoil(const ConfigSection& section);  // all its keys are bad

  void require_keys();
  void settle_length();
  void apply_named_size();
  void derive(const std::string& key, const std::string& from);

  const ConfigSchema& schema_;
  LoadedConfig loaded_;
  ConfigProblems problems_;
  std::set<std::string> bad_;  // keys, without index, whose value could not be read
};

}  // namespace tern
