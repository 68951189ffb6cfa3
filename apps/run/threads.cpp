#include "apps/run/threads.h"

#include <fmt/format.h>
#include <omp.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <latch>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "core/check.h"
#include "runtime/machine_limits.h"

namespace tern {
namespace {

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

// How often a thread looks for work before it sleeps; libgomp's default is 300000. Costs 2 % on an
// idle machine, and is several times faster beside other processes (docs/benchmarks/cpu.md).
constexpr const char* kSpins = "3000";

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
