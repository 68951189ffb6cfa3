#include "cuda/blas.h"

#include <type_traits>

#include "core/workspace.h"

namespace tern::cuda {
namespace {

void blas_check(cublasStatus_t status, const char* what,
                std::source_location at = std::source_location::current()) {
  if (status == CUBLAS_STATUS_SUCCESS) [[likely]]
    return;
  fail(status == CUBLAS_STATUS_ALLOC_FAILED ? Fault::memory : Fault::internal, what, ": ",
       cublasLtGetStatusString(status), "  (", at.file_name(), ':', at.line(), ')');
}

template <auto destroy>
struct Destroy {
  template <class T>
  void operator()(T* p) const {
    destroy(p);
  }
};
template <class Handle, auto destroy>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Destroy<destroy>>;
using Description = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

// A row-major (rows, columns) matrix is the library's column-major (columns, rows).
Layout make_layout(cudaDataType_t type, Index rows, Index columns) {
  cublasLtMatrixLayout_t layout = nullptr;
  blas_check(cublasLtMatrixLayoutCreate(&layout, type, std::uint64_t(columns), std::uint64_t(rows),
                                        columns),
             "[Blas] layout");
  return Layout(layout);
}

template <class T>
void set(const Description& description, cublasLtMatmulDescAttributes_t what, T value) {
  blas_check(cublasLtMatmulDescSetAttribute(description.get(), what, &value, sizeof value),
             "[Blas] description");
}

// The library's first operand is b: row-major c = a b is column-major c^T = b^T a^T.
Description make_description(const BlasKey& key) {
  cublasLtMatmulDesc_t made = nullptr;
  blas_check(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F), "[Blas] description");
  Description description(made);
  set(description, CUBLASLT_MATMUL_DESC_TRANSA, key.shape.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(description, CUBLASLT_MATMUL_DESC_TRANSB, key.shape.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(description, CUBLASLT_MATMUL_DESC_POINTER_MODE,
      key.device_factors ? CUBLASLT_POINTER_MODE_DEVICE : CUBLASLT_POINTER_MODE_HOST);
  return description;
}

template <class T>
void set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t what, T value) {
  blas_check(cublasLtMatmulPreferenceSetAttribute(preference.get(), what, &value, sizeof value),
             "[Blas] preference");
}

Preference make_preference() {
  cublasLtMatmulPreference_t made = nullptr;
  blas_check(cublasLtMatmulPreferenceCreate(&made), "[Blas] preference");
  Preference preference(made);
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t(kLibraryWorkspace));
  // partial sums stay in f32: never rounded to the type of c
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      std::uint32_t(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  // slices start at any row
  for (const auto operand :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    set(preference, operand, std::uint32_t(16));
  return preference;
}

}  // namespace

struct Blas::Plan {
  Description description;
  Layout a, b, c;
  cublasLtMatmulAlgo_t algorithm;
};

namespace {

// The one place where an algorithm is chosen: the library's first proposal, never a timing.
cublasLtMatmulAlgo_t choose_algorithm(cublasLtHandle_t handle, const BlasKey& key,
                                      const Description& description, const Layout& a,
                                      const Layout& b, const Layout& c) {
  const Preference preference = make_preference();
  cublasLtMatmulHeuristicResult_t result{};
  int found = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle, description.get(), b.get(), a.get(), c.get(), c.get(),
                                     preference.get(), 1, &result, &found);
  if (status != CUBLAS_STATUS_SUCCESS || found == 0)
    fail(Fault::internal, "[Blas] no algorithm for (", key.shape.M, ", ", key.shape.K, ") x (",
         key.shape.K, ", ", key.shape.N, ") bf16 -> ", key.type, ": ",
         cublasLtGetStatusString(status));
  return result.algo;
}

}  // namespace

Blas::Blas() {
  cublasLtHandle_t handle = nullptr;
  blas_check(cublasLtCreate(&handle), "[Blas] handle");
  handle_.reset(handle);
}

Blas::~Blas() = default;

const Blas::Plan& Blas::plan(const BlasKey& key) {
  std::unique_ptr<const Plan>& kept = plans_[key];
  if (kept) return *kept;
  const ProductShape& s = key.shape;
  const auto stored = [](bool transposed, Index rows, Index columns) {
    return transposed ? make_layout(CUDA_R_16BF, columns, rows)
                      : make_layout(CUDA_R_16BF, rows, columns);
  };
  Description description = make_description(key);
  Layout a = stored(s.transpose_a, s.M, s.K), b = stored(s.transpose_b, s.K, s.N);
  Layout c = make_layout(key.type == DType::f32 ? CUDA_R_32F : CUDA_R_16BF, s.M, s.N);
  const auto algorithm = choose_algorithm(handle_.get(), key, description, a, b, c);
  kept.reset(new Plan{std::move(description), std::move(a), std::move(b), std::move(c), algorithm});
  return *kept;
}

void Blas::run(const BlasProduct& p, cudaStream_t stream) {
  check(p.key.device_factors == (p.factors != nullptr),
        "[Blas] expected device factors: ", p.key.device_factors, ", got ",
        static_cast<const void*>(p.factors));
  const Plan& plan = this->plan(p.key);
  const float host_factors[] = {1.0f, p.key.add ? 1.0f : 0.0f};
  const float* factors = p.factors ? p.factors : host_factors;
  blas_check(cublasLtMatmul(handle_.get(), plan.description.get(), factors, p.b, plan.b.get(), p.a,
                            plan.a.get(), factors + 1, p.c, plan.c.get(), p.c, plan.c.get(),
                            &plan.algorithm, p.workspace, kLibraryWorkspace, stream),
             "[Blas] product");
}

}  // namespace tern::cuda
