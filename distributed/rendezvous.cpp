#include "distributed/rendezvous.h"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>

#include "core/check.h"
#include "core/clock.h"
#include "distributed/messages.h"

namespace tern {
namespace {

constexpr std::size_t kMostGuests = 64;  // connections that are not identified yet
constexpr double kQuietSeconds = 10;     // of waiting, before it is mentioned
constexpr double kLongestPause = 0.5;    // between two attempts to connect

Waiting until(double deadline, const std::string& why) {
  return [=] { require(monotonic_seconds() < deadline, Fault::communication, why); };
}

// Rank 0's side.
class Host {
 public:
  Host(const RankPlace& place, const Identity& own, Rendezvous how)
      : place_(place), how_(std::move(how)), listener_(std::move(how_.listener)) {
    if (!listener_)
      listener_ = std::make_unique<Listener>(place.host, place.port, callers_of(place));
    hellos_.emplace(0, Hello{.job = place.job, .rank = 0, .size = place.size, .identity = own});
  }

  RankLinks gather() {
    const double end = monotonic_seconds() + how_.seconds;
    double told = monotonic_seconds();
    while (loop_.size() + watch_.size() < 2 * std::size_t(place_.size - 1)) {
      wait();
      while (guests_.size() < kMostGuests)
        if (auto guest = listener_->accept())
          guests_.push_back({std::move(*guest), monotonic_seconds() + how_.handshake_seconds});
        else
          break;
      std::erase_if(guests_, [&](Guest& guest) { return heard(guest); });
      const double now = monotonic_seconds();
      if (now > end)
        refuse(Fault::communication,
               missing() + " did not come to " + here() + " within " + seconds_text(how_.seconds));
      if (now < told + kQuietSeconds) continue;
      told = now;
      how_.log("waiting at " + here() + " for " + missing());
    }
    if (const std::string text = disagreement(hellos_); !text.empty()) refuse(Fault::usage, text);
    return welcome();
  }

 private:
  struct Guest {
    Connection connection;
    double deadline;
  };

  void wait() const {
    std::vector<int> all = {listener_->number()};
    for (const Guest& g : guests_) all.push_back(g.connection.number());
    wait_readable(all, 50);
  }

  // true: no guest any more, but a rank's connection, or dropped
  bool heard(Guest& guest) {
    try {
      require(monotonic_seconds() < guest.deadline, Fault::communication,
              "it did not identify itself");
      const std::optional<Frame> frame = guest.connection.poll();
      if (!frame) return false;
      require(frame->kind == FrameKind::hello, Fault::communication, "it did not identify itself");
      admit(Hello::parse(text_of(frame->bytes)), guest.connection);
    } catch (const Error& e) {
      how_.log("dropped a connection from " + guest.connection.peer() + ": " + e.what());
    }
    return true;
  }

  void admit(const Hello& hello, Connection& from) {
    auto& links = hello.watch ? watch_ : loop_;
    std::string why;
    if (hello.job != place_.job)
      why = "it belongs to another job ('" + hello.job + "', this is '" + place_.job + "')";
    else if (hello.size != place_.size || hello.rank < 1 || hello.rank >= place_.size)
      why = "it is rank " + std::to_string(hello.rank) + " of " + std::to_string(hello.size) +
            ", this run has " + std::to_string(place_.size);
    else if (links.contains(hello.rank))
      why = "there is a rank " + std::to_string(hello.rank) + " already";
    if (!why.empty()) {
      say(from, FrameKind::refusal, Parting{Fault::communication, 0, why, false}.text());
      fail(Fault::communication, why);
    }
    hellos_.emplace(hello.rank, hello);
    links.emplace(hello.rank, std::move(from));
  }

  std::string missing() const {  // "ranks 2, 5 of 8"
    std::string list;
    int count = 0;
    for (int r = 1; r < place_.size; ++r)
      if (!loop_.contains(r) || !watch_.contains(r))
        list += (count++ ? ", " : "") + std::to_string(r);
    return (count > 1 ? "ranks " : "rank ") + list + " of " + std::to_string(place_.size);
  }

  std::string here() const { return address_text(place_.host, listener_->port()); }

  [[noreturn]] void refuse(Fault fault, const std::string& text) {
    for (auto& [rank, link] : loop_)
      say(link, FrameKind::refusal, Parting{fault, 0, text, true}.text());
    fail(fault, text);
  }

  RankLinks welcome() {
    RankLinks out;
    for (auto& [rank, link] : loop_) {
      say(link, FrameKind::welcome, "");
      out.loop.push_back(std::move(link));
    }
    for (auto& [rank, link] : watch_) out.watch.push_back(std::move(link));
    return out;
  }

  static void say(Connection& to, FrameKind kind, const std::string& text) {
    try {
      to.send(kind, 0, bytes_of(text),
              until(monotonic_seconds() + 1, "it does not receive messages"));
    } catch (const Error&) {
      // it will be missed soon enough
    }
  }

  RankPlace place_;
  Rendezvous how_;
  std::unique_ptr<Listener> listener_;
  std::vector<Guest> guests_{};
  std::map<int, Connection> loop_{}, watch_{};
  std::map<int, Hello> hellos_{};
};

Connection connect(const RankPlace& place, double end) {
  std::string why_not;
  for (double pause = 0.02;; pause = std::min(1.5 * pause, kLongestPause)) {
    const double left = end - monotonic_seconds();
    require(left > 0, Fault::communication, "rank ", place.rank, " of ", place.size,
            " cannot reach rank 0 at ", address_text(place.host, place.port), ": ", why_not);
    if (auto connection = try_connect(place.host, place.port, std::min(left, 5.0), why_not))
      return std::move(*connection);
    usleep(useconds_t(pause * 1e6));
  }
}

RankLinks join(const RankPlace& place, const Identity& identity, const Rendezvous& how) {
  const double end = monotonic_seconds() + how.seconds;
  const std::string where = address_text(place.host, place.port);
  // rank 0 times out first, and names the missing ranks
  const Waiting waiting =
      until(end + how.handshake_seconds, "rank 0 at " + where + " does not answer");
  Hello hello{.job = place.job, .rank = place.rank, .size = place.size, .identity = identity};
  RankLinks out;
  try {
    out.loop.push_back(connect(place, end));
    out.loop[0].send(FrameKind::hello, 0, bytes_of(hello.text()), waiting);
    hello.watch = true;
    out.watch.push_back(connect(place, end));
    out.watch[0].send(FrameKind::hello, 0, bytes_of(hello.text()), waiting);
    const Frame answer = out.loop[0].receive(waiting);
    if (answer.kind == FrameKind::refusal) Parting::parse(text_of(answer.bytes)).raise();
    require(answer.kind == FrameKind::welcome, Fault::communication, "it is not rank 0");
    return out;
  } catch (const Error& e) {
    const std::string text = e.what();
    if (e.fault != Fault::communication || text.empty() || text.starts_with("rank")) throw;
    fail(e.fault, "rank ", place.rank, " was not accepted by the process that answers at ", where,
         ": ", text);
  }
}

}  // namespace

Callers callers_of(const RankPlace& place) {
  return place.one_machine() ? Callers::this_machine : Callers::any_machine;
}

RankLinks meet(const RankPlace& place, const Identity& identity, Rendezvous how) {
  if (place.size == 1) return {};
  if (place.rank == 0) return Host(place, identity, std::move(how)).gather();
  return join(place, identity, how);
}

}  // namespace tern
