#include "cuda/attention/attention_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

#include "cuda/backend/device_query.h"
#include "cuda/common/check.h"

namespace tern::cuda {
namespace {

constexpr const char* kLibrary = "libcudnn.so.9";
constexpr int kOldest = 90500;

std::string library_path() {
  const char* given = std::getenv("TERN_CUDNN");
  if (!given || !*given) return kLibrary;
  const std::filesystem::path path(given);
  return std::filesystem::is_directory(path) ? (path / kLibrary).string() : path.string();
}

OpenedAttention plain(const std::string& why) {
  return {.about = "plain kernels: " + why};
}

}  // namespace

// The plugin's calls of cuDNN find it among the process's symbols: nothing is linked. Lazily, since
// cuDNN's headers also mention functions that are never called.
OpenedAttention open_attention_library() {
  int device = 0;
  cuda_check(cudaGetDevice(&device), "[attention] device");
  if (!is_hopper(device)) return plain("cuDNN is used on Hopper GPUs, unless TERN_CUDA_PLAIN=1");
  if (!dlopen(library_path().c_str(), RTLD_LAZY | RTLD_GLOBAL)) return plain(dlerror());
  void* const plugin = dlopen("libtern_cudnn.so", RTLD_LAZY | RTLD_LOCAL);
  if (!plugin) return plain(dlerror());
  const auto factory =
      reinterpret_cast<decltype(&tern_attention_plugin)>(dlsym(plugin, "tern_attention_plugin"));
  check(factory, "[attention] libtern_cudnn.so: expected tern_attention_plugin in it");
  AttentionPlugin* const library = factory();
  const int v = library->version();
  const std::string about = "cuDNN " + std::to_string(v / 10000) + "." +
                            std::to_string(v / 100 % 100) + "." + std::to_string(v % 100);
  if (v < kOldest || v / 10000 != kOldest / 10000) return plain(about + ", expected 9.5 or newer");
  return {.library = library, .about = about};
}

}  // namespace tern::cuda
