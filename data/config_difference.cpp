#include "data/config_difference.h"

#include <algorithm>
#include <map>

namespace tern {
namespace {

using nlohmann::json;

void flatten(const json& value, const std::string& key, std::map<std::string, std::string>& flat) {
  if (!value.is_object() || value.empty()) {
    flat[key] = value.dump();
    return;
  }
  for (const auto& [name, member] : value.items())
    flatten(member, key.empty() ? name : key + "." + name, flat);
}

std::string value_of(const std::map<std::string, std::string>& flat, const std::string& key) {
  const auto found = flat.find(key);
  return found == flat.end() ? "absent" : found->second;
}

}  // namespace

std::vector<std::string> differences(const json& saved, const json& current,
                                     const std::vector<std::string>& may_differ) {
  std::map<std::string, std::string> before, now;
  flatten(saved, "", before);
  flatten(current, "", now);
  std::map<std::string, std::string> keys = before;
  keys.insert(now.begin(), now.end());
  std::vector<std::string> lines;
  for (const auto& [key, value] : keys) {
    const std::string old_value = value_of(before, key), new_value = value_of(now, key);
    const bool allowed = std::any_of(
        may_differ.begin(), may_differ.end(),
        [&key = key](const std::string& k) { return key == k || key.starts_with(k + "."); });
    if (old_value != new_value && !allowed)
      lines.push_back(key + ": " + old_value + " in the checkpoint, " + new_value + " now");
  }
  return lines;
}

}  // namespace tern
