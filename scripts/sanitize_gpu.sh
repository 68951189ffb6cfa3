#!/usr/bin/env bash
# Every kernel at odd sizes under compute-sanitizer: addresses, then races in shared memory; eight
# processes at once, on all GPUs. Not cuBLASLt's own kernels (nvjet_*): racecheck takes their
# barriers for races, and some do not start under it: those of the wide cross entropy (whose own
# kernels CudaCrossEntropy runs without a product), of fp8 and of long products. Nor, for races,
# gradients stored in bf16, which differ in a kernel's last instruction from the others, nor attention
# of long sequences, which takes too long. cuDNN is not used.
#   scripts/sanitize_gpu.sh BUILD_DIRECTORY
set -euo pipefail
tests=$1/bin/cuda_tests
export TERN_CUDNN=none
shards=8
IFS=, read -ra gpus <<<"${CUDA_VISIBLE_DEVICES-$(nvidia-smi --query-gpu=index --format=csv,noheader | paste -sd,)}"
if ((${#gpus[@]} == 0)); then
  echo "sanitize_gpu.sh: no GPU here, expected at least one" >&2
  exit 2
fi
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

check() { # TOOL FILTER
  local running=() failed=0
  for ((i = 0; i < shards; ++i)); do
    CUDA_VISIBLE_DEVICES=${gpus[i % ${#gpus[@]}]} GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$i \
      compute-sanitizer --tool "$1" --error-exitcode 1 --print-limit 20 \
      --kernel-name-exclude kernel_substring=nvjet \
      "$tests" --gtest_brief=1 --gtest_filter="$2" >"$logs/$i" 2>&1 &
    running+=($!)
  done
  for ((i = 0; i < shards; ++i)); do
    local said='=========|FAILED|PASSED'
    wait "${running[i]}" || { failed=1 said=''; }  # the whole log of what failed
    { grep -E "$said" "$logs/$i" || echo 'nothing was said'; } | sed "s/^/$1 $((i + 1)) of $shards: /"
  done
  return $failed
}
cases='*SinglePrecision*:*HalfPrecision*:*StoredGradients*:CudaCrossEntropy*:CudaPackedTernary*:CudaUpdate*:CudaFp8Rows*:CudaAttention.Behind*'
check memcheck "$cases"
check racecheck "$cases-Wide*HalfPrecision*entropy*:*fp8_dx_*:*StoredGradients*:CudaFp8Rows.*Plan:CudaFp8Rows.Who*:*attention_1_1000*:*attention_1_2048*"
