#include "apps/sweep/sweep.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <thread>

#include "apps/config/resolved.h"
#include "apps/console/progress_line.h"
#include "apps/console/terminal.h"
#include "apps/run/run_directory.h"
#include "apps/run/run_table.h"
#include "apps/run/signals.h"
#include "apps/system/child.h"
#include "core/check.h"
#include "data/checkpoint/directory.h"
#include "data/io/files.h"
#include "distributed/rank_info.h"
#include "runtime/machine_limits.h"
#include "runtime/memory_plan.h"
#include "runtime/quantities.h"
#include "runtime/training_data.h"

namespace tern {
namespace {

namespace fs = std::filesystem;

// Of a process on a GPU beside the plan: the driver's context and the libraries' code.
constexpr std::size_t kProcessOnGpu = std::size_t(800) << 20;
constexpr double kSecondsBetweenLines = 60;  // of progress, where no terminal shows it

enum class JobState { waiting, running, finished, failed };

struct Job {
  const SweepRun* run = nullptr;
  std::optional<TrunkLink> trunk{};
  JobState state = JobState::waiting;
  std::vector<std::string> overrides{};
  Index micro_batch = 0;
  std::size_t bytes = 0;  // on its device
  std::size_t slot = 0;   // while it runs
  std::unique_ptr<Child> child{};
  std::string problem{};
  Fault fault = Fault::internal;
};

// A device, and how many runs at once it takes.
struct Slot {
  std::string device{};
  std::size_t memory = 0, used = 0;  // bytes
  int most = 1, running = 0, threads = 1;
};

std::vector<std::string> device_names(const std::string& device) {
  std::vector<std::string> names;
  if (device == "cuda") {
    const int count = Device::count_gpus();
    for (int i = 0; i < count; ++i) names.push_back(fmt::format("cuda:{}", i));
    require(!names.empty(), Fault::usage, "--device cuda: expected a GPU, found none");
    return names;
  }
  for (std::size_t begin = 0; begin <= device.size();) {
    const std::size_t end = std::min(device.find(',', begin), device.size());
    names.push_back(device.substr(begin, end - begin));
    begin = end + 1;
  }
  return names;
}

// The last lines of a run's own output that say something.
std::string last_line(const fs::path& log) {
  std::string text;
  try {
    text = read_file(log, 1 << 28);
  } catch (const Error&) {
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

// The step of the last line of a run's metrics; 0 if there is none.
std::int64_t last_step(const fs::path& run) {
  constexpr off_t kTail = 64 << 10;
  const int file = open((run / "metrics.jsonl").c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const off_t size = lseek(file, 0, SEEK_END);
  std::string tail(std::size_t(std::min(size, kTail)), '\0');
  const ssize_t n = pread(file, tail.data(), tail.size(), std::max<off_t>(0, size - kTail));
  close(file);
  tail.resize(std::size_t(std::max<ssize_t>(0, n)));
  const RunHistory history = parse_history(tail);  // a line that is cut off is skipped
  return history.steps.empty() ? 0 : history.steps.back().report.step;
}

class Sweeper {
 public:
  explicit Sweeper(const SweepOptions& options)
      : options_(options), sweep_(load_sweep(options.file)) {
    const std::vector<std::optional<TrunkLink>> links = trunk_links(sweep_);
    for (std::size_t i = 0; i < sweep_.runs.size(); ++i) {
      Job& job = jobs_.emplace_back();
      job.run = &sweep_.runs[i];
      job.trunk = links[i];
      job.overrides = sweep_.runs[i].overrides;
    }
    for (const auto& link : links)
      if (link) jobs_[link->before].overrides.push_back("checkpoint.before_decay=true");
  }

  void list() {
    for (const Job& job : jobs_) {
      const fs::path path = directory_of(job);
      std::string state = "missing";
      if (path_exists(path / "metrics.jsonl")) {
        const SavedRun run = read_run(path);
        state = fmt::format("{}, step {} of {}", name_of(run.state), run.step(),
                            total_steps(job.run->config));
      }
      if (job.trunk)
        state += fmt::format("; goes on from {} at step {}", jobs_[job.trunk->before].run->name,
                             job.trunk->step);
      fmt::print("{}  {}\n", job.run->name, state);
    }
  }

  void run() {
    const Signals signals;
    make_directories(sweep_.directory / "logs");
    const RunLock lock(sweep_.directory / ".sweep.lock");
    find_what_is_done();
    make_slots();
    plan_memory_of_jobs();
    constexpr int kTurnsBetweenLooks = 10;
    for (int turn = 0; left() > 0;) {
      if (signals.stop_requested()) return stop(signals.stop_signal());
      collect();
      while (start_next()) {
      }
      if (++turn % kTurnsBetweenLooks == 0)  // it reads the runs' files
        progress_.show([&](double) { return status(); }, kSecondsBetweenLines);
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    progress_.clear();
    conclude();
  }

 private:
  fs::path directory_of(const Job& job) const { return sweep_.directory / job.run->name; }
  fs::path log_of(const Job& job) const {
    return sweep_.directory / "logs" / (job.run->name + ".txt");
  }
  std::size_t count(JobState state) const {
    return std::size_t(std::ranges::count(jobs_, state, &Job::state));
  }
  std::size_t left() const { return count(JobState::waiting) + count(JobState::running); }

  void find_what_is_done() {
    for (Job& job : jobs_) {
      const fs::path path = directory_of(job);
      if (!path_exists(path / "metrics.jsonl")) continue;
      const SavedRun run = read_run(path);
      const bool whole = run.state == RunState::finished && run.config &&
                         run.step() >= total_steps(job.run->config);
      if (whole && same_run(job, *run.config)) job.state = JobState::finished;
      if (run.state == RunState::diverged) fail_job(job, Fault::diverged, "diverged");
    }
    fmt::print("{} runs: {} done, {} to do\n", jobs_.size(),
               count(JobState::finished) + count(JobState::failed), left());
  }

  // A finished run of another configuration is for `tern train` to refuse, in its own words.
  bool same_run(const Job& job, const RunConfig& found) const {
    RunConfig want = job.run->config;
    if (want.model.vocab_size == 0) want.model.vocab_size = found.model.vocab_size;
    return std::ranges::none_of(differences(found, want), [](const Difference& d) {
      return d.decides != Decides::place && d.key != "run.directory";
    });
  }

  void make_slots() {
    const std::vector<std::string> names = device_names(options_.device);
    const int cores = std::max(1, usable_cores() / int(names.size()));
    const int todo = std::max(1, int(count(JobState::waiting)));
    for (const std::string& name : names) {
      const Device device(name);
      const bool cpu = name == "cpu";
      Slot slot{.device = name, .memory = device.available_memory()};
      const int share = (todo + int(names.size()) - 1) / int(names.size());
      slot.most =
          options_.jobs > 0 ? options_.jobs : std::min(share, std::max(1, cpu ? cores : cores / 2));
      slot.threads = std::max(1, cores / slot.most);
      slots_.push_back(std::move(slot));
    }
  }

  // Before the first one starts: what a run finds free must not decide how it computes.
  void plan_memory_of_jobs() {
    const Device device(slots_[0].device);
    std::map<std::string, std::int64_t> vocabularies;  // of data
    for (Job& job : jobs_) {
      if (job.state != JobState::waiting) continue;
      try {
        RunConfig config = job.run->config;
        std::string data = config.data.tokenizer;
        for (const DataSource& source : config.data.sources) data += '\n' + source.path;
        auto known = vocabularies.find(data);
        if (known == vocabularies.end())
          known = vocabularies.emplace(data, TrainingData(config).tokenizer().vocab_size()).first;
        if (config.model.vocab_size == 0) config.model.vocab_size = known->second;
        const MemoryPlan plan = choose_memory_plan(config, device, {}, slots_[0].most);
        job.micro_batch = plan.micro_batch;
        job.bytes = plan.peak + (slots_[0].device == "cpu" ? plan.snapshot : kProcessOnGpu);
      } catch (const Error& e) {
        fail_job(job, e.fault, e.what());
      }
    }
  }

  // The first run that waits for nothing, on the device that has the most room.
  bool start_next() {
    for (Job& job : jobs_) {
      if (job.state != JobState::waiting || !trunk_is_there(job)) continue;
      Slot* best = nullptr;
      for (Slot& slot : slots_) {
        const bool fits = slot.running == 0 || slot.used + job.bytes <= slot.memory;
        if (slot.running < slot.most && fits && (!best || slot.running < best->running))
          best = &slot;
      }
      if (!best) continue;
      start(job, *best);
      return true;
    }
    return false;
  }

  // Also fails a run whose trunk has failed.
  bool trunk_is_there(Job& job) {
    if (!job.trunk || has_checkpoints(directory_of(job))) return true;
    const Job& before = jobs_[job.trunk->before];
    if (path_exists(trunk_of(job) / "manifest.json")) return true;
    if (before.state == JobState::failed)
      fail_job(job, before.fault, "needs a checkpoint of " + before.run->name + ", which failed");
    if (before.state == JobState::finished)
      fail_job(job, Fault::input,
               fmt::format("needs {}, which is not there", trunk_of(job).string()));
    return false;
  }

  static bool has_checkpoints(const fs::path& run) {
    return path_exists(run / "checkpoints") && !checkpoint_steps(run / "checkpoints").empty();
  }
  fs::path trunk_of(const Job& job) const {
    return directory_of(jobs_[job.trunk->before]) / "checkpoints" /
           checkpoint_name(std::uint64_t(job.trunk->step));
  }

  void start(Job& job, Slot& slot) {
    std::vector<std::string> command = {"tern", "train", sweep_.config.string(), "--device",
                                        slot.device};
    for (const std::string& o : job.overrides) command.insert(command.end(), {"--set", o});
    if (job.run->config.batch.micro_batch == 0)
      command.insert(command.end(),
                     {"--set", fmt::format("batch.micro_batch={}", job.micro_batch)});
    if (job.trunk && !has_checkpoints(directory_of(job)))
      command.insert(command.end(), {"--resume", trunk_of(job).string()});
    Variables variables = environment_variables();
    std::erase_if(variables, [](const auto& v) { return is_rank_variable(v.first); });
    variables.emplace("OMP_NUM_THREADS", std::to_string(slot.threads));
    variables["TERN_SWEEP"] = std::to_string(getpid());
    const fs::path log = log_of(job);
    const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    require(file >= 0, Fault::disk, log.string(), ": cannot be opened: ", system_message(errno));
    job.child = std::make_unique<Child>(
        command, Streams{.in = -1, .out = file, .error = file},
        ChildSettings{.program = fs::read_symlink("/proc/self/exe"), .environment = variables});
    close(file);
    job.state = JobState::running;
    job.slot = std::size_t(&slot - slots_.data());
    ++slot.running, slot.used += job.bytes;
    say(fmt::format("begin  {}  on {}", job.run->name, slot.device));
  }

  void collect() {
    for (Job& job : jobs_) {
      if (job.state != JobState::running || !job.child->ended()) continue;
      Slot& slot = slots_[job.slot];
      --slot.running, slot.used -= job.bytes;
      const int code = job.child->exit_code(), signal = job.child->signal();
      job.child.reset();
      if (code == 0) {
        job.state = JobState::finished;
        const RunRow row = run_rows({directory_of(job)})[0];
        std::string loss;
        if (std::isfinite(row.val_loss)) loss = fmt::format("  val {:.4f}", row.val_loss);
        say(fmt::format("done   {}{}  {}", job.run->name, loss, duration_text(row.seconds)));
      } else if (signal != 0) {
        fail_job(job, Fault::communication, fmt::format("killed by signal {}", signal));
      } else {
        fail_job(job, Fault(code), fmt::format("exit code {}: {}", code, last_line(log_of(job))));
      }
    }
  }

  void fail_job(Job& job, Fault fault, const std::string& problem) {
    job.state = JobState::failed;
    job.fault = fault, job.problem = problem;
    say(fmt::format("failed {}: {}", job.run->name, problem));
  }

  std::string status() const {
    std::string text = fmt::format("{} of {} done", count(JobState::finished), jobs_.size());
    if (const std::size_t failed = count(JobState::failed); failed > 0)
      text += fmt::format(", {} failed", failed);
    for (const Job& job : jobs_)
      if (job.state == JobState::running)
        text += fmt::format(
            "  {} {:.0f}%", job.run->name,
            100.0 * double(last_step(directory_of(job))) / double(total_steps(job.run->config)));
    return text;
  }

  void say(const std::string& line) {
    progress_.clear();
    fmt::print("{}\n", printable(line));
    std::fflush(stdout);
  }

  // Each saves its step; then the same command goes on.
  void stop(int signal) {
    say("stopping: the runs save their steps");
    for (Job& job : jobs_)
      if (job.state == JobState::running) job.child->send(SIGTERM);
    for (Job& job : jobs_)
      while (job.state == JobState::running && !job.child->wait(1)) {
      }
    fail(Fault::stopped, "stopped by signal ", signal, "; the same command goes on");
  }

  void conclude() {
    std::vector<fs::path> paths;
    for (const Job& job : jobs_)
      if (path_exists(directory_of(job) / "metrics.jsonl")) paths.push_back(directory_of(job));
    if (!paths.empty()) fmt::print("\n{}", rows_text(run_rows(paths)));
    const auto first = std::ranges::find(jobs_, JobState::failed, &Job::state);
    if (first == jobs_.end()) return;
    fail(first->fault, count(JobState::failed), " of ", jobs_.size(),
         " runs failed, the first: ", first->run->name, ": ", first->problem);
  }

  SweepOptions options_;
  Sweep sweep_;
  std::vector<Job> jobs_{};
  std::vector<Slot> slots_{};
  ProgressLine progress_{};
};

}  // namespace

void sweep(const SweepOptions& options) {
  Sweeper sweeper(options);
  options.list ? sweeper.list() : sweeper.run();
}

}  // namespace tern
