// Walks a layer's members with their full names: one list serves naming, saving and counting.
#pragma once

#include <string>
#include <type_traits>

#include "core/parameter.h"

namespace tern {

// Calls f(name, member) for every member that f accepts, else goes into the member's own members.
// walk("", model, [](const std::string& name, Parameter& p) {...}) visits all parameters;
// with BitLinear& instead, all ternary layers.
template <class Layer, class F>
void walk(const std::string& name, Layer& layer, F&& f) {
  if constexpr (std::is_invocable_v<F, const std::string&, Layer&>)
    f(name, layer);
  else if constexpr (!std::is_same_v<Layer, Parameter>)
    layer.members([&](const std::string& member_name, auto& member) {
      walk(name.empty() ? member_name : name + "." + member_name, member, f);
    });
}

}  // namespace tern
