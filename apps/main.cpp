// tern: trains, evaluates and runs MatMul-free language models.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>

#include "apps/commands/command_line.h"
#include "apps/console/terminal.h"
#include "core/check.h"
#include "data/io/files.h"
#include "runtime/machine_limits.h"

namespace {

int report(tern::Fault fault, const char* what) {
  if (*what == 0) return int(fault);  // already said by another rank or a launcher
  std::fprintf(stderr, fault == tern::Fault::stopped ? "tern: %s\n" : "tern: error: %s\n", what);
  return int(fault);
}

// Corpora, checkpoints and connections of many ranks: as many files as this process may ever have.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  tern::occupy_standard_streams();
  raise_descriptor_limit();
  CLI::App app{"Trains, evaluates and runs MatMul-free language models.", "tern"};
  tern::add_commands(app, {argv, argv + argc});
  try {
    tern::set_up_threads(argv);
    return tern::run_command_line(app, {argv + std::min(argc, 1), argv + argc});
  } catch (const tern::Error& e) {
    return report(e.fault, e.what());
  } catch (const std::filesystem::filesystem_error& e) {
    const tern::Error error = tern::as_error(e);
    return report(error.fault, error.what());
  } catch (const std::bad_alloc&) {
    return report(tern::Fault::memory, "out of memory");
  } catch (const std::exception& e) {
    return report(tern::Fault::internal, e.what());
  }
}
