// tern info: this build and this machine. Prints missing parts as missing, never fails for them.
#include <dlfcn.h>
#include <fmt/format.h>
#ifdef __aarch64__
#include <sys/auxv.h>
#endif

#include "apps/commands/command_line.h"
#include "apps/system/environment.h"
#include "core/check.h"
#include "core/cpu/cpu_backend.h"
#include "core/plugin.h"
#include "runtime/device.h"
#include "runtime/quantities.h"

namespace tern {
namespace {

void row(const char* name, const std::string& text) {
  fmt::print("{:<14} {}\n", name, text);
}

std::string cpu_features() {
  std::string text;
  const auto add = [&](const char* name, bool there) {
    if (there) text += (text.empty() ? "" : " ") + std::string(name);
  };
#if defined(__x86_64__)
  add("AVX2", __builtin_cpu_supports("avx2"));
  add("AVX-VNNI", __builtin_cpu_supports("avxvnni"));
  add("FMA", __builtin_cpu_supports("fma"));
  add("AVX-512F", __builtin_cpu_supports("avx512f"));
  add("AVX-512BW", __builtin_cpu_supports("avx512bw"));
  add("AVX-512VL", __builtin_cpu_supports("avx512vl"));
  add("AVX-512DQ", __builtin_cpu_supports("avx512dq"));
  add("AVX-512VNNI", __builtin_cpu_supports("avx512vnni"));
#elif defined(__aarch64__)
  add("NEON", getauxval(AT_HWCAP) & HWCAP_ASIMD);
  add("SDOT", getauxval(AT_HWCAP) & HWCAP_ASIMDDP);
#endif
  return text.empty() ? "none that kernels use" : text;
}

// A plugin's path and what `version` reads from its libraries, or why it cannot be opened.
std::string plugin(const char* file, const char* factory,
                   const std::function<std::string(void*)>& version) {
  try {
    const Plugin plugin = open_plugin(file, factory, RTLD_LOCAL);
    if (!plugin.factory) return fmt::format("not usable: {}", plugin.why);
    const std::string about = version(plugin.library);
    return plugin.path + (about.empty() ? "" : ", " + about);
  } catch (const Error& e) {
    return fmt::format("not usable: {}", e.what());
  }
}

std::string nccl_version(void* library) {
  const auto get = reinterpret_cast<int (*)(int*)>(dlsym(library, "ncclGetVersion"));
  int v = 0;
  if (!get || get(&v) != 0) return "";
  return fmt::format("NCCL {}.{}.{}", v / 10000, v / 100 % 100, v % 100);
}

std::string mpi_version(void* library) {
  const auto get =
      reinterpret_cast<int (*)(char*, int*)>(dlsym(library, "MPI_Get_library_version"));
  char text[8192] = {};  // more than MPI_MAX_LIBRARY_VERSION_STRING of Open MPI and MPICH
  int length = 0;
  if (!get || get(text, &length) != 0) return "";
  const std::string line(text);
  return line.substr(0, line.find_first_of(",\n"));
}

void print_gpus() {
  if (!dlopen("libtern_cuda.so", RTLD_LAZY | RTLD_LOCAL))
    return row("GPU", "none usable: no CUDA plugin, see below");
  try {
    const int count = Device::count_gpus();
    if (count == 0) row("GPU", "none");
    for (int i = 0; i < count; ++i) {
      const Device device(fmt::format("cuda:{}", i));
      const DeviceFacts& gpu = device.facts();
      row(fmt::format("GPU {}", i).c_str(),
          fmt::format("{}, {} of {} free, {}", gpu.name, bytes_text(double(gpu.free_bytes)),
                      bytes_text(double(gpu.total_bytes)), gpu.library));
      row("attention", gpu.attention);
    }
  } catch (const Error& e) {
    row("GPU", fmt::format("none usable: {}", e.what()));
  }
}

void info() {
  const Environment here = describe_environment({}, library_versions());
  row("tern",
      fmt::format("{}{}", here.version, here.git_id.empty() ? "" : ", commit " + here.git_id));
  row("compiler", here.compiler);
  row("system", here.system);
  row("CPU", fmt::format("{}, {} core{} usable", here.cpu.empty() ? "unknown" : here.cpu,
                         here.cores, here.cores == 1 ? "" : "s"));
  row("instructions", cpu_features());
  row("CPU kernels",
      fmt::format("{} (int8 products in f32); plain for f64", CpuBackend::code_kernels()));
  row("memory", fmt::format("{}, {} available", bytes_text(here.memory_bytes),
                            bytes_text(double(Device("cpu").available_memory()))));
  print_gpus();
  const auto nothing = [](void*) { return std::string(); };
  row("CUDA plugin", plugin("libtern_cuda.so", "tern_device_plugin", nothing));
  row("NCCL plugin", plugin("libtern_nccl.so", "tern_communicator_plugin", nccl_version));
  row("MPI plugin", plugin("libtern_mpi.so", "tern_communicator_plugin", mpi_version));
  row("RTL plugin", plugin("libtern_rtl_sim.so", "tern_rtl_plugin", nothing));
  std::string libraries;
  for (const auto& [name, version] : here.libraries)
    libraries += fmt::format("{}{} {}", libraries.empty() ? "" : ", ", name, version);
  row("libraries", libraries);
}

}  // namespace

void add_info(CLI::App& tern) {
  tern.add_subcommand("info", "This build and this machine: version, kernels, GPUs, plugins.")
      ->callback(info);
}

}  // namespace tern
