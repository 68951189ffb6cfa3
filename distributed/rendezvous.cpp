#include "distributed/rendezvous.h"

#include <unistd.h>

#include <algorithm>

#include "core/check.h"
#include "core/clock.h"
#include "distributed/messages.h"

namespace tern {
namespace {

constexpr std::size_t kMostPending = 64;  // connections without a hello so far
constexpr double kQuietSeconds = 10;      // of waiting, before a log line
constexpr double kLongestPause = 0.5;     // between two attempts to connect

WaitCallback until(double deadline, const std::string& why) {
  return [=] { require(monotonic_seconds() < deadline, Fault::communication, why); };
}

// Rank 0's side: listens, and sorts connections by rank.
class Server {
 public:
  Server(const RankInfo& info, const Identity& own, RendezvousOptions options)
      : info_(info), options_(std::move(options)), listener_(std::move(options_.listener)) {
    if (!listener_) listener_ = std::make_unique<Listener>(info.host, info.port, callers_of(info));
    hellos_.emplace(0, Hello{.job = info.job, .rank = 0, .size = info.size, .identity = own});
  }

  RankLinks gather() {
    const double end = monotonic_seconds() + options_.seconds;
    double logged = monotonic_seconds();
    while (training_.size() + heartbeat_.size() < 2 * std::size_t(info_.size - 1)) {
      wait();
      while (pending_.size() < kMostPending)
        if (auto connection = listener_->accept())
          pending_.push_back(
              {std::move(*connection), monotonic_seconds() + options_.handshake_seconds});
        else
          break;
      std::erase_if(pending_, [&](PendingPeer& peer) { return on_message(peer); });
      const double now = monotonic_seconds();
      if (now > end)
        refuse(Fault::communication, missing() + " did not come to " + here() + " within " +
                                         seconds_text(options_.seconds));
      if (now < logged + kQuietSeconds) continue;
      logged = now;
      options_.log("waiting at " + here() + " for " + missing());
    }
    if (const std::string text = disagreement(hellos_); !text.empty()) refuse(Fault::usage, text);
    return welcome();
  }

 private:
  struct PendingPeer {
    Connection connection;
    double deadline;
  };

  void wait() const {
    std::vector<int> all = {listener_->number()};
    for (const PendingPeer& p : pending_) all.push_back(p.connection.number());
    wait_readable(all, 50);
  }

  // true: no longer pending, because accepted as a rank's connection, or dropped
  bool on_message(PendingPeer& peer) {
    try {
      require(monotonic_seconds() < peer.deadline, Fault::communication,
              "it did not identify itself");
      const std::optional<Frame> frame = peer.connection.poll();
      if (!frame) return false;
      require(frame->kind == FrameKind::hello, Fault::communication, "it did not identify itself");
      accept(Hello::parse(text_of(frame->bytes)), peer.connection);
    } catch (const Error& e) {
      options_.log("dropped a connection from " + peer.connection.peer() + ": " + e.what());
    }
    return true;
  }

  void accept(const Hello& hello, Connection& from) {
    auto& links = hello.heartbeat ? heartbeat_ : training_;
    std::string why;
    if (hello.job != info_.job)
      why = "it belongs to another job ('" + hello.job + "', this is '" + info_.job + "')";
    else if (hello.size != info_.size || hello.rank < 1 || hello.rank >= info_.size)
      why = "it is rank " + std::to_string(hello.rank) + " of " + std::to_string(hello.size) +
            ", this run has " + std::to_string(info_.size);
    else if (links.contains(hello.rank))
      why = "there is a rank " + std::to_string(hello.rank) + " already";
    if (!why.empty()) {
      send(from, FrameKind::refusal, ExitNotice{Fault::communication, 0, why, false}.text());
      fail(Fault::communication, why);
    }
    hellos_.emplace(hello.rank, hello);
    links.emplace(hello.rank, std::move(from));
  }

