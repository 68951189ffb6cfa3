// Limits on memory and cores: control groups of both versions, resource limits, thread counts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/system/environment.h"
#include "runtime/machine_limits.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace tern {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

constexpr std::uint64_t kMegabyte = 1 << 20, kGigabyte = 1 << 30;

// A machine of 16 GiB, 12 of them free, whose files a test adds to.
class Machine {
 public:
  Machine() {
    write("proc/meminfo", "MemTotal: 16777216 kB\nMemFree: 1024 kB\nMemAvailable: 12582912 kB\n");
    write("proc/self/status", "Name: tern\nVmSize:\t 1048576 kB\nVmRSS: 524288 kB\nVmData: 4 kB\n");
    mount("24 1 0:22 / /proc rw - proc proc rw");
  }
  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_.path() / path).parent_path());
    write_text(root_.path() / path, text);
  }
  void mount(const std::string& line) { write("proc/self/mountinfo", mounts_ += line + "\n"); }
  UsableMemory memory() const { return usable_memory(root_.path()); }
  int cores() const { return usable_cores(root_.path()); }

 private:
  TemporaryDirectory root_;
  std::string mounts_;
};

// A machine with version 2 and this process in /jobs/mine.
struct UnifiedMachine : Machine {
  UnifiedMachine() {
    mount("30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate");
    write("proc/self/cgroup", "0::/jobs/mine\n");
    write("sys/fs/cgroup/jobs/mine/memory.max", "max\n");
  }
};

TEST(Fault106, WithoutLimitsTheMachineDecides) {
  const UsableMemory memory = Machine().memory();
  EXPECT_EQ(memory.total, 16 * kGigabyte);
  EXPECT_EQ(memory.available(), 12 * kGigabyte);
  EXPECT_EQ(memory.available(4), 3 * kGigabyte);
  EXPECT_EQ(memory.limit, "machine");
}

TEST(Fault106, AControlGroupOfVersion2IsALimitLessWhatItHolds) {
  UnifiedMachine machine;
  EXPECT_EQ(machine.memory().total, 16 * kGigabyte);
  machine.write("sys/fs/cgroup/jobs/mine/memory.max", std::to_string(2 * kGigabyte));
  machine.write("sys/fs/cgroup/jobs/mine/memory.current", std::to_string(kGigabyte));
  EXPECT_EQ(machine.memory().available(), kGigabyte);
  machine.write(
      "sys/fs/cgroup/jobs/mine/memory.stat",
      "anon 5\ninactive_file 268435456\nactive_file 268435456\nslab_reclaimable 1048576\n");
  const UsableMemory memory = machine.memory();
  EXPECT_EQ(memory.available(), 1536 * kMegabyte + kMegabyte);  // cached files give way
  EXPECT_EQ(memory.available(2), (1536 * kMegabyte + kMegabyte) / 2);
  EXPECT_EQ(memory.total, 2 * kGigabyte);
  EXPECT_EQ(memory.limit, "control group /jobs/mine");
  machine.write("sys/fs/cgroup/jobs/mine/memory.high", std::to_string(kGigabyte));
  EXPECT_EQ(machine.memory().total, kGigabyte);
}

TEST(Fault106, LimitsOfParentGroupsCount) {
  UnifiedMachine machine;
  machine.write("sys/fs/cgroup/jobs/memory.max", std::to_string(3 * kGigabyte));
  machine.write("sys/fs/cgroup/jobs/memory.current", std::to_string(4 * kGigabyte));
  EXPECT_EQ(machine.memory().total, 3 * kGigabyte);
  EXPECT_EQ(machine.memory().available(), 0u);
  EXPECT_EQ(machine.memory().limit, "control group /jobs");
}

TEST(Fault106, AContainerSeesItsOwnGroupAsTheRoot) {
  Machine machine;
  machine.mount("30 23 0:26 /docker/1f /sys/fs/cgroup ro - cgroup2 cgroup rw");
  machine.write("proc/self/cgroup", "0::/docker/1f\n");
  machine.write("sys/fs/cgroup/memory.max", std::to_string(kGigabyte));
  EXPECT_EQ(machine.memory().available(), kGigabyte);
  machine.write("proc/self/cgroup", "0::/../elsewhere\n");
  EXPECT_EQ(machine.memory().available(), kGigabyte);
}

