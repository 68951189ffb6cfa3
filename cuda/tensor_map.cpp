#include "cuda/tensor_map.h"

#include <cudaTypedefs.h>

#include "cuda/check.h"

namespace tern::cuda {
namespace {

// The driver is never linked: a program that links it does not start where there is none.
PFN_cuTensorMapEncodeTiled_v12000 driver_encode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  cuda_check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                              cudaEnableDefault, &found),
             "[tensor_map] cuTensorMapEncodeTiled");
  check(found == cudaDriverEntryPointSuccess && function,
        "[tensor_map] expected a driver with cuTensorMapEncodeTiled, got query result ",
        int(found));
  return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
}

}  // namespace

template <int rank>
CUtensorMap int8_tensor_map(const std::int8_t* data, const std::array<std::uint64_t, rank>& dims,
                            const std::array<std::uint32_t, rank>& box) {
  static const PFN_cuTensorMapEncodeTiled_v12000 encode = driver_encode();
  std::array<std::uint64_t, rank - 1> strides;  // bytes
  for (int i = 0; i < rank - 1; ++i) strides[i] = dims[i] * (i ? strides[i - 1] : 1);
  std::array<std::uint32_t, rank> every_element;
  every_element.fill(1);
  CUtensorMap map{};
  const CUresult result =
      encode(&map, CU_TENSOR_MAP_DATA_TYPE_UINT8, rank, const_cast<std::int8_t*>(data), dims.data(),
             strides.data(), box.data(), every_element.data(), CU_TENSOR_MAP_INTERLEAVE_NONE,
             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  check(result == CUDA_SUCCESS, "[tensor_map] (", dims[rank - 1], " x ", dims[0], ") at ",
        static_cast<const void*>(data), ": driver error ", int(result));
  return map;
}

template CUtensorMap int8_tensor_map<2>(const std::int8_t*, const std::array<std::uint64_t, 2>&,
                                        const std::array<std::uint32_t, 2>&);
template CUtensorMap int8_tensor_map<3>(const std::int8_t*, const std::array<std::uint64_t, 3>&,
                                        const std::array<std::uint32_t, 3>&);

}  // namespace tern::cuda
