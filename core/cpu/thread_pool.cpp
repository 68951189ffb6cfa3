#include "core/cpu/thread_pool.h"

#include <omp.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

namespace tern::cpu {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr int kMostThreads = 1024;
constexpr auto kSpin = microseconds(50);        // how long a thread looks for work before it sleeps
constexpr auto kTolerated = microseconds(200);  // losses that have no consequence: some wake-ups
constexpr int kLossFactor = 16;                 // losses are at most 1/16 of the time
constexpr auto kLongestAlone = milliseconds(100);

void pause() {
#ifdef __x86_64__
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

// Looks again and again until ready() or until kSpin is over -> ready()
template <class Ready>
bool spin(Ready ready) {
  constexpr int kLooks = 16;  // between two looks at the clock
  const Clock::time_point start = Clock::now();
  do {
    for (int i = 0; i < kLooks; ++i) {
      if (ready()) return true;
      pause();
    }
  } while (Clock::now() - start < kSpin);
  return ready();
}

// Indices [begin, end) that no thread has begun. Each is claimed by one thread: the owner of this
// part takes the first, others the last.
class alignas(64) Part {
 public:
  void set(std::uint32_t begin, std::uint32_t end) {
    range_.store(packed(begin, end), std::memory_order_release);
  }
  std::optional<Index> take_first() {
    return take([](std::uint32_t& begin, std::uint32_t&) { return begin++; });
  }
  std::optional<Index> take_last() {
    return take([](std::uint32_t&, std::uint32_t& end) { return --end; });
  }

 private:
  static std::uint64_t packed(std::uint32_t begin, std::uint32_t end) {
    return std::uint64_t(begin) << 32 | end;
  }
  // A thread that comes late may find the part of a later loop: then it takes an index of that one.
  template <class Choose>
  std::optional<Index> take(Choose choose) {
    std::uint64_t now = range_.load(std::memory_order_relaxed);
    for (;;) {
      auto begin = std::uint32_t(now >> 32), end = std::uint32_t(now);
      if (begin >= end) return std::nullopt;
      const std::uint32_t chosen = choose(begin, end);
      if (range_.compare_exchange_weak(now, packed(begin, end), std::memory_order_acquire,
                                       std::memory_order_relaxed))
        return chosen;
    }
  }
  std::atomic<std::uint64_t> range_{0};
};

class Pool {
 public:
  // false: another loop is running, nothing was done. threads > 1.
  bool run(Index n, int threads, LoopBody body) {
    if (running_.exchange(true, std::memory_order_acquire)) return false;
    const Clock::time_point start = Clock::now();
    if (start < alone_until_ || !start_threads(threads))
      run_alone(n, body);
    else
      run_together(start, n, std::min<Index>({n, threads, workers_ + 1}), body);
    running_.store(false, std::memory_order_release);
    return true;
  }

  static void run_alone(Index n, LoopBody body) {
    for (Index i = 0; i < n; ++i) body(i);
  }

 private:
  void run_together(Clock::time_point start, Index n, Index threads, LoopBody body) {
    publish(n, threads, body);
    const Clock::duration waking = wake();
    body(0);
    const Index mine = 1 + take_all(0), theirs = n - mine;
    if (theirs == 0) return judge(waking);
    const Clock::time_point end = Clock::now();
    const auto done = [&] { return done_.load(std::memory_order_acquire) == theirs; };
    if (!done() && !spin(done))
      while (!done()) std::this_thread::yield();
    judge(Clock::now() - end - (end - start) * theirs / mine);
  }

  void publish(Index n, Index threads, LoopBody body) {
    body_ = body;
    done_.store(0, std::memory_order_relaxed);
    caller_cpu_.store(sched_getcpu(), std::memory_order_relaxed);
    threads_.store(int(threads), std::memory_order_relaxed);
    for (Index t = 0; t < threads; ++t)  // index 0 is this thread's in any case
      parts_[t].set(std::uint32_t(std::max<Index>(1, n * t / threads)),
                    std::uint32_t(n * (t + 1) / threads));
    loops_.fetch_add(1);
  }

  // -> time that it took
  Clock::duration wake() {
    if (sleepers_.load() == 0) return {};
    const Clock::time_point start = Clock::now();
    loops_.notify_all();
    return Clock::now() - start;
  }

  // Whatever this thread finds, its own part first -> how many
  Index take_all(int own) {
    Index count = 0;
    const int threads = threads_.load(std::memory_order_relaxed);
    if (own < threads)
      for (; const auto i = parts_[std::size_t(own)].take_first(); ++count) body_(*i);
    for (int k = 1; k < threads; ++k) {
      Part& other = parts_[std::size_t((own + k) % threads)];
      for (; const auto i = other.take_last(); ++count) body_(*i);
    }
    return count;
  }

  // loss: what this loop took longer than this thread alone would have needed, by its own speed; a
  // gain is negative. Loops share their losses, since a thread that was woken too late for one is
  // there for the next. Where other processes need the cores losses add up: then the pool does
  // without the others for some times as long, and longer each time that it has tried in vain.
  void judge(Clock::duration loss) {
    losses_ += loss;
    if (losses_ < Clock::duration::zero()) losses_ = alone_ = {};
    if (losses_ <= kTolerated) return;
    alone_ = std::min<Clock::duration>(std::max(kLossFactor * losses_, 2 * alone_), kLongestAlone);
    alone_until_ = Clock::now() + alone_;
    losses_ = {};
  }

  // As many as the system gives -> whether there are any
  bool start_threads(int threads) {
    try {
      while (workers_ < std::min(threads, most_) - 1) {
        std::thread([this, own = workers_ + 1] { work(own); }).detach();
        ++workers_;
      }
    } catch (const std::system_error&) {
      most_ = workers_ + 1;
    }
    return workers_ > 0;
  }

  [[noreturn]] void work(int own) {
    for (;;) {
      const std::uint32_t seen = loops_.load(std::memory_order_acquire);
      // A core that the caller needs is of no use to it, here or while this thread looks for work.
      const bool apart = sched_getcpu() != caller_cpu_.load(std::memory_order_relaxed);
      if (apart && own < threads_.load(std::memory_order_relaxed))
        if (const Index count = take_all(own)) done_.fetch_add(count, std::memory_order_release);
      const auto more = [&] { return loops_.load(std::memory_order_acquire) != seen; };
      if (apart && spin(more)) continue;
      sleepers_.fetch_add(1);
      loops_.wait(seen);
      sleepers_.fetch_sub(1);
    }
  }

  std::atomic<bool> running_{false};
  // Of the caller:
  int workers_ = 0, most_ = kMostThreads;
  Clock::duration losses_{}, alone_{};
  Clock::time_point alone_until_{};
  // Of all. A claimed index keeps its loop from ending, so what it finds here belongs to that loop.
  LoopBody body_ = LoopBody(kNothing);
  std::atomic<int> threads_{0}, caller_cpu_{-1};
  alignas(64) std::atomic<std::uint32_t> loops_{0};  // begun so far
  std::atomic<int> sleepers_{0};
  alignas(64) std::atomic<Index> done_{0};  // by other threads than the caller
  std::vector<Part> parts_ = std::vector<Part>(kMostThreads);
  static constexpr auto kNothing = [](Index) {};
};

// Never destroyed: its threads may run until the process ends.
std::atomic<Pool*> shared_pool{nullptr};

Pool& pool() {
  if (Pool* there = shared_pool.load(std::memory_order_acquire)) return *there;
  auto created = std::make_unique<Pool>();
  Pool* there = nullptr;
  if (!shared_pool.compare_exchange_strong(there, created.get())) return *there;
  // A child has none of its parent's threads: it gets a pool of its own.
  static const int registered = pthread_atfork(
      nullptr, nullptr, [] { shared_pool.store(nullptr, std::memory_order_relaxed); });
  static_cast<void>(registered);
  return *created.release();
}

}  // namespace

void run_loop(Index n, LoopBody body) {
  const int threads = n > 1 ? omp_get_max_threads() : 1;
  if (threads < 2 || n > std::numeric_limits<std::uint32_t>::max() || omp_in_parallel() ||
      !pool().run(n, threads, body))
    Pool::run_alone(n, body);
}

}  // namespace tern::cpu
