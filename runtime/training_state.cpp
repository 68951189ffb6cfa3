#include "runtime/training_state.h"

#include <cmath>
#include <limits>

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
  constexpr std::int64_t kMostInt = std::numeric_limits<int>::max();
  const std::string state = where + ": manifest.json: state";
  const auto count = [&](const nlohmann::json& object, const char* key,
                         std::int64_t most = std::numeric_limits<std::int64_t>::max()) {
    const auto n = std::int64_t(json_number(object, key, state));
    require(n <= most, Fault::input, state, ": ", key, ": expected at most ", most, ", got ", n);
    return n;
  };
  try {
    TrainingState s{.step = count(j, "step"),
                    .position = count(j, "position"),
                    .adam_steps = j.at("adam_steps").get<double>(),
                    .skipped = count(j, "skipped"),
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
      s.best_step = count(j["best"], "step");
    }
    if (j.contains("bad"))
      s.bad = {.in_a_row = int(count(j["bad"], "in_a_row", kMostInt)),
               .rewinds = int(count(j["bad"], "rewinds", kMostInt)),
               .first_step = count(j["bad"], "first_step"),
               .first_position = count(j["bad"], "first_position")};
    return s;
  } catch (const nlohmann::json::exception& e) {
    fail(Fault::input, state, ": ", e.what());
  }
}

}  // namespace tern
