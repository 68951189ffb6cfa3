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
constexpr double kStopped = 1;        // seconds: a round this long means that we were stopped
constexpr double kLongestSend = 0.2;  // seconds: the other side does not read

void give_up_soon(double begin) {
  require(monotonic_seconds() < begin + kLongestSend, Fault::communication,
          "it does not receive messages");
}

}  // namespace

Watch::Watch(int rank, int size, std::vector<Connection> links, DetectorOptions options)
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

Watch::~Watch() {
  thread_.request_stop();
  thread_.join();
}

void Watch::begin_operation() {
  const std::scoped_lock lock(mutex_);
  if (operations_++ > 0) return;
  ++begun_;
  operation_since_ = monotonic_seconds();
}

void Watch::end_operation() {
  const std::scoped_lock lock(mutex_);
  if (--operations_ > 0) return;
  waited_ = waited_ + monotonic_seconds() - operation_since_;
  operation_since_ = -1;
}

void Watch::begin_work(const Pool& pool) {
  const std::scoped_lock lock(mutex_);
  work_ = &pool;
  work_seen_ = pool.allocations();
  work_since_ = monotonic_seconds();
}

void Watch::end_work() {
  const std::scoped_lock lock(mutex_);
  work_ = nullptr;
}

void Watch::follow(std::function<std::uint64_t()> reached) {
  const std::scoped_lock lock(mutex_);
  reached_ = std::move(reached);
}

void Watch::poll() {
  const std::scoped_lock lock(mutex_);
  if (failure_) failure_->raise();
  if (const auto why = hopeless(monotonic_seconds(), 0)) {
    conclude(*why);
    failure_->raise();
  }
}

void Watch::lost(int rank, const std::string& how) {
  for (const double end = monotonic_seconds() + 2; monotonic_seconds() < end;) {
    {
      const std::scoped_lock lock(mutex_);
      if (failure_) failure_->raise();
    }
    ::poll(nullptr, 0, 10);
  }
  fail(Fault::communication, "rank ", rank, " is gone: ", how);
}

void Watch::farewell(Fault fault, const std::string& why) {
  const std::scoped_lock lock(mutex_);
  if (failure_) return;  // the others know
  const Parting mine{.fault = fault, .rank = rank_, .why = why};
  if (rank_ != 0) parting_ = mine;
  fail_because(mine);
}

void Watch::conclude(const std::string& why) {
  const Parting mine{.rank = rank_, .why = why};
  if (rank_ != 0) parting_ = mine;
  fail_because(mine);
}

void Watch::leave() {
  const std::scoped_lock lock(mutex_);
  if (!failure_) parting_ = Parting{.rank = rank_, .orderly = true};
}

void Watch::finishing(bool now) {
  const std::scoped_lock lock(mutex_);
  finishing_ = now;
  failed_at_ = monotonic_seconds();  // the time that it took is not counted
}

void Watch::run(std::stop_token stop) {
  double last = monotonic_seconds(), next_beat = last;
  std::vector<int> descriptors;
  const double interval = std::min(1.0, options_.timeout / 5);
  for (bool more = true; more;) {
    more = !stop.stop_requested();
    if (more) wait_readable(descriptors, kRound);
    const std::scoped_lock lock(mutex_);
    const double now = monotonic_seconds();
    const double stopped = now - last > kStopped ? now - last : 0;
    for (auto& [rank, peer] : peers_) peer.heard += stopped;  // what it did has not been read yet
    look_at_work(now, stopped);
    last = now;
    listen(now);
    if (parting_) send(*std::exchange(parting_, std::nullopt), -1);
    if (now >= next_beat) beat(), next_beat = now + interval;
    if (more) judge(now);
    descriptors.clear();
    for (const auto& [rank, peer] : peers_)
      if (!peer.gone) descriptors.push_back(peer.link.number());
  }
}

void Watch::listen(double now) {
  for (auto& [rank, peer] : peers_) {
    try {
      while (!peer.gone) {
        const std::optional<Frame> frame = peer.link.poll();
        if (!frame) break;
        peer.heard = now;
        take(rank, *frame);
      }
    } catch (const Error& e) {
      peer.gone = true;
      fail_because({.rank = rank, .why = "rank " + std::to_string(rank) + " is gone: " + e.what()});
    }
  }
}

