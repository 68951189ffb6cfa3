#include "cuda/products/product_measurement.h"

#include <algorithm>
#include <bit>

#include "cuda/backend/host_memory.h"

namespace tern::cuda {
namespace {

constexpr int kProposals = 32;                            // asked for
constexpr int kFirstRounds = 5, kLastRounds = 25;         // of all, of the best few
constexpr std::size_t kFinalists = 6;                     // with the library's first
constexpr double kNoise = 1.01;                           // a gain below this is none
constexpr std::size_t kFlushed = std::size_t(128) << 20;  // more than the second level cache holds

class Memory {
 public:
  explicit Memory(std::size_t bytes) : bytes_(bytes) {
    cuda_check(cudaMalloc(&data_, bytes), "[measure_products] memory beside the slab");
  }
  ~Memory() { cudaFree(data_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  void* get() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_;
};

struct Candidate {
  cublasLtMatmulAlgo_t algorithm{};
  std::vector<double> times{};
  double median() {
    const auto middle = times.begin() + std::ptrdiff_t(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    return *middle;
  }
};

// One product and the ways to compute it. c as it was before is put back before every comparison
// and at the end.
class AlgorithmBenchmark {
 public:
  AlgorithmBenchmark(Blas& blas, const BlasProduct& product, cudaStream_t stream)
      : blas_(blas), product_(product), stream_(stream) {
    copy(before_.get(), product_.c);
  }
  ~AlgorithmBenchmark() {
    cudaMemcpyAsync(product_.c, before_.get(), before_.bytes(), cudaMemcpyDeviceToDevice, stream_);
    cudaStreamSynchronize(stream_);
  }
  AlgorithmBenchmark(const AlgorithmBenchmark&) = delete;
  AlgorithmBenchmark& operator=(const AlgorithmBenchmark&) = delete;

  // the library's first proposal, which must be right, and all others that agree with it
  std::vector<Candidate> candidates(int& proposals) {
    std::vector<Candidate> good;
    const auto algorithms = blas_.proposals(product_, kProposals);
    proposals = int(algorithms.size());
    for (const cublasLtMatmulAlgo_t& algorithm : algorithms) {
      if (!run(algorithm)) {
        check(!good.empty(), "[measure_products] the library refuses its first proposal for '",
              blas_.table_key(product_.key), "'");
        continue;
      }
      const bool first = good.empty();
      if (first) copy(right_.get(), product_.c);
      if (!first && !agrees()) continue;
      copy(once_.get(), product_.c);
      if (run(algorithm) && differences(once_.get()).other == 0) good.push_back({algorithm});
      check(!first || !good.empty(), "[measure_products] the library's first proposal for '",
            blas_.table_key(product_.key), "' gives other bits every time");
    }
    return good;
  }

  // in turns, so that all share a warmer chip
  void race(std::vector<Candidate>& candidates, int rounds) {
    for (Candidate& c : candidates) c.times.clear();
    for (int round = 0; round < rounds; ++round)
      for (Candidate& c : candidates) {
        cuda_check(cudaMemsetAsync(flush_.get(), round, flush_.bytes(), stream_), "[flush]");
        c.times.push_back(seconds(c.algorithm));
      }
  }

 private:
  std::size_t bytes() const {
    return std::size_t(product_.key.shape.M * product_.key.shape.N) *
           std::size_t(bits(product_.key.type) / 8);
  }
  void copy(void* to, const void* from) const {
    cuda_check(cudaMemcpyAsync(to, from, before_.bytes(), cudaMemcpyDeviceToDevice, stream_),
               "[measure_products] copy");
  }
  bool run(const cublasLtMatmulAlgo_t& algorithm) const {
    copy(product_.c, before_.get());
    return blas_.run_by(algorithm, product_, stream_) == CUBLAS_STATUS_SUCCESS;
  }
  double seconds(const cublasLtMatmulAlgo_t& algorithm) const {
    begin_.record(stream_);
    blas_.run_by(algorithm, product_, stream_);
    end_.record(stream_);
    cuda_check(cudaStreamSynchronize(stream_), "[measure_products] product");
    return begin_.seconds_until(end_);
  }
  // of c from another matrix
  Differences differences(const void* other) const {
    return compare({.a = product_.c,
                    .b = other,
                    .type = product_.key.type,
                    .count = product_.key.shape.M * product_.key.shape.N,
                    .space = comparison_.get()},
                   stream_);
  }
  // With the first proposal's c, but for rounding: f32 sums of up to 2^15 terms in another order,
  // then rounded to c's type. Not so where either has a NaN.
  bool agrees() const {
    const double tolerance = product_.key.type == DType::f32 ? 1e-3 : 1e-2;
    const Differences d = differences(right_.get());
    return d.difference <= tolerance * tolerance * d.size;
  }

  Blas& blas_;
  const BlasProduct product_;
  cudaStream_t stream_;
  Memory before_{bytes()}, right_{bytes()}, once_{bytes()};
  Memory flush_{kFlushed}, comparison_{kComparisonBytes};
  TimedEvent begin_{}, end_{};
};

std::string for_people(std::string fields) {
  std::replace(fields.begin(), fields.end(), '\t', ' ');
  return fields;
}

}  // namespace

void ProductMeasurement::before(const BlasProduct& product) {
  if (!seen_.insert(product.key).second) return;
  const ProductShape& s = product.key.shape;
  MeasuredProduct out{.product = for_people(to_text(product.key)),
                      .flops = 2.0 * double(s.M) * double(s.N) * double(s.K)};
  AlgorithmBenchmark benchmark(blas_, product, stream_);
  std::vector<Candidate> all = benchmark.candidates(out.proposals);
  out.refused = out.proposals - int(all.size());
  benchmark.race(all, kFirstRounds);
  std::sort(all.begin() + 1, all.end(),
            [](Candidate& a, Candidate& b) { return a.median() < b.median(); });
  all.resize(std::min(all.size(), kFinalists));
  benchmark.race(all, kLastRounds);
  const auto best = std::min_element(
      all.begin(), all.end(), [](Candidate& a, Candidate& b) { return a.median() < b.median(); });
  out.first = all.front().median();
  out.fastest = best->median();
  out.kept = out.first > kNoise * out.fastest;
  const std::string key = blas_.table_key(product.key);
  if (out.kept)
    table_.set(key, std::bit_cast<AlgorithmTable::Words>(best->algorithm));
  else
    table_.erase(key);
  report_(out);
}

}  // namespace tern::cuda
