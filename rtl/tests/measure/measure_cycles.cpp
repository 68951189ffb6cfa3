// One token of a model of random weights in the core of `tern rtl run`, beside the executor and the
// formula of its cycles.
//   measure_cycles 8|512 D H LAYERS [LATENCY]     for example 512 2560 6912 32; V = 32,000
// Layers are one random record, repeated. docs/results/accelerator.md has the table.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>

#include "rtl/model/cycles.h"
#include "rtl/model/program.h"
#include "rtl/model/simulation.h"

namespace tern::rtl {
namespace {

// Bytes of a model's memory, with scales that keep the stream near 1.
class RandomMemory {
 public:
  explicit RandomMemory(const ImageSizes& sizes)
      : sizes_(sizes), at_(layout_of(sizes, 0)), bytes_(at_.bytes) {
    const std::uint64_t record = at_.record.bytes;
    fill_tiles(at_.layers, record);
    const auto& r = at_.record;
    for (const std::uint32_t norm :
         {r.i, r.token_norm, r.f, r.g, r.open, r.g_norm, r.o, r.gate, r.channel_norm})
      fill_norm(at_.layers + norm, sizes.width);
    fill_norm(at_.layers + r.down, sizes.glu_width);
    // weights of norms are m / 2^14; a matrix of K inputs has the scale 1 / sqrt(K)
    const int f = int(sizes.fraction), shift = sum_shift(sizes.width);
    const int of_o = kSiluFraction + 14 - 15 - 9 - shift, of_down = kSiluFraction - 9 - shift;
    const Scalar mean = scalar(1.0 / sizes.width, -2 * (f + 14 - 15));
    const Scalar of_x = inverse(sizes.width, f);
    fill_scalars(at_.layers + r.scalars, {of_x, of_x, of_x, inverse(sizes.width, of_o), of_x,
                                          inverse(sizes.glu_width, of_down), mean, mean,
                                          scalar(1.0 / sizes.width, -2 * of_o)});
    for (std::uint32_t l = 1; l < sizes.layers; ++l)
      std::memcpy(&bytes_[at_.layers + l * record], &bytes_[at_.layers], record);
    fill_scalars(at_.scalars, {scalar_of(1e-6), scalar(1.0 / sizes.width, -2 * f),
                               scalar(1.0 / sizes.width, 2 * shift),
                               scalar(1.0 / sizes.glu_width, -2 * of_down)});
    fill_tiles(at_.head, at_.table - at_.head);
    fill_norm(at_.head + r.i, sizes.width);
    fill_norm(at_.head + r.token_norm, sizes.width);
    fill_scalars(at_.head_scalars, {of_x, mean});
    for (std::uint32_t i = 0; i < sizes.width; ++i)  // of token 0
      word(at_.table + 4 * i, std::int32_t(random() % (2u << f)) - (1 << f));
  }
  const ImageLayout& layout() const { return at_; }
  std::span<std::byte> bytes() { return bytes_; }
  void clear_state() {
    std::fill(bytes_.begin() + std::ptrdiff_t(at_.state), bytes_.end(), std::byte(0));
  }

 private:
  std::uint64_t random() { return engine_(); }
  template <class Word>
  void word(std::uint64_t at, Word value) {
    std::memcpy(&bytes_[at], &value, sizeof value);
  }
  void fill_tiles(std::uint64_t at, std::uint64_t bytes) {
    for (std::uint64_t i = 0; i < bytes; i += 8) {
      const std::uint64_t r = random();
      word(at + i, r & ~(r & r >> 1 & 0x5555'5555'5555'5555u));  // no code 3
    }
  }
  void fill_norm(std::uint64_t at, std::uint32_t n) {
    for (std::uint32_t i = 0; i < n; ++i)
      word(at + 2 * i, std::uint16_t((1 << 14) + random() % (1 << 14)));
  }
  static Scalar scalar(double value, int exponent) {
    Scalar out = scalar_of(value);
    out.exponent += exponent;
    return out;
  }
  static Scalar inverse(std::uint32_t inputs, int fraction) {
    return scalar(1 / (127 * std::sqrt(double(inputs))), -(fraction + 14));
  }
  void fill_scalars(std::uint64_t at, const std::vector<Scalar>& values) {
    for (const Scalar& s : values) {
      word(at, std::uint32_t(s.mantissa)), word(at + 4, std::int32_t(s.exponent));
      at += kScalarBytes;
    }
  }

  const ImageSizes sizes_;
  const ImageLayout at_;
  std::vector<std::byte> bytes_;
  std::mt19937_64 engine_{1};
};

int measure(const ImageSizes& sizes, int latency) {
  RandomMemory memory(sizes);
  const std::vector<std::uint64_t> program = token_program(sizes, memory.layout());
  Executor executor(program, memory.bytes(), memory.layout().lengths, memory.layout().shape);
  executor.run(0);
  const std::vector<std::byte> expected(
      memory.bytes().begin() + std::ptrdiff_t(memory.layout().state), memory.bytes().end());
  memory.clear_state();
  const auto core = tern_rtl_plugin()->open({.memory = memory.bytes(),
                                             .program = program,
                                             .lengths = memory.layout().lengths,
                                             .port_bits = int(sizes.port_bits),
                                             .latency = latency});
  const auto begin = std::chrono::steady_clock::now();
  const SimulatedToken run = core->run(0);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const bool same = run.likeliest == executor.likeliest() &&
                    run.saturated == (executor.saturations() > 0) && !run.illegal &&
                    std::ranges::equal(expected, memory.bytes().subspan(memory.layout().state));
  const TokenCycles formula =
      token_cycles(sizes, {.lanes = sizes.port_bits == 8 ? 1 : 16, .latency = latency});
  const double lanes = sizes.port_bits / 2, D = sizes.width, H = sizes.glu_width;
  const double layer = (4 * D * D + 3 * D * H) / lanes;
  const double token = layer * sizes.layers + sizes.vocabulary * D / lanes;
  std::printf(
      "%u bits, D %u, H %u, L %u, latency %d: %lld cycles, %+.2f %% over weights / lanes; formula "
      "%lld, %+.3f %%; a layer %lld, %+.2f %%: %.3f ms at 60 MHz, %.3f at 52; sums and states %s; "
      "%.0f s, %.2f M cycles/s\n",
      sizes.port_bits, sizes.width, sizes.glu_width, sizes.layers, latency,
      static_cast<long long>(run.cycles), 100 * (double(run.cycles) / token - 1),
      static_cast<long long>(formula.total), 100 * (double(formula.total) / double(run.cycles) - 1),
      static_cast<long long>(formula.layer), 100 * (double(formula.layer) / layer - 1),
      double(formula.layer) / 60e3, double(formula.layer) / 52e3,
      same ? "equal the executor's" : "DIFFER", seconds, double(run.cycles) / seconds / 1e6);
  return same ? 0 : 1;
}

}  // namespace
}  // namespace tern::rtl

int main(int argc, char** argv) {
  const auto number = [&](int i) { return i < argc ? std::uint32_t(std::atoi(argv[i])) : 0; };
  if (argc < 5 || (number(1) != 8 && number(1) != 512)) {
    std::fprintf(stderr, "usage: measure_cycles 8|512 D H LAYERS [LATENCY]\n");
    return 2;
  }
  return tern::rtl::measure({.width = number(2),
                             .glu_width = number(3),
                             .layers = number(4),
                             .vocabulary = 32000,
                             .port_bits = number(1),
                             .bound = 1},
                            argc > 5 ? int(number(5)) : 1);
}
