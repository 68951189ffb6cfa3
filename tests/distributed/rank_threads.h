// Ranks as threads of one process, for the tests of rendezvous and waiting.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "distributed/control_plane.h"
#include "tests/support/complaint.h"

namespace tern {

struct RankThreads {
  int size = 2;
  std::vector<Identity> identities{};  // of each rank; missing: the same
  std::vector<std::string> jobs{};
  double seconds = 20;
  DetectorOptions detector{};
  std::vector<int> absent{};
  std::function<void(int port)> meanwhile{};  // in a thread of its own
};

// Runs `body` once for each rank. What went wrong, by rank.
inline std::vector<std::string> run_ranks(const RankThreads& m,
                                          const std::function<void(ControlPlane&)>& body,
                                          std::vector<std::string>* log = nullptr) {
  auto listener = std::make_unique<Listener>("127.0.0.1", 0);
  const int port = listener->port();
  std::vector<std::string> complaints(std::size_t(m.size));
  const auto rank = [&](int r) {
    const auto i = std::size_t(r);
    complaints[i] = complaint([&] {
      RankInfo info{.rank = r, .size = m.size, .local_size = m.size, .host = "127.0.0.1"};
      info.port = port;
      info.job = i < m.jobs.size() ? m.jobs[i] : "job";
      RendezvousOptions how{.seconds = m.seconds, .handshake_seconds = 0.3};
      if (r == 0) how.listener = std::move(listener);
      if (r == 0 && log) how.log = [&](const std::string& line) { log->push_back(line); };
      ControlPlane control(info, i < m.identities.size() ? m.identities[i] : Identity{},
                           std::move(how), m.detector);
      body(control);
      control.failure_detector()->announce_exit();
    });
  };
  std::vector<std::thread> threads;
  if (m.meanwhile) threads.emplace_back(m.meanwhile, port);
  for (int r = 0; r < m.size; ++r)
    if (std::find(m.absent.begin(), m.absent.end(), r) == m.absent.end())
      threads.emplace_back(rank, r);
  for (std::thread& t : threads) t.join();
  return complaints;
}

}  // namespace tern
