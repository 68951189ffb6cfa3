// A shared library beside the program, opened when it is needed.
#pragma once

#include <string>

namespace tern {

struct Plugin {
  void* library = nullptr;  // of dlopen, never closed
  void* factory = nullptr;  // the function of that name in it; null: it cannot be opened, see `why`
  std::string path{};       // its file
  std::string why{};
};

// mode: of dlopen, beside RTLD_NOW. Fault::internal if it has no such function.
Plugin open_plugin(const char* file, const char* factory, int mode);

}  // namespace tern