TEST(Fault106, AControlGroupOfVersion1IsALimit) {
  Machine machine;
  machine.mount("31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct");
  machine.mount("35 30 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory");
  machine.write("proc/self/cgroup", "4:memory:/slurm/job_7\n1:cpu,cpuacct:/slurm/job_7\n0::/\n");
  machine.write("sys/fs/cgroup/memory/slurm/job_7/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(machine.memory().total, 16 * kGigabyte);
  machine.write("sys/fs/cgroup/memory/slurm/memory.limit_in_bytes", std::to_string(4 * kGigabyte));
  machine.write("sys/fs/cgroup/memory/slurm/memory.usage_in_bytes", std::to_string(kGigabyte));
  machine.write("sys/fs/cgroup/memory/slurm/memory.stat",
                "inactive_file 0\ntotal_inactive_file 1048576\ntotal_active_file 1048576\n");
  EXPECT_EQ(machine.memory().available(), 3 * kGigabyte + 2 * kMegabyte);
  EXPECT_EQ(machine.memory().limit, "control group /slurm");
}

TEST(Fault106, ResourceLimitsAreOfOneProcess) {
  Machine machine;
  machine.write("proc/self/limits",
                "Limit                     Soft Limit           Hard Limit           Units     \n"
                "Max data size             unlimited            unlimited            bytes     \n"
                "Max resident set          unlimited            unlimited            bytes     \n"
                "Max address space         3221225472           unlimited            bytes     \n");
  EXPECT_EQ(machine.memory().total, 3 * kGigabyte);
  EXPECT_EQ(machine.memory().limit, "ulimit -v");
  EXPECT_EQ(machine.memory().available(), 2 * kGigabyte);   // 1 GiB is taken
  EXPECT_EQ(machine.memory().available(2), 2 * kGigabyte);  // of each of them
  machine.write("proc/self/limits", "Max resident set  1073741824  unlimited  bytes\n");
  EXPECT_EQ(machine.memory().available(), kGigabyte / 2);
  EXPECT_EQ(machine.memory().limit, "ulimit -m");
}

TEST(Fault106, DamagedFilesLimitNothing) {
  UnifiedMachine machine;
  machine.write("sys/fs/cgroup/jobs/mine/memory.max", "many\n");
  machine.write("proc/self/limits", "Max address space\nMax resident set\n");
  machine.mount("31 30");
  machine.mount(" - cgroup2");
  machine.write("proc/self/cgroup", "\n0\n0::/jobs/mine\n::::\n");
  EXPECT_EQ(machine.memory().total, 16 * kGigabyte);
  machine.write("proc/meminfo", "");
  EXPECT_GT(machine.memory().available(), 1000 * kGigabyte);  // the allocation decides
}

TEST(Fault106, EveryCommandSeesTheSameMemory) {
  const std::uint64_t limit = 1 << 30;
  const Outcome outcome = run({.body =
                                   [&] {
                                     const UsableMemory memory = usable_memory();
                                     const double shown = describe_environment({}, {}).memory_bytes;
                                     return memory.total == limit && shown == double(limit) ? 0 : 1;
                                   },
                               .limits = {{RLIMIT_AS, limit}}});
  EXPECT_EQ(outcome.exit_code, 0);
}

TEST(Fault129, QuotasOfCpuTimeLimitCores) {
  const int all = Machine().cores();
  UnifiedMachine machine;
  machine.write("sys/fs/cgroup/jobs/mine/cpu.max", "max 100000\n");
  EXPECT_EQ(machine.cores(), all);
  machine.write("sys/fs/cgroup/jobs/cpu.max", "50000 100000\n");
  EXPECT_EQ(machine.cores(), 1);
  Machine older;
  older.mount("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpuacct,cpu");
  older.write("proc/self/cgroup", "1:cpuacct,cpu:/a\n");
  older.write("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000");
  older.write("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1");
  EXPECT_EQ(older.cores(), all);
  older.write("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "100000");
  EXPECT_EQ(older.cores(), 1);
}

const std::vector<std::string> kReference = {"config", "reference"};  // starts no thread

Command tern_with(const std::vector<std::string>& variables,
                  const std::vector<std::string>& command) {
  std::vector<std::string> args = {"/usr/bin/env", "-u", "OMP_WAIT_POLICY", "-u", "GOMP_SPINCOUNT"};
  args.insert(args.end(), variables.begin(), variables.end());
  args.push_back(sibling_program("tern"));
  args.insert(args.end(), command.begin(), command.end());
  return {.args = args};
}

TEST(Fault129, AbsurdNumbersOfThreadsAreRefusedInOneLine) {
  for (const char* value : {"100000", "0", "-1", "two", "99999999999999999999", "4294967297", "2,0",
                            "1,,2", "2,", "3.5", "0x2", "2 3"}) {
    const Outcome outcome = run(tern_with({std::string("OMP_NUM_THREADS=") + value}, kReference));
    EXPECT_EQ(outcome.exit_code, 2) << value;
    EXPECT_THAT(outcome.err,
                HasSubstr("tern: error: OMP_NUM_THREADS: expected a number of threads"))
        << value;
    EXPECT_THAT(outcome.err, HasSubstr(std::string("got '") + value + "'"));
  }
}

// LLVM's OpenMP runtime, which clang links, where GCC links libgomp.
#ifdef __clang__
constexpr bool kLibomp = true;
#else
constexpr bool kLibomp = false;
#endif

TEST(Fault129, NumbersOfThreadsThatWork) {
  for (const char* value : {"1", " 2 ", "2,1", ""}) {
    if (kLibomp && !*value) continue;  // libomp 19 aborts at an empty one before main() begins
    const Outcome outcome = run(tern_with({std::string("OMP_NUM_THREADS=") + value}, kReference));
    EXPECT_EQ(outcome.exit_code, 0) << value << outcome.err;
    EXPECT_THAT(outcome.err, testing::Not(HasSubstr("tern:"))) << value;
  }
  const Outcome many =
      run(tern_with({"OMP_NUM_THREADS=100"}, {"golden", "tests/golden/tiny_model.safetensors"}));
  EXPECT_EQ(many.exit_code, 0) << many.err;
  EXPECT_THAT(many.err, HasSubstr("OMP_NUM_THREADS = 100, but this process may use "));
}

TEST(Fault129, FewerThreadsWhereTheSystemDoesNotGiveAsMany) {
  SKIP_IN_A_FOLDER_CLOSED_TO_OTHERS();
  Command command = tern_with({"OMP_NUM_THREADS=64"},
                              {"golden", fs::absolute("tests/golden/tiny_model.safetensors")});
  command.limits = {{RLIMIT_NPROC, 8}};
  command.unprivileged = true;
  const Outcome outcome = run(command);
  if (geteuid() != 0) GTEST_SKIP() << "other processes of this user count";
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("tern: 64 threads cannot be started here: "));
}

// What the OpenMP runtime says about the last start of the program, a line for each setting:
// NAME='value'.
std::string waiting_of(const std::vector<std::string>& variables) {
  std::vector<std::string> all = {"OMP_DISPLAY_ENV=verbose", "OMP_NUM_THREADS=2"};
  all.insert(all.end(), variables.begin(), variables.end());
  std::string text = run(tern_with(all, kReference)).err;
  text = text.substr(std::min(text.rfind("OPENMP DISPLAY ENVIRONMENT BEGIN"), text.size()));
  for (std::size_t at; (at = text.find(" = ")) != std::string::npos;) text.replace(at, 3, "=");
  return text;
}

TEST(Fault203, ThreadsWithoutWorkSleepUnlessTheUserSaysOtherwise) {
  EXPECT_THAT(waiting_of({}), HasSubstr("OMP_WAIT_POLICY='PASSIVE'"));
  EXPECT_THAT(waiting_of({"OMP_WAIT_POLICY=active"}), HasSubstr("OMP_WAIT_POLICY='ACTIVE'"));
  if (kLibomp) return;  // it has no such variable
  EXPECT_THAT(waiting_of({}), HasSubstr("GOMP_SPINCOUNT='5000'"));
  EXPECT_THAT(waiting_of({"GOMP_SPINCOUNT=77"}), HasSubstr("GOMP_SPINCOUNT='77'"));
}

}  // namespace
}  // namespace tern
