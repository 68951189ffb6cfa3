#include "rtl/tests/core/core_bench.h"

namespace tern::rtl {
namespace {

template <class Words>
std::vector<std::int64_t> words_of(const Words& words) {
  return {words.begin(), words.end()};
}

}  // namespace

Step step_of(const Executor& e, std::size_t at) {
  const Instruction& i = e.program()[at];
  Step step{.word = at};
  const auto scalar = [&](int s) {
    step.wrote[kScalarTrace + s] = {e.scalar(s).mantissa, e.scalar(s).exponent};
  };
  const auto statistic = [&] {
    step.wrote[kStatisticTrace] = {std::int64_t(e.statistic().product),
                                   std::int64_t(e.statistic().row)};
  };
  const auto vector = [&] { step.wrote[i.vd] = words_of(e.vector(i.vd)); };
  switch (i.op) {
    case Op::ldp:
      step.wrote[kNormTrace + i.pa] = words_of(e.norm(i.pa));
      break;
    case Op::lds:
      for (int k = 0; k < i.va; ++k) scalar((i.sd + k) % kScalarRegisters);
      break;
    case Op::mul:
    case Op::mac:
      vector();
      if (i.has(kStatistic)) statistic();
      if (i.op == Op::mul && i.imm & kMulSquares) scalar(i.sd);
      break;
    case Op::stat:
      statistic();
      break;
    case Op::qnt:
      step.wrote[kCodeTrace + i.vd] = words_of(e.codes(i.vd));
      if (i.has(kWithSquares)) scalar(i.sd);
      if (i.has(kWithNorm)) scalar(i.vb);
      break;
    case Op::sop:
      scalar(i.sd);
      break;
    case Op::ldv:
    case Op::sig:
    case Op::silu:
    case Op::scan:
    case Op::tmm:
      vector();
      break;
    default:
      break;
  }
  return step;
}

void Trace::done(int unit, int word) {
  auto& expected = expected_[std::size_t(unit)];
  ASSERT_FALSE(expected.empty()) << "an instruction too many, word " << word;
  const Step step = std::move(expected.front());
  expected.pop_front();
  ASSERT_EQ(std::size_t(word), step.word) << "another instruction";
  for (const auto& [number, words] : step.wrote)
    for (std::size_t k = 0; k < words.size(); ++k) {
      const std::vector<std::int64_t>& held = registers_[number];
      ASSERT_EQ(k < held.size() ? held[k] : 0, words[k])  // 0: nobody has written it
          << "word " << word << ", register " << number << ", element " << k;
    }
  ++compared_;
}

}  // namespace tern::rtl

// What the SystemVerilog calls.
extern "C" {
void tern_trace_word(int number, int word, int value) {
  using namespace tern::rtl;
  trace->write(number, word,
               number >= kNormTrace && number < kCodeTrace ? std::int16_t(value) : value);
}
void tern_trace_scalar(int number, int mantissa, int exponent) {
  tern::rtl::trace->write(tern::rtl::kScalarTrace + number, 0, mantissa);
  tern::rtl::trace->write(tern::rtl::kScalarTrace + number, 1, exponent);
}
void tern_trace_statistic(long long product, int row) {
  tern::rtl::trace->write(tern::rtl::kStatisticTrace, 0, product);
  tern::rtl::trace->write(tern::rtl::kStatisticTrace, 1, row);
}
void tern_trace_done(int unit, int word) {
  tern::rtl::trace->done(unit, word);
}
}
