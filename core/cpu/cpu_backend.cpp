#include "core/cpu/cpu_backend.h"

#include <sys/mman.h>

#include <cstring>

#include "core/cpu/code_kernels.h"
#include "core/cpu/functions.h"
#include "core/cpu/parallel.h"

namespace tern {
namespace {

constexpr Index kPiece = 1 << 20;  // bytes or elements that one thread copies or fills at a time

}  // namespace

CpuBackend::Slab::Slab(std::size_t wanted) : bytes(std::max<std::size_t>(wanted, 4096)) {
  data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  require(data != MAP_FAILED, Fault::memory,
          "[CpuBackend] out of host memory: requested a slab of ", bytes, " B");
  madvise(data, bytes, MADV_HUGEPAGE);
}

CpuBackend::Slab::~Slab() {
  if (data) munmap(data, bytes);
}

CpuBackend::CpuBackend(std::size_t slab_bytes) : pool_(new_slab(slab_bytes), slab_bytes) {}

void* CpuBackend::new_slab(std::size_t bytes) {
  return slabs_.emplace_back(bytes).data;
}

void CpuBackend::let_grow() {
  pool_.let_grow([this](std::size_t bytes) { return new_slab(bytes); });
}

std::string_view CpuBackend::code_kernels() {
  const cpu::CodeKernels* kernels = cpu::code_kernels();
  return kernels ? kernels->name : "plain";
}

std::string_view CpuBackend::eigen_version() {
#define TERN_TEXT(x) #x
#define TERN_VERSION_TEXT(a, b, c) TERN_TEXT(a) "." TERN_TEXT(b) "." TERN_TEXT(c)
  return TERN_VERSION_TEXT(EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION);
#undef TERN_VERSION_TEXT
#undef TERN_TEXT
}

void CpuBackend::upload(const Tensor& to, const void* from_host) {
  if (to.bytes()) std::memcpy(to.raw(), from_host, to.bytes());  // memcpy takes no null pointers
}

void CpuBackend::download(void* to_host, const Tensor& from) {
  if (from.bytes()) std::memcpy(to_host, from.raw(), from.bytes());
}

void CpuBackend::copy(const Tensor& to, const Tensor& from) {
  check(to.bytes() == from.bytes(), "[copy] expected equal sizes, got ", to, " and ", from);
  auto* out = static_cast<std::byte*>(to.raw());
  const auto* in = static_cast<const std::byte*>(from.raw());
  cpu::for_chunks(Index(to.bytes()), kPiece, [&](Index, Index begin, Index end) {
    std::memcpy(out + begin, in + begin, std::size_t(end - begin));
  });
}

void CpuBackend::fill(const Tensor& to, double value) {
  check(to.dtype() != DType::t2, "[fill] expected another type than t2, got ", to);
  if (to.dtype() == DType::i8 || value == 0) {
    auto* out = static_cast<std::byte*>(to.raw());
    return cpu::for_chunks(Index(to.bytes()), kPiece, [&](Index, Index begin, Index end) {
      std::memset(out + begin, int(value), std::size_t(end - begin));
    });
  }
  if (to.dtype() == DType::i32)
    return void(std::fill_n(to.data<std::int32_t>(), to.elements(), std::int32_t(value)));
  if (to.dtype() == DType::bf16)
    return void(std::fill_n(to.data<BFloat16>(), to.elements(), to_stored<BFloat16>(float(value))));
  cpu::visit_real(to.dtype(), [&]<class R>() {
    R* out = to.data<R>();
    cpu::for_chunks(to.elements(), kPiece, [&](Index, Index begin, Index end) {
      std::fill(out + begin, out + end, R(value));
    });
  });
}

}  // namespace tern
