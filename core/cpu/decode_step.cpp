// A token through a whole model in tensors that are made once: what the layers compute, without
// their calls and allocations, which cost as much as the rows between two products.
#include <algorithm>

#include "core/cpu/cpu_backend.h"

namespace tern {
namespace {

class CpuDecodeStep final : public DecodeStep {
 public:
  CpuDecodeStep(CpuBackend& on, const DecodeModel& model)
      : on_(on),
        model_(model),
        B_(model.layers.front().state[0].shape()[0]),
        D_(model.norm.elements()),
        H_(model.layers.front().down.norm.elements()),
        ids_(on, {B_}, DType::i32),
        x_{real(D_), real(D_)},
        branch_(real(D_)),
        i_(real(D_)),
        f_(real(D_)),
        g_(real(D_)),
        h_(real(D_)),
        glu_(real(2 * H_)),
        rstd_(real(2)),
        rows_{row(D_), row(D_), row(D_)},
        hidden_(row(H_)) {}

  void run(const Tensor& logits, const Tensor& ids, int from) override {
    const auto* id = ids.data<std::int32_t>();
    std::transform(id, id + B_, ids_.data<std::int32_t>(), [](auto i) { return std::max(i, 0); });
    on_.run(Embedding{
        .y = x_[now_], .table = model_.table, .row_scale = model_.row_scale, .ids = ids_});
    for (const DecodeLayer& layer : model_.layers) {
      mix_tokens(layer, from, &layer != &model_.layers.front());
      mix_channels(layer);
    }
    norm(model_.norm, {&model_.head}, true);
    product(logits, rows_[0], model_.head);
  }

 private:
  Tensor real(Index columns) const { return Tensor(on_, {B_, columns}, DType::f32); }
  Quantized row(Index columns) const {
    return {.q = Tensor(on_, {B_, columns}, DType::i8), .row_scale = Tensor(on_, {B_}, DType::f32)};
  }

  void mix_tokens(const DecodeLayer& layer, int from, bool add) {
    norm(layer.token_norm, {&layer.i, &layer.f, &layer.g}, add);
    product(i_, rows_[0], layer.i);
    product(f_, rows_[1], layer.f);
    product(g_, rows_[2], layer.g);
    const Shape step{B_, 1, D_};
    on_.run(Mlgru{.h = h_.reshape(step),
                  .last = layer.state[from ^ 1],
                  .f_in = f_.reshape(step),
                  .c_in = i_.reshape(step),
                  .bound = layer.bound,
                  .initial = layer.state[from]});
    on_.run(GatedNormQuantize{.row = {.y = rows_[0], .weight = layer.o.norm},
                              .rstd = rstd_,
                              .g = g_,
                              .h = h_,
                              .g_weight = layer.g_norm,
                              .eps = model_.eps});
    product(branch_, rows_[0], layer.o);
  }

  void mix_channels(const DecodeLayer& layer) {
    norm(layer.channel_norm, {&layer.gate}, true);
    product(glu_, rows_[0], layer.gate);
    on_.run(SwigluNormQuantize{.row = {.y = hidden_, .weight = layer.down.norm},
                               .rstd = rstd_.reshape({2 * B_}).slice(0, B_),
                               .a = glu_,
                               .eps = model_.eps});
    product(branch_, hidden_, layer.down);
  }

  // rows_: the inputs of these matrices, of the stream with what the last block adds to it
  void norm(const Tensor& block, std::initializer_list<const DecodeMatrix*> matrices, bool add) {
    std::array<NormalizedRow, 3> rows;
    for (std::size_t k = 0; k < matrices.size(); ++k)
      rows[k] = {.y = rows_[k], .weight = matrices.begin()[k]->norm};
    const Tensor& x = x_[now_];
    if (add) now_ ^= 1;
    on_.run(NormQuantize{.rows = std::span(rows).first(matrices.size()),
                         .sum = add ? x_[now_] : Tensor{},
                         .rstd = rstd_,
                         .x = x,
                         .branch = add ? branch_ : Tensor{},
                         .block_weight = block,
                         .eps = model_.eps});
  }

  void product(const Tensor& y, const Quantized& x, const DecodeMatrix& matrix) {
    on_.run(TernaryProduct{.y = y, .x = x, .w = matrix.weight});
  }

  CpuBackend& on_;
  const DecodeModel model_;
  const Index B_, D_, H_;
  const Tensor ids_;
  const Tensor x_[2];  // the residual stream; x_[now_] is the last
  int now_ = 0;
  const Tensor branch_, i_, f_, g_, h_, glu_, rstd_;
  const Quantized rows_[3], hidden_;
};

}  // namespace

std::unique_ptr<DecodeStep> CpuBackend::decode_step(const DecodeModel& model) {
  return std::make_unique<CpuDecodeStep>(*this, model);
}

}  // namespace tern
