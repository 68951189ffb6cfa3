#include "rtl/model/executor.h"

#include <algorithm>
#include <cstring>
#include <ostream>

#include "core/check.h"
#include "rtl/model/assembler.h"

namespace tern::rtl {
namespace {

template <class Word>
Word word_at(std::span<const std::byte> bytes, std::size_t i) {
  Word word;
  std::memcpy(&word, bytes.data() + i * sizeof word, sizeof word);
  return word;
}

int exponent_bits(int exponent) {
  constexpr int kRest = 32 - kExponentBits;
  return std::int32_t(std::uint32_t(exponent) << kRest) >> kRest;
}

// Memory may hold anything: what is no mantissa of 24 bits is zero.
Scalar scalar_at(std::span<const std::byte> bytes, std::size_t i) {
  const std::uint32_t mantissa = word_at<std::uint32_t>(bytes, 2 * i) & 0xff'ffff;
  const auto exponent = word_at<std::int32_t>(bytes, 2 * i + 1);
  return mantissa >> 23 ? Scalar{mantissa, exponent} : Scalar{};
}

// QNT reads any scalar as a reciprocal; those of code_reciprocal come back as they were.
Reciprocal reciprocal_of(const Scalar& s) {
  const Factor f = factor_of(s);
  return {f.mantissa, std::clamp(-f.exponent, 10, 27)};
}

Scalar scalar_of_reciprocal(const Reciprocal& r) {
  return scalar_of(std::uint64_t(r.mantissa), -r.shift);
}

}  // namespace

Executor::Executor(std::span<const std::uint64_t> program, std::span<std::byte> memory,
                   const Lengths& lengths, const ArrayShape& shape)
    : program_(decode_program(program)), memory_(memory), lengths_(lengths), shape_(shape) {
  const std::size_t words = *std::ranges::max_element(lengths);
  vectors_.assign(kVectorRegisters, Vector(words));
  norms_.assign(kNormRegisters, std::vector<std::int16_t>(words));
  codes_.assign(kCodeRegisters, std::vector<std::int8_t>(words));
}

void Executor::run(std::uint32_t token, const Hook& hook) {
  token_ = token, pass_ = 0, base_ = 0, likeliest_ = -1;
  for (std::size_t at = 0; at < program_.size();) {
    const Instruction& i = program_[at];
    std::size_t next = at + 1;
    try {
      if (i.op == Op::loop)
        next = loop(i, at);
      else
        execute(i);
    } catch (const Error& e) {
      fail(e.fault, "program: word ", at, ": ", disassemble(encode(i)), ": ", e.what());
    }
    if (hook) hook(*this, at);
    at = i.op == Op::halt ? program_.size() : next;
  }
}

std::size_t Executor::loop(const Instruction& i, std::size_t at) {
  pass_ += std::uint32_t(i.flags);
  base_ += i.imm;
  if (pass_ < i.passes()) return i.target();
  pass_ = 0, base_ = 0;
  return at + 1;
}

void Executor::execute(const Instruction& i) {
  switch (i.op) {
    case Op::ldv:
    case Op::stv:
    case Op::ldp:
    case Op::lds:
      return execute_memory(i);
    case Op::qnt:
      return quantize_row(i);
    case Op::sop:
      return write(i.sd, scalar_result(i));
    case Op::tmm:
      return multiply_tiles(i);
    case Op::amax:
      return find_largest(i);
    case Op::halt:
    case Op::loop:
      return;
    default:
      return execute_row(i);
  }
}

void Executor::execute_memory(const Instruction& i) {
  const std::size_t n = length(i);
  if (i.op == Op::lds) {
    const auto count = std::size_t(i.va);
    const std::span<const std::byte> from = memory(i, kScalarBytes, count * kScalarBytes);
    for (std::size_t k = 0; k < count; ++k)
      write((i.sd + int(k)) % kScalarRegisters, scalar_at(from, k));
  } else if (i.op == Op::ldp) {
    const std::span<const std::byte> from = memory(i, 2, 2 * n);
    std::memcpy(norms_[std::size_t(i.pa)].data(), from.data(), from.size());
  } else if (i.op == Op::ldv) {
    const std::span<const std::byte> from = memory(i, 4, 4 * n);
    std::memcpy(vectors_[std::size_t(i.vd)].data(), from.data(), from.size());
  } else {
    std::memcpy(memory(i, 4, 4 * n).data(), vectors_[std::size_t(i.va)].data(), 4 * n);
  }
}

void Executor::execute_row(const Instruction& i) {
  switch (i.op) {
    case Op::mul:
      if (i.imm & kMulSquares) write(i.sd, scalar_of(sum_squares(row(i.va, i), i.narrow())));
      write(i.vd,
            i.has(kNormOperand)
                ? multiply_rows(row(i.va, i), i.narrow(), norm_row(i.pa, i), i.shift(), saturate_)
                : multiply_rows(row(i.va, i), i.narrow(), row(i.vb, i), i.shift(), saturate_));
      break;
    case Op::mac:
      write(i.vd, add_scaled(row(i.vb, i), sums(i), i.shift(), saturate_));
      break;
    case Op::sig: {
      const auto norm = norm_row(i.pa, i);
      const std::vector<std::uint16_t> open(norm.begin(), norm.end());
      const bool bound = i.has(kBound) && (pass_ > 0 || !i.has(kBoundLater));
      write(i.vd,
            closed_gates(sums(i), bound ? std::span(open) : std::span<std::uint16_t>{}, saturate_));
      break;
    }
    case Op::silu:
      write(i.vd, i.has(kOfState) ? silu_of_state(row(i.va, i), saturate_)
                                  : silu_of_sums(sums(i), saturate_));
      break;
    case Op::scan: {
      Vector h(row(i.vd, i).begin(), row(i.vd, i).end());
      scan_row(h, row(i.va, i), row(i.vb, i), saturate_);
      write(i.vd, h);
      break;
    }
    default:
      statistic_ = rtl::statistic(row(i.va, i), norm_row(i.pb, i), saturate_);
  }
  if ((i.op == Op::mul || i.op == Op::mac) && i.has(kStatistic))
    statistic_ = rtl::statistic(row(i.vd, i), norm_row(i.pb, i), saturate_);
}

void Executor::quantize_row(const Instruction& i) {
  const auto norm = i.has(kWithNorm) ? norm_row(i.pb, i) : std::span<const std::int16_t>{};
  const QuantizedRow out = quantize(row(i.va, i), norm_row(i.pa, i), norm, statistic_,
                                    reciprocal_of(scalar(i.sa)), saturate_);
  std::ranges::copy(out.q, codes_[std::size_t(i.vd)].begin());
  if (i.has(kWithSquares)) write(i.sd, scalar_of(out.squares, 2 * out.shift));
  if (i.has(kWithNorm)) write(i.vb, scalar_of(out.of_norm, 2 * out.shift));
}

Scalar Executor::scalar_result(const Instruction& i) const {
  const Scalar &a = scalar(i.sa), &b = scalar(i.vb);
  switch (i.function()) {
    case ScalarFunction::mul:
      return multiply(a, b);
    case ScalarFunction::add:
      return add(a, b);
    case ScalarFunction::div:
      return divide(a, b);
    case ScalarFunction::root:
      return square_root(a);
    case ScalarFunction::rcp:
      return scalar_of_reciprocal(code_reciprocal(statistic_));
    default:
      return scalar_of(statistic_.product);
  }
}

void Executor::multiply_tiles(const Instruction& i) {
  const std::size_t rows = length(i), columns = lengths_[std::size_t(i.pa)];
  const std::span<const std::byte> tiles =
      memory(i, 4, tiles_bytes(std::int64_t(rows), std::int64_t(columns), shape_));
  // codes behind the row meet weights of 0
  const auto side = std::size_t(shape_.columns), quarter = side / 4;
  std::vector<std::int8_t> q(codes(i.va));
  q.resize(columns);
  q.resize((columns + side - 1) / side * side);
  Vector out(rows);
  std::size_t at = 0;
  for (std::size_t r = 0; r < rows; r += std::size_t(shape_.rows))
    for (std::size_t c = 0; c < columns; c += side)
      for (std::size_t lane = r; lane < r + std::size_t(shape_.rows); ++lane)
        for (std::size_t b = 0; b < quarter; ++b, ++at) {
          const auto byte = std::uint32_t(tiles[at]);
          require((byte & byte >> 1 & 0x55) == 0, Fault::input, "tile byte ", at,
                  ": expected codes from 0 to 2, got a 3");
          if (lane >= rows) continue;
          const std::int8_t* const first = q.data() + c + b;
          for (std::size_t p = 0; p < 4; ++p)
            out[lane] += (std::int32_t(byte >> 2 * p & 3) - 1) * first[p * quarter];
        }
  write(i.vd, out);
}

void Executor::find_largest(const Instruction& i) {
  const std::span<const std::int32_t> words = row(i.va, i);
  const std::uint64_t first = i.imm + (i.base() == Base::pass ? pass_ * words.size() : 0);
  for (std::size_t k = 0; k < words.size(); ++k)
    if (likeliest_ < 0 || words[k] > largest_) {
      largest_ = words[k];
      likeliest_ = std::int32_t((first + k) & 0x7fff'ffff);
    }
}

std::uint64_t Executor::offset(const Instruction& i, std::uint64_t word_bytes) const {
  const std::uint64_t vector = vector_bytes(length(i), word_bytes);
  switch (i.base()) {
    case Base::layer:
      return base_;
    case Base::pass:
      return pass_ * vector;
    case Base::token:
      return token_ * vector;
    default:
      return 0;
  }
}

std::span<std::byte> Executor::memory(const Instruction& i, std::uint64_t word_bytes,
                                      std::uint64_t bytes) {
  const std::uint64_t begin = i.imm + offset(i, word_bytes);
  require(begin + bytes <= memory_.size(), Fault::input, "expected bytes of the memory, 0 to ",
          memory_.size() - 1, ", got ", begin, " to ", begin + bytes - 1);
  return memory_.subspan(begin, bytes);
}

std::span<const std::int32_t> Executor::row(int v, const Instruction& i) const {
  return std::span(vector(v)).first(length(i));
}

std::span<const std::int16_t> Executor::norm_row(int p, const Instruction& i) const {
  return std::span(norm(p)).first(length(i));
}

ScaledSums Executor::sums(const Instruction& i) const {
  return {row(i.va, i), i.narrow(), scalar(i.sa)};
}

void Executor::write(int v, const Vector& words) {
  std::ranges::copy(words, vectors_[std::size_t(v)].begin());
}

void Executor::write(int s, const Scalar& value) {
  saturate_(value.exponent, kExponentBits);
  scalars_[std::size_t(s)] = {value.mantissa, exponent_bits(value.exponent)};
}

namespace {

template <class Word>
void write_words(std::ostream& out, std::string_view name, const std::vector<Word>& words) {
  out << ' ' << name << " =";
  for (const Word w : words) out << ' ' << std::uint32_t(std::make_unsigned_t<Word>(w));
}

}  // namespace

void write_step(std::ostream& out, const Executor& e, std::size_t at) {
  const Instruction& i = e.program()[at];
  out << std::dec << at << ": " << disassemble(encode(i)) << " |" << std::hex;
  const auto scalar = [&](int s) {
    out << " s" << std::dec << s << std::hex << " = " << e.scalar(s).mantissa << " 2^" << std::dec
        << e.scalar(s).exponent << std::hex;
  };
  const bool row = i.op == Op::ldv || i.op == Op::mul || i.op == Op::mac || i.op == Op::sig ||
                   i.op == Op::silu || i.op == Op::scan || i.op == Op::tmm;
  if (row) write_words(out, "v" + std::to_string(i.vd), e.vector(i.vd));
  if (i.op == Op::ldp) write_words(out, "p" + std::to_string(i.pa), e.norm(i.pa));
  if (i.op == Op::qnt) write_words(out, i.vd == 0 ? "qa" : "qb", e.codes(i.vd));
  if (i.op == Op::lds)
    for (int k = 0; k < i.va; ++k) scalar((i.sd + k) % kScalarRegisters);
  if (i.op == Op::sop || (i.op == Op::mul && i.imm & kMulSquares) ||
      (i.op == Op::qnt && i.has(kWithSquares)))
    scalar(i.sd);
  if (i.op == Op::qnt && i.has(kWithNorm)) scalar(i.vb);
  if (i.op == Op::stat || ((i.op == Op::mul || i.op == Op::mac) && i.has(kStatistic)))
    out << " statistic = " << e.statistic().product << ' ' << e.statistic().row;
  if (i.op == Op::amax) out << " likeliest = " << e.likeliest();
  out << std::dec << '\n';
}

}  // namespace tern::rtl
