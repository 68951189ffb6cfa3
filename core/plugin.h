// Plugins for devices and communicators: shared libraries beside the program, each with one factory
// of a name at the end of this file, so that tern starts on machines without the device or its
// libraries.
#pragma once

#include "core/communicator.h"
#include "core/workspace.h"

namespace tern {

struct Plugin {
  void* library = nullptr;  // of dlopen, never closed
  void* factory = nullptr;  // the function of that name in it; null: it cannot be opened, see `why`
  std::string path{};       // its file
  std::string why{};
};

// mode: of dlopen, beside RTLD_NOW. Fault::internal if it has no such function.
Plugin open_plugin(const char* file, const char* factory, int mode);

struct DeviceFacts {
  std::string name{};  // "NVIDIA H200"
  std::string
      library{};  // versions that results depend on: "CUDA 13.0, driver 13.0, cuBLASLt 13.1"
  std::string attention{};   // "cuDNN 9.19.0", or "plain kernels: " and why
  std::string algorithms{};  // measured ones that its products take, a line each: so do bits
  std::string id{};          // which piece of hardware in the world: no two processes share it
  std::string pci{};         // address on the machine's bus: "0000:17:00.0"; empty: not known
  std::size_t total_bytes = 0, free_bytes = 0;
  DeviceTraits traits{};
};

// One kind of product that the device's library computes, by the ways that it proposes.
struct MeasuredProduct {
  std::string product{};           // sizes and types
  double flops = 0;                // of one
  double first = 0, fastest = 0;   // seconds, medians: the library's first proposal; the fastest
  int proposals = 0, refused = 0;  // refused: other bits a second time, or another result
  bool kept = false;               // faster by more than noise: from now on taken, see below
};

class DevicePlugin {
 public:
  virtual ~DevicePlugin() = default;
  virtual int count() = 0;  // devices that this process sees; errors as below
  // Both: Error(Fault::usage) if there is no such device here or it cannot be used, saying why;
  // Error(Fault::input) if its table of measured algorithms is damaged.
  virtual DeviceFacts describe(int device) = 0;
  // one slab of this size, Error(Fault::memory) if there is none
  virtual std::unique_ptr<Backend> open(int device, std::size_t slab_bytes) = 0;
  // Runs work(), which computes on a backend that open() returned, and measures the first product
  // of each kind where it stands, on its own operands. Writes the table of measured algorithms
  // anew, with what was kept, and returns its path: backends opened later go by it.
  virtual std::string measure_products(
      Backend& on, const std::function<void()>& work,
      const std::function<void(const MeasuredProduct&)>& report) = 0;
};

struct CommunicatorSetup {
  WaitMonitor& monitor;                                        // outlives the communicator
  int rank = 0, size = 1;                                      // MPI knows these itself
  std::function<std::string(const std::string&)> broadcast{};  // rank 0's text on every rank
};

class CommunicatorPlugin {
 public:
  virtual ~CommunicatorPlugin() = default;
  // Between the processes that a launcher has started, once in a program. On GPUs: the current one.
  // Error(Fault::communication).
  virtual std::unique_ptr<Communicator> open(const CommunicatorSetup& setup) = 0;
};

}  // namespace tern

// Both live as long as the program.
extern "C" tern::DevicePlugin* tern_device_plugin();
extern "C" tern::CommunicatorPlugin* tern_communicator_plugin();
