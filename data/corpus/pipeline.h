// A sequence of items processed by several threads, results in order: the consumer sees the same
// for any number of threads. The items in flight are bounded by their weight (bytes).
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

namespace tern {

template <class In, class Out>
class Pipeline {
 public:
  struct Stages {
    std::function<std::optional<In>()> produce;  // in a separate thread, until it returns nothing
    std::function<std::function<Out(In&&)>()> make_worker;  // called once in each worker thread
    std::function<void(Out&&)> consume;                     // in the caller's thread, in order
    std::function<std::uint64_t(const In&)> weight;
    std::uint64_t max_weight = 0;  // of all items produced and not consumed; one item always fits
    int threads = 1;
    // Called with the number of workers if the system allows fewer threads; 0: the caller works.
    std::function<void(int)> fewer = [](int) {};
  };

  // Returns when everything is consumed; the first exception of a stage, in order, is rethrown.
  static void run(Stages stages) {
    Pipeline pipeline(std::move(stages));
    pipeline.start() ? pipeline.consume_all() : pipeline.run_alone();
  }

 private:
  struct Slot {
    std::optional<In> in;
    std::optional<Out> out;
    std::exception_ptr error;
    std::uint64_t weight = 0;
    bool done() const { return out.has_value() || error != nullptr; }
  };
  using Lock = std::unique_lock<std::mutex>;

  explicit Pipeline(Stages stages) : stages_(std::move(stages)) {}
  ~Pipeline() {
    {
      const Lock lock(mutex_);
      stopped_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  // A worker, the producer, then the other workers; false if there is not one of each.
  bool start() {
    threads_.reserve(std::size_t(stages_.threads) + 1);
    try {
      threads_.emplace_back([this] { work(); });
      threads_.emplace_back([this] { produce_all(); });
      for (int i = 1; i < stages_.threads; ++i) threads_.emplace_back([this] { work(); });
    } catch (const std::system_error&) {
      stages_.fewer(std::max(0, int(threads_.size()) - 1));
    }
    return threads_.size() >= 2;
  }

  void run_alone() {
    const auto worker = stages_.make_worker();
    while (auto item = stages_.produce()) stages_.consume(worker(std::move(*item)));
  }

  // An exception of produce() takes a place in the order, like a result.
  void produce_all() {
    bool more = true;
    while (more) {
      const auto slot = std::make_shared<Slot>();
      try {
        slot->in = stages_.produce();
        if (slot->in) slot->weight = stages_.weight(*slot->in);
      } catch (...) {
        slot->error = std::current_exception();
      }
      more = slot->in.has_value() && !slot->error;
      Lock lock(mutex_);
      changed_.wait(lock, [&] {
        return stopped_ || weight_ == 0 || weight_ + slot->weight <= stages_.max_weight;
      });
      if (stopped_) return;
      weight_ += slot->weight;
      if (more) todo_.push_back(slot);
      if (more || slot->error) order_.push_back(slot);
      produced_all_ = !more;
      changed_.notify_all();
    }
  }

  void work() {
    std::function<Out(In &&)> worker;
    for (;;) {
      Lock lock(mutex_);
      changed_.wait(lock, [&] { return stopped_ || produced_all_ || !todo_.empty(); });
      if (stopped_ || todo_.empty()) return;
      const std::shared_ptr<Slot> slot = todo_.front();
      todo_.pop_front();
      lock.unlock();
      std::optional<Out> out;
      std::exception_ptr error;
      try {
        if (!worker) worker = stages_.make_worker();
        out = worker(std::move(*slot->in));
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      slot->in.reset();
      slot->out = std::move(out);
      slot->error = error;
      changed_.notify_all();
    }
  }

  void consume_all() {
    for (;;) {
      Lock lock(mutex_);
      changed_.wait(lock, [&] { return order_.empty() ? produced_all_ : order_.front()->done(); });
      if (order_.empty()) return;
      const std::shared_ptr<Slot> slot = order_.front();
      order_.pop_front();
      lock.unlock();
      if (slot->error) std::rethrow_exception(slot->error);
      stages_.consume(std::move(*slot->out));
      lock.lock();
      weight_ -= slot->weight;
      changed_.notify_all();
    }
  }

  Stages stages_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Slot>> todo_, order_;
  std::uint64_t weight_ = 0;
  bool produced_all_ = false, stopped_ = false;
  std::vector<std::thread> threads_;  // last: they use the rest
};

}  // namespace tern
