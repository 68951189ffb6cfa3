// The batches of a training run, read ahead by a thread if the system allows one more. Its state is
// one number: position(), the global index of the next sample.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "data/corpus/batches.h"

namespace tern {

class Loader {
 public:
  // Batches of `sequences` samples, at most `prefetch` of them ready and waiting.
  Loader(BatchReader reader, std::uint64_t sequences, std::size_t prefetch = 4);

  // The batch of samples position() .. position() + sequences - 1, for any position: how batches
  // are cut does not matter to what a sample holds. Throws what reading it threw, each time.
  Batch next();
  std::uint64_t position() const { return position_; }
  void seek(std::uint64_t position);

 private:
  void start();
  void stop();
  void read_ahead(std::stop_token stop, std::uint64_t first);

  BatchReader reader_;
  std::uint64_t sequences_, position_ = 0;
  std::size_t prefetch_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Batch> ready_;
  std::exception_ptr error_;  // after the batches in ready_
  std::jthread thread_;       // last, so ended first: it uses all of the above
};

}  // namespace tern
