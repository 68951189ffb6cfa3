#include "cuda/products/blas.h"

#include <bit>
#include <type_traits>

#include "core/workspace.h"

namespace tern::cuda {
namespace {

void blas_check(cublasStatus_t status, const char* what,
                std::source_location at = std::source_location::current()) {
  if (status == CUBLAS_STATUS_SUCCESS) [[likely]]
    return;
  if (status == CUBLAS_STATUS_EXECUTION_FAILED) device_lost() = true;
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
  if (key.operands != OperandKind::scaled_fp8) return description;
  constexpr auto outer = std::int32_t(CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F);
  set(description, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, outer);
  set(description, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, outer);
  // Sums stay in the tensor cores' own registers, which drop the last bits of an f32: far less than
  // the rounding of the operands costs, for 1.14 to 1.28 times the speed. Not over all tokens, as
  // in dw: they round toward zero (docs/numerics.md).
  set(description, CUBLASLT_MATMUL_DESC_FAST_ACCUM, std::int8_t(1));
  return description;
}

// The library's first operand is b.
void set_scales(const Description& description, const BlasProduct& product) {
  check(product.row_scales && product.column_scales && product.key.shape.transpose_b,
        "[Blas] fp8: expected scales and a transposed b");
  set(description, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, product.column_scales);
  set(description, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, product.row_scales);
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

std::string to_text(const BlasKey& key) {
  const ProductShape& s = key.shape;
  constexpr const char* names[] = {"\tbf16", "\te4m3", "\te4m3 in f32"};
  const char* operand = names[int(key.operands)];
  std::ostringstream text;
  text << s.M << '\t' << s.N << '\t' << s.K << operand << (s.transpose_a ? "^T" : "") << operand
       << (s.transpose_b ? "^T" : "") << '\t' << (key.add ? "+" : "") << name_of(key.type) << '\t'
       << (key.device_factors ? "device" : "host");
  return text.str();
}

struct Blas::Plan {
  Description description;
  Layout a, b, c;
  cublasLtMatmulAlgo_t algorithm{};
};

Blas::Blas(AlgorithmTable table, std::string machine)
    : table_(std::move(table)), machine_(std::move(machine)) {
  cublasLtHandle_t handle = nullptr;
  blas_check(cublasLtCreate(&handle), "[Blas] handle");
  handle_.reset(handle);
}

Blas::~Blas() = default;

const Blas::Plan& Blas::plan(const BlasProduct& product) {
  const BlasKey& key = product.key;
  std::unique_ptr<const Plan>& kept = plans_[key];
  if (kept) {
    if (key.operands == OperandKind::scaled_fp8) set_scales(kept->description, product);
    return *kept;
  }
  const ProductShape& s = key.shape;
  const cudaDataType_t operand = key.operands == OperandKind::half ? CUDA_R_16BF : CUDA_R_8F_E4M3;
  const auto stored = [&](bool transposed, Index rows, Index columns) {
    return transposed ? make_layout(operand, columns, rows) : make_layout(operand, rows, columns);
  };
  std::unique_ptr<Plan> made(
      new Plan{.description = make_description(key),
               .a = stored(s.transpose_a, s.M, s.K),
               .b = stored(s.transpose_b, s.K, s.N),
               .c = make_layout(key.type == DType::f32 ? CUDA_R_32F : CUDA_R_16BF, s.M, s.N)});
  if (key.operands == OperandKind::scaled_fp8) set_scales(made->description, product);
  made->algorithm = choose_algorithm(key, *made);
  kept = std::move(made);
  return *kept;
}

// The one place where an algorithm is chosen.
cublasLtMatmulAlgo_t Blas::choose_algorithm(const BlasKey& key, const Plan& plan) {
  const AlgorithmTable::Words* measured = table_.find(table_key(key));
  if (!measured) return propose(key, plan, 1).front();
  const auto algorithm = std::bit_cast<cublasLtMatmulAlgo_t>(*measured);
  cublasLtMatmulHeuristicResult_t result{};
  const cublasStatus_t status =
      cublasLtMatmulAlgoCheck(handle_.get(), plan.description.get(), plan.b.get(), plan.a.get(),
                              plan.c.get(), plan.c.get(), &algorithm, &result);
  require(status == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= kLibraryWorkspace,
          Fault::input, table_.path().string(), ": the library does not take the algorithm of '",
          table_key(key), "' (", cublasLtGetStatusString(status), "): remove that line");
  return algorithm;
}

std::vector<cublasLtMatmulAlgo_t> Blas::propose(const BlasKey& key, const Plan& plan, int most) {
  const Preference preference = make_preference();
  std::vector<cublasLtMatmulHeuristicResult_t> results(most);
  int found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
      handle_.get(), plan.description.get(), plan.b.get(), plan.a.get(), plan.c.get(), plan.c.get(),
      preference.get(), most, results.data(), &found);
  std::vector<cublasLtMatmulAlgo_t> algorithms;
  for (int i = 0; i < found; ++i)
    if (results[i].state == CUBLAS_STATUS_SUCCESS) algorithms.push_back(results[i].algo);
  if (algorithms.empty())
    fail(Fault::internal, "[Blas] no algorithm for '", table_key(key),
         "': ", cublasLtGetStatusString(status));
  return algorithms;
}

std::vector<cublasLtMatmulAlgo_t> Blas::proposals(const BlasProduct& product, int most) {
  return propose(product.key, plan(product), most);
}

cublasStatus_t Blas::run_by(const cublasLtMatmulAlgo_t& algorithm, const BlasProduct& p,
                            cudaStream_t stream) {
  check(p.key.device_factors == (p.factors != nullptr),
        "[Blas] expected device factors: ", p.key.device_factors, ", got ",
        static_cast<const void*>(p.factors));
  const Plan& plan = this->plan(p);
  const float host_factors[] = {1.0f, p.key.add ? 1.0f : 0.0f};
  const float* factors = p.factors ? p.factors : host_factors;
  return cublasLtMatmul(handle_.get(), plan.description.get(), factors, p.b, plan.b.get(), p.a,
                        plan.a.get(), factors + 1, p.c, plan.c.get(), p.c, plan.c.get(), &algorithm,
                        p.workspace, kLibraryWorkspace, stream);
}

void Blas::run(const BlasProduct& product, cudaStream_t stream) {
  if (observer_) observer_(product);
  blas_check(run_by(plan(product).algorithm, product, stream), "[Blas] product");
}

}  // namespace tern::cuda
