// A backend that times every kernel of another one: what a real step spends where, with real data
// and real caches. The clock is the device's, and kernels do not overlap.
#pragma once

#include <map>
#include <string>

#include "apps/bench/samples.h"
#include "core/backend.h"

namespace tern {

// All calls of one kernel with the same cost.
struct KernelTimes {
  std::string name{};  // "TernaryProduct 2048x320x640": N x I x O of products
  Cost cost{};         // of one call
  Samples seconds{};   // of every call
};

class TimedBackend final : public Backend {
 public:
  explicit TimedBackend(Backend& inner) : inner_(inner) {}
  std::string_view name() const override { return inner_.name(); }
  DeviceTraits traits() const override { return inner_.traits(); }
  Pool& pool() override { return inner_.pool(); }
  void upload(const Tensor& to, const void* from) override { inner_.upload(to, from); }
  void download(void* to, const Tensor& from) override { inner_.download(to, from); }
  std::unique_ptr<Snapshot> snapshot(const Tensor& of) override { return inner_.snapshot(of); }
  void copy(const Tensor& to, const Tensor& from) override { inner_.copy(to, from); }
  void fill(const Tensor& to, double value) override { inner_.fill(to, value); }
  void synchronize() override { inner_.synchronize(); }
  void* stream() override { return inner_.stream(); }
  std::unique_ptr<Timestamp> timestamp() override { return inner_.timestamp(); }
  double seconds_of(const std::function<void()>& work) override { return inner_.seconds_of(work); }

  void forget() { kernels_.clear(); }
  std::vector<KernelTimes> kernels() const;  // most expensive first

  void run(const Unary& a) override { time("Unary", a); }
  void run(const UnaryBackward& a) override { time("UnaryBackward", a); }
  void run(const Binary& a) override { time("Binary", a); }
  void run(const BinaryBackward& a) override { time("BinaryBackward", a); }
  void run(const Accumulate& a) override { time("Accumulate", a); }
  void run(const Sum& a) override { time("Sum", a); }
  void run(const SumBackward& a) override { time("SumBackward", a); }
  void run(const Softmax& a) override { time("Softmax", a); }
  void run(const SoftmaxBackward& a) override { time("SoftmaxBackward", a); }
  void run(const Cumsum& a) override { time("Cumsum", a); }
  void run(const RmsNorm& a) override { time("RmsNorm", a); }
  void run(const RmsNormBackward& a) override { time("RmsNormBackward", a); }
  void run(const Embedding& a) override { time("Embedding", a); }
  void run(const EmbeddingBackward& a) override { time("EmbeddingBackward", a); }
  void run(const Matmul& a) override { time("Matmul", a); }
  void run(const MatmulBackward& a) override { time("MatmulBackward", a); }
  void run(const TernaryProduct& a) override { time("TernaryProduct", a); }
  void run(const TernaryProductBackward& a) override { time("TernaryProductBackward", a); }
  void run(const QuantizeRows& a) override { time("QuantizeRows", a); }
  void run(const SumMagnitudes& a) override { time("SumMagnitudes", a); }
  void run(const QuantizeTernary& a) override { time("QuantizeTernary", a); }
  void run(const PackTernary& a) override { time("PackTernary", a); }
  void run(const UnpackTernary& a) override { time("UnpackTernary", a); }
  void run(const Dequantize& a) override { time("Dequantize", a); }
  void run(const NormQuantize& a) override { time("NormQuantize", a); }
  void run(const NormQuantizeBackward& a) override { time("NormQuantizeBackward", a); }
  void run(const GatedNormQuantize& a) override { time("GatedNormQuantize", a); }
  void run(const GatedNormQuantizeBackward& a) override { time("GatedNormQuantizeBackward", a); }
  void run(const SwigluNormQuantize& a) override { time("SwigluNormQuantize", a); }
  void run(const SwigluNormQuantizeBackward& a) override { time("SwigluNormQuantizeBackward", a); }
  void run(const Mlgru& a) override { time("Mlgru", a); }
  void run(const MlgruBackward& a) override { time("MlgruBackward", a); }
  void run(const CrossEntropy& a) override { time("CrossEntropy", a); }
  void run(const WeightedLoss& a) override { time("WeightedLoss", a); }
  void run(const SquaredNorm& a) override { time("SquaredNorm", a); }
  void run(const DecideUpdate& a) override { time("DecideUpdate", a); }
  void run(const AdamW& a) override { time("AdamW", a); }

 private:
  template <class Kernel>
  void time(const char* kernel, const Kernel& a) {
    note(std::string(kernel) + shape(a), cost(a), inner_.seconds_of([&] { inner_.run(a); }));
  }
  template <class Kernel>
  static std::string shape(const Kernel&) {
    return {};
  }
  static std::string shape(const Matmul& a);
  static std::string shape(const MatmulBackward& a);
  static std::string shape(const TernaryProduct& a);
  static std::string shape(const TernaryProductBackward& a);
  void note(const std::string& name, const Cost& cost, double seconds);

  Backend& inner_;
  std::map<std::pair<std::string, double>, KernelTimes> kernels_;  // by name and bytes
};

}  // namespace tern
