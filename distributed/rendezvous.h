// How the processes of a run find each other: all connect to rank 0, identify themselves, and learn
// whether they belong together.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "distributed/connection.h"
#include "distributed/rank_info.h"

namespace tern {

// What must be the same on every rank, as hashes, and what must not be.
struct Identity {
  std::string config{}, binary{}, data{};
  std::string plugins{};  // that are in use
  std::string device{};   // a GPU's own name in the world; empty: may be shared
  bool operator==(const Identity&) const = default;
};

// Two connections for each pair of rank 0 and another: one for what the training loop says and
// waits for, one for the thread that watches over it. On rank 0 in the order of ranks, from rank 1
// on; elsewhere one element, to rank 0.
struct RankLinks {
  std::vector<Connection> loop{}, watch{};
};

Callers callers_of(const RankPlace& place);

struct Rendezvous {
  double seconds = 300;           // that all ranks have to come
  double handshake_seconds = 10;  // for one connection to identify itself
  std::function<void(const std::string&)> log = [](const std::string&) {};
  std::unique_ptr<Listener> listener{};  // on rank 0: where they come, if it is open already
};

// Returns when all ranks are there and belong together. Fault::communication: not all came in time
// (the missing are listed), the port is taken, another job answers. Fault::usage: configuration,
// binary or data differ, or two ranks have one GPU. An Error without text: rank 0 has said it.
RankLinks meet(const RankPlace& place, const Identity& identity, Rendezvous how);

}  // namespace tern
