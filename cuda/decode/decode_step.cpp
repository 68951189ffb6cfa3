#include "cuda/decode/decode_step.h"

#include "cuda/common/check.h"
#include "cuda/decode/decode_graph.h"

namespace tern {
namespace cuda {
namespace {

using Values = std::vector<double>;

Values multiply(Values a, const Values& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] *= b[i];
  return a;
}

Values join(Values a, const Values& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// The model as kernels see it. Rows of weights that they read are made once.
class DecodedModel {
 public:
  DecodedModel(CudaBackend& on, DecodeModel model) : on_(on), model_(std::move(model)) {
    make_stages();
  }

  const std::vector<DecodeStage>& stages() const { return stages_; }
  DecodeArguments arguments() const {
    return {.width = int(model_.norm.elements()),
            .hidden = int(model_.layers[0].down.weight.t.shape()[1]),
            .layers = int(model_.layers.size()),
            .vocabulary = int(model_.head.weight.t.shape()[0]),
            .eps = float(model_.eps),
            .first_norm = model_.layers[0].token_norm.data<float>(),
            .table = model_.table.raw(),
            .row_scale = model_.row_scale ? model_.row_scale.data<float>() : nullptr,
            .table_bytes = bits(model_.table.dtype()) / 8};
  }
  int streams() const { return int(model_.layers[0].state[0].shape()[0]); }

 private:
  const float* keep(const Values& values) {
    kept_.emplace_back(on_, Shape{Index(values.size())}, DType::f32);
    upload_real(kept_.back(), values);
    return kept_.back().data<float>();
  }

  static void set(DecodeStage& stage, int at, const DecodeMatrix& from) {
    stage.tiles[at] = from.weight.t.raw();
    stage.inverse_scale[at] = float(1 / download_real(from.weight.scale)[0]);
  }

  void make_stages() {
    for (std::size_t l = 0; l < model_.layers.size(); ++l) {
      const DecodeLayer& layer = model_.layers[l];
      const bool last = l + 1 == model_.layers.size();
      DecodeStage gates, output, glu, down;
      const Values norm = download_real(layer.token_norm);
      Values into;
      for (const DecodeMatrix* m : {&layer.i, &layer.f, &layer.g})
        into = join(std::move(into), multiply(norm, download_real(m->norm)));
      gates.into = keep(into);
      gates.beside = keep(join(download_real(layer.g_norm),
                               layer.bound ? download_real(layer.bound) : Values(norm.size())));
      for (int k : {0, 1}) gates.state[k] = layer.state[k].data<float>();
      set(gates, 0, layer.i), set(gates, 1, layer.f), set(gates, 2, layer.g);
      output.into = layer.o.norm.data<float>();
      output.beside = layer.channel_norm.data<float>();
      set(output, 0, layer.o);
      glu.into = keep(multiply(download_real(layer.channel_norm), download_real(layer.gate.norm)));
      set(glu, 0, layer.gate);
      glu.tiles[1] = static_cast<const char*>(glu.tiles[0]) + layer.gate.weight.t.bytes() / 2;
      down.into = layer.down.norm.data<float>();
      down.beside = (last ? model_.norm : model_.layers[l + 1].token_norm).data<float>();
      set(down, 0, layer.down);
      stages_.insert(stages_.end(), {gates, output, glu, down});
    }
    DecodeStage head;
    head.into = keep(multiply(download_real(model_.norm), download_real(model_.head.norm)));
    set(head, 0, model_.head);
    stages_.push_back(head);
  }

  CudaBackend& on_;
  const DecodeModel model_;
  std::vector<Tensor> kept_{};  // rows of weights
  std::vector<DecodeStage> stages_{};
};

void check_step(const Tensor& logits, const Tensor& ids, const DecodeArguments& a, int streams) {
  check(logits.elements() == Index(streams) * a.vocabulary, "[decode] logits: expected ",
        Index(streams) * a.vocabulary, " elements, got ", logits);
  check(ids.elements() == streams, "[decode] ids: expected ", streams, " elements, got ", ids);
}

// One sequence in one kernel.
class KernelDecodeStep final : public DecodeStep {
 public:
  KernelDecodeStep(CudaBackend& on, const DecodeModel& model)
      : on_(on), model_(on, model), a_(model_.arguments()) {
    exchange_ = Tensor(on_, {Index(decode_exchange_bytes(a_.width, a_.hidden))}, DType::i8);
    on_.fill(exchange_, 0);
    stages_ = Tensor(on_, {Index(model_.stages().size() * sizeof(DecodeStage))}, DType::i8);
    on_.upload(stages_, model_.stages().data());
    a_.stages = static_cast<const DecodeStage*>(stages_.raw());
    a_.exchange = exchange_.raw();
  }

  void run(const Tensor& logits, const Tensor& id, int from) override {
    check_step(logits, id, a_, 1);
    a_.id = id.data<std::int32_t>();
    a_.from = from;
    a_.logits = logits.data<float>();
    launch_decode(a_, on_.traits().multiprocessors, static_cast<cudaStream_t>(on_.stream()));
    a_.step += decode_steps(a_.layers);
  }
  bool is_asynchronous() const override { return true; }

 private:
  CudaBackend& on_;
  const DecodedModel model_;
  Tensor exchange_{}, stages_{};
  DecodeArguments a_;
};

// Several sequences in a graph of kernels.
class GraphDecodeStep final : public DecodeStep {
 public:
  GraphDecodeStep(CudaBackend& on, const DecodeModel& model)
      : on_(on), model_(on, model), a_(model_.arguments()) {
    const Index bytes = Index(decode_rows_bytes(a_.width, a_.hidden, model_.streams()));
    memory_ = Tensor(on_, {bytes}, DType::i8);
    on_.fill(memory_, 0);
    graph_ = std::make_unique<DecodeGraph>(a_, model_.stages(), model_.streams(),
                                           on_.traits().multiprocessors, memory_.raw(), stream());
  }
  ~GraphDecodeStep() override { on_.synchronize(); }  // a graph that runs is not destroyed

  void run(const Tensor& logits, const Tensor& ids, int from) override {
    check_step(logits, ids, a_, model_.streams());
    a_.id = ids.data<std::int32_t>();
    a_.from = from;
    a_.logits = logits.data<float>();
    graph_->launch(a_, stream());
  }
  bool is_asynchronous() const override { return true; }

 private:
  cudaStream_t stream() const { return static_cast<cudaStream_t>(on_.stream()); }

  CudaBackend& on_;
  const DecodedModel model_;
  Tensor memory_{};
  DecodeArguments a_;
  std::unique_ptr<DecodeGraph> graph_;
};

}  // namespace

std::unique_ptr<DecodeStep> make_decode_step(CudaBackend& on, const DecodeModel& model,
                                             DecodeForm form) {
  if (model.layers.empty()) return nullptr;
  const DecodeLayer& layer = model.layers[0];
  const auto width = int(layer.down.weight.t.shape()[0]);
  const auto hidden = int(layer.down.weight.t.shape()[1]);
  const auto streams = int(layer.state[0].shape()[0]);
  if (form == DecodeForm::graph) {
    if (!can_decode_rows(width, hidden, streams)) return nullptr;
    return std::make_unique<GraphDecodeStep>(on, model);
  }
  const auto vocabulary = int(model.head.weight.t.shape()[0]);
  if (streams > 1 ||
      !can_decode(width, hidden, int(model.layers.size()), vocabulary, on.traits().multiprocessors))
    return nullptr;
  return std::make_unique<KernelDecodeStep>(on, model);
}

}  // namespace cuda

// The one kernel where it takes the model, which is the faster for one sequence.
std::unique_ptr<DecodeStep> CudaBackend::decode_step(const DecodeModel& model) {
  if (!hopper_) return nullptr;
  auto step = cuda::make_decode_step(*this, model, cuda::DecodeForm::kernel);
  if (!step) step = cuda::make_decode_step(*this, model, cuda::DecodeForm::graph);
  return step;
}

}  // namespace tern
