#include "distributed/failure_detector.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/check.h"
#include "core/clock.h"

namespace tern {
namespace {

constexpr int kRound = 50;            // ms
constexpr double kStopped = 1;        // seconds: a longer round means that this process was stopped
constexpr double kLongestSend = 0.2;  // seconds, to a peer that does not read

void give_up_soon(double begin) {
  require(monotonic_seconds() < begin + kLongestSend, Fault::communication,
          "it does not receive messages");
}

}  // namespace

FailureDetector::FailureDetector(int rank, int size, std::vector<Connection> links,
                                 DetectorOptions options)
    : rank_(rank), options_(std::move(options)) {
  const double now = monotonic_seconds();
  if (rank == 0)
    for (int r = 1; r < size; ++r)
      peers_.emplace(r, Peer{std::move(links[std::size_t(r - 1)]), now});
  else
    peers_.emplace(0, Peer{std::move(links[0]), now});
  try {
    thread_ = std::jthread([this](std::stop_token stop) { run(stop); });
  } catch (const std::system_error& e) {
    fail(Fault::memory, "rank ", rank, ": the system allows no thread to watch the other ranks (",
         e.what(), "): raise ulimit -u, or the limit of the container");
  }
}

FailureDetector::~FailureDetector() {
  thread_.request_stop();
  thread_.join();
}

void FailureDetector::begin_operation() {
  const std::scoped_lock lock(mutex_);
  if (operations_++ > 0) return;
  ++begun_;
  operation_since_ = monotonic_seconds();
}

void FailureDetector::end_operation() {
  const std::scoped_lock lock(mutex_);
  if (--operations_ > 0) return;
  waited_ = waited_ + monotonic_seconds() - operation_since_;
  operation_since_ = -1;
}

void FailureDetector::begin_work(const Pool& pool) {
  const std::scoped_lock lock(mutex_);
  work_ = &pool;
  work_seen_ = pool.allocations();
  work_since_ = monotonic_seconds();
}

void FailureDetector::end_work() {
  const std::scoped_lock lock(mutex_);
  work_ = nullptr;
}

void FailureDetector::follow(std::function<std::uint64_t()> reached) {
  const std::scoped_lock lock(mutex_);
  reached_ = std::move(reached);
}

void FailureDetector::poll() {
  const std::scoped_lock lock(mutex_);
  if (failure_) failure_->raise();
  if (const auto why = deadline_exceeded(monotonic_seconds(), 0)) {
    fail_here(*why);
    failure_->raise();
  }
}

void FailureDetector::throw_lost(int rank, const std::string& how) {
  for (const double end = monotonic_seconds() + 2; monotonic_seconds() < end;) {
    {
      const std::scoped_lock lock(mutex_);
      if (failure_) failure_->raise();
    }
    ::poll(nullptr, 0, 10);
  }
  fail(Fault::communication, "rank ", rank, " is gone: ", how);
}

void FailureDetector::announce_failure(Fault fault, const std::string& why) {
  const std::scoped_lock lock(mutex_);
  if (failure_) return;  // announced already
  const ExitNotice mine{.fault = fault, .rank = rank_, .why = why};
  if (rank_ != 0) exit_notice_ = mine;
  record_failure(mine);
}

void FailureDetector::fail_here(const std::string& why) {
  const ExitNotice mine{.rank = rank_, .why = why};
  if (rank_ != 0) exit_notice_ = mine;
  record_failure(mine);
}

void FailureDetector::announce_exit() {
  const std::scoped_lock lock(mutex_);
  if (!failure_) exit_notice_ = ExitNotice{.rank = rank_, .orderly = true};
}

void FailureDetector::finishing(bool now) {
  const std::scoped_lock lock(mutex_);
  finishing_ = now;
  failed_at_ = monotonic_seconds();  // the grace begins again
}

void FailureDetector::run(std::stop_token stop) {
  double last = monotonic_seconds(), next_beat = last;
  std::vector<int> descriptors;
  const double interval = std::min(1.0, options_.timeout / 5);
  for (bool more = true; more;) {
    more = !stop.stop_requested();
    if (more) wait_readable(descriptors, kRound);
    const std::scoped_lock lock(mutex_);
    const double now = monotonic_seconds();
    const double stopped = now - last > kStopped ? now - last : 0;
    for (auto& [rank, peer] : peers_)
      peer.last_heard += stopped;  // frames of that time are not read yet
    observe_work(now, stopped);
    last = now;
    receive_all(now);
    if (exit_notice_) send(*std::exchange(exit_notice_, std::nullopt), -1);
    if (now >= next_beat) send_heartbeats(), next_beat = now + interval;
    if (more) check_deadlines(now);
    descriptors.clear();
    for (const auto& [rank, peer] : peers_)
      if (!peer.gone) descriptors.push_back(peer.link.number());
  }
}

void FailureDetector::receive_all(double now) {
  for (auto& [rank, peer] : peers_) {
    try {
      while (!peer.gone) {
        const std::optional<Frame> frame = peer.link.poll();
        if (!frame) break;
        peer.last_heard = now;
        on_frame(rank, *frame);
      }
    } catch (const Error& e) {
      peer.gone = true;
      record_failure(
          {.rank = rank, .why = "rank " + std::to_string(rank) + " is gone: " + e.what()});
    }
  }
}

void FailureDetector::on_frame(int rank, const Frame& frame) {
  if (frame.kind == FrameKind::heartbeat && frame.bytes.size() == sizeof(Progress)) {
    std::memcpy(&peers_.at(rank).progress, frame.bytes.data(), sizeof(Progress));
    return;
  }
  require(frame.kind == FrameKind::exit_notice, Fault::communication,
          "it sent an unexpected message");
  ExitNotice notice = ExitNotice::parse(text_of(frame.bytes));
  peers_.at(rank).gone = peers_.at(rank).gone || notice.orderly;
  if (notice.orderly) return;
  if (rank_ == 0) notice.why = "rank " + std::to_string(rank) + " ended: " + notice.why;
  notice.told = rank_ != 0;
  record_failure(notice);
}

void FailureDetector::send_heartbeats() {
  const Progress own{begun_, reached_ ? reached_() : 0};
  const double begin = monotonic_seconds();
  for (auto& [rank, peer] : peers_) {
    if (peer.gone) continue;
    try {
      peer.link.send(FrameKind::heartbeat, 0, std::as_bytes(std::span(&own, 1)),
                     [&] { give_up_soon(begin); });
    } catch (const Error&) {
      // receive_all() or the timeout reports the peer
    }
  }
}

// Only the first failure counts. Rank 0 sends it to the others, which do not print it again.
void FailureDetector::record_failure(const ExitNotice& notice) {
  if (failure_) return;
  failure_ = notice;
  failed_at_ = monotonic_seconds();
  ExitNotice passed_on = notice;
  passed_on.told = true;
  if (rank_ == 0) send(passed_on, notice.rank);
}

void FailureDetector::send(const ExitNotice& notice, int except) {
  const double begin = monotonic_seconds();
  for (auto& [rank, peer] : peers_) {
    if (peer.gone || rank == except) continue;
    try {
      peer.link.send(FrameKind::exit_notice, 0, bytes_of(notice.text()),
                     [&] { give_up_soon(begin); });
    } catch (const Error&) {
      peer.gone = true;
    }
  }
}

void FailureDetector::check_deadlines(double now) {
  for (const auto& [rank, peer] : peers_)
    if (!peer.gone && now - peer.last_heard > options_.timeout)
      record_failure({.rank = rank,
                      .why = "rank " + std::to_string(rank) + " has been silent for " +
                             seconds_text(options_.timeout)});
  if (finishing_) return;
  if (failure_ && now - failed_at_ > options_.grace) end_process(failure_->why);
  if (failure_) return;
  const bool waits = operation_since_ >= 0;  // and calls poll(), unless a device blocks it
  const auto why = deadline_exceeded(now, waits ? options_.grace : 0);
  if (why) fail_here(*why);
  if (why && waits) end_process(*why);
}

// Progress of the device. An operation counts as progress: it has a deadline of its own.
void FailureDetector::observe_work(double now, double pause) {
  if (!work_) return;
  const std::uint64_t seen = work_->allocations();
  const bool progress = seen != work_seen_ || operations_ > 0;
  work_since_ = progress ? now : work_since_ + pause;
  work_seen_ = seen;
}

// The reason why the current operation or work is given up; nothing before its deadline.
std::optional<std::string> FailureDetector::deadline_exceeded(double now, double slack) const {
  if (finishing_ || (operation_since_ < 0 && !work_)) return std::nullopt;
  const double since = operation_since_ < 0 ? work_since_ : operation_since_;
  // shortest on rank 0, which knows the rank that is behind
  const double limit = options_.timeout + slack + (rank_ == 0 ? 0 : options_.grace);
  if (now - since > limit) return lagging_ranks() + " within " + seconds_text(options_.timeout);
  const StopRequest stop = options_.stop_request ? options_.stop_request() : StopRequest{};
  if (stop.signal != 0 && now - std::max(since, stop.since) > options_.grace + slack)
    return lagging_ranks() + " within " + seconds_text(options_.grace) + " of signal " +
           std::to_string(stop.signal);
  return std::nullopt;
}

// Ranks behind in operations begun; if there are none, in operations that their devices have
// reached.
std::string FailureDetector::lagging_ranks() const {
  if (rank_ != 0)
    return operation_since_ < 0 ? "its device made no progress" : "rank 0 did not answer";
  std::map<int, Progress> all = {{0, {begun_, reached_ ? reached_() : 0}}};
  for (const auto& [rank, peer] : peers_) all.emplace(rank, peer.progress);
  for (const auto part : {&Progress::begun, &Progress::reached}) {
    std::uint64_t most = 0;
    for (const auto& [rank, progress] : all) most = std::max(most, progress.*part);
    std::string list;
    for (const auto& [rank, progress] : all)
      if (progress.*part < most) list += (list.empty() ? "" : ", ") + std::to_string(rank);
    if (!list.empty())
      return (list.find(',') == std::string::npos ? "rank " : "ranks ") + list +
             " did not catch up with the others";
  }
  return operation_since_ < 0 ? "no device made progress" : "an operation of all ranks did not end";
}

void FailureDetector::end_process(const std::string& why) const {
  const std::string line = "tern: error: " + why + "; rank " + std::to_string(rank_) +
                           " did not end by itself within " + seconds_text(options_.grace) + "\n";
  [[maybe_unused]] const auto n = write(STDERR_FILENO, line.data(), line.size());
  _exit(int(Fault::communication));
}

}  // namespace tern
