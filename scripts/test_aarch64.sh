#!/usr/bin/env bash
# The core for AArch64, built with Debian's cross compiler, and its tests in QEMU's emulation.
#   scripts/test_aarch64.sh [CMAKE_ARGUMENT...]
set -euo pipefail
cd "$(dirname "$0")/.."

left_out=(                            # parts of names
  /AVX                                # x86's kernels are not in this build
  ThreadPool.AChildProcess            # QEMU 7.2 aborts where a child of a process with threads starts threads
  ThreadPool.AThreadThatIsHeldUp      # need two free cores for a moment, or fail after a minute
  ThreadPool.SeveralThreadsTakePart
  SampleToken.IsTheReferences         # a minute of f64 arithmetic in plain C++
  Layering                            # reads the sources
)
build=build-aarch64
CMAKE_TOOLCHAIN_FILE=scripts/cmake/aarch64.cmake cmake -S . -B $build -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DTERN_APPS=OFF -DTERN_CUDA=OFF "$@"
cmake --build $build --parallel "$(nproc)" --target core_tests

run_tests() { # CTEST_ARGUMENT...
  ctest --test-dir $build --output-on-failure --no-tests=error -j "$(nproc)" -L '^core$' "$@"
}

# QEMU's largest CPU, which has every instruction: nothing may be skipped
run_tests -E "$(IFS='|'; echo "${left_out[*]}")" | tee $build/tests.log
if grep -F '(Skipped)' $build/tests.log; then
  echo "test_aarch64: these tests were skipped, expected all to run: does this QEMU have the dot product (asimddp)?" >&2
  exit 1
fi
# a CPU without the dot product, where one stray instruction of ARMv8.2 ends the process
QEMU_CPU=cortex-a53 run_tests -R '^(Real/Exact|CodeKernels)'
