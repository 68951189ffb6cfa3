#include "distributed/rank_info.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>

#include "core/check.h"

namespace tern {
namespace {

struct Launcher {
  const char *name, *rank, *size, *local_rank, *local_size;
};

// in order of precedence
constexpr Launcher kLaunchers[] = {
    {"flags", "--rank", "--world-size", "--local-rank", "--local-world-size"},
    {"torchrun variables", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"},
    {"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE"},
    {"PMI", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
    {"Slurm", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE"},
};
constexpr const Launcher& kOpenMpi = kLaunchers[2];
constexpr const Launcher& kSlurm = kLaunchers[4];
constexpr int kMostRanks = 1 << 16;
// Range of ports derived from a job's name; below the ephemeral ports of common systems.
constexpr int kFirstPort = 15'000, kPorts = 10'000;

std::string text_of(const Variables& variables, const char* name) {
  const auto found = variables.find(name);
  return found == variables.end() ? "" : found->second;
}

std::optional<int> number_of(const Variables& variables, const char* name, int least, int most) {
  const std::string text = text_of(variables, name);
  if (text.empty()) return std::nullopt;
  int value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  require(parsed.ec == std::errc{} && parsed.ptr == text.data() + text.size() && value >= least &&
              value <= most,
          Fault::usage, name, ": expected a number from ", least, " to ", most, ", got '", text,
          "'");
  return value;
}

// The shell of sbatch or salloc looks like the first task of a step, but there are no others. Where
// Slurm gives it a step, that has one of these numbers.
bool is_job_shell(const Variables& v) {
  const std::string step = text_of(v, "SLURM_STEP_ID");
  if (step == "4294967290" || step == "4294967291") return true;  // interactive, batch
  return text_of(v, "ENVIRONMENT") == "BATCH" && step.empty() && !v.contains("SLURM_STEP_NODELIST");
}

// SLURM_STEP_<what> of the step that this process belongs to, else SLURM_JOB_<what>.
std::string step_or_job(const Variables& v, const std::string& what) {
  const std::string step = text_of(v, ("SLURM_STEP_" + what).c_str());
  return step.empty() ? text_of(v, ("SLURM_JOB_" + what).c_str()) : step;
}

std::optional<RankInfo> info_from(const Launcher& by, const Variables& v) {
  const bool slurm = &by == &kSlurm;
  const auto rank = number_of(v, by.rank, 0, kMostRanks);
  auto size = number_of(v, by.size, 1, kMostRanks);
  // SLURM_NTASKS is what the job asked for: an interactive shell is a step of one task of it
  if (const auto tasks = number_of(v, "SLURM_STEP_NUM_TASKS", 1, kMostRanks); slurm && tasks)
    size = tasks;
  if ((!rank && !size) || (slurm && (!rank || is_job_shell(v)))) return std::nullopt;
  require(rank && size, Fault::usage, rank ? by.rank : by.size, " is set and ",
          rank ? by.size : by.rank, " is not: ", by.name, " must give both");
  require(*rank < *size, Fault::usage, by.rank, "=", *rank, " and ", by.size, "=", *size,
          " contradict each other: ranks count from 0");
  RankInfo info{.rank = *rank, .size = *size, .launcher = by.name};
  const auto local_rank = number_of(v, by.local_rank, 0, kMostRanks);
  info.local_rank = local_rank.value_or(-1);
  info.local_size = number_of(v, by.local_size, 1, kMostRanks).value_or(0);
  if (slurm) info.local_size = std::min(info.local_size, info.size);  // asked for, not counted
  if (slurm && step_or_job(v, "NUM_NODES") == "1") info.local_size = info.size;
  if (info.size == 1) info.local_rank = 0, info.local_size = 1;
  require(info.local_size <= info.size, Fault::usage, by.local_size, "=", info.local_size, " and ",
          by.size, "=", info.size, " contradict each other");
  require(info.local_size == 0 || info.local_rank < info.local_size, Fault::usage, by.local_rank,
          "=", info.local_rank, " and ", by.local_size, "=", info.local_size,
          " contradict each other");
  require(info.local_rank <= info.rank, Fault::usage, by.local_rank, "=", info.local_rank, " and ",
          by.rank, "=", info.rank, " contradict each other");
  return info;
}

// Two launchers must describe the same processes. Slurm's variables count only for a world of the
// same size: other launchers start several processes in one of its tasks, and mpirun starts its own
// daemons through it.
void require_agreement(const RankInfo& first, const Launcher& by, const RankInfo& second) {
  if (&by == &kSlurm && (first.size != second.size || first.launcher == kOpenMpi.name)) return;
  require(first.rank == second.rank && first.size == second.size, Fault::usage, first.launcher,
          " say rank ", first.rank, " of ", first.size, ", ", second.launcher, " (", by.rank, ", ",
          by.size, ") says rank ", second.rank, " of ", second.size,
          ": unset those that are left from another launch");
}

std::string job_of(const Variables& v) {
  for (const char* name :
       {"TERN_JOB", "TORCHELASTIC_RUN_ID", "PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid"}) {
    const std::string text = text_of(v, name);
    if (!text.empty() && text != "none") return std::string(name) + "=" + text;
  }
  const std::string slurm = text_of(v, "SLURM_JOB_ID");
  return slurm.empty() ? std::string() : "Slurm " + slurm + "." + text_of(v, "SLURM_STEP_ID");
}

int port_of(const std::string& job);

// torchrun itself listens at MASTER_PORT, on the host of rank 0. Another port, the same on all
// ranks and different for a second torchrun of this machine, which has another MASTER_PORT.
int port_beside(const Variables& v, int master_port) {
  const int port =
      port_of(text_of(v, "TORCHELASTIC_RUN_ID") + " beside " + std::to_string(master_port));
  return port == master_port ? port + 1 : port;
}

int port_of(const std::string& job) {
  std::uint32_t sum = 2166136261u;  // FNV-1a: the same on every machine
  for (const char c : job) sum = (sum ^ std::uint8_t(c)) * 16777619u;
  return kFirstPort + int(sum % kPorts);
}

std::string without_brackets(const std::string& host) {
  const bool both = host.size() > 2 && host.starts_with('[') && host.ends_with(']');
  return both ? host.substr(1, host.size() - 2) : host;
}

void read_rendezvous(const std::string& text, RankInfo& info) {
  const std::string address = text.starts_with("tcp://") ? text.substr(6) : text;
  const std::size_t colon = address.rfind(':');
  const bool bracketed = address.starts_with('[');
  require(colon != std::string::npos && colon > 0 &&
              (bracketed ? colon > 2 && address[colon - 1] == ']' : address.find(':') == colon),
          Fault::usage,
          "--rendezvous: expected HOST:PORT, of an IPv6 address [ADDRESS]:PORT, got '", text, "'");
  info.host = without_brackets(address.substr(0, colon));
  info.port = *number_of({{"--rendezvous", address.substr(colon + 1)}}, "--rendezvous", 1, 65'535);
}

void find_address(const Variables& v, RankInfo& info) {
  info.job = job_of(v);
  if (const std::string text = text_of(v, "--rendezvous"); !text.empty())
    return read_rendezvous(text, info);
  info.host = without_brackets(text_of(v, "MASTER_ADDR"));
  info.port = number_of(v, "MASTER_PORT", 1, 65'535).value_or(0);
  if (info.port > 0 && text_of(v, "TORCHELASTIC_USE_AGENT_STORE") == "True")
    info.port = port_beside(v, info.port);
  const bool torchrun = info.launcher == kLaunchers[1].name || info.launcher == "flags";
  require(!torchrun || info.port > 0, Fault::usage, info.launcher, " say rank ", info.rank, " of ",
          info.size, " but not where rank 0 is: set MASTER_ADDR and MASTER_PORT");
  if (info.host.empty()) info.host = first_host(step_or_job(v, "NODELIST"));
  if (info.one_machine() && info.host.empty()) info.host = std::string("127.0.0.1");
  if (info.port == 0 && !info.job.empty()) info.port = port_of(info.job);
  require((!info.host.empty() && info.port > 0) || info.launcher == kOpenMpi.name, Fault::usage,
          info.launcher, " says rank ", info.rank, " of ", info.size,
          " but not where rank 0 is: set MASTER_ADDR and MASTER_PORT");
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

}  // namespace

Variables environment_variables() {
  Variables out;
  for (char** entry = environ; *entry; ++entry) {
    const std::string text = *entry;
    const std::size_t equals = text.find('=');
    if (equals != std::string::npos) out.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

int gpu_of(const RankInfo& info, int visible) {
  if (visible == 1) return 0;  // if two ranks mean the same one, the handshake finds out
  require(info.local_rank < visible && info.local_size <= visible, Fault::usage,
          "--device cuda: ", std::max(info.local_size, info.local_rank + 1),
          " ranks on this machine, and ", visible, " GPUs: start at most one rank for each");
  return info.local_rank;
}

std::string first_host(const std::string& list) {
  const std::size_t end = list.find_first_of("[,");
  if (end == std::string::npos || list[end] == ',') return list.substr(0, end);
  const std::size_t stop = list.find_first_of("-,]", end);
  require(stop != std::string::npos && stop > end + 1, Fault::usage,
          "SLURM_JOB_NODELIST: expected a list of hosts, got '", list, "'");
  const std::size_t close = list.find(']', end);
  const std::size_t next = list.find_first_of(",", close);
  const std::string tail = close == std::string::npos || close + 1 >= list.size()
                               ? ""
                               : list.substr(close + 1, next - close - 1);
  return list.substr(0, end) + list.substr(end + 1, stop - end - 1) + tail;
}

bool is_rank_variable(const std::string& name) {
  if (name == "MASTER_ADDR" || name == "MASTER_PORT" || name == "TERN_JOB" ||
      name == "TERN_LISTENER" || name == "TERN_LAUNCHER" || name.starts_with("OMPI_") ||
      name.starts_with("PMIX_") || name.starts_with("PMI_"))
    return true;
  for (const Launcher& by : kLaunchers)
    for (const char* own : {by.rank, by.size, by.local_rank, by.local_size})
      if (&by != &kSlurm && name == own) return true;
  return false;
}

RankInfo find_rank_info(const Variables& variables) {
  std::optional<RankInfo> first;
  for (const Launcher& by : kLaunchers) {
    const std::optional<RankInfo> info = info_from(by, variables);
    if (first && info) require_agreement(*first, by, *info);
    if (!first) first = info;
  }
  if (!first) return {};
  if (first->size == 1) return {.launcher = first->launcher};
  find_address(variables, *first);
  if (first->local_size == 0 && is_loopback(first->host)) first->local_size = first->size;
  if (first->local_rank < 0 && first->one_machine()) first->local_rank = first->rank;
  require(first->local_rank >= 0, Fault::usage, first->launcher, " say rank ", first->rank, " of ",
          first->size, " but not its rank on the machine: set LOCAL_RANK");
  if (variables.contains("TERN_LAUNCHER")) first->launcher = "--ranks";
  return *first;
}

}  // namespace tern
