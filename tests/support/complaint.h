// The text of the Error that a call throws; empty if it throws none.
#pragma once

#include <string>

#include "core/check.h"

namespace tern {

template <class Call>
std::string complaint(Call&& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace tern
