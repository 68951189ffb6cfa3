#!/usr/bin/env bash
# The figures of docs/benchmarks/inference.md, on a machine with a GPU: decode of random models of the published
# sizes by one sequence and by several, a 13B shape, and, if its program is given, the rival in the same call.
# decode_benchmark, if it lies beside tern: the parts of a token.
#   scripts/bench_decode.sh TERN [RIVAL_DECODE.py]
set -euo pipefail
tern=$1
rival=${2:-}
run() { printf '\n$ tern bench decode %s\n' "$*"; "$tern" bench decode --device cuda "$@"; }

nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem,clocks.max.sm --format=csv,noheader
# two seconds of tokens at least, which the energy counter needs
run --model 370m --tokens 16000 --prompt-tokens 2048
run --model 1.3b --tokens 10000 --prompt-tokens 2048
run --model 2.7b --tokens 7000 --prompt-tokens 2048
if [ -n "$rival" ]; then
  printf '\n$ rival_decode.py --variant mm-w2\n'
  python3 "$rival" --variant mm-w2 --size 370M,1.3B,2.7B --batch 1 --budget 90 | grep RIVAL
fi
for streams in 8 64 256; do run --model 370m --streams $streams --tokens 500; done
for size in 1.3b 2.7b; do run --model $size --streams 64 --tokens 300; done
run --model 13b --tokens 300 --prompt-tokens 2048
if [ -n "$rival" ]; then
  printf '\n$ rival_decode.py --forward13b\n'
  python3 "$rival" --forward13b fp32,tf32,bf16 | grep RIVAL
fi
benchmark=$(dirname "$tern")/decode_benchmark
[ ! -x "$benchmark" ] || "$benchmark"
