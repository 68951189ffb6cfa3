#include "runtime/device.h"

#include <dlfcn.h>

#include <algorithm>
#include <charconv>

#include "core/cpu/cpu_backend.h"
#include "core/plugin.h"
#include "data/io/hash.h"
#include "runtime/machine_limits.h"

namespace tern {
namespace {

constexpr const char* kPlugin = "libtern_cuda.so";
// What is not planned for: on a GPU the libraries' and the driver's own; on a CPU the threads' own
// and that of what reads data and writes files.
constexpr std::size_t kReserve = std::size_t(1) << 30, kHostReserve = std::size_t(64) << 20;

std::size_t less(std::size_t free, std::size_t reserve) {
  return free > reserve ? free - reserve : 0;
}

// the N of "cuda:N", 0 for "cuda"
int device_index(const std::string& name) {
  int index = 0;
  const char *begin = name.data() + 4, *end = name.data() + name.size();
  if (begin == end) return 0;
  const auto parsed = std::from_chars(begin + 1, end, index);
  require(*begin == ':' && parsed.ec == std::errc{} && parsed.ptr == end && index >= 0,
          Fault::usage, "--device: expected cpu, cuda or cuda:N, got '", name, "'");
  return index;
}

Plugin open_cuda() {
  Plugin plugin = open_plugin(kPlugin, "tern_device_plugin", RTLD_LOCAL);
  require(plugin.factory, Fault::usage, "--device cuda: ", plugin.why,
          " (needs the CUDA libraries of version 13 and a build made with nvcc); use --device cpu");
  return plugin;
}

DevicePlugin* made_by(const Plugin& plugin) {
  return reinterpret_cast<DevicePlugin* (*)()>(plugin.factory)();
}

}  // namespace

Device::Device(const std::string& name) : name_(name) {
  if (name == "cpu") return;
  require(name.starts_with("cuda"), Fault::usage, "--device: expected cpu, cuda or cuda:N, got '",
          name, "'");
  index_ = device_index(name);
  name_ = "cuda:" + std::to_string(index_);
  const Plugin plugin = open_cuda();
  plugin_path_ = plugin.path;
  plugin_ = made_by(plugin);
  facts_ = plugin_->describe(index_);
}

int Device::count_gpus() {
  return made_by(open_cuda())->count();
}

Device Device::recorded_h200() {
  Device device;
  device.name_ = "cuda:0";
  device.facts_ = {.name = "NVIDIA H200 (as recorded; there is no GPU here)",
                   .total_bytes = std::size_t(139) << 30,
                   .free_bytes = std::size_t(139) << 30,
                   .traits = DeviceTraits::h200()};
  return device;
}

std::size_t free_host_memory(int processes) {
  return less(usable_memory().available(processes), kHostReserve);
}

std::size_t Device::available_memory(int processes) const {
  if (!facts_.traits.is_gpu()) return free_host_memory(processes);
  return less(plugin_ ? plugin_->describe(index_).free_bytes : facts_.free_bytes, kReserve);
}

std::unique_ptr<Backend> Device::make_backend(std::size_t slab_bytes) const {
  if (plugin_) return plugin_->open(index_, slab_bytes);
  check(!facts_.traits.is_gpu(), "[Device] a recorded device can only be planned for");
  return std::make_unique<CpuBackend>(slab_bytes);
}

std::string Device::algorithms_hash() const {
  return facts_.algorithms.empty() ? "" : hash_hex(std::as_bytes(std::span(facts_.algorithms)));
}

std::string Device::measure_products(
    Backend& on, const std::function<void()>& work,
    const std::function<void(const MeasuredProduct&)>& report) const {
  require(plugin_, Fault::usage, "--device ", name_, ": expected cuda or cuda:N");
  return plugin_->measure_products(on, work, report);
}

}  // namespace tern
