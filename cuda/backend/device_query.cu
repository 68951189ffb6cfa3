#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstdlib>
#include <cstring>

#include "core/hex.h"
#include "cuda/attention/attention_library.h"
#include "cuda/backend/device_query.h"
#include "cuda/common/check.h"
#include "cuda/products/algorithm_table.h"

namespace tern::cuda {
namespace {

// No kernel to run: one to ask what this build's kernels were compiled for. Moves and sums nothing.
__global__ void probe() {}

// The compute capability, ten times, for which the code that the current device runs was compiled:
// the device's own, or an older one's. Error(Fault::usage) if there is none.
int compiled_for(const cudaDeviceProp& device) {
  cudaFuncAttributes code{};
  const cudaError_t status = cudaFuncGetAttributes(&code, probe);
  if (status == cudaErrorNoKernelImageForDevice || status == cudaErrorInvalidDeviceFunction ||
      status == cudaErrorUnsupportedPtxVersion) {
    cudaGetLastError();  // the failure is handled: not the next call's
    fail(Fault::usage, "device cuda: ", device.name, " has compute capability ", device.major, ".",
         device.minor, ", for which this build has no code (", cudaGetErrorString(status),
         "): build with -DTERN_CUDA_ARCHITECTURES=", device.major * 10 + device.minor,
         "-real, or use --device cpu");
  }
  cuda_check(status, "[cuda] what the kernels were compiled for");
  return code.ptxVersion;
}

constexpr int kOldest = 80;  // compute capability, ten times

std::string version_text(int v) {  // 13010 -> "13.1"
  return std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10);
}

int driver_version() {
  int version = 0;
  cudaDriverGetVersion(&version);
  return version;
}

[[noreturn]] void unusable(cudaError_t status) {
  const int driver = driver_version();
  if (driver == 0)
    fail(Fault::usage, "device cuda: no NVIDIA driver on this machine; use --device cpu");
  if (status == cudaErrorInsufficientDriver)
    fail(Fault::usage, "device cuda: the driver supports CUDA ", version_text(driver),
         ", expected at least ", version_text(CUDART_VERSION), ": update it, or use --device cpu");
  fail(Fault::usage, "device cuda: no usable GPU: ", cudaGetErrorString(status),
       "; use --device cpu");
}

std::string cublas_version() {
  const int v = int(cublasLtGetVersion());  // 130100: 13.1.0
  return std::to_string(v / 10000) + "." + std::to_string(v / 100 % 100) + "." +
         std::to_string(v % 100);
}

}  // namespace

int count_devices() {
  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess)
    unusable(status);
  return count;
}

DeviceFacts describe_device(int device) {
  const int count = count_devices();
  require(device >= 0 && device < count, Fault::usage, "device cuda:", device,
          ": this machine has ", count, " GPU", count == 1 ? "" : "s", ", the first is cuda:0");
  cudaDeviceProp properties{};
  cuda_check(cudaGetDeviceProperties(&properties, device), "[cuda] properties of the device");
  const int architecture = properties.major * 10 + properties.minor;
  require(architecture >= kOldest, Fault::usage, "device cuda:", device, ": ", properties.name,
          " has compute capability ", properties.major, ".", properties.minor,
          ", expected at least 8.0");
  cuda_check(cudaSetDevice(device), "[cuda] making the device current");
  const int compiled = compiled_for(properties);
  const OpenedAttention attention = open_attention_library();
  DeviceFacts facts{
      .name = properties.name,
      .library = "CUDA " + version_text(CUDART_VERSION) + ", driver " +
                 version_text(driver_version()) + ", cuBLASLt " + cublas_version() +
                 (attention.library ? ", " + attention.about : ""),
      .attention = attention.about,
      .algorithms = AlgorithmTable(algorithm_table_path()).lines(machine_name(device)),
      .id = to_hex(std::as_bytes(std::span(properties.uuid.bytes))),
      .traits = {.multiprocessors = properties.multiProcessorCount,
                 .fp8 = architecture == 90,
                 .clusters = is_hopper(device) && compiled >= 90,
                 .shared_bytes = int(properties.sharedMemPerBlockOptin),
                 .attention_library = attention.library != nullptr}};
  char address[32] = {};
  cuda_check(cudaDeviceGetPCIBusId(address, sizeof address, device), "[cuda] address on the bus");
  facts.pci = address;
  cuda_check(cudaMemGetInfo(&facts.free_bytes, &facts.total_bytes), "[cuda] free memory");
  return facts;
}

std::string machine_name(int device) {
  cudaDeviceProp properties{};
  cuda_check(cudaGetDeviceProperties(&properties, device), "[cuda] properties of the device");
  return std::string(properties.name) + "\tcuBLASLt " + cublas_version();
}

bool is_hopper(int device) {
  const char* plain = std::getenv("TERN_CUDA_PLAIN");
  if (plain && std::strcmp(plain, "1") == 0) return false;
  cudaDeviceProp properties{};
  cuda_check(cudaGetDeviceProperties(&properties, device), "[cuda] properties of the device");
  return properties.major == 9;
}

}  // namespace tern::cuda
