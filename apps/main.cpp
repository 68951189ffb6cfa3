// tern: trains, evaluates and runs MatMul-free language models.
#include <cstdio>
#include <exception>
#include <new>

#include "apps/commands.h"
#include "apps/run/terminal.h"
#include "apps/run/threads.h"
#include "core/check.h"

namespace {

int report(tern::Fault fault, const char* what) {
  if (*what == 0) return int(fault);  // somebody else has said it: another rank, a launcher
  std::fprintf(stderr, fault == tern::Fault::stopped ? "tern: %s\n" : "tern: error: %s\n", what);
  return int(fault);
}

}  // namespace

int main(int argc, char** argv) {
  tern::occupy_standard_streams();
  CLI::App app{"Trains, evaluates and runs MatMul-free language models.", "tern"};
  app.require_subcommand(1);
  tern::add_tokenizer(app);
  tern::add_prepare(app);
  tern::add_plan(app);
  tern::add_train(app, {argv, argv + argc});
  tern::add_eval(app);
  tern::add_generate(app);
  tern::add_plot(app);
  tern::add_inspect(app);
  tern::add_config(app);
  tern::add_golden(app);
  tern::add_trace(app);
  tern::add_ngram(app);
  tern::add_bench(app);
  try {
    tern::set_up_threads(argv);
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : int(tern::Fault::usage);
  } catch (const tern::Error& e) {
    return report(e.fault, e.what());
  } catch (const std::bad_alloc&) {
    return report(tern::Fault::memory, "out of memory");
  } catch (const std::exception& e) {
    return report(tern::Fault::internal, e.what());
  }
}
