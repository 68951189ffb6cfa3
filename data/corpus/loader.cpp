#include "data/corpus/loader.h"

#include <system_error>
#include <utility>

#include "core/check.h"

namespace tern {

Loader::Loader(BatchReader reader, std::uint64_t sequences, std::size_t prefetch)
    : reader_(std::move(reader)), sequences_(sequences), prefetch_(prefetch) {
  check(sequences > 0 && prefetch > 0, "[loader] expected sequences and a queue, got ", sequences,
        " and ", prefetch);
  start();
}

void Loader::start() {
  try {
    thread_ = std::jthread(
        [this, first = position_](std::stop_token stop) { read_ahead(std::move(stop), first); });
  } catch (const std::system_error&) {  // the system allows no more threads: next() reads
    thread_ = {};
  }
}

void Loader::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
  ready_.clear();
  error_ = nullptr;
}

void Loader::read_ahead(std::stop_token stop, std::uint64_t first) {
  for (;; first += sequences_) {
    Batch batch;
    std::exception_ptr error;
    try {
      batch = reader_.read(first, sequences_);
    } catch (...) {
      error = std::current_exception();
    }
    std::unique_lock lock(mutex_);
    if (!changed_.wait(lock, stop, [&] { return ready_.size() < prefetch_; })) return;
    if (error) error_ = error;
    if (!error) ready_.push_back(std::move(batch));
    changed_.notify_all();
    if (error) return;
  }
}

Batch Loader::next() {
  if (!thread_.joinable()) {
    Batch batch = reader_.read(position_, sequences_);
    position_ += sequences_;
    return batch;
  }
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !ready_.empty() || error_; });
  if (ready_.empty()) std::rethrow_exception(error_);
  Batch batch = std::move(ready_.front());
  ready_.pop_front();
  position_ += sequences_;
  changed_.notify_all();
  return batch;
}

void Loader::seek(std::uint64_t position) {
  stop();
  position_ = position;
  start();
}

}  // namespace tern
