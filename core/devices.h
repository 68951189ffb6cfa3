// What may be missing comes as a plugin: a shared library beside the program with one factory of
// the name below, so that tern starts on machines that have neither the device nor its libraries.
#pragma once

#include <memory>
#include <string>

#include "core/communicator.h"
#include "core/workspace.h"

namespace tern {

struct DeviceFacts {
  std::string name{};  // "NVIDIA H200"
  std::string
      library{};     // versions that results depend on: "CUDA 13.0, driver 13.0, cuBLASLt 13.1"
  std::string id{};  // which piece of hardware in the world: no two processes should share it
  std::size_t total_bytes = 0, free_bytes = 0;
  DeviceTraits traits{};
};

class DevicePlugin {
 public:
  virtual ~DevicePlugin() = default;
  virtual int count() = 0;  // devices that this process sees; errors as below
  // Both: Error(Fault::usage) if there is no such device here or it cannot be used, saying why.
  virtual DeviceFacts describe(int device) = 0;
  // one slab of this size, Error(Fault::memory) if there is none
  virtual std::unique_ptr<Backend> open(int device, std::size_t slab_bytes) = 0;
};

class CommunicatorPlugin {
 public:
  virtual ~CommunicatorPlugin() = default;
  // Between the processes that a launcher has started, once in a program. Patience outlives it.
  // Error(Fault::communication).
  virtual std::unique_ptr<Communicator> open(Patience& patience) = 0;
};

}  // namespace tern

// Both live as long as the program.
extern "C" tern::DevicePlugin* tern_device_plugin();
extern "C" tern::CommunicatorPlugin* tern_communicator_plugin();
