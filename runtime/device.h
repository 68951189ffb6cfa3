// What a command computes on: "cpu", "cuda" or "cuda:N". GPUs come from a plugin beside the
// program, libtern_cuda.so, opened when one is asked for.
#pragma once

#include "core/plugin.h"

namespace tern {

// Bytes of the machine's memory that this process can take now, one of so many like it.
std::size_t free_host_memory(int processes = 1);

class Device {
 public:
  // Error(Fault::usage) in one line: no such name, no plugin, no GPU, one that cannot be used.
  explicit Device(const std::string& name);
  // how many GPUs this process sees; errors as the constructor's
  static int count_gpus();
  // What plans are made for where there is no GPU: an H200 as it was measured.
  static Device recorded_h200();

  const std::string& name() const { return name_; }  // "cpu", "cuda:0"
  const DeviceFacts& facts() const { return facts_; }
  const std::string& plugin_path() const { return plugin_path_; }  // empty on a CPU
  // Bytes that it can give to this process now. A CPU's memory is shared by so many like it.
  std::size_t available_memory(int processes = 1) const;

  // With a slab of this size. Error(Fault::memory) if there is none.
  std::unique_ptr<Backend> make_backend(std::size_t slab_bytes) const;

  // Of the measured algorithms that products take here: another hash may mean other bits. Empty
  // where there are none.
  std::string algorithms_hash() const;
  // DevicePlugin::measure_products; Error(Fault::usage) on a CPU, which has none to choose from
  std::string measure_products(Backend& on, const std::function<void()>& work,
                               const std::function<void(const MeasuredProduct&)>& report) const;

 private:
  Device() = default;
  std::string name_, plugin_path_{};
  DeviceFacts facts_{};  // of the CPU: nothing
  DevicePlugin* plugin_ = nullptr;
  int index_ = 0;
};

}  // namespace tern
