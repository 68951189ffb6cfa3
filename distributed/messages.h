// Text messages between ranks: identity of a rank, and reason of its exit. The keys of the text are
// those of every build: two builds must understand each other to report that they differ.
#pragma once

#include <exception>

#include "core/check.h"
#include "distributed/rendezvous.h"

namespace tern {

struct Hello {
  std::string job{};
  int rank = 0, size = 1;
  bool heartbeat = false;  // the connection of the failure detector, not of the training loop
  Identity identity{};

  std::string text() const;
  static Hello parse(const std::string& text);  // Fault::communication
};

// Announcement of one rank to the others that the run, or the rank itself, ends.
struct ExitNotice {
  Fault fault = Fault::communication;
  int rank = 0;          // the cause
  std::string why{};     // one line to print; empty with `orderly`
  bool told = false;     // another process prints it
  bool orderly = false;  // the rank has finished without a failure

  std::string text() const;
  static ExitNotice parse(const std::string& text);  // Fault::communication
  [[noreturn]] void raise() const;                   // an Error, without text if `told`
};

// Notice to the other ranks of an error that ends this one.
ExitNotice exit_notice_of(const std::exception_ptr& error);

// Names each rank that differs from rank 0, with the difference, and ranks that have the same GPU.
// Empty: all agree.
std::string disagreement(const std::map<int, Hello>& hellos);

std::string seconds_text(double seconds);  // "300 s"

}  // namespace tern
