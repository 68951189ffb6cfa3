#include "runtime/machine_limits.h"

#include <fmt/format.h>
#include <omp.h>
#include <sched.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <latch>
#include <limits>
#include <optional>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "core/check.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kNone = std::numeric_limits<std::uint64_t>::max();  // no limit

std::uint64_t less(std::uint64_t whole, std::uint64_t part) {
  return whole > part ? whole - part : 0;
}

// The first number of a file; nothing where there is none, as in "max".
std::optional<std::uint64_t> number_in(const fs::path& path) {
  std::ifstream in(path);
  std::uint64_t number = 0;
  if (in >> number) return number;
  return {};
}

// The number behind a word that begins a line: of "key 12", or "Key:  12 kB". 0 if not there.
std::uint64_t number_behind(const fs::path& path, const std::string& key) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string first;
    std::uint64_t number = 0;
    if (words >> first >> number && first == key) return number;
  }
  return 0;
}

// The soft limit on a line like "Max address space   unlimited   unlimited   bytes".
std::uint64_t soft_limit(const fs::path& path, const std::string& name) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    std::uint64_t bytes = 0;
    if (line.starts_with(name) && std::istringstream(line.substr(name.size())) >> bytes)
      return bytes;
  }
  return kNone;
}

bool has_word(const std::string& list, const std::string& word) {
  std::istringstream in(list);
  for (std::string w; std::getline(in, w, ',');)
    if (w == word) return true;
  return false;
}

// A mount of control groups: a version 1 controller, or version 2 with all of them.
struct Mount {
  bool unified = false;    // version 2
  std::string controller;  // of version 1
  fs::path group, point;   // which group is mounted, and where
};

// Lines "ID PARENT DEVICE GROUP POINT OPTIONS [FIELDS] - TYPE SOURCE CONTROLLERS".
std::vector<Mount> mounts_of(const std::string& controller, const fs::path& root) {
  std::vector<Mount> found;
  std::ifstream in(root / "proc/self/mountinfo");
  for (std::string line; std::getline(in, line);) {
    std::istringstream before(line), after(line.substr(std::min(line.find(" - "), line.size())));
    std::string skipped, group, point, type, options;
    before >> skipped >> skipped >> skipped >> group >> point;
    after >> skipped >> type >> skipped >> options;
    if (type == "cgroup2")
      found.push_back({true, {}, group, point});
    else if (type == "cgroup" && has_word(options, controller))
      found.push_back({false, controller, group, point});
  }
  return found;
}

// The group of this process in that hierarchy: of lines "NUMBER:CONTROLLERS:GROUP".
fs::path group_in(const Mount& mount, const fs::path& root) {
  std::ifstream in(root / "proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (mount.unified ? line.starts_with("0::") : has_word(controllers, mount.controller))
      return line.substr(second + 1);
  }
  return "/";
}

struct Group {
  bool unified;
  fs::path directory;
  std::string name;  // as /proc/self/cgroup has it
};

// The groups of this process that have this controller, and their parents as far as they are seen
// from here. In a container that sees its own group alone, as the root.
std::vector<Group> groups_of(const std::string& controller, const fs::path& root) {
  std::vector<Group> groups;
  for (const Mount& mount : mounts_of(controller, root)) {
    fs::path below = group_in(mount, root).lexically_relative(mount.group);
    if (below.empty() || *below.begin() == "..") below = ".";
    const fs::path top = root / mount.point.relative_path();
    for (; below != "."; below = below.has_parent_path() ? below.parent_path() : ".")
      groups.push_back({mount.unified, top / below, (fs::path("/") / below).string()});
    groups.push_back({mount.unified, top, "/"});
  }
  return groups;
}

// Memory that a group has taken and cannot give back: files that it has read are dropped on demand.
std::uint64_t held_by(const Group& group) {
  const auto used =
      number_in(group.directory / (group.unified ? "memory.current" : "memory.usage_in_bytes"));
  const fs::path stat = group.directory / "memory.stat";
  const std::string total = group.unified ? "" : "total_";
  const std::uint64_t files = number_behind(stat, total + "active_file") +
                              number_behind(stat, total + "inactive_file") +
                              (group.unified ? number_behind(stat, "slab_reclaimable") : 0);
  return less(used.value_or(0), files);
}

// Beyond memory.high a group is slowed down until it is as good as stopped.
std::uint64_t limit_of(const Group& group) {
  if (!group.unified) return number_in(group.directory / "memory.limit_in_bytes").value_or(kNone);
  return std::min(number_in(group.directory / "memory.max").value_or(kNone),
                  number_in(group.directory / "memory.high").value_or(kNone));
}

// A resource limit and the present use of it.
struct Resource {
  const char *limit, *used, *name;
};
constexpr Resource kResources[] = {{"Max address space", "VmSize:", "ulimit -v"},
                                   {"Max data size", "VmData:", "ulimit -d"},
                                   {"Max resident set", "VmRSS:", "ulimit -m"}};

// Cores by the quota of CPU time of a group; infinity without one.
double quota_of(const Group& group) {
  double quota = -1, period = 0;
  if (group.unified) {
    std::ifstream(group.directory / "cpu.max") >> quota >> period;  // "max 100000": no number
  } else {
    std::ifstream(group.directory / "cpu.cfs_quota_us") >> quota;
    std::ifstream(group.directory / "cpu.cfs_period_us") >> period;
  }
  return quota > 0 && period > 0 ? quota / period : INFINITY;
}

