// Faults that tests provoke in a real run: --inject KIND:key=value,...
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace tern {

// At the beginning of step `step`, counted from 1, of rank `rank` (0 if not given):
//   device-error:step=N            a token id outside the vocabulary, past every check: on a GPU a
//                                  kernel reads where nothing is
//   kill:rank=R,step=N             the process is killed
//   stop:rank=R,step=N,seconds=S   it is stopped (SIGSTOP) for so long, all its threads
//   sleep:rank=R,step=N,seconds=S  it is slow
//   flip:rank=R,step=N             a bit of what it holds like all others (a norm weight)
//   hang:rank=R,step=N             its device never gets past this step
//   fail:rank=R,step=N             it ends with an error
//   nan:rank=R,step=N              its share of the loss and of all gradients is NaN; with signal=S
//                                  the process gets that signal too
struct FaultInjection {
  enum class Kind { none, device_error, kill, stop, sleep, nan, flip, hang, fail };
  Kind kind = Kind::none;
  int rank = 0;
  std::int64_t step = 0;
  double seconds = 0;
  int signal = 0;

  // Fault::usage for anything but the above, or "": nothing; and for a device error without a GPU,
  // where it would end the process
  static FaultInjection parse(const std::string& text, bool gpu);
  void apply(int at_rank, std::int64_t at_step, std::span<std::int32_t> tokens) const;
  bool flips(int at_rank, std::int64_t at_step) const { return is(Kind::flip, at_rank, at_step); }
  bool hangs(int at_rank, std::int64_t at_step) const { return is(Kind::hang, at_rank, at_step); }
  // what the weight of the loss is multiplied by
  double factor(int at_rank, std::int64_t at_step) const;

 private:
  bool is(Kind what, int at_rank, std::int64_t at_step) const {
    return kind == what && at_rank == rank && at_step == step;
  }
};

}  // namespace tern