  std::string missing() const {  // "ranks 2, 5 of 8"
    std::string list;
    int count = 0;
    for (int r = 1; r < info_.size; ++r)
      if (!training_.contains(r) || !heartbeat_.contains(r))
        list += (count++ ? ", " : "") + std::to_string(r);
    return (count > 1 ? "ranks " : "rank ") + list + " of " + std::to_string(info_.size);
  }

  std::string here() const { return address_text(info_.host, listener_->port()); }

  [[noreturn]] void refuse(Fault fault, const std::string& text) {
    for (auto& [rank, link] : training_)
      send(link, FrameKind::refusal, ExitNotice{fault, 0, text, true}.text());
    fail(fault, text);
  }

  RankLinks welcome() {
    RankLinks out;
    for (auto& [rank, link] : training_) {
      send(link, FrameKind::welcome, "");
      out.training.push_back(std::move(link));
    }
    for (auto& [rank, link] : heartbeat_) out.heartbeat.push_back(std::move(link));
    return out;
  }

  static void send(Connection& to, FrameKind kind, const std::string& text) {
    try {
      to.send(kind, 0, bytes_of(text),
              until(monotonic_seconds() + 1, "it does not receive messages"));
    } catch (const Error&) {
      // a broken connection shows when it is read
    }
  }

  RankInfo info_;
  RendezvousOptions options_;
  std::unique_ptr<Listener> listener_;
  std::vector<PendingPeer> pending_{};
  std::map<int, Connection> training_{}, heartbeat_{};
  std::map<int, Hello> hellos_{};
};

Connection connect(const RankInfo& info, double end) {
  std::string why_not;
  for (double pause = 0.02;; pause = std::min(1.5 * pause, kLongestPause)) {
    const double left = end - monotonic_seconds();
    require(left > 0, Fault::communication, "rank ", info.rank, " of ", info.size,
            " cannot reach rank 0 at ", address_text(info.host, info.port), ": ", why_not);
    if (auto connection = try_connect(info.host, info.port, std::min(left, 5.0), why_not))
      return std::move(*connection);
    usleep(useconds_t(pause * 1e6));
  }
}

RankLinks join(const RankInfo& info, const Identity& identity, const RendezvousOptions& options) {
  const double end = monotonic_seconds() + options.seconds;
  const std::string where = address_text(info.host, info.port);
  // longer than on rank 0, which then names the missing ranks
  const WaitCallback on_wait =
      until(end + options.handshake_seconds, "rank 0 at " + where + " does not answer");
  Hello hello{.job = info.job, .rank = info.rank, .size = info.size, .identity = identity};
  RankLinks out;
  try {
    out.training.push_back(connect(info, end));
    out.training[0].send(FrameKind::hello, 0, bytes_of(hello.text()), on_wait);
    hello.heartbeat = true;
    out.heartbeat.push_back(connect(info, end));
    out.heartbeat[0].send(FrameKind::hello, 0, bytes_of(hello.text()), on_wait);
    const Frame answer = out.training[0].receive(on_wait);
    if (answer.kind == FrameKind::refusal) ExitNotice::parse(text_of(answer.bytes)).raise();
    require(answer.kind == FrameKind::welcome, Fault::communication, "it is not rank 0");
    return out;
  } catch (const Error& e) {
    const std::string text = e.what();
    if (e.fault != Fault::communication || text.empty() || text.starts_with("rank")) throw;
    fail(e.fault, "rank ", info.rank, " was not accepted by the process that answers at ", where,
         ": ", text);
  }
}

}  // namespace

Callers callers_of(const RankInfo& info) {
  return info.one_machine() ? Callers::this_machine : Callers::any_machine;
}

RankLinks rendezvous(const RankInfo& info, const Identity& identity, RendezvousOptions options) {
  if (info.size == 1) return {};
  if (info.rank == 0) return Server(info, identity, std::move(options)).gather();
  return join(info, identity, options);
}

}  // namespace tern
