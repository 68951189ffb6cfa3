// Another run's checkpoint that a new run starts from (init_from): found and checked before the
// run's directory is touched.
#pragma once

#include <filesystem>
#include <string>

#include "apps/train/train.h"
#include "core/device_traits.h"
#include "runtime/run_config.h"

namespace tern {

// Whether the run starts from init_from: it has one, and does not go on from a checkpoint of its
// own (--overwrite, --resume none, or there is none).
bool needs_initial_weights(const RunConfig& config, const TrainOptions& options);

// The directory of the checkpoint that init_from.path means, an absolute path without links; "" if
// there is no init_from. Everything in it has been read and compared with its hashes. Fault::input,
// naming what is wrong: damaged, another tokenizer unless init_from.other_tokenizer, tensors of
// other shapes.
std::filesystem::path find_initial_weights(const RunConfig& config, const DeviceTraits& device,
                                           const std::string& tokenizer_hash);

}  // namespace tern
