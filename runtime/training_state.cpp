#include "runtime/training_state.h"

#include <cmath>

namespace tern {

nlohmann::json to_json(const TrainingState& s) {
  nlohmann::json j = {{"step", s.step},
                      {"position", s.position},
                      {"adam_steps", s.adam_steps},
                      {"skipped", s.skipped},
                      {"loss_mean", {{"sum", s.loss_mean.sum}, {"weight", s.loss_mean.weight}}},
                      {"tokenizer_hash", s.tokenizer_hash},
                      {"data_content", s.data_content},
                      {"bos", s.documents.bos},
                      {"eos", s.documents.eos},
                      {"algorithms", s.algorithms}};
  if (!std::isnan(s.best_loss)) j["best"] = {{"step", s.best_step}, {"loss", s.best_loss}};
  if (!std::isnan(s.validation_loss)) j["validation_loss"] = s.validation_loss;
  if (s.bad.in_a_row > 0)
    j["bad"] = {{"in_a_row", s.bad.in_a_row},
                {"rewinds", s.bad.rewinds},
                {"first_step", s.bad.first_step},
                {"first_position", s.bad.first_position}};
  return j;
}

TrainingState training_state(const Manifest& manifest, const std::string& where) {
  return training_state(manifest.state, where);
}

TrainingState training_state(const nlohmann::json& j, const std::string& where) {
  try {
    TrainingState s{.step = j.at("step").get<std::int64_t>(),
                    .position = j.at("position").get<std::int64_t>(),
                    .adam_steps = j.at("adam_steps").get<double>(),
                    .skipped = j.at("skipped").get<std::int64_t>(),
                    .tokenizer_hash = j.at("tokenizer_hash").get<std::string>(),
                    .data_content = j.value("data_content", std::vector<std::string>()),
                    .documents = {.bos = j.value("bos", true), .eos = j.value("eos", true)},
                    .algorithms = j.value("algorithms", "")};
    if (j.contains("loss_mean"))
      s.loss_mean = {.sum = j["loss_mean"].at("sum").get<double>(),
                     .weight = j["loss_mean"].at("weight").get<double>()};
    s.validation_loss = j.value("validation_loss", kUnknown);
    if (j.contains("best")) {
      s.best_loss = j["best"].at("loss").get<double>();
      s.best_step = j["best"].at("step").get<std::int64_t>();
    }
    if (j.contains("bad"))
      s.bad = {.in_a_row = j["bad"].at("in_a_row").get<int>(),
               .rewinds = j["bad"].at("rewinds").get<int>(),
               .first_step = j["bad"].at("first_step").get<std::int64_t>(),
               .first_position = j["bad"].at("first_position").get<std::int64_t>()};
    return s;
  } catch (const nlohmann::json::exception& e) {
    fail(Fault::input, where, ": manifest.json: state: ", e.what());
  }
}

}  // namespace tern