constexpr int kMostThreads = 1024;  // or the cores of the machine; with 100,000 libgomp crashes

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t"), last = text.find_last_not_of(" \t");
  return first == text.npos ? "" : text.substr(first, last + 1 - first);
}

// A number of threads for each level of nesting, "4" or "4,2"; the first, 0 if there is none.
int requested_threads() {
  const char* set = std::getenv("OMP_NUM_THREADS");
  const std::string_view all = set ? trimmed(set) : "";
  if (all.empty()) return 0;
  const int most = std::max(kMostThreads, int(sysconf(_SC_NPROCESSORS_CONF)));
  int first = 0;
  for (std::size_t begin = 0; begin <= all.size();) {
    const std::size_t end = std::min(all.find(',', begin), all.size());
    const std::string_view word = trimmed(all.substr(begin, end - begin));
    int number = 0;
    const auto parsed = std::from_chars(word.data(), word.data() + word.size(), number);
    require(parsed.ec == std::errc{} && parsed.ptr == word.data() + word.size() && number >= 1 &&
                number <= most,
            Fault::usage, "OMP_NUM_THREADS: expected a number of threads from 1 to ", most,
            ", got '", all.substr(0, 40), "': correct it, or unset it for one thread a core");
    if (begin == 0) first = number;
    begin = end + 1;
  }
  return first;
}

// How often a thread looks for work before it sleeps; libgomp's default is 300000. Costs 1 % on an
// idle machine, and is several times faster beside other processes (docs/benchmarks/cpu.md).
constexpr const char* kSpins = "5000";

// Starts the program again with threads that soon sleep. Returns where that is not possible.
void restart_with_short_waits(char** argv) {
  if (getauxval(AT_BASE) == 0)
    return;  // started through the dynamic loader: that is /proc/self/exe
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return;
  setenv("GOMP_SPINCOUNT", kSpins, 1), setenv("OMP_WAIT_POLICY", "passive", 1);
  execv(program.c_str(), argv);
  unsetenv("GOMP_SPINCOUNT"), unsetenv("OMP_WAIT_POLICY");
}

// How many of so many threads can run at the same time: limits on processes and memory decide.
int threads_that_start(int wanted) {
  std::latch end(1);
  std::vector<std::jthread> others;
  try {
    while (int(others.size()) < wanted - 1) others.emplace_back([&] { end.wait(); });
  } catch (const std::system_error&) {
    // as many as there are
  }
  end.count_down();
  return 1 + int(others.size());
}

}  // namespace

std::uint64_t UsableMemory::available(int processes) const {
  return std::min(own, shared / std::uint64_t(std::max(1, processes)));
}

UsableMemory usable_memory(const fs::path& root) {
  const fs::path meminfo = root / "proc/meminfo";
  UsableMemory memory{.total = number_behind(meminfo, "MemTotal:") * 1024,
                      .shared = number_behind(meminfo, "MemAvailable:") * 1024,
                      .own = kNone,
                      .limit = "machine"};
  if (memory.total == 0) memory.total = kNone;  // the system does not say: let allocations decide
  if (memory.shared == 0) memory.shared = memory.total;
  const auto limit = [&](std::uint64_t bytes, const std::string& name) {
    if (bytes < memory.total) memory.total = bytes, memory.limit = name;
  };
  for (const Group& group : groups_of("memory", root)) {
    const std::uint64_t most = limit_of(group);
    limit(most, "control group " + group.name);
    memory.shared = std::min(memory.shared, less(most, held_by(group)));
  }
  for (const Resource& resource : kResources) {
    const std::uint64_t most = soft_limit(root / "proc/self/limits", resource.limit);
    limit(most, resource.name);
    if (most != kNone)
      memory.own = std::min(
          memory.own, less(most, number_behind(root / "proc/self/status", resource.used) * 1024));
  }
  return memory;
}

int usable_cores(const fs::path& root) {
  cpu_set_t set;
  const bool known = sched_getaffinity(0, sizeof set, &set) == 0;
  double cores = known ? CPU_COUNT(&set) : double(sysconf(_SC_NPROCESSORS_ONLN));
  for (const Group& group : groups_of("cpu", root)) cores = std::min(cores, quota_of(group));
  return std::max(1, int(std::ceil(cores)));
}

void set_up_threads(char** argv) {
  const int requested = requested_threads(), cores = usable_cores();
  const int wanted = requested > 0 ? requested : std::min(omp_get_max_threads(), cores);
  if (wanted > 1 && !std::getenv("OMP_WAIT_POLICY") && !std::getenv("GOMP_SPINCOUNT"))
    restart_with_short_waits(argv);
  const int started = threads_that_start(wanted);
  omp_set_num_threads(started);
  if (started < wanted)
    fmt::print(stderr, "tern: {} threads cannot be started here: {} are used (ulimit -u, -v)\n",
               wanted, started);
  else if (started > cores)
    fmt::print(stderr,
               "tern: OMP_NUM_THREADS = {}, but this process may use {} cores: {} are faster\n",
               requested, cores, cores);
}

}  // namespace tern
