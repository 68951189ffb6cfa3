// The seam. A Backend is a device, its memory, its one compute stream, and the kernels.
// Autograd, layers and optimisers know only this class; no other file names a device.
#pragma once

#include "core/decode_step.h"
#include "core/device_traits.h"
#include "core/kernels.h"
#include "core/pool.h"

namespace tern {

// A tensor's bytes as they are once everything that runs before has run. The host may go on in the
// meantime: bytes() waits.
class Snapshot {
 public:
  virtual ~Snapshot() = default;
  virtual std::span<const std::byte> bytes() = 0;
};

// A point in a device's work, by the device's clock.
class Timestamp {
 public:
  virtual ~Timestamp() = default;
  // earlier: of the same backend. Waits until the device has reached both.
  virtual double seconds_since(const Timestamp& earlier) const = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;  // "cpu", "cuda:0", "dry"
  virtual DeviceTraits traits() const { return {}; }
  virtual Pool& pool() = 0;
  // From now on memory beyond the first slab is taken when it is needed: for programs that have no
  // plan of theirs. Training has one, and does not call this. Here: nothing, there is no limit.
  virtual void let_grow() {}
  // to.bytes() bytes; the host's memory is free again when the call returns
  virtual void upload(const Tensor& to, const void* from_host) = 0;
  virtual void download(void* to_host, const Tensor& from) = 0;  // from.bytes() bytes; waits
  // Must not outlive the backend. Here: bytes downloaded at once.
  virtual std::unique_ptr<Snapshot> snapshot(const Tensor& of);
  virtual void copy(const Tensor& to, const Tensor& from) = 0;  // same bytes, same backend
  virtual void fill(const Tensor& to, double value) = 0;
  virtual void synchronize() {}
  // the device's own handle of the compute stream, for communicators; null: the calling thread
  virtual void* stream() { return nullptr; }
  // How long the device works on what `work` gives it, once it has nothing else to do. Waits.
  virtual double seconds_of(const std::function<void()>& work);
  // The end of all that the device was given so far. Must not outlive the backend. Here: now, by
  // the host's clock.
  virtual std::unique_ptr<Timestamp> timestamp();
  // For tests of what notices it: the device never gets past this. Here: the calling thread.
  virtual void hang();
  // where the host may read t without a download, or null
  virtual const void* host_address(const Tensor&) const { return nullptr; }

  // A faster way to decode this model, or null: layer by layer. It keeps the model's tensors and
  // must not outlive the backend.
  virtual std::unique_ptr<DecodeStep> decode_step(const DecodeModel&) { return nullptr; }

#define TERN_RUN(Kernel) virtual void run(const Kernel&) = 0;
  TERN_KERNELS(TERN_RUN)
#undef TERN_RUN
};

// Tensors to and from vectors on the host, converting between real dtypes.

// values.size() elements into a tensor of that size; a real tensor takes its own precision
void upload_real(const Tensor& to, const std::vector<double>& values);
std::vector<double> download_real(const Tensor& from);

// The ternary matrix `from` (O, I) i8 in {-1, 0, 1} as tiles, by way of the host.
void pack_tiles(const Tensor& to, const Tensor& from);

Tensor upload_ids(Backend& on, Shape shape, const std::vector<std::int32_t>& ids);

}  // namespace tern
