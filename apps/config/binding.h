// Ties the keys of the schema to the fields of the configuration's structs.
#pragma once

#include <algorithm>
#include <type_traits>

#include "apps/config/key.h"
#include "core/check.h"

namespace tern {

constexpr double kMaxSteps = 1e9;
constexpr double kMaxTokens = 1e15;

constexpr Range between(double low, double high) {
  return {.low = low, .high = high};
}
constexpr Range above(double low, double high) {
  return {.low = low, .high = high, .above_low = true};
}

// A key of one struct, before it is known where that struct lives.
template <class Struct>
struct FieldKey {
  Key key;
  std::function<Value(const Struct&)> get;
  std::function<void(Struct&, const Value&)> set;
};

// the choices of an enum are its values' names, in order
template <class Field>
Value to_value(const Field& field, const Key& key) {
  if constexpr (std::is_enum_v<Field>) {
    return key.choices.at(std::size_t(field));
  } else {
    return field;
  }
}

template <class Field>
void from_value(Field& field, const Value& value, const Key& key) {
  if constexpr (std::is_enum_v<Field>) {
    const auto name = std::ranges::find(key.choices, std::get<std::string>(value));
    check(name != key.choices.end(), "[config] ", key.name, ": not one of its choices");
    field = Field(name - key.choices.begin());
  } else {
    field = std::get<Field>(value);
  }
}

template <class Struct, class Field>
FieldKey<Struct> field(Field Struct::*member, Key key) {
  key.fallback = to_value(Struct{}.*member, key);
  return {key, [=](const Struct& s) { return to_value(s.*member, key); },
          [=](Struct& s, const Value& value) { from_value(s.*member, value, key); }};
}

// One [name] table; `of` maps a RunConfig to the struct, const or not.
template <class Struct, class Access>
Section table(std::string name, std::string doc, Access of, std::vector<FieldKey<Struct>> fields) {
  Section section{.name = std::move(name), .doc = std::move(doc)};
  section.count = [](const RunConfig&) { return std::size_t(1); };
  for (const FieldKey<Struct>& f : fields) {
    Key& key = section.keys.emplace_back(f.key);
    key.get = [=](const RunConfig& c, std::size_t) { return f.get(std::invoke(of, c)); };
    key.set = [=](RunConfig& c, std::size_t, const Value& v) { f.set(std::invoke(of, c), v); };
  }
  return section;
}

// A list of [[name]] tables; `of` maps a RunConfig to the vector.
template <class Struct, class Access>
Section tables(std::string name, std::string doc, Access of, std::vector<FieldKey<Struct>> fields) {
  Section section{.name = std::move(name), .doc = std::move(doc), .list = true};
  section.count = [=](const RunConfig& c) { return of(c).size(); };
  section.append = [=](RunConfig& c) { of(c).emplace_back(); };
  for (const FieldKey<Struct>& f : fields) {
    Key& key = section.keys.emplace_back(f.key);
    key.get = [=](const RunConfig& c, std::size_t i) { return f.get(of(c).at(i)); };
    key.set = [=](RunConfig& c, std::size_t i, const Value& v) { f.set(of(c).at(i), v); };
  }
  return section;
}

}  // namespace tern
