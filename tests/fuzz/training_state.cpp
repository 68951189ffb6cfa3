// The state of a training run in the manifest of a checkpoint.
#include "runtime/training_state.h"

#include "tests/fuzz/fuzz.h"

namespace tern::fuzz {

void run(std::string_view input) {
  works({Fault::input}, [&] {
    const TrainingState state = training_state(parse_json(input, "m"), "m");
    expect(state.step >= 0 && state.position >= 0 && state.skipped >= 0, "a negative count");
    const nlohmann::json again = to_json(state);
    expect(to_json(training_state(again, "again")) == again,
           "a state differs when it is read again");
  });
}

}  // namespace tern::fuzz
