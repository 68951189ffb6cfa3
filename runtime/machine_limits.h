// Memory and cores that this process may use: the least of the machine, of its control groups
// (cgroup v1 and v2, with their parents) and of its own resource limits; and its OpenMP threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace tern {

struct UsableMemory {
  std::uint64_t total = 0;   // bytes: of the machine, or the smallest limit
  std::uint64_t shared = 0;  // bytes free now, for all processes of the machine or control group
  std::uint64_t own = 0;     // bytes that this process may still take by its resource limits
  std::string limit{};       // origin of `total`: "machine", "control group /job", "ulimit -v"

  // For each of so many like this one. Swap space does not count: a step must not wait for a disk.
  std::uint64_t available(int processes = 1) const;
};

// Reads /proc and the mounted control groups, below `root`. A file that is missing or cannot
// be read limits nothing.
UsableMemory usable_memory(const std::filesystem::path& root = "/");

// Cores that this process may keep busy: of its affinity, at most the control groups' quota of CPU
// time, rounded up. At least 1.
int usable_cores(const std::filesystem::path& root = "/");

// Sets the number of OpenMP threads and how they wait. Call once, first in main. The user's
// OMP_NUM_THREADS, OMP_WAIT_POLICY and GOMP_SPINCOUNT count; without them there is a thread for
// each usable core, and a thread without work sleeps instead of spinning. libgomp reads the latter
// when it is loaded: the program starts itself once more. Fewer threads, with a line on stderr,
// where the system does not give as many. Fault::usage if OMP_NUM_THREADS is no number of threads.
void set_up_threads(char** argv);

}  // namespace tern
