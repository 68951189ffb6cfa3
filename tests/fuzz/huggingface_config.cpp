// config.json of a Hugging Face folder, and the model that it describes.
#include "runtime/huggingface.h"
#include "tests/fuzz/fuzz.h"

namespace tern::fuzz {

void run(std::string_view input) {
  works({Fault::input}, [&] {
    const ReadHuggingFaceConfig read =
        read_huggingface_config(parse_json(input, "config.json"), "config.json");
    const nlohmann::json config = huggingface_config(read.model, read.facts);
    const ReadHuggingFaceConfig again = read_huggingface_config(config, "again");
    expect(huggingface_config(again.model, again.facts) == config,
           "a configuration differs when it is read again");
    const Model model(read.model, ModelOptions{});
    for (const HuggingFaceTensor& t : huggingface_tensors(model)) {
      std::int64_t items = 1;
      for (const std::int64_t d : t.shape()) expect(d > 0, "an empty tensor"), items *= d;
    }
  });
}

}  // namespace tern::fuzz
