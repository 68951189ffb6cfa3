#include "core/dry/dry_backend.h"

#include <cstring>

namespace tern {

void DryBackend::download(void* to_host, const Tensor& from) {
  std::memset(to_host, 0, from.bytes());
}

}  // namespace tern
