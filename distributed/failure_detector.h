// The thread that watches over the other ranks while the training loop computes: heartbeats both
// ways, which rank is gone and why, and an end for a process that hangs.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/pool.h"
#include "distributed/connection.h"
#include "distributed/messages.h"

namespace tern {

// A signal that asked this process to stop.
struct StopRequest {
  int signal = 0;    // 0: none
  double since = 0;  // monotonic seconds
};

struct DetectorOptions {
  double timeout = 600;  // seconds that a rank may be silent, or behind the others
  double grace = 60;     // seconds from a failure or a stop signal to the end of the process
  std::function<StopRequest()> stop_request{};  // for any thread; empty: there are no signals
};

class Watch {
 public:
  // links: RankLinks::watch
  Watch(int rank, int size, std::vector<Connection> links, DetectorOptions options);
  ~Watch();  // without leave() or farewell() the others take this rank for dead

  // The loop says when it begins and ends to wait for others: in between it may hang. Every rank
  // begins the same operations in the same order; those within another one are part of it.
  void begin_operation();
  void end_operation();
  double seconds_waited() const { return waited_; }  // in operations, so far

  // Between these the loop gives the device work, and a device that hangs may hold it up. It gets
  // on as long as it takes memory of the pool.
  void begin_work(const Pool& pool);
  void end_work();
  // How many operations this rank's device has come to (Communicator::reached), asked until it is
  // replaced; empty: not known.
  void follow(std::function<std::uint64_t()> reached);

  // While it waits: an Error if it cannot succeed. Fault::communication naming the rank that is
  // gone or behind; what another rank has announced; without text where rank 0 shows it to people.
  void poll();
  // The connection to a rank has broken: throws what is known about why.
  [[noreturn]] void lost(int rank, const std::string& how);

  void farewell(Fault fault, const std::string& why);  // tells the others what ended this rank
  void leave();                                        // tells them that it is done, all being well
  // The end has been agreed on, or a failure noticed: rank 0 may take its time over what it writes,
  // and only a rank that is gone or silent matters meanwhile.
  void finishing(bool now = true);

 private:
  struct Progress {                        // operations, so far
    std::uint64_t begun = 0, reached = 0;  // by the loop, by the device
  };
  struct Peer {
    Connection link;
    double heard;  // when
    Progress progress{};
    bool gone = false;
  };

  void run(std::stop_token stop);
  void listen(double now);
  void take(int rank, const Frame& frame);
  void beat();
  void judge(double now);
  void send(const Parting& parting, int except);
  void fail_because(const Parting& parting);
  void conclude(const std::string& why);
  void look_at_work(double now, double pause);
  std::optional<std::string> hopeless(double now, double slack) const;
  std::string laggards() const;
  [[noreturn]] void end_process(const std::string& why) const;

  const int rank_;
  const DetectorOptions options_;
  mutable std::mutex mutex_;
  std::map<int, Peer> peers_;         // the thread's own, but for `progress`
  std::optional<Parting> failure_{};  // of the run; the first one
  std::optional<Parting> parting_{};  // of this rank, to be sent
  double failed_at_ = 0, operation_since_ = -1;
  const Pool* work_ = nullptr;   // while the device is given work
  std::uint64_t work_seen_ = 0;  // Pool::allocations
  double work_since_ = 0;        // when that changed
  std::function<std::uint64_t()> reached_{};
  int operations_ = 0;  // under way, one within another
  std::atomic<double> waited_{0};
  std::atomic<std::uint64_t> begun_{0};
  std::atomic<bool> finishing_{false};
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace tern