void Watch::take(int rank, const Frame& frame) {
  if (frame.kind == FrameKind::alive && frame.bytes.size() == sizeof(Progress)) {
    std::memcpy(&peers_.at(rank).progress, frame.bytes.data(), sizeof(Progress));
    return;
  }
  require(frame.kind == FrameKind::farewell, Fault::communication, "it sent an unexpected message");
  Parting parting = Parting::parse(text_of(frame.bytes));
  peers_.at(rank).gone = peers_.at(rank).gone || parting.orderly;
  if (parting.orderly) return;
  if (rank_ == 0) parting.why = "rank " + std::to_string(rank) + " ended: " + parting.why;
  parting.told = rank_ != 0;
  fail_because(parting);
}

void Watch::beat() {
  const Progress own{begun_, reached_ ? reached_() : 0};
  const double begin = monotonic_seconds();
  for (auto& [rank, peer] : peers_) {
    if (peer.gone) continue;
    try {
      peer.link.send(FrameKind::alive, 0, std::as_bytes(std::span(&own, 1)),
                     [&] { give_up_soon(begin); });
    } catch (const Error&) {
      // reading tells what has become of it, or its silence
    }
  }
}

// The first failure counts. Rank 0 tells the others, which need not print it again.
void Watch::fail_because(const Parting& parting) {
  if (failure_) return;
  failure_ = parting;
  failed_at_ = monotonic_seconds();
  Parting passed_on = parting;
  passed_on.told = true;
  if (rank_ == 0) send(passed_on, parting.rank);
}

void Watch::send(const Parting& parting, int except) {
  const double begin = monotonic_seconds();
  for (auto& [rank, peer] : peers_) {
    if (peer.gone || rank == except) continue;
    try {
      peer.link.send(FrameKind::farewell, 0, bytes_of(parting.text()),
                     [&] { give_up_soon(begin); });
    } catch (const Error&) {
      peer.gone = true;
    }
  }
}

void Watch::judge(double now) {
  for (const auto& [rank, peer] : peers_)
    if (!peer.gone && now - peer.heard > options_.timeout)
      fail_because({.rank = rank,
                    .why = "rank " + std::to_string(rank) + " has been silent for " +
                           seconds_text(options_.timeout)});
  if (finishing_) return;
  if (failure_ && now - failed_at_ > options_.grace) end_process(failure_->why);
  if (failure_) return;
  const bool waits = operation_since_ >= 0;  // and is asked, unless a device holds it up
  const auto why = hopeless(now, waits ? options_.grace : 0);
  if (why) conclude(*why);
  if (why && waits) end_process(*why);
}

// An operation has limits of its own.
void Watch::look_at_work(double now, double pause) {
  if (!work_) return;
  const std::uint64_t seen = work_->allocations();
  const bool gets_on = seen != work_seen_ || operations_ > 0;
  work_since_ = gets_on ? now : work_since_ + pause;
  work_seen_ = seen;
}

// Why the operation or the work that is under way will not end, or nothing.
std::optional<std::string> Watch::hopeless(double now, double slack) const {
  if (finishing_ || (operation_since_ < 0 && !work_)) return std::nullopt;
  const double since = operation_since_ < 0 ? work_since_ : operation_since_;
  // rank 0 reports first: it knows which rank is behind
  const double limit = options_.timeout + slack + (rank_ == 0 ? 0 : options_.grace);
  if (now - since > limit) return laggards() + " within " + seconds_text(options_.timeout);
  const StopRequest stop = options_.stop_request ? options_.stop_request() : StopRequest{};
  if (stop.signal != 0 && now - std::max(since, stop.since) > options_.grace + slack)
    return laggards() + " within " + seconds_text(options_.grace) + " of signal " +
           std::to_string(stop.signal);
  return std::nullopt;
}

// Behind in what they have begun; where none is, in what their devices have come to.
std::string Watch::laggards() const {
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

void Watch::end_process(const std::string& why) const {
  const std::string line = "tern: error: " + why + "; rank " + std::to_string(rank_) +
                           " did not end by itself within " + seconds_text(options_.grace) + "\n";
  [[maybe_unused]] const auto n = write(STDERR_FILENO, line.data(), line.size());
  _exit(int(Fault::communication));
}

}  // namespace tern
