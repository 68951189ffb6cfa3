#include "apps/bench/decode.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/bfloat16.h"
#include "core/cpu/code_kernels.h"
#include "core/cpu/cpu_backend.h"
#include "core/ternary_tiles.h"
#include "runtime/quantities.h"

namespace tern {
namespace {

constexpr Index kRounds = 5;
constexpr std::size_t kRandomBlock = std::size_t(4) << 20;  // bytes of random reals, repeated
constexpr Index kReads = 3;                                 // of the roof, in each round
constexpr double kUpdates = 20;       // of an energy counter at least, while tokens are drawn
constexpr double kRaplUpdate = 1e-3;  // seconds

// --- a model of random weights ---

// Of a tile's fields a quarter is 0, half 1, a quarter 2: the 3 of random bits becomes 1.
void fill_codes(std::byte* to, std::size_t bytes, std::uint64_t stream) {
  const Rng rng(stream);
  const auto words = reinterpret_cast<std::uint64_t*>(to);
#pragma omp parallel for
  for (std::size_t i = 0; i < bytes / 8; ++i) {
    const std::uint64_t bits = rng.bits(i);
    words[i] = bits & ~(bits & bits << 1 & 0xaaaa'aaaa'aaaa'aaaa);
  }
}

// Numbers of about 0.02, the spread of the initial values.
std::vector<float> random_reals() {
  std::vector<float> block(kRandomBlock / sizeof(float));
  const Rng rng(1, stream_of("reals"));
  for (std::size_t i = 0; i < block.size(); ++i)
    block[i] = 0.04f * (float(rng.uniform(i)) - 0.5f) * 1.7f;
  return block;
}

// In large pages, as a file system maps a file of weights that is in memory already.
struct RandomMemory {
  explicit RandomMemory(const Model& model) : memory(std::size_t(most_bytes(model))) {}
  static Index most_bytes(const Model& model) {
    constexpr Index kRounding = 1024;  // of one weight and its scale
    Index bytes = 0;
    for (const Parameter* p : model.parameters())
      bytes +=
          kRounding + (p->ternary ? tiles_of(p->shape[0], p->shape[1]) * Index(sizeof(TernaryTile))
                                  : p->shape.elements() * Index(sizeof(float)));
    return bytes;
  }
  std::byte* add(std::size_t bytes) {
    return static_cast<std::byte*>(memory.pool().allocate(bytes));
  }
  CpuBackend memory;
};

MappedWeights::Weight random_weight(const Parameter& p, RandomMemory& memory,
                                    std::span<const float> reals, std::uint64_t stream) {
  const std::size_t n = std::size_t(p.shape.elements());
  if (p.ternary) {
    check(p.shape[0] % kTileSide == 0 && p.shape[1] % kTileSide == 0, "[random_model] ", p.name,
          ": expected multiples of ", kTileSide, ", got ", p.shape);
    const std::size_t bytes = std::size_t(tiles_of(p.shape[0], p.shape[1])) * sizeof(TernaryTile);
    std::byte* codes = memory.add(bytes);
    fill_codes(codes, bytes, stream);
    const auto scale = reinterpret_cast<float*>(memory.add(sizeof(float)));
    *scale = std::sqrt(float(p.shape[1]));
    return {.type = DType::t2, .data = codes, .scale = scale};
  }
  if (p.sharding == Sharding::rows) {
    const auto rows = reinterpret_cast<BFloat16*>(memory.add(n * sizeof(BFloat16)));
    for (std::size_t i = 0; i < n; ++i) rows[i] = to_stored<BFloat16>(reals[i % reals.size()]);
    return {.type = DType::bf16, .data = rows};
  }
  const auto ones = reinterpret_cast<float*>(memory.add(n * sizeof(float)));
  std::fill_n(ones, n, 1.f);
  return {.type = DType::f32, .data = ones};
}

MappedWeights random_codes(const Model& model) {
  const auto memory = std::make_shared<RandomMemory>(model);
  const std::vector<float> reals = random_reals();
  MappedWeights weights{.owner = memory};
  std::uint64_t stream = 1;
  for (const Parameter* p : model.parameters())
    weights.weights[p->name] = random_weight(*p, *memory, reals, stream++);
  return weights;
}

WeightSource random_dense_weights(const Model& model) {
  std::map<std::string, Shape> shapes;
  for (const Parameter* p : model.parameters()) shapes[p->name] = p->shape;
  const auto facts = [shapes](const std::string& name) -> std::optional<WeightSource::Facts> {
    const auto at = shapes.find(name);
    if (at == shapes.end()) return std::nullopt;
    return WeightSource::Facts{StoredType::f32, stored_shape(at->second)};
  };
  const auto read = [shapes, reals = random_reals()](const std::string& name, std::uint64_t,
                                                     std::uint64_t count,
                                                     const WeightSource::Take& take_block) {
    const Shape& shape = shapes.at(name);
    const std::uint64_t rows = std::uint64_t(shape[0]);
    const std::uint64_t bytes = count * std::uint64_t(shape.elements()) / rows * sizeof(float);
    for (std::uint64_t at = 0; at < bytes; at += kRandomBlock)
      take_block(at, std::as_bytes(std::span(reals)).first(std::min(kRandomBlock, bytes - at)));
  };
  return {.path = "random weights", .find = facts, .read_rows = read};
}

// --- one decode ---

class Decode {
 public:
  Decode(Model& model, const DecodeSize& size)
      : model_(model),
        size_(size),
        prompt_(std::size_t(size.streams * size.prompt)),
        next_(std::size_t(size.streams)) {
    const Rng rng(1, stream_of("prompt"));
    for (std::size_t i = 0; i < prompt_.size(); ++i)
      prompt_[i] = std::int32_t(rng.bits(i) % std::uint64_t(model.config().vocab_size));
  }

  // From a new state; chunks as Generator has them, of all streams together.
  void prefill() {
    decoding_.reset();  // the memory of the last one is free first
    state_ = {};
    state_ = model_.new_state(size_.streams, size_.prompt + size_.tokens);
    const Index most = std::max<Index>(1, prompt_chunk(model_) / size_.streams);
    for (Index first = 0; first < size_.prompt; first += most) {
      const Index n = std::min(most, size_.prompt - first);
      const Tensor ids = chunk(first, n);
      if (first + n < size_.prompt)
        model_.advance({}, ids, state_);
      else
        draw(model_.next_logits({}, ids, &state_));
    }
  }
  // Behind a prompt.
  void begin() { decoding_.emplace(model_, state_, Sampling{.temperature = 0}); }
  void step() { next_ = decoding_->next(next_, 0); }
  const ModelState& state() const { return state_; }

 private:
  // the likeliest of each stream, on the host as a server needs it
  void draw(const Tensor& logits) {
    Backend& on = model_.backend();
    const Tensor likeliest(on, {size_.streams}, DType::i32);
    on.run(Argmax{.ids = likeliest, .x = logits});
    on.download(next_.data(), likeliest);
  }
  Tensor chunk(Index first, Index n) const {
    std::vector<std::int32_t> ids;
    for (Index s = 0; s < size_.streams; ++s) {
      const auto begin = prompt_.begin() + s * size_.prompt + first;
      ids.insert(ids.end(), begin, begin + n);
    }
    return upload_ids(model_.backend(), {size_.streams, n}, ids);
  }

  Model& model_;
  const DecodeSize size_;
  std::vector<std::int32_t> prompt_, next_;
  ModelState state_{};
  std::optional<Decoding> decoding_{};
};

double body_weights(const Model& model) {
  return double(model.count().body());
}

}  // namespace

SavedModel random_model(const ModelConfig& config) {
  SavedModel saved;
  saved.path = "random weights";
  saved.config.model = config;
  const Model model(config, {});
  if (config.quantize == Quantize::ternary)
    saved.mapped = random_codes(model);
  else
    saved.weights = random_dense_weights(model);
  return saved;
}

std::string no_dense_model(const ModelConfig& config, const Device& device) {
  const ParameterCount count = count_parameters(config);
  const bool gpu = device.facts().traits.is_gpu();
  const double wanted = 1.05 * (4.0 * double(count.total() - count.matrices()) +
                                (gpu ? 2.0 : 4.0) * double(count.matrices())) +
                        4.0 * double(std::max(count.head, count.embedding));
  const double free = double(device.available_memory());
  if (wanted <= free) return {};
  return "it needs " + bytes_text(wanted) + ", and " + bytes_text(free) + " are free";
}

StepBytes step_bytes(const Model& model, const ModelState& state, Index streams) {
  StepBytes bytes;
  for (const Parameter* p : model.parameters()) {
    const Tensor& table = p->table.q ? p->table.q : p->value;
    if (p->sharding == Sharding::rows)
      bytes.rows += double(streams) * double(table.bytes()) / double(p->shape[0]);
    else if (p->ternary)
      bytes.weights += double(p->copy.t.bytes());
    else if (p->working_copy)
      bytes.weights += double((p->working ? p->working : p->value).bytes());
  }
  for (const LayerState& layer : state)
    for (const Tensor& t : layer.tensors) bytes.state += double(t.bytes());
  return bytes;
}

void rehearse_decode(Model& model, const DecodeSize& size) {
  Decode decode(model, size);
  decode.prefill();
  decode.begin();
  decode.step();
}

DecodeBench bench_decode(const LoadedModel& loaded, const DecodeSize& size, bool prefill,
                         const EnergyCounter& energy) {
  Backend& on = *loaded.backend;
  Decode decode(*loaded.model, size);
  decode.prefill();
  decode.begin();
  decode.step();
  DecodeBench out{.bytes = step_bytes(*loaded.model, decode.state(), size.streams),
                  .body_weights = body_weights(*loaded.model),
                  .resident = resident_peak(),
                  .pool = on.pool().high_water()};
  const bool gpu = on.traits().is_gpu();
  std::optional<PlainRead> read;
  if (!gpu) read.emplace(plain_read_bytes());
  const auto roof = [&] {
    for (Index i = 0; i < (gpu ? 1 : kReads); ++i) out.roof.add(gpu ? copy_rate(on) : read->rate());
  };
  bool counted = energy.joules().has_value();
  double joules = 0, drawing = 0;  // drawing: seconds
  const Index rounds = std::min(kRounds, size.tokens);
  for (Index round = 0; round < rounds; ++round) {
    roof();
    const double reading = on.seconds_of([&] { decode.prefill(); });
    if (prefill) out.prefill.add(double(size.streams * size.prompt) / reading);
    decode.begin();
    const std::optional<double> before = energy.joules();
    drawing += seconds([&] {
      const Index last = size.tokens * (round + 1) / rounds;
      for (Index i = size.tokens * round / rounds; i < last; ++i)
        out.step.add(seconds([&] { decode.step(); }));
    });
    const std::optional<double> after = energy.joules();
    counted = counted && before && after;
    joules += after.value_or(0) - before.value_or(0);
    if (const auto rate = gpu || !prefill ? std::nullopt : int8_rate()) out.int8.add(*rate);
  }
  roof();
  out.too_short = counted && drawing < kUpdates * energy.between;
  if (counted && !out.too_short) out.joules = joules / double(size.streams * size.tokens);
  return out;
}

// --- the roofs ---

namespace {

typedef std::uint64_t Wide __attribute__((vector_size(64)));
constexpr std::size_t kLoads = 8;  // in flight at a time, each of its own sum
constexpr std::size_t kReadStep = kLoads * sizeof(Wide);

// Everything that was read, as one number, so that no load is left out. n: a multiple of kReadStep.
[[gnu::always_inline]] inline std::uint64_t mixed(const std::byte* from, std::size_t n) {
  Wide sums[kLoads] = {};
  for (const std::byte* p = from; p < from + n; p += kReadStep)
#pragma GCC unroll 8
    for (std::size_t k = 0; k < kLoads; ++k) {
      cpu::fetch_tiles(p + k * sizeof(Wide));
      sums[k] ^= *reinterpret_cast<const Wide*>(p + k * sizeof(Wide));
    }
  std::uint64_t all = 0;
  for (const Wide& sum : sums)
    for (std::size_t i = 0; i < sizeof(Wide) / 8; ++i) all ^= sum[i];
  return all;
}

std::uint64_t mixed_plain(const std::byte* from, std::size_t n) {
  return mixed(from, n);
}

#ifdef __x86_64__
__attribute__((target("avx2"))) std::uint64_t mixed_avx2(const std::byte* from, std::size_t n) {
  return mixed(from, n);
}
__attribute__((target("avx512f"))) std::uint64_t mixed_avx512(const std::byte* from,
                                                              std::size_t n) {
  return mixed(from, n);
}
#endif

std::uint64_t read_all(const std::byte* from, std::size_t n) {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512f")) return mixed_avx512(from, n);
  if (__builtin_cpu_supports("avx2")) return mixed_avx2(from, n);
#endif
  return mixed_plain(from, n);
}

}  // namespace

PlainRead::PlainRead(std::size_t bytes)
    : memory_(std::make_unique<CpuBackend>(bytes)), buffer_(*memory_, {Index(bytes)}, DType::i8) {
  memory_->fill(buffer_, 1);  // pages of their own
}

double PlainRead::rate() {
  const std::byte* data = static_cast<const std::byte*>(buffer_.raw());
  std::uint64_t all = 0;
  std::size_t read = 0;
  const double time = seconds([&] {
#pragma omp parallel reduction(^ : all) reduction(+ : read)
    {
      const std::size_t share =
          buffer_.bytes() / std::size_t(omp_get_num_threads()) / kReadStep * kReadStep;
      all ^= read_all(data + std::size_t(omp_get_thread_num()) * share, share);
      read += share;
    }
  });
  check(read > 0 || all == 0, "[PlainRead] expected a larger buffer");  // keeps the sum
  return double(read) / time;
}

std::size_t plain_read_bytes() {
  return std::min(std::size_t(1) << 30, free_host_memory() / 4) / 4096 * 4096;
}

std::optional<double> int8_rate() {
  const cpu::CodeKernels* kernels = cpu::code_kernels();
  if (!kernels) return std::nullopt;
  constexpr Index kInputs = 256, kTiles = 20'000;
  double operations = 0;
  const double time = seconds([&] {
#pragma omp parallel reduction(+ : operations)
    {
      std::vector<std::int8_t> q(cpu::kIntegerRows * kInputs, 1);
      std::vector<std::uint8_t> panel(cpu::kIntegerColumns * kInputs, 2);
      std::vector<std::int32_t> sums(cpu::kIntegerRows * cpu::kIntegerColumns);
      for (Index i = 0; i < kTiles; ++i)
        kernels->integer_tile({.sums = sums.data(),
                               .q = q.data(),
                               .q_stride = kInputs,
                               .rows = cpu::kIntegerRows,
                               .panel = panel.data(),
                               .I = kInputs});
      operations +=
          2.0 * double(kTiles) * double(cpu::kIntegerRows * cpu::kIntegerColumns * kInputs);
    }
  });
  return operations / time;
}

std::size_t resident_peak() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  return 0;
}

EnergyCounter package_energy() {
  return {.joules = package_joules, .between = kRaplUpdate};
}

std::optional<double> package_joules() {
  namespace fs = std::filesystem;
  std::optional<double> joules;
  std::error_code error;
  for (const auto& zone : fs::directory_iterator("/sys/class/powercap", error)) {
    const std::string name = zone.path().filename();  // "intel-rapl:0"; its parts "intel-rapl:0:1"
    if (!name.starts_with("intel-rapl:") || std::ranges::count(name, ':') != 1) continue;
    double microjoules = 0;
    if (std::ifstream(zone.path() / "energy_uj") >> microjoules)
      joules = joules.value_or(0) + microjoules * 1e-6;
  }
  return joules;
}

}  // namespace tern
