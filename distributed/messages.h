// Text messages between ranks: identity of a rank, and reason of its exit.
#pragma once

#include <exception>
#include <map>
#include <string>

#include "core/check.h"
#include "distributed/rendezvous.h"

namespace tern {

struct Hello {
  std::string job{};
  int rank = 0, size = 1;
  bool watch = false;  // which of the two connections this is
  Identity identity{};

  std::string text() const;
  static Hello parse(const std::string& text);  // Fault::communication
};

// The end of a run that one rank announces to the others.
struct Parting {
  Fault fault = Fault::communication;
  int rank = 0;          // that is the cause
  std::string why{};     // for people; empty with `orderly`
  bool told = false;     // another process prints it
  bool orderly = false;  // the rank is done: no failure

  std::string text() const;
  static Parting parse(const std::string& text);  // Fault::communication
  [[noreturn]] void raise() const;                // an Error, without text if it is told elsewhere
};

// What to tell the others of an error that ends this rank.
Parting parting_of(const std::exception_ptr& error);

// Which rank differs from rank 0 in what, or which two share a GPU; empty: they belong together.
std::string disagreement(const std::map<int, Hello>& hellos);

std::string seconds_text(double seconds);  // "300 s"

}  // namespace tern
