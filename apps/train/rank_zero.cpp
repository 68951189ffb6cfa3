#include "apps/train/rank_zero.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "apps/config/resolved.h"
#include "apps/run/square_product.h"
#include "apps/train/banner.h"
#include "apps/train/course.h"
#include "apps/train/initial_weights.h"
#include "apps/train/resume.h"
#include "data/io/files.h"
#include "layers/model_config.h"

namespace tern {
namespace {

// The rate that plain products reach here: what "share of peak" is a share of. Takes a blink.
double measure_peak_flops(const Device& device) {
  const bool gpu = device.facts().traits.is_gpu();
  const Index n = gpu ? 8192 : 1024;
  const DType dtype = gpu ? DType::bf16 : DType::f32;
  const auto backend =
      make_backend(device, [&](Backend& on) { SquareProduct(on, dtype, n).seconds(); });
  const SquareProduct product(*backend, dtype, n);
  double best = product.seconds();
  for (int i = 1; i < 8; ++i) best = std::min(best, product.seconds());
  return product.flops() / best;
}

Environment environment_on(const Device& device, const std::vector<std::string>& command) {
  std::map<std::string, std::string> libraries = library_versions();
  const DeviceFacts& facts = device.facts();
  if (facts.traits.is_gpu()) {
    libraries["GPU"] = facts.name + ", " + facts.library;
    const std::string algorithms = device.algorithms_hash();
    libraries["measured algorithms"] = algorithms.empty() ? "none" : algorithms;
  }
  return describe_environment(command, libraries);
}

// Checked by now, unless no checkpoint of the run itself turned out to be good.
std::filesystem::path initial_weights(const OpenedRun& opened) {
  if (!opened.initial_weights.empty()) return opened.initial_weights;
  return find_initial_weights(opened.config, opened.device.facts().traits,
                              opened.data.tokenizer().hash());
}

}  // namespace

RankZero::RankZero(const OpenedRun& opened)
    : environment(environment_on(opened.device, opened.options.command)),
      directory(opened.directory(), existing_for(opened.options),
                [&](const std::string& saved, const std::string& where) {
                  return other_run(saved, where, opened.config);
                }),
      console(STDOUT_FILENO, directory.log()),
      start(find_start(opened.options, directory, console)),
      weights(start ? std::filesystem::path() : directory.now_at(initial_weights(opened))) {
  if (start) {
    require_same_run(*start, opened.config);
    require_same_data(*start, opened.data);
    warn_of_other_algorithms(*start, opened.device.algorithms_hash(), console);
    const std::string abandoned = begin_course(directory, *start);
    if (!abandoned.empty())
      events.push_back(
          {.step = std::int64_t(start->manifest().step), .kind = "superseded", .text = abandoned});
  } else {
    begin_course(directory);
  }
  directory.begin(resolved_config(opened.loaded), environment);
}

void RankZero::print_banner(OpenedRun& opened) {
  peak_flops = measure_peak_flops(opened.device);
  tern::print_banner(opened, *this);
  const std::string slow = slow_sizes(opened.config.model, opened.device.facts().traits);
  if (!slow.empty()) console.warn(slow);
}

void require_shared_directory(OpenedRun& opened) {
  ControlPlane& ranks = opened.control();
  const std::filesystem::path path = opened.directory();
  std::string name;
  if (ranks.first()) {
    std::random_device random;
    name = fmt::format(".ranks-{:08x}{:08x}", random(), random());
    File::create(path / name);
  }
  name = ranks.from_first(name);
  std::error_code error;
  const bool there = std::filesystem::exists(path, error);
  const bool shared = std::filesystem::exists(path / name, error);
  ranks.agree_on(std::int32_t(shared));  // all have looked
  if (ranks.first()) std::filesystem::remove(path / name, error);
  require(shared, Fault::usage, "rank ", ranks.rank(), ": ", path.string(),
          there ? ": another directory than rank 0 sees" : ": not there, though rank 0 has made it",
          ": parallel.zero = 1 needs one that all ranks share: correct run.directory, or set "
          "parallel.zero = 0");
}

}  // namespace tern
