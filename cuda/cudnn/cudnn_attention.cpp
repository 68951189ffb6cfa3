// Causal attention by cuDNN's fused kernels, described to it as a graph of one operation.
#include <cudnn_frontend.h>

#include <cmath>
#include <cstdio>
#include <map>

#include "core/check.h"
#include "cuda/attention/attention_library.h"
#include "cuda/common/check.h"

namespace tern::cuda {
namespace {

namespace fe = cudnn_frontend;
using Graph = fe::graph::Graph;
using TensorFacts = fe::graph::Tensor_attributes;
using Pointers = std::unordered_map<std::int64_t, void*>;

// of tensors in a graph
enum Id : std::int64_t { kQ = 1, kK, kV, kOut, kLogSum, kDout, kDq, kDk, kDv };

enum class Pass { forward, forward_with_log_sum, backward };

struct PlanKey {
  Pass pass{};
  AttentionPart part{};
  auto operator<=>(const PlanKey&) const = default;
};

struct Plan {
  std::unique_ptr<Graph> graph{};
  std::size_t bytes = 0;  // workspace
};

// (sequences, heads, T, d) inside of rows of `row` elements
TensorFacts heads_of(const AttentionPart& p, Id id, std::int64_t row) {
  return TensorFacts()
      .set_uid(id)
      .set_dim({p.sequences, p.heads, p.T, p.d})
      .set_stride({p.T * row, p.d, row, 1});
}
TensorFacts packed(const AttentionPart& p, Id id) {
  return heads_of(p, id, 3 * p.row_heads * p.d);
}
TensorFacts plain(const AttentionPart& p, Id id) {
  return heads_of(p, id, p.row_heads * p.d);
}
TensorFacts log_sum_of(const AttentionPart& p) {
  return TensorFacts()
      .set_uid(kLogSum)
      .set_dim({p.sequences, p.heads, p.T, 1})
      .set_stride({p.heads * p.T, p.T, 1, 1})
      .set_data_type(fe::DataType_t::FLOAT);
}

// the graph's output like `facts`
void set_output(const std::shared_ptr<TensorFacts>& output, const TensorFacts& facts) {
  output->set_output(true)
      .set_uid(facts.get_uid())
      .set_dim(facts.get_dim())
      .set_stride(facts.get_stride())
      .set_data_type(facts.get_data_type());
}

std::unique_ptr<Graph> new_graph() {
  auto graph = std::make_unique<Graph>();
  graph->set_io_data_type(fe::DataType_t::BFLOAT16)
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
  return graph;
}

float scale_of(const AttentionPart& p) {
  return float(1 / std::sqrt(double(p.d)));
}

std::unique_ptr<Graph> forward_graph(const AttentionPart& p, bool with_log_sum) {
  auto graph = new_graph();
  const auto q = graph->tensor(packed(p, kQ)), k = graph->tensor(packed(p, kK)),
             v = graph->tensor(packed(p, kV));
  auto options = fe::graph::SDPA_attributes()
                     .set_name("attention")
                     .set_generate_stats(with_log_sum)
                     .set_causal_mask(true)
                     .set_attn_scale(scale_of(p));
  const auto [out, log_sum] = graph->sdpa(q, k, v, options);
  set_output(out, plain(p, kOut).set_data_type(fe::DataType_t::BFLOAT16));
  if (with_log_sum) set_output(log_sum, log_sum_of(p));
  return graph;
}

std::unique_ptr<Graph> backward_graph(const AttentionPart& p) {
  auto graph = new_graph();
  const auto q = graph->tensor(packed(p, kQ)), k = graph->tensor(packed(p, kK)),
             v = graph->tensor(packed(p, kV)), out = graph->tensor(plain(p, kOut)),
             dout = graph->tensor(plain(p, kDout)), log_sum = graph->tensor(log_sum_of(p));
  auto options = fe::graph::SDPA_backward_attributes()
                     .set_name("attention_backward")
                     .set_causal_mask(true)
                     .set_attn_scale(scale_of(p))
                     .set_deterministic_algorithm(true);
  const auto [dq, dk, dv] = graph->sdpa_backward(q, k, v, out, dout, log_sum, options);
  set_output(dq, packed(p, kDq).set_data_type(fe::DataType_t::BFLOAT16));
  set_output(dk, packed(p, kDk).set_data_type(fe::DataType_t::BFLOAT16));
  set_output(dv, packed(p, kDv).set_data_type(fe::DataType_t::BFLOAT16));
  return graph;
}

std::string text(const PlanKey& key) {
  const AttentionPart& p = key.part;
  return std::string(key.pass == Pass::backward ? "backward" : "forward") + " of " +
         std::to_string(p.sequences) + " x " + std::to_string(p.heads) +
         " heads, T = " + std::to_string(p.T) + ", d = " + std::to_string(p.d);
}

class CudnnAttention final : public AttentionLibrary {
 public:
  explicit CudnnAttention(cudaStream_t stream) {
    check(cudnnCreate(&handle_) == CUDNN_STATUS_SUCCESS, "[attention] cuDNN: no handle");
    check(cudnnSetStream(handle_, stream) == CUDNN_STATUS_SUCCESS, "[attention] cuDNN: stream");
  }
  ~CudnnAttention() override {
    plans_.clear();
    if (!device_lost()) cudnnDestroy(handle_);
  }

