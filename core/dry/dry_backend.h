// Runs nothing, counts everything: peak memory, flops and bytes of a step before a device is
// touched. With the traits of a GPU it also takes the workspaces that kernels need there.
#pragma once

#include <cstring>

#include "core/backend.h"
#include "core/workspace.h"

namespace tern {

class DryBackend : public Backend {
 public:
  explicit DryBackend(DeviceTraits traits = {}) : traits_(traits) {}
  std::string_view name() const override { return "dry"; }
  DeviceTraits traits() const override { return traits_; }
  Pool& pool() override { return pool_; }
  void upload(const Tensor&, const void*) override {}
  void download(void* to_host, const Tensor& from) override {
    std::memset(to_host, 0, from.bytes());
  }
  void copy(const Tensor&, const Tensor&) override {}
  void fill(const Tensor&, double) override {}
  Cost total() const { return total_; }  // of every kernel run so far
  int launches() const { return launches_; }

#define TERN_RUN(Kernel)                    \
  void run(const Kernel& kernel) override { \
    count(kernel);                          \
  }
  TERN_KERNELS(TERN_RUN)
#undef TERN_RUN

 private:
  template <class Kernel>
  void count(const Kernel& kernel) {
    const std::size_t bytes = traits_.is_gpu() ? workspace_bytes(kernel, traits_) : 0;
    if (bytes) Tensor(*this, {Index(bytes)}, DType::i8);  // taken and given back, as a run does
    const Cost c = cost(kernel);
    total_.flops += c.flops;
    total_.bytes += c.bytes;
    ++launches_;
  }
  DeviceTraits traits_;
  Pool pool_{nullptr, std::size_t(1) << 50};
  Cost total_{};
  int launches_ = 0;
};

}  // namespace tern
