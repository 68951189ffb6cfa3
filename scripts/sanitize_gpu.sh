#!/usr/bin/env bash
# Every kernel at odd sizes under compute-sanitizer: addresses, then races in shared memory. Not
# cuBLASLt's own (nvjet_*): racecheck takes their barriers for races, and at the sizes of the wide
# cross entropy they do not start under it; CudaCrossEntropy runs those kernels without a product.
#   scripts/sanitize_gpu.sh BUILD_DIRECTORY
set -euo pipefail
check() { # TOOL FILTER
  compute-sanitizer --tool "$1" --error-exitcode 1 --print-limit 20 \
    --kernel-name-exclude kernel_substring=nvjet \
    "$tests" --gtest_brief=1 --gtest_filter="$2"
}
tests=$1/bin/cuda_tests
cases='*SinglePrecision*:*HalfPrecision*:CudaCrossEntropy*:CudaPackedTernary*:CudaFp8Rows.HaveTheCpusCodes'
check memcheck "$cases"
check racecheck "$cases-Wide*HalfPrecision*entropy*"
