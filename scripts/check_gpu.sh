#!/usr/bin/env bash
# What must hold on a machine with an NVIDIA GPU, from a build tree that may have come from elsewhere.
#   scripts/check_gpu.sh BUILD_DIRECTORY
set -uo pipefail
bin=$1/bin
failed=0
check() { printf '\n$ %s\n' "$*"; "$@" || { failed=1; printf 'FAILED: %s\n' "$*"; }; }

nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,power.draw --format=csv,noheader
check "$bin/cuda_tests" --gtest_brief=1
check "$bin/tern" golden --device cuda --dtype f32 tests/golden/*.safetensors
check env TERN_CUDA_PLAIN=1 "$bin/cuda_tests" --gtest_brief=1 --gtest_filter='CudaProduct*:*product*'
exit $failed
