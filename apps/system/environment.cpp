#include "apps/system/environment.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/cpu/cpu_backend.h"
#include "data/io/byte_stream.h"
#include "runtime/machine_limits.h"

namespace tern {
namespace {

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) {
      const std::size_t colon = line.find(": ");
      if (colon != std::string::npos) return line.substr(colon + 2);
    }
  return {};
}

std::string compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "g++ " __VERSION__;
#endif
}

std::string local_time() {
  char text[40];
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S%z", &local);
  return text;
}

}  // namespace

Environment describe_environment(std::vector<std::string> command,
                                 std::map<std::string, std::string> libraries) {
  utsname system{};
  uname(&system);
  std::error_code gone;  // the working directory may have been removed
  return {.version = std::string(version()),
          .git_id = std::string(git_id()),
          .compiler = compiler(),
          .cpu = cpu_model(),
          .cores = usable_cores(),
          .memory_bytes = double(usable_memory().total),
          .system = std::string(system.sysname) + ' ' + system.release,
          .host = system.nodename,
          .started = local_time(),
          .directory = std::filesystem::current_path(gone),
          .command = std::move(command),
          .libraries = std::move(libraries)};
}

std::string environment_json(const Environment& e) {
  using Json = nlohmann::ordered_json;
  const Json json = {{"version", e.version},   {"git", e.git_id.empty() ? Json() : Json(e.git_id)},
                     {"compiler", e.compiler}, {"cpu", e.cpu},
                     {"cores", e.cores},       {"memory_bytes", std::int64_t(e.memory_bytes)},
                     {"system", e.system},     {"host", e.host},
                     {"started", e.started},   {"directory", e.directory},
                     {"command", e.command},   {"libraries", e.libraries}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

std::string_view version() {
  return TERN_VERSION;
}

std::string_view git_id() {
  return TERN_GIT_ID;
}

std::string version_line() {
  std::string line = "tern " + std::string(version());
  if (!git_id().empty()) line += " (" + std::string(git_id()) + ')';
  return line;
}

std::map<std::string, std::string> library_versions() {
  std::map<std::string, std::string> all = data_library_versions();
  all["Eigen"] = CpuBackend::eigen_version();
  all["fmt"] =
      fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100);
  all["nlohmann-json"] = fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR,
                                     NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH);
  return all;
}

}  // namespace tern
