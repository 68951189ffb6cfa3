// The model in plain loops over doubles, one token at a time: what the model must agree with where
// the golden files do not go. Forward only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "layers/model.h"

namespace tern {

class PlainModel {
 public:
  explicit PlainModel(Model& model);  // copies its parameters

  // logits (T, V) of one sequence
  std::vector<double> logits(const std::vector<std::int32_t>& ids) const;
  // mean cross entropy of sequences of T tokens
  double loss(const std::vector<std::int32_t>& ids, const std::vector<std::int32_t>& targets,
              std::size_t T) const;

 private:
  using Values = std::vector<double>;
  const Values& parameter(const std::string& name) const { return parameters_.at(name); }
  Values norm(const Values& x, const std::string& weight) const;
  Values bit_linear(const Values& u, const std::string& name) const;
  Values bound(std::size_t layer) const;
  void run_layer(std::size_t layer, Values& x, Values& state) const;

  ModelConfig config_;
  std::map<std::string, Values> parameters_;
  std::map<std::string, std::pair<Values, double>> ternary_;  // codes and scale
};

}  // namespace tern
