// Rendezvous of the processes of a run: all connect to rank 0 and send their identity; rank 0
// compares it with its own.
#pragma once

#include <memory>

#include "distributed/connection.h"
#include "distributed/rank_info.h"

namespace tern {

// Hashes that must be equal on every rank, and the device, which must differ.
struct Identity {
  std::string config{}, binary{}, data{};
  std::string plugins{};  // those in use
  std::string device{};   // unique id of a GPU; empty: not compared
  bool operator==(const Identity&) const = default;
};

// Two connections between rank 0 and each other rank: one for the training loop, one for the
// failure detector. Rank 0 has size - 1 elements, ranks 1, 2, ...; the others have one, to rank 0.
struct RankLinks {
  std::vector<Connection> training{}, heartbeat{};
};

Callers callers_of(const RankInfo& info);

struct RendezvousOptions {
  double seconds = 300;           // until all ranks must be connected
  double handshake_seconds = 10;  // until a connection must have sent its hello
  std::function<void(const std::string&)> log = [](const std::string&) {};
  std::unique_ptr<Listener> listener{};  // on rank 0, if it is open already
};

// Returns when all ranks are connected and their identities agree. Fault::communication: a rank did
// not connect in time (the message lists the missing), the port is in use, another job answers.
// Fault::usage: configuration, binary or data differ, or two ranks have one GPU. An Error without
// text: rank 0 prints the cause.
RankLinks rendezvous(const RankInfo& info, const Identity& identity, RendezvousOptions options);

}  // namespace tern
