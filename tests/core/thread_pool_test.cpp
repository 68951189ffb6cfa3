#include "core/cpu/thread_pool.h"

#include <gtest/gtest.h>
#include <omp.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "core/cpu/parallel.h"

namespace tern {
namespace {

using cpu::for_chunks;
using cpu::LoopBody;
using cpu::run_loop;

// The system may leave all of the pool's threads on the caller's core for as long as other
// processes use the rest, and a thread there takes nothing from the caller. So the caller gets one
// core, and the others, which exist by now, another. -> false: there is one core only
bool place_apart() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof allowed, &allowed);
  std::vector<cpu_set_t> cores;
  for (std::size_t cpu = 0; cpu < CPU_SETSIZE && cores.size() < 2; ++cpu)
    if (CPU_ISSET(cpu, &allowed)) {
      CPU_ZERO(&cores.emplace_back());
      CPU_SET(cpu, &cores.back());
    }
  if (cores.size() < 2) return false;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    const pid_t thread = std::stoi(entry.path().filename());
    sched_setaffinity(thread, sizeof(cpu_set_t), &cores[thread == gettid() ? 0 : 1]);
  }
  return true;
}

class ThreadPool : public testing::Test {
 protected:
  ThreadPool() { omp_set_num_threads(4); }
  ~ThreadPool() override { omp_set_num_threads(omp_get_num_procs()); }
};

// How often the loop's body was called with each index.
class Calls {
 public:
  explicit Calls(Index n) : counts_(std::size_t(n)) {}
  void add(Index i) { ++counts_[std::size_t(i)]; }
  void expect_each_once() const {
    for (std::size_t i = 0; i < counts_.size(); ++i) ASSERT_EQ(counts_[i], 1) << i;
  }

 private:
  std::vector<std::atomic<int>> counts_;
};

void expect_each_index_once(Index n) {
  Calls calls(n);
  const auto body = [&](Index i) { calls.add(i); };
  run_loop(n, LoopBody(body));
  calls.expect_each_once();
}

TEST_F(ThreadPool, EachIndexOnceInShortLoopsOneAfterTheOther) {
  for (int repeat = 0; repeat < 3000; ++repeat)
    for (const Index n : {0, 1, 2, 3, 5, 17}) expect_each_index_once(n);
}

TEST_F(ThreadPool, EachIndexOnceWhateverTheNumberOfThreads) {
  for (int repeat = 0; repeat < 300; ++repeat) {
    omp_set_num_threads(1 + repeat % 9);
    expect_each_index_once(200);
  }
}

TEST_F(ThreadPool, WhatOtherThreadsWroteIsThereWhenTheLoopReturns) {
  std::vector<Index> plain(1000);  // not atomic: a sanitizer sees a missing barrier
  for (Index repeat = 0; repeat < 300; ++repeat) {
    const auto body = [&](Index i) { plain[std::size_t(i)] += i + repeat; };
    run_loop(Index(plain.size()), LoopBody(body));
    for (Index i = 0; i < Index(plain.size()); ++i) {
      ASSERT_EQ(plain[std::size_t(i)], i + repeat);
      plain[std::size_t(i)] = 0;
    }
  }
}

TEST_F(ThreadPool, BodiesOfDifferentLength) {
  for (const Index slow : {0, 7, 15}) {
    Calls calls(16);
    const auto body = [&](Index i) {
      if (i == slow) std::this_thread::sleep_for(std::chrono::milliseconds(20));
      calls.add(i);
    };
    run_loop(16, LoopBody(body));
    calls.expect_each_once();
  }
}

// The thread that is held up owns indices that it has not begun: the others take them.
TEST_F(ThreadPool, AThreadThatIsHeldUpHoldsUpNothingElse) {
  expect_each_index_once(100);
  if (!place_apart()) GTEST_SKIP() << "one core";
  for (int repeat = 0; repeat < 300; ++repeat) {
    std::atomic<int> others{0};
    bool all = false;
    const auto body = [&](Index i) {
      if (i != 0) {
        ++others;
        return;
      }
      const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
      while (!(all = others == 63) && std::chrono::steady_clock::now() < end) {
      }
    };
    run_loop(64, LoopBody(body));  // index 0 is the caller's
    if (all) return;               // the pool may have run it on this thread alone
  }
  FAIL() << "other threads never took the caller's indices";
}

TEST_F(ThreadPool, LoopsInsideOfLoops) {
  Calls calls(40 * 30);
  for_chunks(40, 1, [&](Index, Index outer, Index) {
    for_chunks(30, 1, [&](Index, Index inner, Index) { calls.add(30 * outer + inner); });
  });
  calls.expect_each_once();
}

TEST_F(ThreadPool, CallsFromSeveralThreads) {
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([] {
      omp_set_num_threads(3);
      for (int repeat = 0; repeat < 500; ++repeat) expect_each_index_once(25);
    });
  for (std::thread& caller : callers) caller.join();
}

// Tries until a loop has run on more than one thread: on a busy machine one loop alone may not.
bool several_threads_take_part() {
  expect_each_index_once(100);
  if (!place_apart()) return true;
  using Clock = std::chrono::steady_clock;
  for (const auto start = Clock::now(); Clock::now() - start < std::chrono::minutes(1);) {
    std::mutex mutex;
    std::set<std::thread::id> seen;
    const auto body = [&](Index) {
      const auto end = Clock::now() + std::chrono::milliseconds(2);
      while (Clock::now() < end) {
      }
      const std::lock_guard lock(mutex);
      seen.insert(std::this_thread::get_id());
    };
    run_loop(32, LoopBody(body));
    if (seen.size() > 1) return true;
  }
  return false;
}

TEST_F(ThreadPool, SeveralThreadsTakePart) {
  EXPECT_TRUE(several_threads_take_part());
}

TEST_F(ThreadPool, OneThreadIfOnlyOneIsAskedFor) {
  expect_each_index_once(100);  // the others exist
  omp_set_num_threads(1);
  const auto body = [self = std::this_thread::get_id()](Index) {
    EXPECT_EQ(std::this_thread::get_id(), self);
  };
  run_loop(1000, LoopBody(body));
}

TEST_F(ThreadPool, AChildProcessHasThreadsOfItsOwn) {
#ifdef __SANITIZE_ADDRESS__
  // A child's copy of that lock stays locked if another thread held it: here one that just starts.
  GTEST_SKIP() << "AddressSanitizer of g++ 12 does not release its allocator's lock in a child";
#endif
  expect_each_index_once(100);
  const pid_t child = fork();
  if (child == 0) _exit(several_threads_take_part() ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  expect_each_index_once(100);
}

}  // namespace
}  // namespace tern
