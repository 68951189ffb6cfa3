// A tensor of a model, its gradient where it is trained, and weights that are only run.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace tern {

// A gradient under construction: which elements have been written so far. The first writer of a
// range overwrites it, later ones add, so no pass over memory is spent on zeroing.
struct GradBuffer {
  Tensor tensor{};
  std::vector<std::pair<Index, Index>> written{};  // sorted, disjoint [begin, end) of elements
  Fp8Rows fp8{};  // all of it in 8-bit floats, if its one writer makes that; every claim drops it

  // Makes [begin, end) ready for a writer; true: add to what is there, false: overwrite.
  bool claim(Index begin, Index end);
  void fill_unwritten();  // zeros the elements that were not written
  void release() { tensor = {}, fp8 = {}; }
};

// Gradient destination. Empty: not needed. add: accumulate instead of overwrite.
struct Grad {
  Tensor to{};
  bool add = false;
  explicit operator bool() const { return bool(to); }
};

// Throws if kernel is to make 8-bit floats of a gradient that it adds to. An empty one leaves in
// 8-bit floats alone.
void check_fp8_rows(const char* kernel, const Grad& grad, const Fp8Rows& fp8);

// How ranks that own parameters divide one among them (core/ownership.h).
enum class Sharding {
  replicated,  // every rank has all of it
  whole,       // one rank has all of it; the others read its ternary copy
  rows,        // each rank has some rows; all read a table of all rows
};

// Where training starts: each element a function of (seed, name, index).
struct Initial {
  enum class Kind { constant, normal, uniform } kind = Kind::constant;
  double amount = 0;  // the constant; the standard deviation; the bound of [-bound, bound]
};

// A tensor of a model. A layer declares it: what it is called, how large it is, and how it is
// treated. Its weights are bound to it later: by a ParameterPack to train it, by InferenceWeights
// to run it only.
struct Parameter {
  std::string name{};  // "model.layers.3.attn.f_proj.weight"
  Shape shape{};
  bool weight_decay = false;
  bool ternary = false;       // products read its ternary copy
  bool working_copy = false;  // products read a copy of its values, if PackOptions::working says so
  Sharding sharding = Sharding::replicated;
  Index alignment = 64;  // elements; it begins at a multiple of them in a flat buffer
  Initial initial{};

  Tensor value{};        // empty: another rank owns it, or only its copy is wanted
  TernaryWeight copy{};  // of a ternary one; empty: not bound yet
  Tensor working{};      // of one with a working copy; empty: products read the value
  Quantized table{};     // (V, D) of an embedding whose rows are int8; empty: it has a value
  GradBuffer grad{};     // of this shape; empty: not trained
};

// Weights to run a model, not to train it: of ternary matrices codes and scales alone, of dense
// ones their working copies if wanted, of all other parameters their values; embeddings may be in
// bf16 or int8. No latent weights, no gradients.
class InferenceWeights {
 public:
  // Binds parameters to memory of this backend, for as long as this object lives. They must outlive
  // it and not move. dtype: f32 or f64, of values and scales; working: bf16, of working copies
  // (Parameter::working_copy), or nothing: such matrices have values; codes: i8 or t2, of ternary
  // matrices that are set. Nothing is bound yet.
  InferenceWeights(Backend& backend, std::vector<Parameter*> parameters, DType dtype = DType::f32,
                   std::optional<DType> working = {}, DType codes = DType::i8);
  ~InferenceWeights();
  InferenceWeights(const InferenceWeights&) = delete;
  InferenceWeights& operator=(const InferenceWeights&) = delete;

  const std::vector<Parameter*>& parameters() const { return parameters_; }

  // Sets one: `fill` writes its values, as trained, to the tensor it is given (p.shape, dtype).
  // Where a copy is kept that is memory which is free again afterwards; the copy has the bits that
  // training has.
  void set(Parameter& p, const std::function<void(const Tensor& values)>& fill);
  // Binds one to what is there already, borrowed memory for instance: to its values (p.shape,
  // dtype, or bf16 if it is an embedding); if it is ternary, to its codes, i8 or t2, and their
  // scale, of dtype; if it is an embedding, to int8 rows and their scales, of dtype.
  void bind(Parameter& p, const Tensor& values);
  void bind(Parameter& p, const TernaryWeight& copy);
  void bind(Parameter& p, const Quantized& table);

  Backend& backend() const { return backend_; }
  DType dtype() const { return dtype_; }

 private:
  Backend& backend_;
  std::vector<Parameter*> parameters_;
  DType dtype_;
  std::optional<DType> working_;
  DType codes_;
};

}  // namespace tern
