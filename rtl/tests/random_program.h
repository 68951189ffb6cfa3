// Random instructions and programs, for the executor here and for whatever must do as it does.
#pragma once

#include <functional>

#include "core/rng.h"
#include "rtl/model/executor.h"

namespace tern::rtl {

class RandomProgram {
 public:
  explicit RandomProgram(std::uint64_t seed) : rng_(seed) {}

  std::uint64_t draw(std::uint64_t below) { return rng_.bits(drawn_++) % below; }
  std::uint64_t value(const Operand& o) {
    return o.first + draw((o.last - o.first) / o.multiple + 1) * o.multiple;
  }
  // A word of this form; optional operands are there as often as not.
  std::uint64_t word(const Form& form, const std::function<std::uint64_t(const Operand&)>& choose) {
    std::uint64_t present = 0, out = std::uint64_t(form.op) << kOpAt | form.fixed;
    for (const Operand& o : form.operands)
      if (draw(2)) present |= o.flag;
    for (const Operand& o : form.operands)
      if (o.flag == 0 || (present & o.flag)) out |= o.flag | choose(o) << o.low;
    return out;
  }
  std::uint64_t word(const Form& form) {
    return word(form, [this](const Operand& o) { return value(o); });
  }

  // A legal program of so many words over a memory of this size, whose addresses stay inside it.
  // What an instruction needs behind its address is at most `reach` bytes. It writes the first half
  // of the memory only and multiplies tiles of the other, which may not have any bytes.
  std::vector<std::uint64_t> program(std::size_t words, std::uint64_t memory, std::uint64_t reach) {
    const std::uint64_t half = memory / 2 / kMemoryAlignment,
                        free_half = half - reach / kMemoryAlignment;
    std::vector<std::uint64_t> out;
    std::size_t free = 0;
    while (out.size() + 1 < words) {
      const Form& form = forms()[draw(forms().size())];
      if (form.op == Op::halt) continue;
      const std::size_t at = out.size();
      if (form.op == Op::loop && (at == free || draw(2))) continue;
      out.push_back(word(form, [&](const Operand& o) {
        if (form.op == Op::loop && o.width == 8) return free + draw(at - free);
        if (form.op == Op::loop && o.width == 16) return 1 + draw(4);
        if (form.op == Op::loop && o.width == 32) return draw(4) * kMemoryAlignment;
        if (o.multiple == kMemoryAlignment)
          return (draw(free_half) +
                  (form.op == Op::tmm || (form.op != Op::stv && draw(2)) ? half : 0)) *
                 kMemoryAlignment;
        return value(o);
      }));
      if (form.op == Op::loop) free = out.size();
    }
    out.push_back(0);  // halt
    return out;
  }

 private:
  const Rng rng_;
  std::uint64_t drawn_ = 0;
};

}  // namespace tern::rtl
