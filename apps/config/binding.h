// Ties the keys of the schema to the fields of the configuration's structs.
#pragma once

#include <algorithm>
#include <type_traits>

#include "apps/config/key.h"
#include "core/check.h"

namespace tern {

constexpr double kMaxSteps = 1e9;
constexpr double kMaxTokens = 1e15;

constexpr NumberRange between(double low, double high) {
  return {.low = low, .high = high};
}
constexpr NumberRange above(double low, double high) {
  return {.low = low, .high = high, .above_low = true};
}

// A key of one struct, before it is known where that struct lives.
template <class Struct>
struct FieldKey {
  ConfigKey key;
  std::function<ConfigValue(const Struct&)> get;
  std::function<void(Struct&, const ConfigValue&)> set;
};

// the names of an enum's values, in order, are its choices; no other type needs them here
template <class Field>
ConfigValue to_value(const Field& field, const std::vector<std::string>& names) {
  if constexpr (std::is_enum_v<Field>) {
    return names.at(std::size_t(field));
  } else {
    return field;
  }
}

template <class Field>
void from_value(Field& field, const ConfigValue& value, const std::vector<std::string>& names) {
  if constexpr (std::is_enum_v<Field>) {
    const auto name = std::ranges::find(names, std::get<std::string>(value));
    check(name != names.end(), "[config] expected the name of a choice");
    field = Field(name - names.begin());
  } else {
    field = std::get<Field>(value);
  }
}

template <class Struct, class Field>
FieldKey<Struct> field(Field Struct::*member, ConfigKey key) {
  const std::vector<std::string> names = key.choices;
  key.fallback = to_value(Struct{}.*member, names);
  return {std::move(key), [=](const Struct& s) { return to_value(s.*member, names); },
          [=](Struct& s, const ConfigValue& value) { from_value(s.*member, value, names); }};
}

// One [name] table; `of` maps a RunConfig to the struct, const or not.
template <class Struct, class Access>
ConfigSection table(std::string name, std::string doc, Access of,
                    std::vector<FieldKey<Struct>> fields) {
  ConfigSection section{.name = std::move(name), .doc = std::move(doc)};
  section.count = [](const RunConfig&) { return std::size_t(1); };
  for (FieldKey<Struct>& f : fields) {
    ConfigKey& key = section.keys.emplace_back(std::move(f.key));
    key.get = [=, get = f.get](const RunConfig& c, std::size_t) { return get(std::invoke(of, c)); };
    key.set = [=, set = f.set](RunConfig& c, std::size_t, const ConfigValue& value) {
      set(std::invoke(of, c), value);
    };
  }
  return section;
}

// A list of [[name]] tables; `of` maps a RunConfig to the vector.
template <class Struct, class Access>
ConfigSection tables(std::string name, std::string doc, Access of,
                     std::vector<FieldKey<Struct>> fields) {
  ConfigSection section{.name = std::move(name), .doc = std::move(doc), .list = true};
  section.count = [=](const RunConfig& c) { return of(c).size(); };
  section.append = [=](RunConfig& c) { of(c).emplace_back(); };
  for (FieldKey<Struct>& f : fields) {
    ConfigKey& key = section.keys.emplace_back(std::move(f.key));
    key.get = [=, get = f.get](const RunConfig& c, std::size_t i) { return get(of(c).at(i)); };
    key.set = [=, set = f.set](RunConfig& c, std::size_t i, const ConfigValue& value) {
      set(of(c).at(i), value);
    };
  }
  return section;
}

}  // namespace tern
