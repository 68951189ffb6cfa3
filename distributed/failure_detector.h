// A thread that exchanges heartbeats with the other ranks while the training loop computes. It
// names the failed rank and the reason, and ends a process that hangs.
#pragma once

#include <mutex>
#include <thread>

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

class FailureDetector {
 public:
  // links: RankLinks::heartbeat
  FailureDetector(int rank, int size, std::vector<Connection> links, DetectorOptions options);
  ~FailureDetector();  // without an announcement the other ranks report this one as gone

  // The training loop marks the operations in which it waits for other ranks, and so may hang.
  // Every rank begins the same operations in the same order; a nested one is part of the outer one.
  void begin_operation();
  void end_operation();
  double seconds_waited() const { return waited_; }  // in operations, so far

  // The loop marks the scopes in which it gives the device work, and so may hang with the device.
  // It makes progress as long as it allocates from the pool.
  void begin_work(const Pool& pool);
  void end_work();
  // Source of the number of operations that this rank's device has started
  // (Communicator::reached); empty: not known.
  void follow(std::function<std::uint64_t()> reached);

  // Call it while an operation waits. Throws an Error if the operation cannot succeed:
  // Fault::communication with the rank that is gone or behind, or the failure that another rank has
  // announced; without text where rank 0 prints it.
  void poll();
  // The connection to a rank has broken. Throws the announced failure, else `how` it broke.
  [[noreturn]] void throw_lost(int rank, const std::string& how);

  // To the other ranks: this one ends, with an error or without.
  void announce_failure(Fault fault, const std::string& why);
  void announce_exit();
  // While `now`: rank 0 writes its last files and may exceed every limit. Only a rank that is gone
  // or silent counts as a failure.
  void finishing(bool now = true);

 private:
  struct Progress {                        // number of operations
    std::uint64_t begun = 0, reached = 0;  // by the loop, by the device
  };
  struct Peer {
    Connection link;
    double last_heard;  // monotonic seconds
    Progress progress{};
    bool gone = false;
  };

  void run(std::stop_token stop);
  void receive_all(double now);
  void on_frame(int rank, const Frame& frame);
  void send_heartbeats();
  void check_deadlines(double now);
  void send(const ExitNotice& notice, int except);
  void record_failure(const ExitNotice& notice);
  void fail_here(const std::string& why);
  void observe_work(double now, double pause);
  std::optional<std::string> deadline_exceeded(double now, double slack) const;
  std::string lagging_ranks() const;
  [[noreturn]] void end_process(const std::string& why) const;

  const int rank_;
  const DetectorOptions options_;
  mutable std::mutex mutex_;
  std::map<int, Peer> peers_;                // only the thread uses them, except `progress`
  std::optional<ExitNotice> failure_{};      // the first of the run
  std::optional<ExitNotice> exit_notice_{};  // of this rank, not sent yet
  double failed_at_ = 0, operation_since_ = -1;
  const Pool* work_ = nullptr;   // set while the loop gives the device work
  std::uint64_t work_seen_ = 0;  // Pool::allocations
  double work_since_ = 0;        // time of its last change
  std::function<std::uint64_t()> reached_{};
  int operations_ = 0;  // nesting depth
  std::atomic<double> waited_{0};
  std::atomic<std::uint64_t> begun_{0};
  std::atomic<bool> finishing_{false};
  std::jthread thread_;  // last member: it uses all of the above
};

}  // namespace tern
