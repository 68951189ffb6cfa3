#include "core/decode_step.h"

#include "cuda/backend/cuda_backend.h"
#include "cuda/common/check.h"
#include "cuda/decode/decode_kernel.h"

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

// In one kernel. Rows of weights that it reads are made once.
class KernelDecodeStep final : public DecodeStep {
 public:
  KernelDecodeStep(CudaBackend& on, int multiprocessors, DecodeModel model)
      : on_(on), multiprocessors_(multiprocessors), model_(std::move(model)) {
    const Index D = model_.norm.elements(), H = model_.layers[0].down.weight.t.shape()[1];
    const Index V = model_.head.weight.t.shape()[0], L = Index(model_.layers.size());
    exchange_ = Tensor(on_, {Index(decode_exchange_bytes(int(D), int(H)))}, DType::i8);
    on_.fill(exchange_, 0);
    const std::vector<DecodeStage> stages = make_stages();
    stages_ = Tensor(on_, {Index(stages.size() * sizeof(DecodeStage))}, DType::i8);
    on_.upload(stages_, stages.data());
    arguments_ = {.width = int(D),
                  .hidden = int(H),
                  .layers = int(L),
                  .vocabulary = int(V),
                  .eps = float(model_.eps),
                  .stages = static_cast<const DecodeStage*>(stages_.raw()),
                  .first_norm = model_.layers[0].token_norm.data<float>(),
                  .table = model_.table.raw(),
                  .row_scale = model_.row_scale ? model_.row_scale.data<float>() : nullptr,
                  .table_bytes = bits(model_.table.dtype()) / 8,
                  .exchange = exchange_.raw()};
  }

  void run(const Tensor& logits, const Tensor& id, int from) override {
    check(logits.elements() == arguments_.vocabulary, "[decode] logits: expected ",
          arguments_.vocabulary, " elements, got ", logits);
    check(id.elements() == 1, "[decode] id: expected one element, got ", id);
    arguments_.id = id.data<std::int32_t>();
    arguments_.from = from;
    arguments_.logits = logits.data<float>();
    launch_decode(arguments_, multiprocessors_, static_cast<cudaStream_t>(on_.stream()));
    arguments_.step += decode_steps(arguments_.layers);
  }

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

  std::vector<DecodeStage> make_stages() {
    std::vector<DecodeStage> stages;
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
      stages.insert(stages.end(), {gates, output, glu, down});
    }
    DecodeStage head;
    head.into = keep(multiply(download_real(model_.norm), download_real(model_.head.norm)));
    set(head, 0, model_.head);
    stages.push_back(head);
    return stages;
  }

  CudaBackend& on_;
  const int multiprocessors_;
  const DecodeModel model_;
  std::vector<Tensor> kept_{};  // rows of weights
  Tensor exchange_{}, stages_{};
  DecodeArguments arguments_{};
};

}  // namespace
}  // namespace cuda

std::unique_ptr<DecodeStep> CudaBackend::decode_step(const DecodeModel& model) {
  const int multiprocessors = traits_.multiprocessors;
  if (!hopper_ || model.layers.empty()) return nullptr;
  const Shape& down = model.layers[0].down.weight.t.shape();
  if (!cuda::can_decode(int(down[0]), int(down[1]), int(model.layers.size()),
                        int(model.head.weight.t.shape()[0]), multiprocessors))
    return nullptr;
  return std::make_unique<cuda::KernelDecodeStep>(*this, multiprocessors, model);
}

}  // namespace tern