  bool forward(const AttentionPart& part, void* out, float* log_sum, const void* qkv,
               void* workspace, std::size_t bytes) override {
    Pointers pointers = inputs(part, qkv);
    pointers[kOut] = out;
    if (log_sum) pointers[kLogSum] = log_sum;
    return run({log_sum ? Pass::forward_with_log_sum : Pass::forward, part}, pointers, workspace,
               bytes);
  }

  bool backward(const AttentionPart& part, void* dqkv, const void* dout, const void* out,
                const float* log_sum, const void* qkv, void* workspace,
                std::size_t bytes) override {
    Pointers pointers = inputs(part, qkv);
    pointers[kOut] = const_cast<void*>(out);
    pointers[kDout] = const_cast<void*>(dout);
    pointers[kLogSum] = const_cast<float*>(log_sum);
    for (int i = 0; i < 3; ++i) pointers[kDq + i] = third(part, dqkv, i);
    return run({Pass::backward, part}, pointers, workspace, bytes);
  }

 private:
  // q, k or v
  static void* third(const AttentionPart& p, const void* qkv, int i) {
    return static_cast<std::uint16_t*>(const_cast<void*>(qkv)) + i * p.row_heads * p.d;
  }
  static Pointers inputs(const AttentionPart& p, const void* qkv) {
    return {{kQ, third(p, qkv, 0)}, {kK, third(p, qkv, 1)}, {kV, third(p, qkv, 2)}};
  }

  bool run(const PlanKey& key, Pointers& pointers, void* workspace, std::size_t bytes) {
    auto found = plans_.find(key);
    if (found == plans_.end()) found = plans_.emplace(key, make_plan(key, bytes)).first;
    const Plan& plan = found->second;
    if (!plan.graph || plan.bytes > bytes) return false;
    auto status = plan.graph->execute(handle_, pointers, workspace);
    check(status.is_good(), "[attention] cuDNN, ", text(key), ": ", status.get_message());
    return true;
  }

  Plan make_plan(const PlanKey& key, std::size_t bytes) {
    const bool backward = key.pass == Pass::backward;
    Plan plan{.graph = backward ? backward_graph(key.part)
                                : forward_graph(key.part, key.pass == Pass::forward_with_log_sum)};
    auto status = plan.graph->build(handle_, {fe::HeurMode_t::A});
    if (status.is_bad()) {
      std::fprintf(stderr, "attention: cuDNN has no %s (%s): plain kernels compute it\n",
                   text(key).c_str(), status.get_message().c_str());
      return {};
    }
    plan.bytes = std::size_t(plan.graph->get_workspace_size());
    if (plan.bytes > bytes)
      std::fprintf(
          stderr,
          "attention: cuDNN asks for %zu bytes of workspace, expected at most %zu, for %s: "
          "plain kernels compute it\n",
          plan.bytes, bytes, text(key).c_str());
    return plan;
  }

  cudnnHandle_t handle_ = nullptr;
  std::map<PlanKey, Plan> plans_{};
};

class CudnnPlugin final : public AttentionPlugin {
 public:
  int version() override { return int(cudnnGetVersion()); }
  std::unique_ptr<AttentionLibrary> open(cudaStream_t stream) override {
    return std::make_unique<CudnnAttention>(stream);
  }
};

}  // namespace
}  // namespace tern::cuda

extern "C" tern::cuda::AttentionPlugin* tern_attention_plugin() {
  static tern::cuda::CudnnPlugin plugin;
  return &plugin;
}
