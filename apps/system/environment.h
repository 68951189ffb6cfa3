// Program and machine: the version of tern, and what of a run is kept in env.json, so that its
// numbers can be understood later.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tern {

// Which tern this is: the release, and the commit where it was built from a checkout.
std::string_view version();  // "0.1.0"
std::string_view git_id();   // "3853eb2a1b2c" or "3853eb2a1b2c-dirty"; empty without a checkout
std::string version_line();  // "tern 0.1.0 (3853eb2a1b2c)"

struct Environment {
  std::string version{}, git_id{}, compiler{};
  std::string cpu{};        // "AMD EPYC"; empty if the system does not say
  int cores = 0;            // that this process may use
  double memory_bytes = 0;  // of the machine, or of the control group if that is less
  std::string system{};     // "Linux 6.1.0"
  std::string host{};
  std::string started{};                           // local time, ISO 8601 with zone
  std::string directory{};                         // where the command was given
  std::vector<std::string> command{};              // the command line
  std::map<std::string, std::string> libraries{};  // {"HDF5", "1.10.8"}
};

// of the libraries that tern was built with
std::map<std::string, std::string> library_versions();

// of this process; command and libraries come from the caller
Environment describe_environment(std::vector<std::string> command,
                                 std::map<std::string, std::string> libraries);

std::string environment_json(
    const Environment& environment);  // indented, with a newline at the end

}  // namespace tern
