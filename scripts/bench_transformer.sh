#!/usr/bin/env bash
# Training speed and memory of Transformer++ and of the MatMul-free model in tern, beside a PyTorch program of the same
# Transformer, in one session on one GPU.   scripts/bench_transformer.sh TERN RIVAL.py OUT [SIZE:BATCH...]
# RIVAL.py prints RIVAL lines for --size, --mb, --variant (tuned: QKV and gate/up fused, chunked loss, torch.compile,
# bf16 weights). LANES: its variants, "tuned" by default; FAMILIES: those of tern; RACE=1: first race cuBLASLt's
# algorithms for the Transformer's products (tern bench gemm). Sizes by default: 370m:32 1.3b:16 2.7b:8. OUT gets the logs.
set -euo pipefail
tern=$1 rival=$2 out=$3
shift 3
[ $# -gt 0 ] || set -- 370m:32 1.3b:16 2.7b:8
families=${FAMILIES:-transformer/none transformer/ternary matmulfree/none matmulfree/ternary}
mkdir -p "$out"

nvidia-smi --query-gpu=name,driver_version,clocks.max.sm --format=csv,noheader | tee "$out/card.txt"
"$tern" info 2>&1 | tee "$out/info.txt" | grep -i -E 'commit|cublas|attention|cuda' || true
for sized in "$@"; do
  size=${sized%:*} batch=${sized#*:}
  if [ -n "${RACE:-}" ]; then
    "$tern" bench gemm --device cuda --model "$size" --batch "$batch" --context 2048 \
      --set model.type=transformer --set model.quantize=none >"$out/gemm_$size.txt" 2>&1 || tail -3 "$out/gemm_$size.txt"
  fi
  for family in $families; do
    name=${family%/*}_${family#*/}_$size
    "$tern" bench train --device cuda --model "$size" --batch "$batch" --context 2048 --steps 8 \
      --set model.type="${family%/*}" --set model.quantize="${family#*/}" >"$out/$name.txt" 2>"$out/$name.err" \
      || { tail -2 "$out/$name.err"; continue; }
    echo "tern $family $size B=$batch: $(grep -E 'tokens/s|peak memory|matrix products' "$out/$name.txt" | tr -s ' ' | tr '\n' ';')"
  done
  [ -z "${LANES-tuned}" ] ||
    python3 "$rival" --size "${size^^}" --mb "$batch" --variant "${LANES-tuned}" --steps 8 2>&1 |
    tee -a "$out/rival.txt" | grep -E 'RIVAL|OOM|FAIL|sdpa' || true
done
