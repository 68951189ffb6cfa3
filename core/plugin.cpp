#include "core/plugin.h"

#include <dlfcn.h>

#include "core/check.h"

namespace tern {

Plugin open_plugin(const char* file, const char* factory, int mode) {
  void* const library = dlopen(file, RTLD_NOW | mode);
  if (!library) return {.why = dlerror()};
  void* const found = dlsym(library, factory);
  Dl_info info{};
  check(found && dladdr(found, &info) != 0, "[plugin] ", file, ": expected ", factory, " in it");
  return {.library = library, .factory = found, .path = info.dli_fname};
}

}  // namespace tern
