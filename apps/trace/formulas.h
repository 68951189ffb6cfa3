// How each array of a trace follows from the others, in words. Inside a layer, names leave out the
// "model.layers.3." in front.
#pragma once

#include <string>

namespace tern {

std::string formula_of(const std::string& name);  // an unknown name is a broken contract

}  // namespace tern
