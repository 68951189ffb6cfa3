#!/usr/bin/env bash
# What must hold on a machine with an NVIDIA GPU, from a build tree that may have come from elsewhere.
#   scripts/check_gpu.sh BUILD_DIRECTORY PREPARED_DATA     (data of the 32,000-piece tokenizer)
set -uo pipefail
bin=$1/bin
data=$2
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
check() { printf '\n$ %s\n' "$*"; "$@" || { failed=1; printf 'FAILED: %s\n' "$*"; }; }

# the ops on both paths, and a whole model against float64
nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem --format=csv,noheader
check "$bin/cuda_tests" --gtest_brief=1
check env TERN_CUDA_PLAIN=1 "$bin/cuda_tests" --gtest_brief=1
check "$bin/product_check"
check "$bin/tern" golden --device cuda --dtype f32 tests/golden/*.safetensors

# a small run: the same bits after a resume; GPU to CPU to GPU
cat >"$work/small.toml" <<EOF
[run]
steps = 30
directory = "$work"
[model]
hidden_size = 64
num_hidden_layers = 2
vocab_size = 32_000
[[data.source]]
path = "$data"
[optimizer]
lr = 1e-3
[batch]
tokens = 512
context = 64
[logging]
interval = 1
[checkpoint]
interval = 10
keep_last = 10
EOF
small() { "$bin/tern" train "$work/small.toml" "$@" >"$work/log" 2>&1 || cat "$work/log"; }
losses() { grep -o '"t":"train","step":[0-9]*\|"loss":[-0-9.e]*' "$1/metrics.jsonl" | paste - - | tail -3; }
same() { cmp "$work/$1/checkpoints/step-00000030/rank-000-part-00.h5" \
  "$work/$2/checkpoints/step-00000030/rank-000-part-00.h5"; }
at() { echo "$work/$1/checkpoints/step-000000$2"; }
for activations in f32 bf16 fp8_dx fp8; do
  set -- --device cuda --set precision.activations=$activations
  case $activations in fp8*) set -- --device cuda --set precision.backward=$activations ;; esac
  small "$@" --set run.name=whole-$activations
  small "$@" --set run.name=again-$activations
  small "$@" --set run.name=resumed-$activations --resume "$(at whole-$activations 10)"
  check same whole-$activations again-$activations
  check same whole-$activations resumed-$activations
done
for form in transformer/none transformer/ternary matmulfree/none; do
  set -- --device cuda --set model.type=${form%/*} --set model.quantize=${form#*/}
  name=${form/\//-}
  small "$@" --set run.name=whole-$name
  small "$@" --set run.name=again-$name
  small "$@" --set run.name=resumed-$name --resume "$(at whole-$name 10)"
  check same whole-$name again-$name
  check same whole-$name resumed-$name
  check "$bin/tern" generate --device cuda --checkpoint "$(at whole-$name 30)" --prompt 'The old' -n 100 --temperature 0
done
for half in moments gradients; do
  set -- --device cuda --set optimizer.$half=bf16
  small "$@" --set run.name=whole-$half
  small "$@" --set run.name=resumed-$half --resume "$(at whole-$half 10)"
  check same whole-$half resumed-$half
done
# several processes share the GPU, which puts blocks off at any moment; 192 columns leave half a tile idle
cat >"$work/shared.toml" <<END
[sweep]
config = "$work/small.toml"
directory = "$work/shared"
[set]
run.steps = 3000
model.hidden_size = 192
model.num_hidden_layers = 5
batch.tokens = 8192
logging.interval = 500
checkpoint.interval = 0
[grid]
run.seed = [1, 2, 3, 4, 5]
END
check "$bin/tern" sweep "$work/shared.toml" --device cuda --jobs 5
small --device cpu --set precision.activations=f32 --set run.name=cpu --resume "$(at whole-f32 10)"
small --device cuda --set precision.activations=f32 --set run.name=back --resume "$(at cpu 20)"
for run in whole-f32 cpu back whole-bf16 whole-fp8_dx whole-fp8 whole-moments whole-gradients; do echo "$run"; losses "$work/$run"; done

# what cannot be done is said in one line
"$bin/tern" train "$work/small.toml" --device cuda:7 --set run.name=none; echo "exit $?, expected 2"
"$bin/tern" train "$work/small.toml" --device cuda --set run.name=big --set model.hidden_size=16384 \
  --set model.num_hidden_layers=48; echo "exit $?, expected 5"
exit $failed
